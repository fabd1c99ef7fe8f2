"""Policies that propose rollouts and control them."""
