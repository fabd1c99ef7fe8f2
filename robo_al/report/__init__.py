"""What people look at: the page of a run, its pictures and videos, and the lines in a terminal."""
