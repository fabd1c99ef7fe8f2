"""The program on the robot's PC: imports nothing of robo-al, torch, MuJoCo or SB3."""
