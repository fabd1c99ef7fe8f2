"""How a comparison was decided, for a reader who wants to know."""

from robo_al.compare.figures import JSON
from robo_al.report.words import count

_HOW_DECIDED = (
    "Strategies are compared with {reference} by the rollouts that they need for an equal return. "
    "Where one of the two runs solved the task for half of the seeds or more, rollouts are counted "
    "until it is solved, which takes two evaluations in a row at or above its threshold. Otherwise "
    "they are counted until the first evaluation that got nine tenths of the way from where the "
    "runs of the two begin to where the better run of a seed ends, and what they end with is "
    "compared too. No other strategy changes what is found of two.",
    "Runs of one seed share their first rollouts, the starts of their evaluations and the "
    "randomness of their candidates, so differences are taken seed by seed. For a run that did not "
    "get there, one rollout more than the budget is counted, which is the least that it can have "
    "needed. Of a task whose starts cannot be asked for (its runs' configuration says starts: "
    "found), runs of one seed share no starts, and a difference needs more seeds to be found.",
    "A difference is claimed only where the 95 % interval of its mean excludes 0 (bootstrap over "
    "seeds) and a test on the seeds agrees at 5 %, after Holm's correction for all tests on all "
    "tasks (bounds are no strategies): where nothing differs, a claim is made in 5 of 100 "
    "comparisons at most, not in 5 of 100 tests. That no difference was found does not mean that "
    "there is none.",
    "{looks}",
    "Each time that the budget of a task is made larger after its runs began, its p values are "
    "doubled. That is not enough for whoever goes on until there is a difference: a claim is then "
    "made in 10 of 100 comparisons at most in which nothing differs, not in 5.",
    "The table of all pairs is decided in the same way, but for a correction of its own, over all "
    "tests of all pairs on all tasks. It does not ask which strategy is the reference: a reference "
    "that was chosen after the runs were seen is to be judged by this table.",
    "The rollouts until a task is solved are Kaplan and Meier's median. Runs that did not solve it "
    "count as censored. The log-rank test compares the same runs without pairing them.",
    'The column "better than {reference}" holds the probability that a run of the strategy has a '
    "larger area under its learning curve than a run of {reference}; a tie counts as one half, so "
    "50 % is no difference.",
    "A run ends once its task is solved, and keeps its last evaluation up to the budget. The area "
    "under the curve is the mean of its evaluations over the rollouts of the budget.",
    "Learning curves show the mean of the middle half of the runs (the interquartile mean, IQM). "
    "Intervals and bands are 95 % intervals of the bootstrap over runs, with fewer than six runs "
    "Student's where it is wider; each holds for one figure, one point and one look alone. Fewer "
    "than three runs have none.",
    "CPU time is that of everything that a run computes, except its evaluations.",
    "Runs that failed or are not finished are in no figure, nor are those of a seed whose first "
    "rollouts are the same as an earlier seed's: such two runs are one experiment. They are listed "
    "with the reason.",
)
_PLANNED = (
    "The test is Wilcoxon's signed-rank test on the {seeds} planned before the first run, "
    "once all of them are complete, and at any time a bet on which of the two is better for the "
    "next seed, whose gain is the evidence (a test martingale). Each has half of the 5 %. So the "
    "page may be looked at while runs are not finished, and seeds may be added until there is a "
    "difference: claims are no less certain for it."
)
_NOT_PLANNED = (
    "The test is a bet on which of the two is better for the next seed, whose gain is the evidence "
    "(a test martingale). So the page may be looked at while runs are not finished, and seeds may "
    "be added until there is a difference: claims are no less certain for it."
)


def how_decided(comparison: JSON) -> list[str]:
    """Return what a reader who wants to know has to know."""
    planned = comparison["planned_seeds"]
    looks = _PLANNED.format(seeds=count(len(planned), "seed")) if planned else _NOT_PLANNED
    return [line.format(reference=comparison["reference"], looks=looks) for line in _HOW_DECIDED]
