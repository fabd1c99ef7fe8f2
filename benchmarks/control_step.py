"""Seconds of one control step of MPC, one robot, on the model that each finished run ended with.

python benchmarks/control_step.py runs/targets/*-0
"""

import statistics
import sys
import time

import numpy as np

from robo_al import open_campaign
from robo_al.types import MEAN

STEPS = 40


def main() -> None:
    """Print the median and the slowest replanning of each run's planner."""
    print("| task | points of the model | median, ms | slowest, ms |\n|---|---|---|---|")
    for folder in sys.argv[1:]:
        with open_campaign(folder) as campaign:
            parts = campaign.parts
            (context,) = parts.contexts_from([0])
            actor = parts.policy.start(parts.model, [MEAN], [0])
            taken = []
            for _ in range(STEPS + 5):
                start = time.perf_counter()
                actor.act(np.asarray(context.observation)[None])
                taken.append(time.perf_counter() - start)
            # a planner that holds its actions answers the steps in between at once
            planned = [seconds for seconds in taken[5:] if seconds > 0.2 * max(taken[5:])]
            points = len(parts.model.state_dict()["points"])
            print(
                f"| {parts.task.env.name} | {points} | {1e3 * statistics.median(planned):.1f} "
                f"| {1e3 * max(planned):.1f} |"
            )


if __name__ == "__main__":
    main()
