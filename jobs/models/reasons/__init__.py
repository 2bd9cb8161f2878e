"""Reasons beside predictions: how a version's are explained, and the column that a page gets."""
