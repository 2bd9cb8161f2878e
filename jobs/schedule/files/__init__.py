"""schedules.yaml: its keys, how its text is read, and the plain values that come of it."""
