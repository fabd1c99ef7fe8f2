"""Where a robot's bodies are, from its MJCF or URDF, with NumPy alone."""
