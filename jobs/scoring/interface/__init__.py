"""What a scorer is, and what its input looks like."""
