"""DuckDB's own parser put to use, and what recognition is told and answers."""
