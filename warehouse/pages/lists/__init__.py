"""Ranked lists: which of their candidates are listed, and of which the features are kept."""
