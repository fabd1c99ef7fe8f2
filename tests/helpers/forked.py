"""Commands in processes that are forked: each starts in a hundredth of a second, not in a half.

A server, one for each process that runs tests, has imported what a command imports; it forks a
process for each command, which then is as if it had been started by its script: with arguments,
folder, environment, standard streams, a session and an exit code of its own. That a command
imports all that it needs is shown by the tests that start Python for it.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

LATER = {"robo_al.cli": ("robo_al.build", "robo_al.loop", "robo_al.report.page", "pandas")}
"""What a command imports once it is known that it is needed, and takes seconds."""
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}
"""Of servers: as the tests found it, and with one thread, for what is forked has no other."""


class Forked:
    """A command that runs; as `subprocess.Popen`, as far as it goes, and its streams are text.

    Args:
        module: whose `main` is the command.
        words: its arguments.
        folder: in which it runs; None: this one.
        stdin: a descriptor that it reads; None: there is nothing to read.
        together: whether its standard error goes where its standard output goes.
    """

    def __init__(
        self,
        module: str,
        *words: object,
        folder: Path | None = None,
        stdin: int | None = None,
        together: bool = False,
    ) -> None:
        self.args = [module, *map(str, words)]
        self.returncode: int | None = None
        request = json.dumps([self.args, str(folder or Path.cwd()), dict(os.environ)])
        self._said, says = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reads, out = os.pipe()
        reads_errors, errors = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        streams = [says.fileno(), nothing if stdin is None else stdin]
        streams += [out, out if together else errors]
        socket.send_fds(_server(module), [request.encode()], streams)
        says.close()
        for descriptor in (nothing, out, errors):
            os.close(descriptor)
        self.stdout, self.stderr = open(reads), open(reads_errors)
        self.pid = int(self._said.recv(20))

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        self.stdout.close()
        self.stderr.close()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; return the exit code, or minus the signal that ended it."""
        if self.returncode is None:
            if not select.select([self._said], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._said.recv(20))
            self._said.close()
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, or None where it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end; return what it has said, which a pipe has to hold: 64 KB."""
        self.wait(timeout)
        return self.stdout.read(), self.stderr.read()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def finished(
    module: str, *words: object, folder: Path | None = None, seconds: float = 300.0
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, with nobody at a terminal."""
    with Forked(module, *words, folder=folder) as process:
        try:
            said = process.communicate(seconds)
        except BaseException:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.wait(), *said)


@functools.cache
def _server(module: str) -> socket.socket:
    """Start the server of a command; it ends with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
            [sys.executable, __file__, module],
            stdin=its,
            stdout=subprocess.DEVNULL,
            env=ENVIRONMENT,
            start_new_session=True,  # Ctrl-C ends the tests, which end what they have started
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _serve(module: str) -> None:
    """Fork a process for each request, until nobody is there who asks."""
    for name in (module, *LATER.get(module, ())):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is never looked at stays shared
    asked = socket.socket(fileno=0)
    while True:
        request, streams, *_ = socket.recv_fds(asked, 1 << 20, 4)
        if not request:
            return
        if os.fork() == 0:
            asked.detach()
            return _run(*json.loads(request), *streams)
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _run(
    command: list[str], folder: str, environment: dict[str, str], says: int, *streams: int
) -> None:
    """Be the command, in a further process, and tell its id and its exit code from this one."""
    pid = os.fork()
    if pid != 0:
        for stream in streams:
            os.close(stream)
        with socket.socket(fileno=says) as told:
            told.send(str(pid).encode())
            told.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        os._exit(0)
    os.close(says)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdout = open(1, "w")  # a stream remembers whether it was made for a file or a pipe
    # Whoever runs the tests in the background ignores Ctrl-C, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    module, *words = command
    sys.argv = [module, *words]
    sys.exit(importlib.import_module(module).main())


if __name__ == "__main__":
    _serve(sys.argv[1])
