"""Videos: real files, faithful to what was recorded, and never the end of the program."""

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from robo_al.plugins import make_env
from robo_al.report import video
from robo_al.report.video import VideoError, encode, film, frame_stride
from robo_al.tasks import sample_contexts
from robo_al.types import Context, EnvSpec, Trajectory

PENDULUM = EnvSpec("pendulum")


def rollout(spec: EnvSpec, steps: int) -> tuple[Context, Trajectory]:
    """Record random actions in an env."""
    env = make_env(spec)
    (context,) = sample_contexts(env, [np.random.default_rng(0)])
    observation, _ = env.reset(seed=context.seed, options=dict(context.options) or None)
    env.action_space.seed(0)
    observations, actions, rewards = [observation], [], []
    for _ in range(steps):
        action = env.action_space.sample()
        observation, reward, *_ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(float(reward))
    env.close()
    sent = np.array(actions, dtype=np.float64)
    return context, Trajectory(
        np.array(observations, dtype=np.float64), sent, sent, np.array(rewards)
    )


def frames_of(mp4: bytes, folder: Path) -> tuple[list[np.ndarray], float, str, str]:
    """Return a video's images, frames for each second, codec and pixel format."""
    path = folder / "seen.mp4"
    path.write_bytes(mp4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        rate = float(stream.average_rate)
        return images, rate, stream.codec_context.name, stream.codec_context.pix_fmt


def test_film_shows_the_recorded_rollout_in_real_time(tmp_path: Path) -> None:
    context, trajectory = rollout(PENDULUM, 30)
    (clip,) = film(PENDULUM, [(context, trajectory)])
    assert clip.deviation == 0.0
    assert (clip.seconds, clip.of_seconds) == pytest.approx((1.5, 1.5))
    images, rate, codec, pixels = frames_of(clip.mp4, tmp_path)
    assert (len(images), rate, codec, pixels) == (31, 20.0, "h264", "yuv420p")
    assert clip.mp4.find(b"moov") < clip.mp4.find(b"mdat")
    env = make_env(EnvSpec("pendulum", {"render_mode": "rgb_array"}))
    env.reset(seed=context.seed, options=dict(context.options))
    for action in trajectory.actions:
        env.step(action)
    drawn = env.render()
    assert isinstance(drawn, np.ndarray)
    last = np.abs(images[-1].astype(float) - drawn).mean()
    first = np.abs(images[0].astype(float) - drawn).mean()
    assert last < 2.0 < first  # of 255; compression loses a little


def test_film_tells_how_far_the_replay_is_off() -> None:
    context, trajectory = rollout(PENDULUM, 5)
    trajectory.observations[3, 1] += 0.25
    (clip,) = film(PENDULUM, [(context, trajectory)])
    assert clip.deviation == pytest.approx(0.25)


def test_film_of_a_gymnasium_env(tmp_path: Path) -> None:
    spec = EnvSpec("gymnasium:Reacher-v5")
    context, trajectory = rollout(spec, 4)
    try:
        (clip,) = film(spec, [(context, trajectory)])
    except VideoError as error:
        pytest.skip(f"it cannot be drawn here: {error}")
    assert clip.deviation == 0.0
    images, *_ = frames_of(clip.mp4, tmp_path)
    assert len(images) == 5
    assert images[0].std() > 5.0  # something is drawn


BROKEN = """
import os, time
from robo_al_envs.pendulum import Pendulum

class Dies(Pendulum):
    def render(self):
        os._exit(3)

class Hangs(Pendulum):
    def render(self):
        time.sleep(60)

class Raises(Pendulum):
    def render(self):
        raise RuntimeError("the camera is off")
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Dies", "ended with code 3"),
        ("Hangs", "longer than 4 s"),
        ("Raises", "RuntimeError: the camera is off"),
    ],
)
def test_an_env_that_cannot_be_drawn_says_so(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    monkeypatch.setattr(video, "DEADLINE", 4.0 if name == "Hangs" else 60.0)
    with pytest.raises(VideoError, match=message):
        film(EnvSpec(f"{tmp_path}/broken.py:{name}"), [rollout(PENDULUM, 3)])


@pytest.mark.parametrize(
    ("steps", "period", "stride"),
    [
        (120, 0.05, 1),
        (200, 0.05, 2),
        (200, 0.1, 2),
        (400, 1 / 80, 4),
        (1000, 0.05, 4),  # no fewer than 5 frames a second: the end is left out
        (1000, 1.0, 1),
        (1, 0.02, 1),
    ],
)
def test_frame_stride(steps: int, period: float, stride: int) -> None:
    assert frame_stride(steps, period) == stride


def test_a_long_rollout_is_cut_short() -> None:
    context, trajectory = rollout(PENDULUM, 500)
    (clip,) = film(PENDULUM, [(context, trajectory)])
    assert (clip.seconds, clip.of_seconds) == pytest.approx((120 * 4 * 0.05, 25.0))


def test_encode_leaves_out_an_odd_row_and_column(tmp_path: Path) -> None:
    images = [np.full((33, 41, 3), value, dtype=np.uint8) for value in (0, 128, 255)]
    encode(tmp_path / "odd.mp4", images, Fraction(25))
    seen, rate, _, _ = frames_of((tmp_path / "odd.mp4").read_bytes(), tmp_path)
    assert rate == 25.0
    assert [image.shape for image in seen] == [(32, 40, 3)] * 3
    assert [round(float(image.mean()) / 128) for image in seen] == [0, 1, 2]


CAMPAIGN = """
env: pendulum
rounds: 1
candidates: 2
contexts: 1
rollout_steps: 3
policy: robo_al.testing:FakePolicy
explorer: robo_al.testing:FakePolicy
model: robo_al.testing:FakeModel
oracle: simulation
evaluation: {starts: 1}
device: cpu
"""


@pytest.mark.proof
def test_a_campaign_goes_on_without_video_where_mujoco_cannot_draw(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(CAMPAIGN)
    done = subprocess.run(
        [sys.executable, "-m", "robo_al.cli", "run", "small.yaml", "--out", "here"],
        cwd=tmp_path,
        env=os.environ | {"MUJOCO_GL": "bogus"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "here" / "report.html").read_text()
    (line,) = [line for line in page.splitlines() if "There is no video: " in line]
    assert "MuJoCo cannot draw with MUJOCO_GL=bogus here" in line and "Traceback" not in page


def test_an_env_that_is_to_be_drawn_where_mujoco_cannot_is_refused_in_a_sentence() -> None:
    code = (
        "from robo_al.plugins import make_env\n"
        "from robo_al.types import EnvSpec\n"
        "from robo_al.errors import PluginError\n"
        "make_env(EnvSpec('pendulum')).close()\n"
        "try:\n"
        "    make_env(EnvSpec('pendulum', {'render_mode': 'rgb_array'}))\n"
        "except PluginError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"MUJOCO_GL": "bogus"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("env 'pendulum': MuJoCo cannot draw with MUJOCO_GL=bogus here (")
    assert done.stdout.count("\n") == 1
