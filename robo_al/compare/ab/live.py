"""Two runs' policies against each other on their oracle, until it is known which is better.

A folder has `ab-plan.json`, which says what is compared; `run`, a run folder whose one evaluation
is all of it; and the answer, `ab.json` and `ab.html`.
"""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robo_al.compare.ab.outcomes import SUCCESS, Judged, Scale
from robo_al.compare.ab.page import write_answer
from robo_al.compare.ab.verdict import judge
from robo_al.dataset.files import is_there, storage, write_atomically
from robo_al.dataset.folders import AB_PLAN, CONFIG, need_new
from robo_al.dataset.view import RunView
from robo_al.errors import RunFolderError, UserError
from robo_al.types import EnvSpec

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign
    from robo_al.config.schema import Config
    from robo_al.deploy.policy import LearnedPolicy

RUN = "run"
"""In the folder: the run that has the rollouts."""


class Policy(BaseModel):
    """A policy as a run had learned it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    folder: Path
    """Of the run; absolute."""
    weights: str | None
    """SHA-256 of what it has learned."""


class Plan(BaseModel):
    """What is compared, and by what."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    policies: list[Policy] = Field(min_length=1, max_length=2)
    starts: int = Field(ge=1)
    """From how many each is rolled out at most."""
    seed: int
    judged_by: Literal["success", "return"]
    limits: tuple[float, float] | None
    """Between which a return lies; None where that is not known."""
    against: float | None

    @property
    def scale(self) -> Scale:
        """What a rollout is judged by."""
        if self.judged_by == "success":
            return SUCCESS
        return Scale("return", *(self.limits or (float("-inf"), float("inf"))))


def named(folders: Sequence[Path]) -> list[Policy]:
    """Return the policies of runs, which are read and not changed.

    Raises:
        RunFolderError: there is no run.
        UserError: they are the same, act on two tasks, or one has learned nothing.
    """
    policies = []
    runs = [RunView(folder) for folder in folders]
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    for name, folder, run in zip(names, folders, runs, strict=True):
        if not run.fit_rows:
            raise UserError(f"{folder}: this run has learned nothing yet")
        if _task(run) != _task(runs[0]):
            raise UserError(f"{folder}: its env is not that of {folders[0]}; compare on one task")
        weights = run.fit_rows[-1].model_hash
        policies.append(Policy(name=name, folder=folder.resolve(), weights=weights))
    acting = [(run.fit_rows[-1].model_hash, run.config["policy"]) for run in runs]
    if len(runs) > 1 and acting[0] == acting[1]:
        raise UserError(f"ab: {folders[0]} is compared with itself; name two policies")
    return policies


def _task(run: RunView) -> tuple[EnvSpec, int]:
    return EnvSpec.in_config(run.config), run.config["horizon"]


def says_success(folder: Path) -> bool:
    """Return whether the task of a run says of its rollouts whether they succeeded."""
    return any("success" in measured for measured in RunView(folder).details.values())


def begin(folder: Path, plan: Plan) -> None:
    """Write a plan into a new or empty folder.

    Raises:
        RunFolderError: it is not empty; nothing was written.
        StorageError: the disk is full or refuses.
    """
    need_new(folder)
    with storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder, plan)


def write_plan(folder: Path, plan: Plan) -> None:
    """Write a plan in place of what is there."""
    write_atomically(folder / AB_PLAN, f"{plan.model_dump_json(indent=1)}\n".encode())


def read_plan(folder: Path) -> Plan:
    """Return the plan of a folder.

    Raises:
        RunFolderError: there is none, or it is damaged.
    """
    try:
        return Plan.model_validate_json((folder / AB_PLAN).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{folder / AB_PLAN}: cannot be read: {error}") from error
    except ValidationError as error:
        raise RunFolderError(
            f"{folder / AB_PLAN}: is not as it was written: {error.errors()[0]['msg']}"
        ) from error


def go_on(folder: Path, plan: Plan) -> tuple[dict[str, Any], Path]:
    """Roll out what is left to be rolled out; return the answer, and its page.

    Raises:
        UserError: a policy is no more what it was.
        RoboALError: what stops a campaign.
    """
    from robo_al.dataset.start_folder import started_in

    folder = folder.absolute()
    with started_in(plan.policies[0].folder):
        _roll_out(folder, plan)
    result = answer(folder, plan)
    return result, write_answer(folder, result)


def answer(folder: Path, plan: Plan) -> dict[str, Any]:
    """Return what the rollouts say until now, with the labels that they have."""
    names = [policy.name for policy in plan.policies]
    return judge(outcomes(RunView(folder / RUN), plan.scale), names, plan.scale, plan.against)


def outcomes(run: RunView, scale: Scale) -> list[Judged]:
    """Return what each rollout came to, in their order.

    Raises:
        UserError: a return is not within its range.
    """
    found = []
    for row in run.rollout_rows:
        value = row.total_reward if row.state == "recorded" else None
        if scale is SUCCESS:
            said = run.labels[row.id].get("success")
            value = float(said) if isinstance(said, bool) else None
        elif value is not None and not scale.low <= value <= scale.high:
            raise UserError(
                f"{run.folder}: {row.id} has the return {value:g}, and not within {scale.low:g} to "
                f"{scale.high:g}; begin anew, with a range that every return must lie in"
            )
        policy = json.loads(row.controller)["policy"]
        found.append(Judged(policy, str(json.loads(row.context)["seed"]), value))
    return found


def _roll_out(folder: Path, plan: Plan) -> None:
    from robo_al.build import load_run_config, make_oracle
    from robo_al.deploy.policy import open_policy
    from robo_al.loop.by_turns import by_turns
    from robo_al.protocols import Acting, SupportsAct

    learned = {}
    for policy in plan.policies:
        fits = RunView(policy.folder).fit_rows
        if not fits or fits[-1].model_hash != policy.weights:
            raise UserError(
                f"{policy.folder}: this run has learned since, so that its policy is another one; "
                "compare the two in a new folder"
            )
        learned[policy.name] = open_policy(policy.folder)
    changes = {"seed": plan.seed, "rounds": 1, "stop_when_solved": False}
    config = load_run_config(plan.policies[0].folder).model_copy(update=changes)
    with ExitStack() as opened:
        first = learned[plan.policies[0].name]
        campaign = opened.enter_context(_campaign(folder / RUN, first, config))
        for name, one in learned.items():
            assert isinstance(one.parts.policy, SupportsAct), "what open_policy returns"
            campaign.acting[name] = Acting(one.parts.policy, one.parts.model)
        oracle = opened.enter_context(make_oracle(config))
        weights = {policy.name: policy.weights for policy in plan.policies}

        def decided() -> bool:
            return bool(answer(folder, plan)["decided"])

        by_turns(campaign, oracle, weights, plan.starts, decided)


def _campaign(folder: Path, policy: "LearnedPolicy", config: "Config") -> "Campaign":
    from robo_al.campaign.campaign import Campaign
    from robo_al.dataset.start_folder import note_start_folder

    if is_there(folder / CONFIG):
        return Campaign.open(folder, policy.parts, config)
    campaign = Campaign.create(folder, policy.parts, config, config.text())
    note_start_folder(folder)
    return campaign
