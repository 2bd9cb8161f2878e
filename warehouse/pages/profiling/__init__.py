"""Profiles that are taken while rows pass by, so that nothing is read for them alone."""
