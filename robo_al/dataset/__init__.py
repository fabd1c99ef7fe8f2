"""The durable record: the ledger, and one file for each episode."""
