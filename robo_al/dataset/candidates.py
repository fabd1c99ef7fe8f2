"""Candidates as JSON, so that what was dispatched can be known, and made, again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from robo_al.dataset.ledger import RolloutRow, to_json
from robo_al.protocols import Model, Policy, SupportsAct
from robo_al.types import Candidate, Context, OpenLoop, Streamed


def context_json(context: Context) -> dict[str, Any]:
    """Return a context as JSON values; one that was found says so."""
    content = {
        "observation": np.asarray(context.observation, dtype=np.float64).tolist(),
        "seed": context.seed,
        "options": {key: list(map(float, value)) for key, value in context.options.items()},
    }
    return content | ({"found": True} if context.found else {})


def context_from(content: Mapping[str, Any]) -> Context:
    """Return the context that `context_json` wrote."""
    options = {key: tuple(value) for key, value in content["options"].items()}
    observation = np.array(content["observation"], dtype=np.float64)
    return Context(observation, content["seed"], options, content.get("found", False))


def controller_json(candidate: Candidate, policies: Mapping[str, Policy]) -> dict[str, Any]:
    """Return a controller as JSON values.

    Args:
        candidate: whose controller.
        policies: those that a resumed campaign has again, by their role in it.
    """
    controller = candidate.controller
    if isinstance(controller, OpenLoop):
        actions = np.asarray(controller.actions, dtype=np.float64)
        return {"kind": "open_loop", "actions": actions.tolist()}
    streaming: object = controller.policy
    roles = (role for role, policy in policies.items() if policy is streaming)
    return {"kind": "streamed", "policy": next(roles, None), "member": controller.member}


def content_hash(candidate: Candidate, controller: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a candidate does, whatever its id."""
    content = {
        "context": context_json(candidate.context),
        "controller": controller,
        "horizon": candidate.horizon,
        "seed": candidate.seed,
    }
    return hashlib.sha256(to_json(content).encode()).hexdigest()


def restore(row: RolloutRow, policies: Mapping[str, Policy], model: Model) -> Candidate | None:
    """Make a candidate again, or return None where its policy is not the campaign's own."""
    content = json.loads(row.controller)
    controller: OpenLoop | Streamed
    if content["kind"] == "open_loop":
        controller = OpenLoop(np.array(content["actions"], dtype=np.float64))
    else:
        policy = policies.get(content["policy"])
        if not isinstance(policy, SupportsAct):
            return None
        controller = Streamed(policy, model, content["member"])
    context = context_from(json.loads(row.context))
    return Candidate(context, controller, row.horizon, row.seed, row.id, why(row))


def why(row: RolloutRow) -> str:
    """Return why a rollout was selected, in words."""
    if row.rank is None:
        return "the explorer's"
    gain = "" if row.gain is None else f", expected gain {row.gain:.3g}"
    return f"chosen by {row.acquisition}: rank {row.rank}, score {row.score:.3g}{gain}"
