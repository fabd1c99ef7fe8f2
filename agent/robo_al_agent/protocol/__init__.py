"""What travels between a host and an agent: frames, requests, keys, and the host's side."""
