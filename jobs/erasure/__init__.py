"""Erase a person: what the lake holds of them, everywhere, and what keeps it from coming back."""
