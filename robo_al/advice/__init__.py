"""What to ask a person for next, from what was recorded already: `robo-al next`."""
