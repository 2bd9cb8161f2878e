"""Copies of catalogues: a file of a lake's catalogue as of one instant, whatever that lies in, and the way back."""
