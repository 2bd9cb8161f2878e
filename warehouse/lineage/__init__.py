"""Lineage by column: what every column is made of, from files through queries and models to predictions."""
