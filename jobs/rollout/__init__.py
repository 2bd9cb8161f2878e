"""Which version writes the pages, and on what evidence: promotion, gates, comparison."""
