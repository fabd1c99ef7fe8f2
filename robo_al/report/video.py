"""Videos of recorded rollouts: of the pictures that were observed, or of a repetition.

A rollout without pictures is repeated, its actions executed again from where it started. It happens
in a process of its own: where a machine has no OpenGL, drawing can end the process that tries it,
and MuJoCo chooses how to draw when it is imported.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from robo_al.encoding.film import Pictures, as_image
from robo_al.errors import PluginError, RoboALError
from robo_al.plugins import constructor, make_env
from robo_al.types import Context, EnvFacts, EnvSpec, Trajectory

MAX_FRAMES = 120
"""A longer rollout is drawn at fewer steps, and its end left out, so that a report is quick."""
MIN_RATE = 5.0
"""Frames for each second that a video has at least, as far as there are so many steps."""
DEADLINE = 60.0
"""Seconds after which the report goes without videos."""


class VideoError(Exception):
    """No video could be made; the message says why, for the report's reader."""


@dataclass(frozen=True)
class Video:
    """A rollout to look at."""

    mp4: bytes
    """H.264 that browsers play."""
    deviation: float
    """Largest difference of an observation between record and replay; 0 where it is exact."""
    seconds: float
    """How much of the rollout it shows; it plays in real time."""
    of_seconds: float
    """How long the rollout took."""


def film(spec: EnvSpec, rollouts: Sequence[tuple[Context, Trajectory]]) -> list[Video]:
    """Execute recorded rollouts again and film them: in a simulation, never on a robot.

    Args:
        spec: of an env whose constructor takes `render_mode="rgb_array"`.
        rollouts: where each started, and what was recorded.

    Raises:
        VideoError: the env cannot be drawn here.
    """
    if any(context.found for context, _ in rollouts):
        raise VideoError("its starts cannot be asked for again, and so no rollout can be repeated")
    if spec.python is not None:
        raise VideoError("an env in a Python of its own is not drawn")
    drawn = replace(spec, parameters={**spec.parameters, "render_mode": "rgb_array"})
    try:
        constructor(drawn)  # what it refuses is no reason to start a process
    except PluginError as error:
        raise VideoError(str(error)) from error
    request = {
        "env": {"name": drawn.name, "parameters": dict(drawn.parameters)},
        "facts": asdict(spec.facts),
        "rollouts": [
            {
                "context": {"seed": context.seed, "options": dict(context.options)},
                "actions": trajectory.actions.tolist(),
                "observations": trajectory.observations.tolist(),
            }
            for context, trajectory in rollouts
        ],
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "request.json").write_text(json.dumps(request))
        _run(folder)
        answers = json.loads((folder / "answers.json").read_text())
        return [
            Video((folder / f"{index}.mp4").read_bytes(), **answer)
            for index, answer in enumerate(answers)
        ]


def played(pictures: Pictures) -> Video:
    """Return recorded pictures as a video that plays in real time.

    Args:
        pictures: what a camera saw in a rollout, one at least.
    """
    steps, period = len(pictures) - 1, pictures.period
    stride = frame_stride(steps, period)
    shown = min(steps, MAX_FRAMES * stride)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "video.mp4"
        images = (_in_colours(as_image(each)) for each in islice(pictures, 0, shown + 1, stride))
        encode(path, images, Fraction(1 / (period * stride)).limit_denominator(1000))
        return Video(path.read_bytes(), 0.0, period * shown, period * steps)


def _in_colours(image: UInt8[np.ndarray, "H W *C"]) -> UInt8[np.ndarray, "H W 3"]:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)


def _run(folder: Path) -> None:
    """Have the request in a folder answered there by another process."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "robo_al.report.video", str(folder)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VideoError(f"drawing took longer than {DEADLINE:g} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise VideoError(said[-1] if said else f"drawing ended with code {done.returncode}")


def _answer(folder: Path) -> None:
    """Write the videos that the request in a folder asks for."""
    from robo_al.tasks.describing import control_period

    request = json.loads((folder / "request.json").read_text())
    spec = EnvSpec(**request["env"], facts=EnvFacts.of(request["facts"]))
    answers = []
    with closing(make_env(spec)) as env:
        period = control_period(env, spec)
        _draw_quickly(env)
        for index, rollout in enumerate(request["rollouts"]):
            stride = frame_stride(len(rollout["actions"]), period)
            actions = rollout["actions"][: MAX_FRAMES * stride]
            frames, observations = _replay(env, rollout["context"], actions, stride)
            recorded = np.asarray(rollout["observations"])[: len(observations)]
            rate = Fraction(1 / (period * stride)).limit_denominator(1000)
            encode(folder / f"{index}.mp4", frames, rate)
            deviation = float(np.abs(observations - recorded).max())
            lengths = period * len(actions), period * len(rollout["actions"])
            answers.append(dict(deviation=deviation, seconds=lengths[0], of_seconds=lengths[1]))
    (folder / "answers.json").write_text(json.dumps(answers))


def frame_stride(steps: int, period: float) -> int:
    """Return how many steps of `period` seconds lie between two frames."""
    return max(1, min(math.ceil(steps / MAX_FRAMES), int(1 / (MIN_RATE * period))))


def _draw_quickly(env: Any) -> None:
    """Leave out what makes MuJoCo's pictures an order slower on a processor."""
    if hasattr(env.unwrapped, "model") and hasattr(env.unwrapped.model, "vis"):
        quality = env.unwrapped.model.vis.quality
        quality.offsamples, quality.shadowsize = 0, 1024


def _replay(
    env: Any, context: dict[str, Any], actions: Sequence[Sequence[float]], stride: int
) -> tuple[list[UInt8[np.ndarray, "H W 3"]], Float[np.ndarray, "T+1 O"]]:
    """Step an env, drawing it at every `stride`-th step."""
    observation, _ = env.reset(seed=context["seed"], options=context["options"] or None)
    observations, frames = [np.array(observation)], [np.array(env.render())]
    for step, action in enumerate(actions, start=1):
        observation, *_ = env.step(np.asarray(action, dtype=env.action_space.dtype))
        observations.append(np.array(observation))
        if step % stride == 0:
            frames.append(np.array(env.render()))
    return frames, np.asarray(observations, dtype=np.float64)


def encode(path: Path, frames: Iterable[UInt8[np.ndarray, "H W 3"]], rate: Fraction) -> None:
    """Encode images as an H.264 MP4 that starts to play before all of it is loaded.

    Args:
        path: of the file to write.
        frames: all of one size; an odd last row or column is left out, as H.264 needs.
        rate: frames per second.
    """
    import av

    images = iter(frames)
    first = next(images)
    height, width = (size - size % 2 for size in first.shape[:2])
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "26"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for image in chain([first], images):
            pixels = np.ascontiguousarray(image[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    try:
        _answer(Path(sys.argv[1]))
    except RoboALError as reason:
        sys.exit(str(reason))
    except Exception as error:  # whatever a renderer raises that finds no display or driver
        how = os.environ.get("MUJOCO_GL", "whatever MuJoCo chooses")
        reason_line = str(error).partition("\n")[0]
        sys.exit(f"drawing with MUJOCO_GL={how} raised {type(error).__name__}: {reason_line}")
