"""The other end of a `robo_al.worker`: a process that holds an env, with deadlines."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict

from robo_al import worker
from robo_al.errors import OracleError, PluginError
from robo_al.types import EnvSpec
from robo_al.worker.frames import Channel, Frame

TOO_OLD = 98
"""Exit code of a Python that cannot run a worker."""
_GUEST = f"""
import sys
if sys.version_info < (3, 8):
    sys.exit({TOO_OLD})
import types
package = types.ModuleType("robo_al_worker")
package.__path__ = [sys.argv[1]]
sys.modules["robo_al_worker"] = package
from robo_al_worker.guest import main
main()
"""
"""Runs the package `robo_al.worker` and nothing else of ours in another Python."""


class WorkerLost(Exception):
    """A worker hung or died; the message says how."""


class WorkerProcess:
    """One process with one env, in the Python that the env asks for.

    Args:
        env: what it is to hold.

    Raises:
        PluginError: the env's Python cannot be started.
    """

    def __init__(self, env: EnvSpec) -> None:
        self._env = env
        to_it, from_it, life = os.pipe(), os.pipe(), os.pipe()
        theirs, ours = (to_it[0], from_it[1], life[0]), (from_it[0], to_it[1], life[1])
        try:
            self._process = subprocess.Popen(
                [*_command(env), *map(str, theirs)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what an env prints is not for whoever reads our output
                pass_fds=theirs,
                env={key: value for key, value in os.environ.items() if key != "PYTHONHOME"},
                start_new_session=True,  # Ctrl-C is for the parent; killed with what it starts
            )
        except OSError as error:
            for end in ours:
                os.close(end)
            raise PluginError(
                f"env {env.name}: its python {env.python} cannot be started: {error.strerror}"
            ) from error
        finally:
            for end in theirs:
                os.close(end)
        self._channel = Channel(*ours[:2])
        self._life = ours[2]
        """Nothing is ever written to it; it is closed when we die."""
        self._killing = threading.Lock()
        self._killed = False

    def make(self, timeout: float) -> Frame:
        """Let it make the env; return what it says of it.

        Raises:
            PluginError: the env cannot be made, or the env's Python is none.
            OracleError: making it raised or took too long.
        """
        env = self._env
        fields = {
            "name": env.name,
            "parameters": dict(env.parameters),
            "facts": asdict(env.facts),
            "finite": env.facts.encoder is None,
            "path": sys.path,
        }
        where = f"env {env.name}" + (f" in {env.python}" if env.python else "")
        try:
            self.send(Frame("make", fields), timeout)
            answer = self.receive(timeout)
        except WorkerLost as lost:
            if env.python and self._process.poll() is not None:
                needed = "a Python 3.8 or newer that has NumPy is needed"
                old = self._process.returncode == TOO_OLD
                why = "it is an older Python" if old else str(lost)
                raise PluginError(f"{where} cannot be made: {why}; {needed}") from lost
            raise OracleError(f"{where}: while it was made: {lost}") from lost
        if answer.kind == "refused":
            kind = PluginError if answer.fields["user"] else OracleError
            raise kind(f"{where} cannot be made: {answer.fields['reason']}")
        return answer

    def send(self, frame: Frame, timeout: float) -> None:
        """Send a frame; raises `WorkerLost`."""
        try:
            self._channel.send(frame, timeout)
        except (TimeoutError, BrokenPipeError) as error:
            raise self._lost(error, timeout) from error

    def receive(self, timeout: float) -> Frame:
        """Wait for a frame; raises `WorkerLost`."""
        try:
            return self._channel.receive(timeout)
        except (TimeoutError, EOFError) as error:
            raise self._lost(error, timeout) from error

    def kill(self) -> None:
        """End the process and whatever it has started."""
        with self._killing:
            if not self._killed:  # a second time, the process group could be another's
                self._killed = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    def free(self) -> None:
        """Close the pipes."""
        self._channel.close()
        os.close(self._life)

    def _lost(self, error: Exception, timeout: float) -> WorkerLost:
        if isinstance(error, TimeoutError):
            return WorkerLost(f"no answer within {timeout:g} s; its worker was killed")
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return WorkerLost("its worker closed the channel and was killed")
        how = f"exited with code {code}" if code >= 0 else f"was killed by signal {-code}"
        return WorkerLost(f"its worker {how}")


def _command(env: EnvSpec) -> Sequence[str]:
    if env.python is None:
        return [sys.executable, "-m", "robo_al.oracles.worker"]
    return [os.path.expanduser(env.python), "-c", _GUEST, worker.__path__[0]]
