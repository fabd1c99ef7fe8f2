"""Charts say what the numbers say, in words too, and follow the page's colours."""

from xml.etree import ElementTree

import pytest

from robo_al.report import charts
from robo_al.report.charts import EvaluationPoint, HeldOut

POINTS = [
    EvaluationPoint(2, 4.0, (-3.0, -1.0), -2.0),
    EvaluationPoint(4, 8.0, (-1.0, 0.0), -0.5),
]
SECONDS = {"feedback": 3.0, "propose": 0.0, "imagine": 1.0}
ERRORS = [HeldOut(2, 3.0, 2.0, worse=False), HeldOut(3, 2.0, 2.5, worse=True)]


def words(svg: str) -> str:
    """Return all text in a chart."""
    return " | ".join(text for text in ElementTree.fromstring(svg).itertext() if text.strip())


def test_every_chart_is_one_element_in_the_ink_of_the_page() -> None:
    drawn = [
        charts.learning_curve(POINTS, -1.0),
        charts.time_shares(SECONDS),
        charts.information([1.0, 2.0], [1.5, 1.0]),
        charts.training_returns([1.0, None]),
        charts.held_out(ERRORS),
    ]
    for svg in drawn:
        assert ElementTree.fromstring(svg).tag.endswith("svg")
        assert "currentColor" in svg
        assert "#010203" not in svg
        assert "#000000" not in svg


def test_charts_are_the_same_each_time() -> None:
    assert charts.held_out(ERRORS) == charts.held_out(ERRORS)


def test_learning_curve_has_units_threshold_and_number_of_starts() -> None:
    text = words(charts.learning_curve(POINTS, -1.0))
    for part in ("training rollouts", "solved (-1)", "n = 2"):
        assert part in text
    assert "[s]" in words(charts.learning_curve(POINTS, -1.0, robot_time=True))
    assert "solved" not in words(charts.learning_curve(POINTS, None))


def test_learning_curve_without_robot_time() -> None:
    points = [EvaluationPoint(2, None, (-3.0,), -3.0), POINTS[1]]
    assert "robot time" in words(charts.learning_curve(points, None, robot_time=True))


@pytest.mark.parametrize("rollouts", [1, 2, 1000])
def test_counts_have_whole_ticks(rollouts: int) -> None:
    point = EvaluationPoint(rollouts, 4.0, (-3.0, -1.0), -2.0)
    drawn = {
        "training rollouts": charts.learning_curve([point], None),
        "training rollout": charts.training_returns([1.0] * rollouts),
        "retraining": charts.held_out([HeldOut(rollouts, 3.0, 2.0, worse=False)]),
    }
    for label, svg in drawn.items():
        ticks = words(svg).split(f" | {label} | ")[0].split(" | ")[1:]  # after the style
        assert ticks and all(tick.isdigit() for tick in ticks), ticks


def test_a_picture_has_its_words_as_its_name() -> None:
    picture = charts.Picture(charts.training_returns([1.0]), 'of <1> "rollout".')
    svg = ElementTree.fromstring(picture.__html__())
    assert (svg.get("role"), svg.get("aria-label")) == ("img", 'of <1> "rollout".')


def test_time_shares_are_of_the_whole() -> None:
    text = words(charts.time_shares(SECONDS))
    for part in ("feedback", "75 %, 3 s", "propose", "0 %, 0 s", "imagine", "25 %, 1 s", "4 s"):
        assert part in text


def test_nothing_measured_yet() -> None:
    assert "0 s" in words(charts.time_shares(dict.fromkeys(SECONDS, 0.0)))


@pytest.mark.parametrize(
    ("returns", "shown", "hidden"),
    [
        ([1.0, 2.0], "recorded", "no data"),
        ([None], "no data", "recorded"),
        ([1.0, None], "no data", "nothing"),
    ],
)
def test_training_returns_mark_failures(
    returns: list[float | None], shown: str, hidden: str
) -> None:
    text = words(charts.training_returns(returns))
    assert shown in text
    assert hidden not in text
    assert ("1 rollout |" if len(returns) == 1 else "2 rollouts |") in f"{text} |"


def test_held_out_marks_what_got_worse() -> None:
    assert "worse" in words(charts.held_out(ERRORS))
    assert "worse" not in words(charts.held_out(ERRORS[:1]))
