"""An emulator in a process of its own, for tests: load this file by its path."""

import json
import subprocess
import sys
from pathlib import Path


class Process:
    """Starts `python name.py arguments...`, and tells it things."""

    def __init__(self, name, *arguments):
        script = Path(__file__).parent / f"{name}.py"
        self.process = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.said = self.process.stdout.readline().strip()
        """When it had started."""

    def __call__(self, *words):
        """Send one line, and return what it answers."""
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        assert answer, f"the emulator ended at {words}"
        return answer

    def tell(self, what):
        """Send one line, and return the JSON that it answers."""
        return json.loads(self(what))

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


class Emulator(Process):
    """A serial bus at a link, which is the port."""

    def __init__(self, name, link, *arguments):
        super().__init__(name, "--link", str(link), *arguments)
        assert self.said == "ready"
        self.port = str(link)

    def state(self, motor):
        """Return a motor as it really is."""
        return self.tell("state")[str(motor)]
