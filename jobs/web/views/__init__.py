"""The pages to look at: what each shows, read from the lake, the operational state and the definitions."""
