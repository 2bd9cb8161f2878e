"""Scorers: models made ready for throughput. Arrow batches in, predictions out."""
