"""Definitions as text: YAML with the lines of its keys, and mistakes told in sentences."""
