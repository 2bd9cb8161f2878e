"""Bundles: one publication of a product as a file to look up in, with what it takes to trust it."""
