"""Pages: planned, made, backfilled, compared, rolled back, and paired with their labels."""
