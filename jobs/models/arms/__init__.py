"""Who is served by which version while several of them write a product's pages. Pure: numbers and SQL expressions."""
