"""A MuJoCo scene that stands for a robot, in a process of its own and in real time."""
