"""Reasons: what each column contributed to a prediction, as exact Shapley values of the compiled model."""
