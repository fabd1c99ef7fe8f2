"""iCEM: model-predictive control by the improved cross-entropy method.

Pinneri et al. 2020, "Sample-efficient cross-entropy method for real-time planning": coloured
noise, elites kept between iterations and shifted between steps, a population that shrinks.

Where each step without a fall earns the same, so do all plans that do not fall, and nothing says
which one to follow. Two things are ours for that. Of plans that earn the same by going on to their
end, the one is better that comes to rest: from there it can go on, which its horizon is too short
to show. And once the best plan is of that kind, the samples of the next step have deviations from
nothing up to the whole, evenly spaced: wide ones find a way, narrow ones hold what is in balance.

As a proposer it is Thompson sampling: each candidate is the *policy* "plan on posterior function
e as if it were the truth" (one also plans on the mean), executed closed loop by replanning at each
observation. Candidates differ where the posterior functions do: where there is something to learn.
All rollouts under control are planned in one batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.config.ranges import Count, Factor, NonNegative, Positive, Share, Width
from robo_al.errors import ConfigError
from robo_al.models.ends import termination_of
from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.types import MEAN, Candidate, ClosedLoop, Context, Task
from robo_al_policies.noise import colour

TINY = 1e-30
"""Square of a change below which a component does not change."""


class ICEM:
    """Plans by iCEM on the learned model.

    Args:
        task: its reward, its end and action limits.
        device: where plans are imagined.
        planning_horizon: H, steps that a plan looks ahead.
        samples: action sequences in the first iteration.
        iterations: of refinement for each plan.
        elites: sequences that the next distribution is fitted to.
        keep: fraction of the elites carried to the next iteration and the next step.
        decay: the population shrinks by this factor with each iteration.
        momentum: share of the old mean and deviation in the new.
        beta: colour of the noise.
        deviation: initial standard deviation, in halves of the action range.
        action_repeat: control steps for which each planned action is held.

    Raises:
        ConfigError: a parameter out of its range.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        planning_horizon: Width = 20,
        samples: Count = 100,
        iterations: Width = 4,
        elites: Count = 10,
        keep: Share = 0.3,
        decay: Factor = 1.25,
        momentum: Share = 0.1,
        beta: NonNegative = 2.0,
        deviation: Positive = 0.7,
        action_repeat: Width = 1,
    ) -> None:
        for name, value in (
            ("planning_horizon", planning_horizon),
            ("iterations", iterations),
            ("elites", elites),
            ("action_repeat", action_repeat),
            ("samples - elites", samples - elites),
        ):
            if value < 1:
                raise ConfigError(f"policy icem: {name} is {value}; it must be at least 1")
        self.task = task
        self.device = device
        self.planning_horizon = planning_horizon
        self.samples = samples
        self.iterations = iterations
        self.elites = elites
        self.keep = keep
        self.decay = decay
        self.momentum = momentum
        self.beta = beta
        self.deviation = deviation
        self.action_repeat = action_repeat

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n candidates: for each context the mean first, then posterior functions."""
        candidates = []
        for i in range(n):
            turn = i // len(contexts)
            member = MEAN if turn == 0 else (i - len(contexts)) % model.members
            controller = ClosedLoop(member)
            candidates.append(
                Candidate(contexts[i % len(contexts)], controller, horizon, integer(rng))
            )
        return candidates

    def start(self, model: Model, members: Sequence[int], seeds: Sequence[int]) -> "ICEMActor":
        """Begin B rollouts; row b plans in `members[b]` of the model."""
        return ICEMActor(self, model, members, seeds)


class ICEMActor:
    """B rollouts controlled by one planner each, planned in one batch."""

    def __init__(
        self, policy: ICEM, model: Model, members: Sequence[int], seeds: Sequence[int]
    ) -> None:
        self.policy, self.model, self.task = policy, model, policy.task
        self.termination = termination_of(policy.task, model)
        device = policy.device
        self.members = torch.tensor(list(members), device=device)
        self.rngs = [np.random.default_rng(seed) for seed in seeds]
        low = torch.as_tensor(self.task.action_low, dtype=torch.float32, device=device)
        high = torch.as_tensor(self.task.action_high, dtype=torch.float32, device=device)
        self.center, self.half = (high + low) / 2, (high - low) / 2
        self.size = len(low)
        shape = (len(self.rngs), policy.planning_horizon, self.size)
        self.mean = torch.zeros(shape, dtype=torch.float32, device=device)
        self.kept: Tensor | None = None
        self.holds = torch.zeros(len(self.rngs), dtype=torch.bool, device=device)
        """Rows whose best plan earns by going on to its end, in a task that may end before."""
        self.tick = 0
        self.action = torch.zeros((len(self.rngs), self.size), device=device)

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the first action of the best plan from each observation."""
        actions = self.act_on(torch.as_tensor(observations, dtype=torch.float32))
        answer: np.ndarray = actions.cpu().numpy().astype(np.float64)
        return answer

    def act_on(self, observations: Float[Tensor, "B O"]) -> Float[Tensor, "B A"]:
        """Return the same of tensors, where plans are imagined."""
        if self.tick % self.policy.action_repeat == 0:
            best = self._plan(observations.to(self.mean))
            self.action = self.center + self.half * best[:, 0]
        self.tick += 1
        return self.action

    @torch.no_grad()
    def _plan(self, start: Float[Tensor, "B O"]) -> Float[Tensor, "B H A"]:
        policy = self.policy
        noise = self._noise()
        deviation = torch.full_like(self.mean, policy.deviation)
        mean = self.mean
        elites, kept = self.kept, self.kept
        for iteration, fresh in enumerate(noise):
            plans = mean[:, None] + deviation[:, None] * fresh
            if iteration == policy.iterations - 1:
                plans = torch.cat([plans, mean[:, None]], dim=1)
            plans = plans.clamp(-1, 1)
            if kept is not None:
                plans = torch.cat([plans, kept], dim=1)
            order = self._order(start, plans)
            elites = plans.gather(1, order[..., None, None].expand(-1, -1, *plans.shape[2:]))
            kept = elites[:, : max(1, int(policy.keep * policy.elites))]
            mean = policy.momentum * mean + (1 - policy.momentum) * elites.mean(1)
            spread = elites.std(1, correction=0)
            deviation = policy.momentum * deviation + (1 - policy.momentum) * spread
        assert elites is not None and kept is not None
        self.mean = torch.cat([mean[:, 1:], mean[:, -1:]], dim=1)
        self.kept = torch.cat([kept[:, :, 1:], kept[:, :, -1:]], dim=2)
        return elites[:, 0]

    def _noise(self) -> list[Float[Tensor, "B S H A"]]:
        """Draw every iteration's noise, row by row from the row's own generator.

        In a row that holds, sample i of S has (i + 1) / S of the deviation.
        """
        policy = self.policy
        sizes = [
            max(int(policy.samples * policy.decay**-i), 2 * policy.elites)
            for i in range(policy.iterations)
        ]
        shape = (sum(sizes), self.size, policy.planning_horizon)
        white = np.stack([rng.standard_normal(shape, dtype=np.float32) for rng in self.rngs])
        shaped = torch.as_tensor(colour(white, policy.beta), device=policy.device)
        widths = torch.cat([(torch.arange(size) + 1) / size for size in sizes]).to(shaped)
        widths = torch.where(self.holds[:, None], widths, 1.0)[..., None, None]
        return list(torch.split(shaped.transpose(2, 3) * widths, sizes, dim=1))

    def _order(
        self, start: Float[Tensor, "B O"], plans: Float[Tensor, "B S H A"]
    ) -> Int[Tensor, "B K"]:
        """Return the indices of the elites, the best first; note whether their rows hold."""
        total, unrest = self._returns(start, plans)
        calm = unrest.argsort(dim=1, stable=True)
        order = total.gather(1, calm).argsort(dim=1, descending=True, stable=True)
        best = calm.gather(1, order)[:, : self.policy.elites]
        moved = unrest.gather(1, best[:, :1])[:, 0]
        self.holds = moved.isfinite() & (moved > 0)
        return best

    def _returns(
        self, start: Float[Tensor, "B O"], plans: Float[Tensor, "B S H A"]
    ) -> tuple[Float[Tensor, "B S"], Float[Tensor, "B S"]]:
        """Imagine every plan in its row's member.

        Returns:
            Undiscounted rewards until it ends; and the square of its last change, each component
            in units of what is usual among the plans. Where rollouts do not end by themselves, and
            for a plan that has earned nothing, it is 0: there is nothing to hold on to.
        """
        observation = start[:, None].expand(-1, plans.shape[1], -1)
        total = torch.zeros(plans.shape[:2], dtype=plans.dtype, device=plans.device)
        goes_on = torch.ones(plans.shape[:2], dtype=torch.bool, device=plans.device)
        actions = self.center + self.half * plans
        for h in range(plans.shape[2]):
            action = actions[:, :, h]
            for _ in range(self.policy.action_repeat):
                following, reward = self.model.step(observation, action, self.members)
                if self.task.reward is not None:
                    reward = self.task.reward(observation, action, following)
                assert reward is not None, "a model predicts rewards that are not known"
                if self.termination is not None:
                    reward = torch.where(goes_on, reward, 0.0)
                    goes_on = goes_on & ~self.termination(observation, action, following)
                total = total + reward
                change, observation = following - observation, following
        total = torch.nan_to_num(total, nan=-torch.inf, posinf=-torch.inf)
        if self.termination is None:
            return total, torch.zeros_like(total)
        # a median: plans that end are imagined on, to anywhere
        usual = change.square().nanmedian(dim=1, keepdim=True).values.clamp_min(TINY)
        unrest = (change.square() / usual).sum(-1)
        unrest = torch.where(goes_on, unrest, torch.inf).nan_to_num(nan=torch.inf)
        return total, torch.where(total > 0, unrest, 0.0)
