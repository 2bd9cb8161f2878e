"""What is said of entities that no page has: means of predictions, or of labels known at the page, by coarser keys."""
