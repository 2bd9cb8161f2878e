"""A version from labelled pages: train, fit, validation, register, reproduce."""
