"""What a run has learned, taken out of it: to act in a loop of one's own, or as a file."""
