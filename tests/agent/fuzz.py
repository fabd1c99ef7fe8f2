"""Coverage-guided fuzzing of everything that the agent reads from the network: `make fuzz`.

Whatever the bytes are, decoding them gives a message or a `WireError`, and handling it an answer.
"""

import sys

import atheris
import numpy as np

with atheris.instrument_imports(include=["robo_al_agent"]):
    import runpy
    from pathlib import Path

    from robo_al_agent.errors import WireError
    from robo_al_agent.protocol import requests, wire

SIMULATION = runpy.run_path(str(Path(__file__).with_name("protocol_simulation.py")))
HISTORY = SIMULATION["Simulation"](0)
HISTORY._start_agent()
ANSWERS = {"error", "robot", "lease", "ok", "state", "result", "late", "status", "recordings"}


KEYS = [
    "request",
    "client",
    "fencing_token",
    "id",
    "not_after_ns",
    "content",
    "step",
    "who",
    "operator",
]
KEYS += ["hash", "controller", "joints", "period", "substeps", "horizon", "start", "seed", "why"]


def value(provider: atheris.FuzzedDataProvider, depth: int = 0) -> object:
    """Draw a JSON value."""
    kind = provider.ConsumeIntInRange(0, 7 if depth < 3 else 5)
    if kind == 6:
        return [value(provider, depth + 1) for _ in range(provider.ConsumeIntInRange(0, 3))]
    if kind == 7:
        return mapping(provider, depth + 1)
    return [
        None,
        provider.ConsumeBool(),
        provider.ConsumeIntInRange(-2, 2**40),
        provider.ConsumeRegularFloat(),
        provider.ConsumeUnicodeNoSurrogates(6),
        provider.PickValueInList(["open_loop", "onnx", "streamed", "a", "c", "r/1"]),
    ][kind]


def mapping(provider: atheris.FuzzedDataProvider, depth: int = 0) -> dict[str, object]:
    """Draw fields, of the names that requests have."""
    count = provider.ConsumeIntInRange(0, 8)
    return {provider.PickValueInList(KEYS): value(provider, depth) for _ in range(count)}


def frames_of(data: bytes) -> list[bytes]:
    """Make frames of an input: as they are, or a message that is nearly one."""
    provider = atheris.FuzzedDataProvider(data)
    if provider.ConsumeBool():
        size = provider.ConsumeIntInRange(1, 4)
        return [provider.ConsumeBytes(200) for _ in range(size)]
    fields = mapping(provider) | {"request": provider.ConsumeIntInRange(0, 9)}
    rows, columns = provider.ConsumeIntInRange(0, 3), provider.ConsumeIntInRange(0, 2)
    numbers = np.array(provider.ConsumeFloatListInRange(rows * columns, -1e300, 1e300))
    arrays = {"actions": numbers.reshape(rows, columns), "command": numbers}
    kind = provider.PickValueInList(list(requests.KINDS))
    frames = wire.encode(wire.Message(kind, fields, arrays))
    if provider.ConsumeBool():
        which = provider.ConsumeIntInRange(0, len(frames) - 1)
        frames[which] = frames[which][: provider.ConsumeIntInRange(0, len(frames[which]))]
    return frames


def once(data: bytes) -> None:
    """Try one input."""
    try:
        message = wire.decode(frames_of(data))
    except WireError:
        return
    answer = HISTORY.agent.handle(message, HISTORY.now)
    assert answer.kind in ANSWERS, answer
    wire.decode(wire.encode(answer))
    HISTORY.now += 10**7
    HISTORY.agent.tick(HISTORY.now)


if __name__ == "__main__":
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    atheris.Setup(sys.argv[:1] + [str(corpus)] + sys.argv[2:], once)
    atheris.Fuzz()
