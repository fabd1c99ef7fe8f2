"""`python -m robo_al_agent.server AGENT.yaml CONTROL PULSE NOTE`: the agent's process.

It is started by `robo_al_agent.parent`, which stops the robot when this process ends in any other
way than by itself. It ends when its stdin is closed. What it has to say to its parent goes over
CONTROL; its stdout belongs to the driver.
"""

import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path

from robo_al_agent.config import load_config
from robo_al_agent.devices.pulse import Pulse
from robo_al_agent.drivers.loading import make_robot, make_sensing
from robo_al_agent.errors import AgentError
from robo_al_agent.operator.terminal import tolerate
from robo_al_agent.server.process import Server


def main() -> None:
    """The process that `parent.serve` starts: AGENT.yaml, two descriptors, a person's note."""
    tolerate()
    path, control, pulse = Path(sys.argv[1]), int(sys.argv[2]), Pulse(int(sys.argv[3]))

    def tell(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: so is who would read it
            os.write(control, f"{' '.join(text.split())}\n".encode())

    try:
        config = load_config(path)
        driver = make_robot(config, path.resolve().parent)
        sensing = make_sensing(config, path.resolve().parent)
        server = Server(config, driver, sensing, pulse, tell, note=sys.argv[4])
    except AgentError as error:
        print(f"robo-al-agent: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    except Exception as error:
        traceback.print_exception(error)
        os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    pulse.beat()
    tell(f"serving at {config.address} (process {os.getpid()}); Ctrl-C ends it")
    server.run()
    os._exit(0)  # a driver's own threads do not keep the process


def _end_with_parent(server: Server) -> None:
    while os.read(0, 4096):
        pass
    server.stop()


if __name__ == "__main__":
    main()
