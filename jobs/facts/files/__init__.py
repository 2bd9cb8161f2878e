"""The files that sources are filled from: where they lie, and what tells one from another."""
