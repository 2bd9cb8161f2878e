"""What came of published pages."""
