"""Retraining: whether a product is trained again, on what evidence, and what becomes of it."""
