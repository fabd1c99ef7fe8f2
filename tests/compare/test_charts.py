"""The comparison's charts say n, the interval and the unit, and need no colours."""

from xml.etree import ElementTree

import pytest

from robo_al.compare import charts
from robo_al.compare.charts import Bar, Curve, looks
from robo_al.report.charts import BLUE

CURVE = Curve([1, 2, 4], [-3.0, -2.0, -1.0], [-4.0, -3.0, -2.0], [-2.0, -1.0, 0.0], 10)


def words(svg: str) -> str:
    """Return all text in a chart."""
    return " | ".join(text for text in ElementTree.fromstring(svg).itertext() if text.strip())


def learning_curve(threshold: float | None = -1.5, ceiling: float | None = -0.5) -> str:
    """Draw a strategy over random."""
    return charts.learning_curve(
        "ucb",
        {"random": CURVE, "ucb": CURVE},
        looks(["random", "ucb"]),
        threshold,
        ceiling,
        (-5.0, 1.0),
        "return",
    )


def test_learning_curve_says_what_it_shows() -> None:
    text = words(learning_curve())
    for part in (
        "training rollouts", "return", "95 % band", "ucb (n = 10)", "random (n = 10)",
        "solved (-1.5)", "perfect model (-0.5)",
    ):  # fmt: skip
        assert part in text
    assert "solved" not in words(learning_curve(threshold=None))
    assert "perfect model" not in words(learning_curve(ceiling=None))


def test_intervals_mark_what_is_claimed_by_shape() -> None:
    svg = {
        claimed: charts.intervals(
            [Bar("ucb", 3.0, 1.0, 5.0, BLUE, claimed)], "rollouts saved", none=0.0
        )
        for claimed in (True, False)
    }
    shapes = [
        {path.get("d") for path in ElementTree.fromstring(text).iter() if path.get("d")}
        for text in svg.values()
    ]
    assert shapes[0] != shapes[1]
    for part in ("ucb", "rollouts saved"):
        assert part in words(svg[True])


def test_profile_names_its_strategies() -> None:
    svg = charts.performance_profile(
        [0.0, 0.5, 1.0],
        {"random": [1.0, 0.5, 0.0], "ucb": [1.0, 0.8, 0.1]},
        looks(["random", "ucb"]),
        "score",
    )
    for part in ("random", "ucb", "score", "[%]"):
        assert part in words(svg)


def test_no_two_strategies_look_alike() -> None:
    names = [f"s{i}" for i in range(60)]
    drawn = looks(["true_dynamics", *names, "all_knowing"])
    assert len(set(drawn.values())) == 62
    assert len({(drawn[name].line, drawn[name].marker) for name in names[:20]}) == 20
    assert len({drawn[name].colour for name in names[:6]}) == 6


def test_a_strategy_looks_the_same_whatever_is_beside_it() -> None:
    few = looks(["mine", "joint_information", "random"])
    many = looks(["random", "greedy_return", "joint_information", "mine", "all_knowing"])
    assert few["random"] == many["random"]
    assert few["joint_information"] == many["joint_information"]
    assert len({look.colour for look in few.values()}) == 3
    assert len({look.colour for look in many.values()}) == 5


def test_a_strategy_has_its_colour_in_every_chart() -> None:
    drawn = looks(["random", "ucb"])
    for name, look in drawn.items():
        curves = charts.learning_curve(
            name, {name: CURVE}, drawn, None, None, (-5.0, 1.0), "return"
        )
        profile = charts.performance_profile([0.0, 1.0], {name: [1.0, 0.0]}, drawn, "score")
        bars = charts.intervals([Bar(name, 3.0, 1.0, 5.0, look.colour)], "saved", none=0.0)
        others = {other.colour for other in drawn.values()} - {look.colour}
        for svg in (curves, profile, bars):
            assert look.colour.lower() in svg
            assert not any(other.lower() in svg for other in others)


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (0.2, 0.4), (-3.5, 2.0), (0.0, 900.0)])
def test_rollouts_saved_have_whole_ticks(low: float, high: float) -> None:
    svg = charts.intervals([Bar("ucb", low, low, high, BLUE)], "saved", none=0.0)
    ticks = [part for part in words(svg).split(" | ") if part[-1].isdigit()]
    assert len(ticks) > 1
    assert all("." not in tick for tick in ticks)


@pytest.mark.parametrize("name", ["a" * 100, "_x", "größe"])
def test_any_name_can_be_drawn(name: str) -> None:
    bars, drawn = [Bar(name, 0.0, -1.0, 1.0, BLUE)], looks([name])
    for svg in (
        charts.intervals(bars, "rollouts"),
        charts.learning_curve(name, {name: CURVE}, drawn, None, None, (-5.0, 1.0), "return"),
        charts.performance_profile([0.0, 1.0], {name: [1.0, 0.0]}, drawn, "score"),
    ):
        assert name[:27] in words(svg)


def test_charts_are_the_same_each_time_in_the_ink_of_the_page() -> None:
    svg = learning_curve()
    assert svg == learning_curve()
    assert "currentColor" in svg
    assert "#010203" not in svg
