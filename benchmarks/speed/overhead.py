"""The share of a campaign's wall-clock time outside oracle, model and planner.

A campaign of the first demo (`make demo`) for a few rounds. Clocks around every method of the
three count the time from the outermost call to its return; what they do not count is ours: the
ledger and its syncs, seeds, imagination's own arrays, events. Choosing (the acquisition function
and the selector) is shown apart. A simulated oracle is fast, so that this is the hardest case.
"""

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from measure import Result, Timing, device

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.config.load import load_config

METHODS = {
    "model": ("fit", "predict", "step", "mixture", "features", "feature_posterior", "covariance"),
    "planner": ("propose", "start"),
    "explorer": ("propose", "start"),
    "oracle": ("submit", "poll"),
    "choosing": ("select",),
}


class Clocks:
    """Adds up seconds by part, from each outermost call to its return."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inside = False

    def watch(self, part: str, thing: object) -> None:
        """Put clocks around the methods of a thing."""
        for name in METHODS[part]:
            if hasattr(thing, name):
                object.__setattr__(thing, name, self._timed(part, getattr(thing, name)))

    def _timed(self, part: str, method: Any) -> Any:
        def timed(*args: Any, **kwargs: Any) -> Any:
            # what choosing asks of the model counts as the model's
            if self._inside:
                return method(*args, **kwargs)
            nested, before = part == "choosing", sum(self.seconds.values())
            self._inside = not nested
            began = time.perf_counter()
            try:
                made = method(*args, **kwargs)
            finally:
                counted = sum(self.seconds.values()) - before if nested else 0.0
                self.seconds[part] += time.perf_counter() - began - counted
                self._inside = False
            if (part, getattr(method, "__name__", "")) == ("planner", "start"):
                for act in ("act", "act_on"):
                    if hasattr(made, act):
                        setattr(made, act, self._timed(part, getattr(made, act)))
            return made

        return timed


def run(quick: bool) -> Result:
    """Run a campaign, and share its time out."""
    result, rounds = Result(), 2 if quick else 5
    words = ["--evaluation.starts", "2", "--rollout_steps", "10"] if quick else []
    words += ["--rounds", str(rounds), "--device", device()]
    config = load_config("cartpole_swingup", words)
    clocks = Clocks()
    with (
        tempfile.TemporaryDirectory() as folder,
        create_campaign(config, Path(folder) / "run") as campaign,
        make_oracle(config) as oracle,
    ):
        parts = campaign.parts
        for part, thing in (
            ("model", parts.model),
            ("planner", parts.policy),
            ("explorer", parts.explorer),
            ("oracle", oracle),
            ("choosing", parts.strategy),
        ):
            clocks.watch(part, thing)
        began = time.perf_counter()
        loop.run(campaign, oracle, lambda event: None)
        whole = time.perf_counter() - began
    case = f"cartpole_swingup, {rounds} rounds"
    seconds = dict(clocks.seconds)
    rest = whole - sum(seconds.values())
    result.timings = [Timing(case, name, value) for name, value in seconds.items()]
    result.timings += [Timing(case, "everything else", rest), Timing(case, "all", whole)]
    outside = (rest + seconds.get("choosing", 0.0)) / whole
    result.find(case, "% of the time outside oracle, model and planner", 100 * outside, "3", "3")
    result.find(case, "% without choosing", 100 * rest / whole, "", "1.5")
    return result
