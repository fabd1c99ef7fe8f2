"""The worker of an env in our own Python: `python -m robo_al.oracles.worker`.

It needs no file of a lab but the env's, and watches it as the simulation's oracle does.
"""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from robo_al.worker.frames import Frame
from robo_al.worker.serving import fault, refusal, serve
from robo_al_agent.operator.terminal import tolerate

if TYPE_CHECKING:
    from robo_al.oracles.recording import Fault, Step

Array = NDArray[np.float64]


class OwnHost:
    """Holds an env that `robo_al.plugins` makes.

    Args:
        name: see `robo_al.types.EnvSpec`.
        parameters: of the env's constructor.
        facts: what the configuration says of it.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        from robo_al.oracles.recording import ActionLimits
        from robo_al.plugins import make_env
        from robo_al.tasks.layers import camera_in
        from robo_al.types import EnvFacts, EnvSpec
        from robo_al.worker.watch import Watch

        spec = EnvSpec(name, parameters, facts=EnvFacts.of(facts))
        self._env = make_env(spec)
        self._limits = ActionLimits.of(self._env, spec)
        self._watch = Watch(self._env)
        self._camera = camera_in(self._env)

    def ready(self) -> Frame:
        """Say what actions are clipped to, and how long one lasts."""
        limits = self._limits
        fields = {
            "dtype": limits.dtype,
            "control_period": limits.control_period,
            "pictures": {} if self._camera is None else dict(self._camera.shapes),
        }
        return Frame("ready", fields, [limits.low, limits.high])

    def reset(self, seed: int, options: Mapping[str, Any]) -> Frame:
        """Start a rollout."""
        from robo_al.oracles.env_steps import reset_env
        from robo_al.types import Context

        return self._answer(reset_env(self._env, Context(np.zeros(0), seed, options)))

    def step(self, action: Array) -> Frame:
        """Apply one action [A]."""
        from robo_al.oracles.env_steps import step_env

        return self._answer(step_env(self._env, self._watch, self._limits.clip(action)))

    def _answer(self, result: "Array | Step | Fault") -> Frame:
        """Return what came of a reset or a step, with the pictures behind the numbers."""
        from robo_al.oracles.recording import Fault, Step

        if isinstance(result, Fault):
            return fault(result.kind, result.reason)
        pictures = () if self._camera is None else self._camera.last.values()
        if not isinstance(result, Step):
            return Frame("observation", {}, [result, *pictures])
        ends = {"terminated": result.terminated, "truncated": result.truncated}
        fields = {
            "reward": result.reward,
            **ends,
            "over": any(ends.values()),
            "success": result.success,
        }
        return Frame("observation", fields, [result.observation, *pictures])


def _make(fields: Mapping[str, Any]) -> OwnHost | Frame:
    """Make the env that the frame `make` asks for."""
    sys.path[:] = fields["path"]
    from robo_al.errors import UserError

    try:
        return OwnHost(fields["name"], fields["parameters"], fields["facts"])
    except UserError as error:
        return refusal(str(error), user=True)
    except Exception as error:
        return refusal(f"{type(error).__name__}: {error}", user=False)


if __name__ == "__main__":
    tolerate()
    serve(_make)
