"""Readers: what a fitted model of each library holds, as ensembles and links."""
