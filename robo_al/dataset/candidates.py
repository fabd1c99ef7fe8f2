"""Candidates as JSON, so that what was dispatched can be known, and made, again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from robo_al.dataset.ledger import RolloutRow, to_json
from robo_al.dataset.rows import EVALUATION
from robo_al.types import Candidate, ClosedLoop, Context, Controller, Demonstration, OpenLoop


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


def controller_json(candidate: Candidate) -> dict[str, Any]:
    """Return a controller as JSON values; a closed loop is called `streamed` there."""
    controller = candidate.controller
    if isinstance(controller, OpenLoop):
        actions = np.asarray(controller.actions, dtype=np.float64)
        return {"kind": "open_loop", "actions": actions.tolist()}
    if isinstance(controller, Demonstration):
        return {"kind": "demonstration"}
    return {"kind": "streamed", "policy": controller.policy, "member": controller.member}


def content_hash(candidate: Candidate, controller: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a candidate does, whatever its id."""
    content = {
        "context": context_json(candidate.context),
        "controller": controller,
        "horizon": candidate.horizon,
        "seed": candidate.seed,
    }
    return hashlib.sha256(to_json(content).encode()).hexdigest()


def restore(row: RolloutRow) -> Candidate | None:
    """Make a candidate again, or return None where an earlier version did not note its policy."""
    content = json.loads(row.controller)
    controller: Controller
    if content["kind"] == "open_loop":
        controller = OpenLoop(np.array(content["actions"], dtype=np.float64))
    elif content["kind"] == "demonstration":
        controller = Demonstration()
    else:
        if content["policy"] is None:
            return None
        controller = ClosedLoop(content["member"], content["policy"], weights(row))
    context = context_from(json.loads(row.context))
    return Candidate(context, controller, row.horizon, row.seed, row.id, why(row))


def weights(row: RolloutRow) -> str:
    """Return what tells which learned numbers a rollout is to be controlled by."""
    return row.model_hash or f"those of round {row.round}"


def why(row: RolloutRow) -> str:
    """Return why a rollout was selected, in words."""
    if row.strategy == EVALUATION:
        return f"of the evaluation after round {row.round}"
    if row.rank is None:
        return "the explorer's"
    gain = "" if row.gain is None else f", expected gain {row.gain:.3g}"
    return f"chosen by {row.acquisition}: rank {row.rank}, score {row.score:.3g}{gain}"
