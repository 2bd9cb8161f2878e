"""Estimators, model versions and their artifacts."""
