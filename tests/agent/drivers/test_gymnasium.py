import gymnasium
import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.driver import RobotDriver, SupportsReset
from robo_al_agent.drivers.gymnasium import GymnasiumRobot
from robo_al_agent.drivers.loading import make_driver
from robo_al_agent.errors import DriverError, SetupError


class Countdown(gymnasium.Env):
    """Ends by itself when the sum of its actions passes 1; `start` is an option of its reset."""

    action_space = gymnasium.spaces.Box(-0.5, 0.5, (1,), np.float32)
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    dt = 0.1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.sum = (options or {}).get("start", [0.0])[0]
        self.noise = self.np_random.uniform()
        return np.array([self.sum, self.noise]), {}

    def step(self, action):
        self.sum += float(action[0])
        ended = self.sum > 1
        seen = np.nan if self.sum < -1 else self.sum
        return np.array([seen, self.noise]), 2 * self.sum, ended, False, {}


class Fenced(Countdown):
    """Is broken off when the sum is 1, and must not be stepped then; checks what it is sent."""

    def step(self, action):
        assert self.sum < 1 and self.action_space.contains(action)
        observation, reward, *_ = super().step(action)
        return observation, reward, False, self.sum >= 1, {}


class Timeless(Countdown):
    dt = None


class Pictures(Countdown):
    observation_space = gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8)


class Buttons(Countdown):
    action_space = gymnasium.spaces.Discrete(3)


class Boundless(Countdown):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float32)


@pytest.fixture(autouse=True, scope="module")
def registered():
    kinds = (Countdown, Fenced, Timeless, Pictures, Buttons, Boundless)
    for kind in kinds:
        # as short as could be: a driver's rollouts are as long as they are asked for
        gymnasium.register(f"test/{kind.__name__}-v0", kind, max_episode_steps=2)
    yield
    for kind in kinds:
        del gymnasium.registry[f"test/{kind.__name__}-v0"]


@pytest.fixture
def countdown():
    driver = GymnasiumRobot("test/Countdown-v0")
    driver.connect()
    yield driver
    driver.close()


@pytest.mark.parametrize("name", ["HalfCheetah-v5", "test/Countdown-v0"])
def test_keeps_the_contract_of_a_driver(name):
    assert check_driver(GymnasiumRobot(name)).spec.name == name


def test_is_found_by_its_name(tmp_path):
    driver = make_driver({"name": "gymnasium", "env": "test/Countdown-v0"}, tmp_path)
    assert isinstance(driver, RobotDriver) and isinstance(driver, SupportsReset)


def test_half_cheetah_is_described_by_its_spaces():
    driver = GymnasiumRobot("HalfCheetah-v5")
    spec = driver.describe()
    assert spec.command == "action" and spec.rate == pytest.approx(20)
    assert [joint.name for joint in spec.joints] == [f"action[{i}]" for i in range(6)]
    assert {(joint.low, joint.high, joint.unit) for joint in spec.joints} == {(-1.0, 1.0, "1")}
    names = [sensor.name for sensor in spec.sensors]
    assert names == [*(f"observation[{i}]" for i in range(17)), "reward", "terminated", "truncated"]
    driver.close()


def test_half_cheetah_moves_as_it_does_in_gymnasium():
    driver, env = GymnasiumRobot("HalfCheetah-v5"), gymnasium.make("HalfCheetah-v5")
    driver.connect()
    driver.reset({}, 3)
    observation, _ = env.reset(seed=3)
    reward = 0.0
    for action in np.random.default_rng(0).uniform(-1.5, 1.5, (30, 6)):
        sample = driver.read()
        assert sample.sensors.tolist() == [*observation, reward, 0.0, 0.0]
        sent = driver.command(action, 0.05)
        assert np.array_equal(sent, np.clip(action, -1, 1).astype(np.float32))
        observation, reward, *_ = env.step(sent.astype(np.float32))
        assert np.array_equal(driver.read().positions, sent)
    driver.close()
    env.close()


def test_a_rollout_is_as_long_as_it_is_asked_for_and_ends_by_itself(countdown):
    for _ in range(4):
        countdown.command(np.array([0.25]), 0.1)
    assert countdown.read().sensors[[0, 2, 3]].tolist() == [1.0, 2.0, 0.0]
    countdown.command(np.array([0.25]), 0.1)
    assert countdown.read().sensors[[0, 2, 3]].tolist() == [1.25, 2.5, 1.0]
    sent = countdown.command(np.array([-0.5]), 0.1)
    assert sent.tolist() == [0.25], "what ended takes no action any more"
    assert countdown.read().sensors[[0, 2, 3]].tolist() == [1.25, 2.5, 1.0]
    countdown.reset({}, 0)
    assert countdown.read().sensors[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]
    assert countdown.read().positions.tolist() == [0.0]


def test_what_is_broken_off_takes_no_action_any_more():
    driver = GymnasiumRobot("test/Fenced-v0")
    driver.connect()
    for _ in range(3):  # the env itself raises when it is stepped after its end
        driver.command(np.array([0.5]), 0.1)
    assert driver.read().sensors.tolist() == [1.0, driver.read().sensors[1], 2.0, 0.0, 1.0]
    driver.reset({}, 0)
    assert driver.read().sensors[[0, 3, 4]].tolist() == [0.0, 0.0, 0.0]
    driver.close()


def test_a_reset_has_its_seed_and_options(countdown):
    noises = []
    for seed in (1, 2, 1):
        countdown.reset({"start": (0.5,)}, seed)
        start, noise = countdown.read().sensors[:2]
        assert start == 0.5
        noises.append(noise)
    assert noises[0] == noises[2] != noises[1]


def test_time_passes_with_commands_alone(countdown):
    before = countdown.read()
    countdown.safe_stop()
    countdown.release()
    after = countdown.read()
    assert np.array_equal(after.sensors, before.sensors)
    assert after.sequence == before.sequence + 1 and after.time_ns > before.time_ns


@pytest.mark.parametrize("action", [[0.1, 0.1], [np.nan], [np.inf]])
def test_an_action_that_is_none_is_refused_and_does_nothing(countdown, action):
    with pytest.raises(DriverError, match="action"):
        countdown.command(np.array(action), 0.1)
    assert countdown.read().sensors[0] == 0.0


def test_leaving_the_finite_numbers_is_a_fault_until_a_person_clears_it(countdown):
    for _ in range(3):
        assert countdown.fault() is None
        countdown.command(np.array([-0.5]), 0.1)
    assert countdown.fault().code == "not_finite"
    for call in (countdown.read, lambda: countdown.command(np.zeros(1), 0.1)):
        with pytest.raises(DriverError, match="not finite"):
            call()
    countdown.clear_fault("Ada")
    assert countdown.fault() is None
    assert countdown.read().sensors[0] == 0.0


def test_it_can_be_connected_again(countdown):
    countdown.command(np.array([0.5]), 0.1)
    countdown.close()
    countdown.close()
    for call in (countdown.read, lambda: countdown.command(np.zeros(1), 0.1)):
        with pytest.raises(DriverError, match="not connected"):
            call()
    countdown.connect()
    assert countdown.read().sensors[0] == 0.0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test/Timeless-v0", "give its `rate`"),
        ("test/Pictures-v0", "its observation space is Box.*a flat Box is needed"),
        ("test/Buttons-v0", "its action space is Discrete"),
        ("test/Boundless-v0", "has no limits"),
        ("HalfCheetah-v99", "HalfCheetah-v99: VersionNotFound"),
    ],
)
def test_what_is_no_robot_is_refused(name, message):
    with pytest.raises(SetupError, match=message):
        GymnasiumRobot(name).describe()


def test_a_rate_can_be_given():
    spec = GymnasiumRobot("test/Timeless-v0", rate=25).describe()
    assert spec.rate == 25 and spec.stop_seconds == pytest.approx(0.04)


def test_parameters_go_to_the_env():
    driver = GymnasiumRobot("HalfCheetah-v5", {"frame_skip": 10})
    assert driver.describe().rate == pytest.approx(10)
    driver.close()
    with pytest.raises(SetupError, match="frame_skipp"):
        GymnasiumRobot("HalfCheetah-v5", {"frame_skipp": 10}).describe()
