"""Products that left a suite: renamed or removed, with what the lake has of them."""
