"""Imagined rollouts: candidates played in a learned model, all at once.

N candidates x E members advance together, one step of the model for each of T steps. Open-loop
candidates bring their actions; streamed ones answer each imagined observation, as they would
answer the robot's, with a policy that takes the candidate's own member for the truth.
"""

from collections.abc import Sequence

import numpy as np
import torch

from robo_al.protocols import Model
from robo_al.types import Candidate, ImaginedRollouts, OpenLoop, Streamed, Task


def imagine(
    candidates: Sequence[Candidate],
    model: Model,
    task: Task,
    members: Sequence[int] | None = None,
    noise: np.random.Generator | None = None,
    device: str = "cpu",
) -> ImaginedRollouts:
    """Play every candidate in members of the model.

    Args:
        candidates: N of them; horizons may differ and are padded to the longest, T.
        model: fitted.
        task: its reward and action limits.
        members: the E members in which every candidate is played. By default E = 1: a streamed
            candidate is played in the member that its policy believes in, an open-loop one in
            the posterior mean.
        noise: draws the noise that the model expects at every step; None: no noise.
        device: where the tensors of the result live.

    Returns:
        What happened in imagination, as tensors on `device`.
    """
    n, steps = len(candidates), max(candidate.horizon for candidate in candidates)
    rows = _worlds(candidates, members)
    worlds = torch.tensor(rows, device=device)
    play = _Play(candidates, model, task, worlds.reshape(-1), steps)
    observations, actions, rewards = play.run(device, noise)
    shape = (len(rows), n, steps)
    observations = observations.reshape(len(rows), n, steps + 1, -1)
    finite = torch.isfinite(observations).all(-1).all(-1) & torch.isfinite(
        rewards.reshape(shape)
    ).all(-1)
    lengths = torch.tensor([candidate.horizon for candidate in candidates], device=device)
    mask = (torch.arange(steps, device=device) < lengths[:, None]).to(rewards)
    return ImaginedRollouts(
        observations=torch.nan_to_num(observations, posinf=0.0, neginf=0.0),
        actions=actions.reshape(*shape, -1),
        rewards=torch.nan_to_num(rewards.reshape(shape), posinf=0.0, neginf=0.0),
        members=worlds,
        mask=mask,
        finite=finite.all(0),
    )


def _worlds(candidates: Sequence[Candidate], members: Sequence[int] | None) -> list[list[int]]:
    """Return the member [E][N] that each candidate is played in."""
    if members is not None:
        return [[member] * len(candidates) for member in members]
    own = [c.controller.member if isinstance(c.controller, Streamed) else -1 for c in candidates]
    return [own]


class _Play:
    """G = E * N rollouts on their way through the model."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        model: Model,
        task: Task,
        worlds: torch.Tensor,
        steps: int,
    ) -> None:
        self.candidates = [candidates[g % len(candidates)] for g in range(len(worlds))]
        self.model, self.task, self.worlds, self.steps = model, task, worlds, steps
        idle = (task.action_low + task.action_high) / 2
        self.planned = np.tile(idle, (len(worlds), steps, 1))
        streams: dict[tuple[int, int], list[int]] = {}
        for g, candidate in enumerate(self.candidates):
            controller = candidate.controller
            if isinstance(controller, OpenLoop):
                self.planned[g, : candidate.horizon] = controller.actions[: candidate.horizon]
            else:
                key = (id(controller.policy), id(controller.model))
                streams.setdefault(key, []).append(g)
        self.actors = []
        for group in streams.values():
            controllers = [self.candidates[g].controller for g in group]
            first = controllers[0]
            assert isinstance(first, Streamed)
            actor = first.policy.start(
                first.model,
                [c.member for c in controllers if isinstance(c, Streamed)],
                [self.candidates[g].seed for g in group],
            )
            self.actors.append((group, actor))

    def run(
        self, device: str, noise: np.random.Generator | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return observations [G,T+1,O], actions [G,T,A] and rewards [G,T]."""
        start = np.stack([candidate.context.observation for candidate in self.candidates])
        observation = torch.as_tensor(start, dtype=torch.float32, device=device)
        low = torch.as_tensor(self.task.action_low, dtype=torch.float32, device=device)
        high = torch.as_tensor(self.task.action_high, dtype=torch.float32, device=device)
        observations, actions, rewards = [observation], [], []
        for t in range(self.steps):
            proposed = self.planned[:, t].copy()
            seen = torch.nan_to_num(observation, posinf=0.0, neginf=0.0).cpu().double().numpy()
            for group, actor in self.actors:
                proposed[group] = actor.act(seen[group])
            action = torch.as_tensor(proposed, dtype=torch.float32, device=device)
            action = torch.minimum(torch.maximum(action, low), high)
            following, reward = self.model.step(observation[:, None], action[:, None], self.worlds)
            following = following[:, 0].to(observation)
            if noise is not None:
                following = following + self._noise(observation, action, noise)
            if self.task.reward is not None:
                reward = self.task.reward(observation, action, following)
            else:
                assert reward is not None, "a model predicts rewards that are not known"
                reward = reward[:, 0]
            observations.append(following)
            actions.append(action)
            rewards.append(reward.to(observation))
            observation = following
        return torch.stack(observations, 1), torch.stack(actions, 1), torch.stack(rewards, 1)

    def _noise(
        self, observation: torch.Tensor, action: torch.Tensor, rng: np.random.Generator
    ) -> torch.Tensor:
        """Draw the model's own noise [G,O]; none on channels that do not change."""
        variance = self.model.predict(observation, action).aleatoric.to(observation)
        white = rng.standard_normal(tuple(variance.shape), dtype=np.float32)
        drawn = variance.sqrt() * torch.as_tensor(white, device=variance.device)
        moving = [channel.kind != "constant" for channel in self.task.channels]
        return torch.where(torch.tensor(moving, device=variance.device), drawn, 0.0)
