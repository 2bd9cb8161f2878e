"""The columns that a model learns from and reads: what is odd about them, and whether they are still there."""
