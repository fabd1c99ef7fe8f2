"""What A against B has come to, in words."""

from collections.abc import Callable
from typing import Any

from robo_al.report.words import count, number, percent

JSON = dict[str, Any]


def answer(result: JSON) -> str:
    """Return the answer in one sentence."""
    by_success = result["judged_by"]["name"] == "success"
    told = []
    if result["difference"] is not None:
        told.append(_difference(result["difference"], by_success))
    if result["against"] is not None:
        for name, own in result["policies"].items():
            told.append(_threshold(name, own, result["against"], by_success))
    return f"{'; '.join(told)}."


def _difference(found: JSON, by_success: bool) -> str:
    """Tell which policy is better, or that nobody can say yet."""
    before, after = found["before"], found["after"]
    if not found["pairs"]:
        return f"{after} and {before} have no pair of rollouts yet"
    gained, ends = found["mean"], (found["low"], found["high"])
    means = found["means"][::-1]
    if found["above"] is False:  # told from the better one's side
        before, after = after, before
        gained = -gained
        ends = (_minus(found["high"]), _minus(found["low"]))
        means = means[::-1]
    pairs = count(found["pairs"], "pair")
    if by_success:
        sizes = " against ".join(f"{mean * found['pairs']:.0f}" for mean in means)
        counted = f"{sizes} successes in {pairs} of rollouts"
        better = f"{after} succeeds more often than {before}"
        amount = f"{_points(gained)} percentage points"
    else:
        sizes = " against ".join(map(number, means))
        counted = f"{sizes} in the mean of {pairs} of rollouts"
        better = f"{after} scores higher than {before}"
        amount = number(gained)
    limits = f"{amount} ({between(*ends, _points if by_success else number)})"
    if found["decided_after"] is None:
        better = f"{after} and {before} are not told apart yet"
        return f"{better}: {counted}, {after} minus {before} is {limits}"
    return f"{better}: {counted}, a difference of {limits}"


def _threshold(name: str, own: JSON, against: float, by_success: bool) -> str:
    """Tell on which side of a threshold a policy's mean is."""
    known = own["rollouts"] - own["unsure"]
    level = percent(against) if by_success else number(against)
    side = "less" if own["above"] is False else "more"
    what = f"{name} succeeds in {side} than {level} of its rollouts"
    if not by_success:
        what = f"{name} scores {side} than {level} in the mean"
    if own["decided_after"] is None:
        what = f"whether {what} is not decided yet"
    if not known:
        return f"{what}: no rollout counts yet"
    if by_success:
        counted = f"{own['mean'] * known:.0f} successes in {count(known, 'rollout')}"
        limits = f"{between(own['low'], own['high'], _points)} %"
    else:
        counted = f"{number(own['mean'])} in {count(known, 'rollout')}"
        limits = between(own["low"], own["high"], number)
    return f"{what}: {counted} ({limits})"


def between(low: float | None, high: float | None, shown: Callable[[float], str]) -> str:
    """Return the limits of a mean in words; the first values of an unknown range have none."""
    if low is None or high is None:
        return "no 95 % confidence sequence yet"
    return f"95 % confidence sequence {shown(low)} to {shown(high)}"


def _minus(end: float | None) -> float | None:
    return None if end is None else -end


def _points(share: float) -> str:
    """Return a share in hundredths, without its sign of per cent."""
    return f"{100 * share + 0.0:.0f}"


def left_out(result: JSON) -> str:
    """Return what does not count, and why; empty where everything does."""
    found = result["difference"]
    told: list[str] = []
    if found is not None and found["alone"]:
        told.append(f"{count(found['alone'], 'rollout')} had no partner from the same start.")
    if found is not None and found["unsure"]:
        told.append(f"{count(found['unsure'], 'pair')} left out: one of the two is unsure.")
    unsure = sum(own["unsure"] for own in result["policies"].values())
    if unsure:
        told.append(f"Of {count(unsure, 'rollout')} nobody could say how it went.")
    return " ".join(told)


def how_decided(result: JSON) -> list[str]:
    """Return how it was decided, in sentences."""
    scale = result["judged_by"]
    bettor = "A bettor bets on which policy of a pair succeeds"
    spread = (
        "The bets are spread evenly over all shares of the capital and over the whole of it "
        "(Waudby-Smith and Ramdas 2024, hgKelly; on pairs of which one succeeds this is a test "
        "martingale on McNemar's discordant pairs)."
    )
    if scale["low"] is None:
        bettor = "A bettor bets on how far values lie from it in their own standard deviations"
        spread = (
            "No range of the values is known, so that they are taken for Gaussian (Wang and Ramdas "
            "2025, a t test that holds at any time): where rare values are far worse than those "
            "seen, this is too sure."
        )
    elif scale["name"] != "success":
        ends = f"{number(scale['low'])} and {number(scale['high'])}"
        bettor = f"A bettor bets on values between {ends}"
    return [
        f"{bettor}, and cannot gain on average "
        "where there is no difference. A difference is claimed once the bettor has 20 times what "
        "they began with: where there is none, that happens in 5 of 100 comparisons at most, "
        "however often one looks and whenever one stops.",
        "A confidence sequence holds the true mean at all times with a confidence of 95 %, for "
        "each figure by itself. Its limits only come closer.",
        spread,
        "This holds for starts that are drawn at random, with both policies in random order from "
        "each; a policy that was changed between its rollouts is another policy.",
    ]
