"""Imagined rollouts: candidates played in a learned model, all at once.

N candidates x E members advance together, one step of the model for each of T steps. Open-loop
candidates bring their actions; in closed loop a policy, which takes the candidate's own member for
the truth, answers each imagined observation as it would answer the robot's. Where the
task ends by itself, a rollout is over: it keeps its last observation and earns nothing more.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from robo_al.models.ends import termination_of
from robo_al.protocols import Model, Resolver, SupportsTensors
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Controller,
    Demonstration,
    ImaginedRollouts,
    OpenLoop,
    Task,
)

STAND_IN = ClosedLoop(MEAN, "policy")
"""Who is imagined in the place of a person: the policy that would learn from the demonstration."""


def imagine(
    candidates: Sequence[Candidate],
    model: Model,
    task: Task,
    members: Sequence[int] | None = None,
    noise: np.random.Generator | None = None,
    resolve: Resolver | None = None,
    device: str = "cpu",
    advanced: Callable[[int, int], None] = lambda step, steps: None,
) -> ImaginedRollouts:
    """Play every candidate in members of the model.

    Args:
        candidates: N of them; horizons may differ and are padded to the longest, T.
        model: fitted.
        task: its reward, its end (where it says neither, the model has learned them) and its
            action limits.
        members: the E members in which every candidate is played. By default E = 1: a closed-loop
            candidate is played in the member that its policy believes in, an open-loop one in
            the posterior mean.
        noise: draws the noise that the model expects at every step; None: no noise.
        resolve: finds the policies of candidates in closed loop; needed where there are any.
        device: where the tensors of the result live.
        advanced: told after each step how many of how many are imagined.

    Returns:
        What happened in imagination, as tensors on `device`.
    """
    n, steps = len(candidates), max(candidate.horizon for candidate in candidates)
    rows = _worlds(candidates, members)
    worlds = torch.tensor(rows, device=device)
    play = _Play(candidates, model, task, resolve, worlds.reshape(-1), steps)
    observations, actions, rewards, taken = play.run(noise, advanced)
    shape = (len(rows), n, steps)
    observations = observations.reshape(len(rows), n, steps + 1, -1)
    finite = torch.isfinite(observations).all(-1).all(-1) & torch.isfinite(
        rewards.reshape(shape)
    ).all(-1)
    horizons = torch.tensor([candidate.horizon for candidate in candidates], device=device)
    asked = torch.arange(steps, device=device) < horizons[:, None]
    return ImaginedRollouts(
        observations=torch.nan_to_num(observations, posinf=0.0, neginf=0.0),
        actions=actions.reshape(*shape, -1),
        rewards=torch.nan_to_num(rewards.reshape(shape), posinf=0.0, neginf=0.0),
        members=worlds,
        horizons=horizons,
        mask=(taken.reshape(shape) & asked).to(rewards),
        finite=finite.all(0),
    )


def _worlds(candidates: Sequence[Candidate], members: Sequence[int] | None) -> list[list[int]]:
    """Return the member [E][N] that each candidate is played in."""
    if members is not None:
        return [[member] * len(candidates) for member in members]
    loops = [_answering(candidate.controller) for candidate in candidates]
    return [[MEAN if loop is None else loop.member for loop in loops]]


def _answering(controller: Controller) -> ClosedLoop | None:
    """Return who answers observations in imagination; None where the actions are known before."""
    if isinstance(controller, OpenLoop):
        return None
    return STAND_IN if isinstance(controller, Demonstration) else controller


class _Play:
    """G = E * N rollouts on their way through the model."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        model: Model,
        task: Task,
        resolve: Resolver | None,
        worlds: torch.Tensor,
        steps: int,
    ) -> None:
        self.candidates, self.worlds = candidates, worlds
        self.model, self.task, self.steps = model, task, steps
        self.termination = termination_of(task, model)
        loops: dict[tuple[str, str | None], dict[int, ClosedLoop]] = {}
        for g in range(len(worlds)):
            loop = _answering(candidates[g % len(candidates)].controller)
            if loop is not None:
                loops.setdefault((loop.policy, loop.weights), {})[g] = loop
        self.actors = []
        for group in loops.values():
            assert resolve is not None, "a candidate in closed loop needs its policy"
            policy, believed = resolve(next(iter(group.values())))
            members = [loop.member for loop in group.values()]
            seeds = [candidates[g % len(candidates)].seed for g in group]
            actor = policy.start(believed, members, seeds)
            self.actors.append((torch.tensor(list(group), device=worlds.device), actor))

    def _everywhere(self, values: np.ndarray) -> torch.Tensor:
        """Move what there is for each candidate [N,...] once, and repeat it there: [G,...]."""
        moved = torch.as_tensor(values, dtype=torch.float32, device=self.worlds.device)
        return moved.repeat(len(self.worlds) // len(values), *[1] * (values.ndim - 1))

    def _limited(self, actions: torch.Tensor) -> torch.Tensor:
        low, high = (
            torch.as_tensor(limit, dtype=torch.float32, device=actions.device)
            for limit in (self.task.action_low, self.task.action_high)
        )
        return torch.minimum(torch.maximum(actions, low), high)

    def _planned(self) -> torch.Tensor:
        """Return actions [G,T,A] as far as they are known before."""
        idle = (self.task.action_low + self.task.action_high) / 2
        planned = np.tile(idle, (len(self.candidates), self.steps, 1))
        for row, candidate in zip(planned, self.candidates, strict=True):
            if isinstance(candidate.controller, OpenLoop):
                row[: candidate.horizon] = candidate.controller.actions[: candidate.horizon]
        return self._limited(self._everywhere(planned))

    def run(
        self, noise: np.random.Generator | None, advanced: Callable[[int, int], None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return observations [G,T+1,O], actions [G,T,A], rewards [G,T] and steps taken [G,T]."""
        starts = np.stack([candidate.context.observation for candidate in self.candidates])
        observation, actions = self._everywhere(starts), self._planned()
        observations = observation.new_empty(len(actions), self.steps + 1, starts.shape[-1])
        rewards = observation.new_empty(len(actions), self.steps)
        observations[:, 0] = observation
        goes_on = torch.ones(len(actions), dtype=torch.bool, device=observation.device)
        taken = goes_on[:, None].repeat(1, self.steps)
        for t in range(self.steps):
            if self.termination is not None and not bool(goes_on.any()):
                observations[:, t + 1 :], rewards[:, t:] = observation[:, None], 0.0
                taken[:, t:] = False
                break
            self._answer(observation, actions[:, t])
            action = actions[:, t]
            following, reward = self.model.step(observation[:, None], action[:, None], self.worlds)
            following = following[:, 0].to(observation)
            if noise is not None:
                following = following + self._noise(observation, action, noise)
            if self.task.reward is not None:
                reward = self.task.reward(observation, action, following)
            else:
                assert reward is not None, "a model predicts rewards that are not known"
                reward = reward[:, 0]
            taken[:, t] = goes_on
            if self.termination is not None:
                following = torch.where(goes_on[:, None], following, observation)
                reward = torch.where(goes_on, reward, 0.0)
                goes_on = goes_on & ~self.termination(observation, action, following)
            observations[:, t + 1], rewards[:, t] = following, reward
            observation = following
            advanced(t + 1, self.steps)
        return observations, actions, rewards, taken

    def _answer(self, observation: torch.Tensor, actions: torch.Tensor) -> None:
        """Put what policies answer to an observation [G,O] among the actions."""
        if not self.actors:
            return
        seen = torch.nan_to_num(observation, posinf=0.0, neginf=0.0)
        for rows, actor in self.actors:
            if isinstance(actor, SupportsTensors):
                answers = actor.act_on(seen[rows])
            else:
                answers = torch.as_tensor(actor.act(seen[rows].cpu().double().numpy()))
            actions[rows] = self._limited(answers.to(actions))

    def _noise(
        self, observation: torch.Tensor, action: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Draw the model's own noise [G,O]; none on channels that do not change."""
        variance = self.model.predict(observation, action).aleatoric.to(observation)
        white = rng.standard_normal(tuple(variance.shape), dtype=np.float32)
        drawn = variance.sqrt() * torch.as_tensor(white, device=variance.device)
        moving = [channel.kind != "constant" for channel in self.task.channels]
        return torch.where(torch.tensor(moving, device=variance.device), drawn, 0.0)
