"""Simulated worlds of known truth: seeded generators of facts, with what would be best to predict of them."""
