"""What the agent answers whoever asks, and what it serves."""
