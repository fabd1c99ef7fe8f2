"""Rollouts that wait: accepted from whoever has the lease, previewed, approved, in their turn."""
