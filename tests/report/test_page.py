"""The report of real campaigns of fakes: complete, partial and failed ones."""

import base64
import dataclasses
import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from robo_al import loop, plugins
from robo_al.campaign.campaign import Campaign
from robo_al.campaign.settings import Parts
from robo_al.dataset.ledger import EvaluationRow, Ledger, RolloutRow
from robo_al.errors import OracleError, RunFolderError
from robo_al.oracles.simulation import SimulationOracle
from robo_al.report import footage, video
from robo_al.report.page import write_report
from robo_al.report.video import Video, VideoError
from robo_al.report.words import number
from robo_al.tasks import contexts_from, describe
from robo_al.testing import FakeModel, FakeOracle, FakePolicy
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts, fake_settings
from robo_al.types import EnvSpec, FailureKind

FAKE = "robo_al.testing:FakeEnv"


def config(env: str, threshold: float | None = None) -> str:
    """Return what the report reads of a configuration."""
    wanted = {
        "env": {"name": env},
        "strategy": {
            "acquisition": {"name": "joint_information"},
            "selector": None,
            "cost": None,
            "constraint": None,
        },
        "oracle": {"name": "simulation"},
        "evaluation": {"every": 1},
        "rounds": 3,
        "seed": 7,
        "threshold": threshold,
    }
    return json.dumps(wanted, indent=2)


def fake_run(
    folder: Path, text: str = config(FAKE), failures: dict[int, FailureKind] | None = None
) -> Path:
    """Run a campaign of fakes."""
    with (
        Campaign.create(folder, fake_parts(), FAKE_SETTINGS, text) as campaign,
        FakeOracle(failures=failures) as oracle,
    ):
        loop.run(campaign, oracle, lambda event: None)
    return folder


def pendulum_parts() -> Parts:
    """Return fakes on a task that can be drawn."""
    spec = EnvSpec("pendulum")
    env = plugins.make_env(spec)
    task = dataclasses.replace(describe(env, spec), horizon=20)
    return dataclasses.replace(
        fake_parts(),
        task=task,
        contexts_from=lambda seeds: contexts_from(env, seeds),
        explorer=FakePolicy(task),
        policy=FakePolicy(task, streamed=True),
        model=FakeModel(task),
    )


@pytest.fixture(scope="module")
def pendulum(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of a task that can be drawn, with its report."""
    folder = tmp_path_factory.mktemp("runs") / "pendulum"
    settings = fake_settings(evaluation={"starts": 3})
    with (
        Campaign.create(folder, pendulum_parts(), settings, config("pendulum", -1e6)) as campaign,
        SimulationOracle(EnvSpec("pendulum")) as oracle,
    ):
        loop.run(campaign, oracle, lambda event: None)
        assert write_report(folder) == folder / "report.html"  # of a campaign that is still open
    return folder


@pytest.fixture
def no_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """Save the seconds that a video takes."""

    def film(spec: EnvSpec, rollouts: object) -> list[Video]:
        raise VideoError("the camera is off")

    monkeypatch.setattr(footage, "film", film)


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.names: list[str] = []
        self.text = ""
        self.feed(html)
        self.text = self.text.replace("\N{NO-BREAK SPACE}", " ")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]
        if dict(attrs).get("role") == "img" or tag == "video":
            self.names.append(dict(attrs)["aria-label"] or "")
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.tags and self.tags[-1] == "td":
            self.cells[-1] += data.strip()


def page_of(folder: Path) -> Page:
    """Return the report of a run."""
    return Page(write_report(folder).read_text(encoding="utf-8"))


def films_of(page: Page) -> list[bytes]:
    """Return the videos in a page."""
    start = "data:video/mp4;base64,"
    return [base64.b64decode(v.removeprefix(start)) for v in page.links if v.startswith(start)]


def test_report_needs_nothing_but_itself(pendulum: Path) -> None:
    html = (pendulum / "report.html").read_text(encoding="utf-8")
    page = Page(html)
    assert page.links
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert {"script", "link", "iframe", "img"}.isdisjoint(page.tags)
    assert "@import" not in html
    assert "url(http" not in html


def test_report_can_be_read_without_seeing_it(pendulum: Path) -> None:
    page = Page((pendulum / "report.html").read_text(encoding="utf-8"))
    assert len(page.names) == page.tags.count("svg") + page.tags.count("video")
    assert all(name.endswith(".") for name in page.names)
    assert any(name.startswith("Learning curve: the mean return") for name in page.names)
    assert page.tags.count("table") == page.tags.count("caption") == 1
    headings = [tag for tag in page.tags if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1" and set(headings[1:]) == {"h2"}
    assert page.tags.count("main") == 1


def test_paper_cuts_no_column_off(pendulum: Path) -> None:
    html = (pendulum / "report.html").read_text(encoding="utf-8")
    paper = html.split("@media print {")[1].split("</style>")[0]
    assert ".scroll { overflow: visible; max-height: none;" in paper
    assert "td.text, td.reason { white-space: normal;" in paper


def test_report_says_what_was_learned(pendulum: Path) -> None:
    text = Page((pendulum / "report.html").read_text(encoding="utf-8")).text
    with Ledger.open(pendulum / "ledger.sqlite", read_only=True) as ledger:
        second = ledger.rows(EvaluationRow)[1]
    assert "pendulum · joint_information · seed 7" in text
    assert f"Solved after {second.rollouts} rollouts and {second.transitions} transitions." in text
    for part in ("robot time of training rollouts [s]", "feedback", "as predicted", "[nat]"):
        assert part in text


def test_report_has_every_rollout_and_why_it_was_chosen(pendulum: Path) -> None:
    cells = Page((pendulum / "report.html").read_text(encoding="utf-8")).cells
    with Ledger.open(pendulum / "ledger.sqlite", read_only=True) as ledger:
        rows = ledger.rows(RolloutRow)
    assert [cell for cell in cells if cell.startswith("r0")] == [row.id for row in rows]
    assert "explorer" in cells
    for row in rows:
        for value in (row.score, row.gain, row.predicted_information, row.realised_information):
            assert value is None or number(value) in cells
        assert row.model_hash is None or row.model_hash[:8] in cells


def test_report_shows_the_first_and_the_best_evaluation(
    pendulum: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    def film(spec: EnvSpec, rollouts: list[tuple]) -> list[Video]:  # type: ignore[type-arg]
        shown.extend(trajectory.total_reward for _, trajectory in rollouts)
        return video.film(spec, rollouts)

    monkeypatch.setattr(footage, "film", film)
    page = page_of(pendulum)
    with Ledger.open(pendulum / "ledger.sqlite", read_only=True) as ledger:
        rows = ledger.rows(EvaluationRow)
    best = max(rows, key=lambda row: row.mean_return or 0.0)
    returns = json.loads(best.returns)
    start = returns.index(sorted(returns)[1])
    expected = [json.loads(row.returns)[start] for row in dict.fromkeys([rows[0], best])]
    assert shown == pytest.approx(expected)
    assert len(films_of(page)) == len(expected)
    assert "It is made by executing the recorded actions again." in page.text
    assert "observations differ" not in page.text


def test_report_tells_when_a_video_is_not_what_happened(
    pendulum: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        footage, "film", lambda spec, rollouts: [Video(b"", 0.5, 2.0, 9.0) for _ in rollouts]
    )
    text = page_of(pendulum).text
    assert "observations differ from the record by up to 0.5" in text
    assert "the first 2 of 9 s only" in text


def test_altered_evaluation_is_not_shown(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "run")
    for path in (folder / "evaluations").iterdir():
        path.write_bytes(path.read_bytes()[:-9])
    page = page_of(folder)
    assert not films_of(page)
    assert "There is no video: evaluation of round" in page.text


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("env", "reason"),
    [
        (FAKE, "render_mode"),  # it cannot be drawn
        ("lab/gone.py:Arm", "lab/gone.py"),  # and this one is not there any more
    ],
)
def test_env_that_gives_no_video(env: str, reason: str, tmp_path: Path) -> None:
    page = page_of(fake_run(tmp_path / "run", config(env)))
    assert not films_of(page)
    assert reason in page.text.split("There is no video: ")[1].split("\n")[0]
    assert "return of an evaluation" in page.text


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("oracle", "repeated"),
    [
        ({"name": "simulation"}, True),
        ({"name": "gymnasium"}, True),
        ({"name": "gymnasium", "repeatable": False}, False),
        ({"name": f"{__file__}:Robot"}, False),
    ],
)
def test_a_robot_is_never_moved_for_a_video(
    oracle: dict[str, object], repeated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filmed = []

    def film(spec: EnvSpec, rollouts: list[tuple]) -> list[Video]:  # type: ignore[type-arg]
        filmed.append(spec)
        raise VideoError("the test has seen enough")

    monkeypatch.setattr(footage, "film", film)
    folder = fake_run(tmp_path / "run")
    (folder / "config.yaml").write_text(json.dumps(json.loads(config(FAKE)) | {"oracle": oracle}))
    text = page_of(folder).text
    assert bool(filmed) == repeated
    assert ("are not executed again" in text) == (not repeated)


class Robot:
    """An oracle that says nothing of repeating."""


@pytest.mark.usefixtures("no_camera")
def test_without_threshold_and_not_solved(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "run")
    assert "the task has no threshold" in page_of(folder).text
    (folder / "config.yaml").write_text(config(FAKE, threshold=1e6))
    assert "Not solved within" in page_of(folder).text
    assert "two evaluations in a row reach 1e+06" in page_of(folder).text


def begin(folder: Path) -> Path:
    """Begin a campaign and do nothing."""
    with Campaign.create(folder, fake_parts(), FAKE_SETTINGS, config(FAKE)):
        return folder


def ask_only(folder: Path) -> Path:
    """Ask, and never tell."""
    with Campaign.create(folder, fake_parts(), FAKE_SETTINGS, config(FAKE)) as campaign:
        campaign.ask()
    return folder


def one_rollout(folder: Path) -> Path:
    """Tell one outcome, without any evaluation."""
    with (
        Campaign.create(folder, fake_parts(), FAKE_SETTINGS, config(FAKE)) as campaign,
        FakeOracle() as oracle,
    ):
        oracle.submit(campaign.ask(1)[0])
        campaign.tell(oracle.poll()[0])
    return folder


def all_failed(folder: Path) -> Path:
    """Run a campaign in which nothing ever works."""
    with pytest.raises(OracleError, match="none of 3 rollouts brought data"):
        fake_run(folder, failures=dict.fromkeys(range(100), "aborted"))
    return folder


@pytest.mark.usefixtures("no_camera")
@pytest.mark.parametrize(
    ("make", "headline"),
    [
        (begin, "No rollout has been recorded yet."),
        (ask_only, "No rollout has been recorded yet."),
        (one_rollout, "Recorded 1 rollout and "),
        (all_failed, "No rollout has been recorded: "),
    ],
)
def test_partial_runs(make: Callable[[Path], Path], headline: str, tmp_path: Path) -> None:
    page = page_of(make(tmp_path / "run"))
    assert headline in page.text
    assert "The policy has not been evaluated yet." in page.text


@pytest.mark.usefixtures("no_camera")
def test_failures_are_told_with_their_reason(tmp_path: Path) -> None:
    page = page_of(fake_run(tmp_path / "run", failures={0: "quarantined", 4: "failed"}))
    assert "1 rollout was quarantined, and nothing is learned from it: r0001-00." in page.text
    assert "made to be quarantined" in page.cells


@pytest.mark.usefixtures("no_camera")
def test_everything_is_escaped(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "run")
    evil = "</pre><script>alert(1)</script>"
    (folder / "config.yaml").write_text(json.dumps(json.loads(config(FAKE)) | {"note": evil}))
    with Ledger.open(folder / "ledger.sqlite") as ledger, ledger.transaction():
        ledger.update(RolloutRow, "r0001-00", state="failed", reason=evil)
    page = page_of(folder)
    assert "script" not in page.tags
    assert evil in page.cells


@pytest.mark.usefixtures("no_camera")
def test_a_worse_model_is_told(tmp_path: Path) -> None:
    folder = fake_run(tmp_path / "run")
    sentence = "1 retraining made the model worse."
    assert sentence not in page_of(folder).text
    errors = {name: {"density": float(np.pi), "error": [1.0]} for name in ("old", "new")}
    errors["new"] |= {"reward": 0.25}
    held_out = json.dumps(errors | {"worse": True})
    import sqlite3

    connection = sqlite3.connect(folder / "ledger.sqlite")
    connection.execute(
        "UPDATE fits SET held_out = ? WHERE number = (SELECT MAX(number) FROM fits)", [held_out]
    )
    connection.commit()
    connection.close()
    text = page_of(folder).text
    assert f"{sentence} The learned reward is off by 0.25 times its spread." in text


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run here"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
