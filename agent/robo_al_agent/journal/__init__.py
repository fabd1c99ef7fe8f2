"""The journal: what was accepted, begun and ended, written before anything follows from it."""
