"""CSV files: how each is written, and its cells as values that their texts stand for."""
