"""Scores of pages: which version scores which rows, and what is staged of them."""
