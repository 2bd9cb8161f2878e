"""What happened: records of the ledger, and decisions on versions."""
