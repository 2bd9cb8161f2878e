"""Staged pages: checks, publishing, history, labels."""
