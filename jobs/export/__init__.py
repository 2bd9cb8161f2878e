"""Publications handed to targets outside of the lake: files and databases that applications read."""
