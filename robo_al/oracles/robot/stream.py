"""A policy at the host that controls the robot: it answers each sample, in a thread of its own."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np

from robo_al.oracles.robot.codec import Asked
from robo_al.oracles.robot.embodiment import Array, Embodiment
from robo_al.protocols import Actor, Resolver
from robo_al.torch_defaults import one_thread
from robo_al.types import Candidate, ClosedLoop
from robo_al_agent.protocol.wire import Message

Samples = SimpleQueue[Message | None]
"""Samples of streamed rollouts as they come; None after the last."""


@dataclass
class _Led:
    """One rollout that a policy at the host controls."""

    actor: Actor
    options: Mapping[str, Any]
    """Of its context."""
    asked: dict[int, Array] = field(default_factory=dict)
    """What the policy answered, by step."""


class PolicyStream:
    """Answers samples of streamed rollouts, always the newest.

    Args:
        samples: as the agent's client hears them.
        embodiment: the task on the agent's robot.
        answer: sends a command: identifier on the wire, step, command [J].
    """

    def __init__(
        self,
        samples: Samples,
        embodiment: Embodiment,
        answer: Callable[[str, int, Array], None],
    ) -> None:
        self._samples = samples
        self._embodiment = embodiment
        self._answer = answer
        self._led: dict[str, _Led] = {}
        """By identifier on the wire."""
        self._policies = threading.Lock()
        self.failure: Exception | None = None
        """What went wrong while a policy controlled the robot."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, name: str, candidate: Candidate, resolve: Resolver) -> None:
        """Let a candidate's policy answer the samples of a rollout from now on.

        Args:
            name: of the rollout on the wire.
            candidate: whose controller is a policy.
            resolve: finds it.

        Raises:
            UserError: there is no such policy.
        """
        controller = candidate.controller
        assert isinstance(controller, ClosedLoop)
        with self._policies, one_thread:
            policy, model = resolve(controller)
            actor = policy.start(model, [controller.member], [candidate.seed])
        self._led[name] = _Led(actor, candidate.context.options)

    def end(self, name: str) -> Asked:
        """Answer a rollout no more; return what was answered, nothing where it was not led."""
        led = self._led.pop(name, None)
        return {} if led is None else led.asked

    def close(self) -> None:
        """End the thread."""
        self._samples.put(None)
        self._thread.join()

    def _run(self) -> None:
        """The life of the thread."""
        while (message := self._samples.get()) is not None:
            while not self._samples.empty():  # what was not answered in time is not any more
                message = self._samples.get()
            if message is None:
                return
            try:
                self._take(message)
            except Exception as error:
                self.failure = error

    def _take(self, message: Message) -> None:
        """Answer one sample; one of a rollout that is not led from here is none of ours."""
        name, step = str(message.fields["id"]), int(message.fields["step"])
        led = self._led.get(name)
        if led is None:
            return
        embodiment, target = self._embodiment, message.arrays["targets"]
        observation = embodiment.observe(message.arrays, target, led.options)
        with self._policies, one_thread:
            action = np.array(led.actor.act(observation[None]), np.float64)[0]
        if not np.isfinite(action).all():
            raise ValueError("its action is not finite")
        led.asked[step] = action
        self._answer(name, step, embodiment.target(target, action))
