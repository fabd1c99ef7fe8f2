"""The process of one run of a comparison: `python -m robo_al.compare.worker`.

Reads one line of JSON from stdin, `{folder, config, strategy}`, and goes on with the campaign in
that folder. Ends as soon as stdin is closed, so that nothing is left when the parent is killed:
whatever was begun then, a next process finishes. Writes to stdout one line of JSON for every round,
`{rollouts, mean_return, solved_at}`, and a last one with `failed`, the reason or null; what parts
print, and tracebacks, go to stderr.
"""

import json
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robo_al_agent.operator.terminal import tolerate

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign
    from robo_al.dataset.events import Event


def main() -> None:
    """Turn the loop of one campaign, and end the process."""
    tolerate()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(_first_line())
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def tell(**fields: Any) -> None:
        print(json.dumps(fields), file=channel, flush=True)

    failed = None
    try:
        turn(request, tell)
    except Exception as error:
        from robo_al.errors import RoboALError

        traceback.print_exc()
        kind = "" if isinstance(error, RoboALError) else f"{type(error).__name__}: "
        failed = f"{kind}{error}"
    tell(failed=failed)
    sys.stderr.flush()
    os._exit(failed is not None)  # at once: everything is on the disk, and torch is slow to leave


def turn(request: dict[str, Any], tell: Callable[..., None]) -> None:
    """Begin the campaign or go on with it, to its end.

    Args:
        request: see the module's docstring.
        tell: told where the campaign stands, at first and after each round.

    Raises:
        RoboALError: what stops a campaign; or the folder has a campaign of another configuration.
    """
    from robo_al import loop
    from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
    from robo_al.config.changes import differences, told
    from robo_al.config.load import check_config
    from robo_al.dataset.events import RoundDone
    from robo_al.dataset.files import is_there
    from robo_al.dataset.folders import CONFIG
    from robo_al.errors import RunFolderError

    folder = Path(request["folder"])
    config = check_config(request["config"], str(folder))
    begun = is_there(folder / CONFIG)
    changed = differences(load_run_config(folder), config) if begun else {}
    was, now = changed.pop("rounds", (0, 0))
    more = [f"--rounds={now}"] if now > was else []
    if changed:
        said = [
            f"{key} is {told(was)} there, {told(now)} here" for key, (was, now) in changed.items()
        ]
        raise RunFolderError(
            f"{folder}: a run of another configuration ({', '.join(said)}); remove it, or give "
            "--out"
        )
    campaign = open_campaign(folder, more) if begun else create_campaign(config, folder)
    config = load_run_config(folder)

    def listen(event: "Event") -> None:
        if isinstance(event, RoundDone):
            tell(**_standing(campaign))

    with campaign, make_oracle(config) as oracle:
        tell(**_standing(campaign))
        if request["strategy"] == "all_knowing":
            from robo_al.compare.bounds import all_knowing

            all_knowing(campaign, oracle)
        loop.run(campaign, oracle, listen)


def _standing(campaign: "Campaign") -> dict[str, Any]:
    from robo_al.dataset.rows import EvaluationRow

    evaluation, solved = campaign.dataset.ledger.last(EvaluationRow), campaign.solved
    return {
        "rollouts": len(campaign.dataset),
        "mean_return": None if evaluation is None else evaluation.mean_return,
        "solved_at": None if solved is None else solved.rollouts,
    }


def _first_line() -> bytes:
    """Read the request, and nothing after it; end if there is none."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            os._exit(1)
        line += part
    return line


def _end_with_parent() -> None:
    while os.read(0, 1 << 16):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
