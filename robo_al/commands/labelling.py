"""`label`: say of one rollout after the other how it went, by one key each."""

import argparse
import getpass
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from robo_al.commands import AddCommand, Stopped
from robo_al.errors import UserError

if TYPE_CHECKING:
    from robo_al.commands.keys import Keys
    from robo_al.dataset.ledger import LabelRow, Ledger
    from robo_al.dataset.rows import RolloutRow
    from robo_al.dataset.view import RunView
    from robo_al.types import Scalar

SUCCESS: "dict[str, Scalar]" = {"y": True, "n": False, "u": "unsure"}
"""What a key says of a rollout's success."""
HELP = (
    "y success, n failure, u unsure; 0 to 9 tenths of the way, f all of it; t a note; z take back, "
    "space later, q quit"
)


def add(command: AddCommand) -> None:
    """Add the command."""
    label = command(
        "label",
        _label,
        "say of one rollout after the other how it went",
        epilog=f"Keys: {HELP}. What they say is durable at once.",
    )
    label.add_argument("folder", type=Path, metavar="DIR")
    label.add_argument(
        "rollouts",
        metavar="ID",
        nargs="*",
        help="these, whatever was said of them (all of which you said nothing yet)",
    )
    label.add_argument("--by", metavar="NAME", help="who you are (your user name)")


def _label(options: argparse.Namespace) -> None:
    from robo_al.commands.keys import Keys
    from robo_al.dataset.folders import LEDGER
    from robo_al.dataset.ledger import Ledger
    from robo_al.dataset.view import RunView
    from robo_al.report.terminal import say
    from robo_al.report.words import count

    by = (_user() if options.by is None else options.by).strip()
    if not by:
        raise UserError("--by: no name; say who you are")
    run = RunView(options.folder)
    rows = {row.id: row for row in run.rollout_rows if row.steps}
    for name in options.rollouts:
        if name not in rows:
            found = "nothing of it was measured" if name in run.labels else "no such rollout"
            raise UserError(f"{options.folder}: {name}: {found}; see robo-al show {options.folder}")
    with closing(Ledger.open(options.folder / LEDGER)) as ledger, Keys() as keys:
        sitting = Sitting(ledger, by, options.rollouts or list(rows), bool(options.rollouts))
        say(HELP)
        try:
            while not sitting.ended:
                _ask(run, rows, sitting, keys)
        except KeyboardInterrupt:
            again = f"robo-al label {options.folder}"
            raise Stopped(f"stopped; what was said is kept; go on with: {again}") from None
        answered = len(sitting.rollouts) - len(sitting.unanswered)
        say(f"{by} has answered {answered} of {count(len(sitting.rollouts), 'rollout')}.")


def _ask(
    run: "RunView", rows: "Mapping[str, RolloutRow]", sitting: "Sitting", keys: "Keys"
) -> None:
    """Show the rollout that is to be asked about now, and do what a key says of it."""
    from robo_al.report.card import card
    from robo_al.report.terminal import say
    from robo_al.report.words import count

    rollout, left = sitting.next(), len(sitting.unanswered)
    if rollout is None:
        say("\nNo rollout is left to ask about: z takes back, q quits", "bold")
    else:
        say(f"\n{rollout}, {count(left, 'rollout')} to go", "bold")
        for line in card(run, rows[rollout], sitting.said(rollout)):
            say(line)
    while not (told := sitting.press(rollout, keys)):
        say(HELP)
    say(told)


def _user() -> str:
    """Return the name of the user who runs the program, or nothing where it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


class Sitting:
    """Somebody who answers for rollouts, one after the other.

    Args:
        ledger: of the run.
        by: who it is.
        rollouts: which are asked about, in this order.
        again: whether what they said earlier counts as no answer.
    """

    def __init__(self, ledger: "Ledger", by: str, rollouts: Sequence[str], again: bool) -> None:
        from robo_al.dataset.ledger import LabelRow

        self.rollouts = rollouts
        self._ledger = ledger
        self._by = by
        last = ledger.last(LabelRow) if again else None
        self._since = 0 if last is None else last.sequence
        self._later: set[str] = set()
        self.ended = False
        """Whether they want to stop."""

    @property
    def unanswered(self) -> list[str]:
        """The rollouts of whose success they said nothing."""
        own = [row for row in self._labels(by=self._by) if row.sequence > self._since]
        answered = {row.rollout for row in own if row.name == "success"}
        return [rollout for rollout in self.rollouts if rollout not in answered]

    def next(self) -> str | None:
        """Return the rollout that is to be asked about now; None where there is none left."""
        return next((name for name in self.unanswered if name not in self._later), None)

    def said(self, rollout: str) -> "list[LabelRow]":
        """Return what was said of a rollout, by whomever."""
        return self._labels(rollout=rollout)

    def press(self, rollout: str | None, keys: "Keys") -> str:
        """Do what the next key means; return what was done, or nothing for one without a meaning.

        Args:
            rollout: that is asked about, if one is.
            keys: where the key comes from.
        """
        key = keys.key()
        if key in ("", "q", "\x04"):  # the end of what is typed: Ctrl-D
            self.ended = True
            return "what was said is kept"
        if key == "z":
            return self._take_back()
        return "" if rollout is None else self._answer(rollout, key, keys)

    def _answer(self, rollout: str, key: str, keys: "Keys") -> str:
        """Do what a key says of a rollout."""
        if key == " ":
            self._later.add(rollout)
            return "later"
        if key == "t":
            note = keys.line("note: ")
            return self._say(rollout, "note", note) if note else "no note"
        if key in SUCCESS:
            return self._say(rollout, "success", SUCCESS[key])
        if key.isdecimal() or key == "f":
            return self._say(rollout, "progress", 1.0 if key == "f" else int(key) / 10)
        return ""

    def _say(self, rollout: str, name: str, value: "Scalar") -> str:
        from robo_al.dataset.labels import label
        from robo_al.report.measures import cell
        from robo_al.types import Label

        label(self._ledger, rollout, Label(name, value, self._by))
        return f"{rollout}: {name} {cell(value)}"

    def _take_back(self) -> str:
        from robo_al.dataset.labels import take_back

        gone = take_back(self._ledger, self._by, self.rollouts)
        if gone is None:
            return f"nothing that {self._by} said is left to take back"
        self._later.discard(gone.rollout)
        return f"{gone.rollout}: {gone.name} is taken back"

    def _labels(self, **where: str) -> "list[LabelRow]":
        from robo_al.dataset.ledger import LabelRow
        from robo_al.dataset.rows import standing

        return standing(self._ledger.rows(LabelRow, **where))
