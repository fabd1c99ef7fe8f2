"""What the robot may do at most, and which rule a motion breaks first."""
