"""The compiled model's file: written, read, and refused where it is not as docs/compiled_model.md says."""
