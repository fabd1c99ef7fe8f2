"""Drivers: each in a module of its own, which imports its vendor's library when connecting."""
