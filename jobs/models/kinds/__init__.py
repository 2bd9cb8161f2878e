"""What a kind of label means in numbers: scores, metrics, and how certain these are."""
