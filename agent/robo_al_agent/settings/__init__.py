"""Settings as files: plain YAML, and what is read from it."""
