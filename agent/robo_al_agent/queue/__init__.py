"""Rollouts that wait: accepted, previewed, approved, and whose lease still holds."""
