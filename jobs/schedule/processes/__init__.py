"""Runs as child processes, and the process that supervises each tree of them."""
