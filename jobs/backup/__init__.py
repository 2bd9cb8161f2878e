"""Backups: states of a lake, kept outside of it, and the way back."""
