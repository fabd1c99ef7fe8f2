"""An emulator in a process of its own, for tests: load this file by its path."""

import json
import subprocess
import sys
from pathlib import Path


class Emulator:
    """Starts `python name.py --link LINK arguments...`, and tells it things."""

    def __init__(self, name, link, *arguments):
        script = Path(__file__).parent / f"{name}.py"
        command = [sys.executable, str(script), "--link", str(link), *arguments]
        self.port = str(link)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, *words):
        """Send one line, and return what it answers."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"the emulator ended at {words}"
        return answer

    def state(self, motor):
        """Return a motor as it really is."""
        return json.loads(self("state"))[str(motor)]

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()
