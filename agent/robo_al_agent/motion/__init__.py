"""What moves the robot: the device made ready, one rollout or errand in motion, watched."""
