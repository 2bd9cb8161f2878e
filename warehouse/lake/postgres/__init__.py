"""A catalogue in PostgreSQL, which several hosts share: where it is, its locks, and the fence that commits pass."""
