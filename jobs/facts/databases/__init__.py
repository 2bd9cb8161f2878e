"""Databases that sources read: how each kind is opened and bounded, and which SQL it is asked in."""
