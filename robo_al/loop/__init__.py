"""Drives a campaign against an oracle: in turn, or overlapped; with evaluations between."""

from robo_al.loop.sequential import run

__all__ = ["run"]
