"""Any Gymnasium env as a robot: a command steps it, a reading is what it showed last.

    driver: gymnasium
    parameters:
      env: HalfCheetah-v5

Its time passes only while it is commanded, one control period a command. The sensors are the
components of the observation, then `reward`, `terminated` and `truncated` (0 or 1) of the last
step; what ends by itself, or is broken off, is stepped no more until it is reset.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault, Joint, Options, RobotSpec, Sample, Sensor


class GymnasiumRobot:
    """An env with a flat bounded action and a flat observation.

    Args:
        env: id that Gymnasium knows, or `module:id` of one that a module registers.
        parameters: of `gymnasium.make`.
        rate: steps a second; None: the env's own, from its `dt`.
    """

    def __init__(
        self, env: str, parameters: Mapping[str, Any] | None = None, rate: float | None = None
    ) -> None:
        self._id, self._parameters, self._rate = env, dict(parameters or {}), rate
        self._env: Any = None
        self._spec: RobotSpec | None = None
        self._connected = False
        self._fault: Fault | None = None
        self._sequence = 0

    def describe(self) -> RobotSpec:
        """Make the env, and return what its spaces say.

        Raises:
            SetupError: Gymnasium is missing, the env cannot be made, or it is no robot.
        """
        if self._spec is None:
            self._spec = self._described()
        return self._spec

    def connect(self) -> None:
        """Reset the env with seed 0."""
        self.describe()
        self._connected = True
        self.reset({}, 0)

    def reset(self, options: Options, seed: int) -> None:
        """Reset the env; it gets no options where there are none."""
        self._need_connection()
        chosen = {name: list(value) for name, value in options.items()} or None
        observation, _ = self._made().reset(seed=seed, options=chosen)
        space = self._made().action_space
        self._action = np.clip(np.zeros(space.shape), space.low, space.high)
        self._show(observation, 0.0, (False, False))

    def read(self) -> Sample:
        """Return the last action as positions, and the last observation as sensors."""
        self._need_health()
        self._sequence += 1
        return Sample(
            time_ns=time.monotonic_ns(),
            sequence=self._sequence,
            positions=self._action.copy(),
            velocities=np.zeros_like(self._action),
            efforts=np.zeros_like(self._action),
            sensors=self._shown.copy(),
        )

    def command(self, target: Array, seconds: float) -> Array:
        """Step the env by an action [J], clipped to the limits; return the last one it took.

        Raises:
            DriverError: the action is not finite, or there is a fault.
        """
        self._need_health()
        space = self._made().action_space
        if target.shape != space.shape or not np.isfinite(target).all():
            raise DriverError(f"{self._id}: action {target.tolist()} is no {space}")
        if not self._shown[-2:].any():
            # Once more after the cast, whose rounding is not to leave the limits.
            action = np.clip(target, space.low, space.high).astype(space.dtype)
            action = np.clip(action, space.low, space.high)
            self._action = action.astype(np.float64)
            observation, reward, *ends, _ = self._made().step(action)
            self._show(observation, float(reward), ends)
        return self._action.copy()

    def safe_stop(self) -> None:
        """Do nothing: without a command the env's time stands."""

    def release(self) -> None:
        """Do nothing: there is no torque."""

    def fault(self) -> Fault | None:
        """Return whether the env left the finite numbers."""
        return self._fault

    def clear_fault(self, operator: str) -> None:
        """Forget the fault, and reset the env with seed 0."""
        self._fault = None
        self.reset({}, 0)

    def close(self) -> None:
        """Close the env."""
        if self._env is not None:
            self._env.close()
        self._env, self._connected = None, False

    # ------------------------------------------------------------ within

    def _need_connection(self) -> None:
        if not self._connected:
            raise DriverError(f"{self._id}: not connected")

    def _need_health(self) -> None:
        self._need_connection()
        if self._fault is not None:
            raise DriverError(self._fault.message)

    def _made(self) -> Any:
        """Return the env, made when it is needed first."""
        if self._env is None:
            try:
                import gymnasium
            except ModuleNotFoundError:
                raise SetupError(
                    "driver gymnasium: pip install 'robo-al-agent[gymnasium]' into this environment"
                ) from None
            try:
                self._env = gymnasium.make(
                    self._id,
                    max_episode_steps=-1,  # rollouts are as long as they are asked for
                    disable_env_checker=True,
                    **self._parameters,
                )
            except Exception as error:
                message = f"driver gymnasium: env {self._id}: {type(error).__name__}: {error}"
                raise SetupError(message) from error
        return self._env

    def _described(self) -> RobotSpec:
        env = self._made()
        action, observation = env.action_space, env.observation_space
        for which, space in (("action", action), ("observation", observation)):
            if len(getattr(space, "shape", None) or ()) != 1 or not hasattr(space, "low"):
                wrong = f"its {which} space is {space}; a flat Box is needed"
                raise SetupError(f"env {self._id}: {wrong}")
        if not action.is_bounded():
            raise SetupError(f"env {self._id}: its action space {action} has no limits")
        period = 1 / self._rate if self._rate else getattr(env.unwrapped, "dt", None)
        if period is None:
            raise SetupError(f"env {self._id}: it has no `dt`; give its `rate` in steps a second")
        limits = zip(action.low.tolist(), action.high.tolist(), strict=True)
        seen = tuple(Sensor(f"observation[{i}]", "1") for i in range(observation.shape[0]))
        return RobotSpec(
            name=self._id,
            joints=tuple(
                Joint(f"action[{i}]", low, high, "1") for i, (low, high) in enumerate(limits)
            ),
            rate=1 / float(period),
            watchdog="controller",  # its time stands when nobody commands
            watchdog_seconds=float(period),
            stop_seconds=float(period),
            command="action",
            sensors=(*seen, *(Sensor(n, "1") for n in ("reward", "terminated", "truncated"))),
        )

    def _show(self, observation: Any, reward: float, ends: Sequence[bool]) -> None:
        self._shown = np.array([*np.ravel(observation), reward, *map(bool, ends)], np.float64)
        if not np.isfinite(self._shown).all():
            self._fault = Fault("not_finite", f"{self._id}: observation or reward is not finite")
