"""Facts on their way in: what is read of a delivery, what is set aside, and what a source has promised."""
