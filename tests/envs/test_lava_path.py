import numpy as np
import pytest

from robo_al_envs import LavaPath


def test_dynamics_and_reward_are_those_of_the_text():
    env, rng = LavaPath(), np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        position, velocity = rng.uniform(-20, 20, 2), rng.normal(0, 3, 2)
        a = rng.uniform(-1, 1, 2)
        after, faster = [], []
        for axis in range(2):
            p = position[axis] + 0.1 * velocity[axis] + 0.005 * a[axis]
            v = velocity[axis] + 0.1 * a[axis]
            after.append(min(max(p, -20), 20))
            faster.append(v if -20 <= p <= 20 else 0.0)
        x, y = after
        burning = (-10 <= x <= -0.5 or 0.5 <= x <= 10) and -8 <= y <= 8
        seen.add((burning, 20 in np.abs(after)))
        env.reset(options={"state": [*position, *velocity]})
        observation, reward, *_ = env.step(a)
        assert observation == pytest.approx([*after, *faster], abs=1e-12)
        paid = -(x**2 + (y - 10) ** 2) / 800 - 500 * burning
        assert reward == pytest.approx(paid, abs=1e-12)
        assert env.in_lava(observation) == burning
    assert seen == {(True, False), (False, False), (False, True)}


def test_a_wall_stops_what_runs_into_it_and_lets_it_slide():
    env = LavaPath()
    env.reset(options={"state": [19.9, 0.0, 5.0, 1.0]})
    observation, *_ = env.step(np.zeros(2))
    assert observation.tolist() == [20.0, 0.1, 0.0, 1.0]
    assert env.step(np.array([-1.0, 0.0]))[0][0] == pytest.approx(19.995)


@pytest.mark.parametrize(
    ("x", "y", "burning"),
    [
        (0.0, 0.0, False),
        (0.5, 0.0, True),
        (-0.5, 8.0, True),
        (0.49, 0.0, False),
        (10.0, -8.0, True),
        (10.01, 0.0, False),
        (-5.0, -8.01, False),
    ],
)
def test_the_bridge_is_a_metre_wide(x, y, burning):
    assert LavaPath().in_lava(np.array([x, y, 0.0, 0.0])) == burning


def test_a_start_is_at_rest_before_the_bridge():
    env = LavaPath()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(300)])
    assert (abs(starts[:, :2] - [0, -10]) <= 0.5).all()
    assert (np.ptp(starts[:, :2], axis=0) > 0.95).all()
    assert not starts[:, 2:].any()


def test_a_start_outside_the_walls_is_refused():
    from robo_al.errors import UserError

    with pytest.raises(UserError, match="not within"):
        LavaPath().reset(options={"state": [0.0, 21.0, 0.0, 0.0]})


def test_is_solved_at():
    assert (LavaPath.horizon, LavaPath.threshold, LavaPath.dt) == (200, -30, 0.1)
