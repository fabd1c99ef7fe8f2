"""Sensors beside the robot: read by threads of their own, kept with a rollout."""
