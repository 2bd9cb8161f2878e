"""Databases that sources read: how each kind is opened, and which SQL it is asked in."""
