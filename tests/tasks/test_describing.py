from pathlib import Path

import gymnasium
import pytest

from robo_al.errors import ConfigError
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from, describe
from robo_al.tasks.angles import angles_of
from robo_al.types import Channel, EnvFacts, EnvSpec

FOREIGN = Path(__file__).with_name("foreign_envs.py")


def described(name, **facts):
    spec = EnvSpec(f"{FOREIGN}:{name}", facts=EnvFacts(**facts))
    return describe(make_env(spec), spec)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("Plain", 6), ("Truncating", 6), ("limited", 4), ("named", 5), ("stacked", 6)],
)
def test_a_horizon_that_is_told_is_taken(name, steps):
    task = described(name)
    assert task.horizon == steps and task.notes == ()


@pytest.mark.parametrize(
    ("name", "steps", "said"),
    [
        ("Untold", 3, "random actions were broken off after 3 steps, which is its horizon now"),
        ("Falling", 1000, "it ends by itself, and is given 1000 steps"),
    ],
)
def test_a_horizon_that_is_not_told_is_found(name, steps, said):
    task = described(name)
    assert task.horizon == steps
    assert len(task.notes) == 1 and said in task.notes[0] and "`horizon:`" in task.notes[0]


def test_an_env_that_never_ends_is_refused_with_what_to_write():
    with pytest.raises(ConfigError, match="no horizon, .* `horizon: 200` in the configuration of"):
        described("Endless")
    assert described("Endless", horizon=8).horizon == 8


def test_the_registry_s_time_limit_is_a_horizon(monkeypatch):
    make_env(EnvSpec(f"{FOREIGN}:Plain"))  # which registers it
    spec = EnvSpec("gymnasium:elsewhere/Plain-v0")
    assert describe(make_env(spec), spec).horizon == 5


def test_what_is_not_used_is_among_the_notes():
    notes = described("Namesake").notes
    assert "Namesake says no horizon" in notes[0]
    assert any("Namesake.reward is not used as robo-al's `reward`: it is 0.5" in x for x in notes)


def test_a_goal_is_constant_by_its_name():
    task = described("Goals")
    assert [(c.name, c.kind) for c in task.channels] == [
        ("achieved_goal[0]", "linear"),
        ("achieved_goal[1]", "linear"),
        ("desired_goal[0]", "constant"),
        ("desired_goal[1]", "constant"),
        ("observation[0]", "linear"),
        ("observation[1]", "linear"),
        ("observation[2]", "linear"),
    ]
    assert task.notes == ()


def test_a_goal_that_moves_is_none_and_the_user_is_told():
    task = described("Chasing")
    assert {c.kind for c in task.channels} == {"linear"}
    assert "desired_goal[0], desired_goal[1]: a goal by its name, which changes" in task.notes[0]


def test_what_looks_like_a_goal_is_told_and_not_assumed():
    task = described("unnamed")
    assert [(c.name, c.kind) for c in task.channels][2:4] == [
        ("observation[2]", "linear"),
        ("observation[3]", "linear"),
    ]
    (note,) = task.notes
    assert note.startswith("observation[2], observation[3]: did not change in short rollouts")
    assert "`kind: constant` under `channels`" in note
    names = tuple(Channel(f"n{i}", "m", "constant" if i in (2, 3) else "linear") for i in range(7))
    told = described("unnamed", channels=names)
    assert told.channels == names and told.notes == ()


def test_an_angle_is_recognised_by_the_limits_of_a_turn():
    task = described("Turning")
    assert [(c.unit, c.kind) for c in task.channels] == [("rad", "wrapped_angle"), ("1", "linear")]
    assert task.notes[0].startswith("observation[0]: an angle by its range")
    names = (Channel("x", "m"), Channel("y", "m"))
    assert described("Turning", channels=names).channels == names


@pytest.mark.parametrize(
    ("name", "angles"),
    [("Swimmer-v5", [0, 1, 2]), ("Hopper-v5", [1]), ("InvertedPendulum-v5", [])],
)
def test_an_angle_is_recognised_by_the_hinge_that_it_is_the_position_of(name, angles):
    spec = EnvSpec(f"gymnasium:{name}")
    env = make_env(spec)
    kinds = [channel.kind for channel in describe(env, spec).channels]
    assert [i for i, kind in enumerate(kinds) if kind == "angle"] == angles
    assert "wrapped_angle" not in kinds


def test_the_angle_of_a_hinge_that_is_seen_otherwise_is_none():
    env = gymnasium.wrappers.TransformObservation(
        gymnasium.make("Swimmer-v5"), lambda seen: 2 * seen, None
    )
    assert angles_of(env) == {}


def test_what_the_configuration_says_is_in_place_of_what_the_env_says():
    names = (Channel("x", "m"), Channel("y", "m"))
    said = {"horizon": 7, "control_period": 0.25, "threshold": -2.0, "channels": names}
    for name in ("Boundless", "Namesake", "Honest"):
        task = described(name, action_limits=((-0.5, 0.25),), **said)
        assert (task.horizon, task.control_period, task.threshold) == (7, 0.25, -2.0)
        assert task.channels == names
        assert (task.action_low.tolist(), task.action_high.tolist()) == ([-0.5], [0.25])
    assert task.reward is not None  # other limits hide nothing of what the env says


def test_as_many_names_are_needed_as_there_are_numbers():
    one = (Channel("x", "m"),)
    with pytest.raises(ConfigError, match="channels: 1 names for the 2 numbers .* without names"):
        described("Plain", channels=one)
    with pytest.raises(ConfigError, match=r"the 7 numbers .*achieved_goal\[1\], .* and 2 more"):
        described("Goals", channels=one)


def test_a_maker_s_words_on_the_flat_numbers_are_heard():
    spec = EnvSpec(f"{FOREIGN}:Stateful")
    env = make_env(spec)
    assert describe(env, spec).reward is not None
    (context,) = contexts_from(env, [5])
    assert set(context.options) == {"state", "goal"}
    again, _ = env.reset(seed=6, options=dict(context.options))
    assert again.tolist() == context.observation.tolist()


def test_a_maker_s_words_do_not_mean_what_an_encoder_makes():
    task = described("Stateful", encoder={"name": f"{FOREIGN}:Sum"})
    assert task.reward is None and task.notes == ()
