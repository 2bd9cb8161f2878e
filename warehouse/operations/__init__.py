"""What is going on: operational state and leases."""
