"""What the command line does by itself, beside what a person says to the agent."""
