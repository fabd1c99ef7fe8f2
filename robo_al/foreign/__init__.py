"""Envs that another process holds; `robo_al.worker` is what runs at the other end."""
