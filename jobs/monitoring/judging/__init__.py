"""Judging published pages by their profiles: what stands in the ledger, what is new, its rows and alarms."""
