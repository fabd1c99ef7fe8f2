"""Compares strategies: tasks x strategies x seeds, each run a campaign in a process of its own."""
