"""One experiment, as ask and tell over a ledger: `Campaign`, and what it is made of."""
