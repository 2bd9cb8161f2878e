"""Who is served by which version while several of them write a product's pages; nothing here knows a lake."""
