"""What a person at the robot's PC is shown and asked, and the errands done for them."""
