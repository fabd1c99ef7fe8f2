"""Recorded rollouts of other runs, robots and programs, as a task to choose from.

`read_recording` tells the format by the files in a folder; `env` makes a `gymnasium.Env` of it.
"""
