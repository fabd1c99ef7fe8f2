"""How imagined rollouts are scored, and how a batch is made of scores."""
