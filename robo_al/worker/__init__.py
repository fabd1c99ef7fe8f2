"""What runs in the process of an env: in our Python, or in one of the env's own.

The modules of this package import nothing else of robo_al, and run in Python 3.8 and newer with
NumPy alone; where they run in the env's own Python, the package is called `robo_al_worker`.
"""
