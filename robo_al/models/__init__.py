"""What is learned, and imagination with it."""
