"""Benchmark tasks as Gymnasium environments, with their MJCF."""
