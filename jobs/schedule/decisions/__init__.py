"""Ticks, and every decision about them: no clock, no effect."""
