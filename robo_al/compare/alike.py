"""Whether the runs of a comparison were made with the same versions, commit and hardware."""

from collections import Counter
from collections.abc import Iterable

from robo_al.compare.figures import JSON
from robo_al.report.words import count


def made_with(runs: Iterable[JSON]) -> tuple[str, str]:
    """Return what all runs were made with, and in what they differ: sentences, empty for nothing.

    Args:
        runs: those of every strategy and bound, as `comparison.json` has them.
    """
    texts = Counter(text for run in runs for text in run.get("made_with", ()))
    entries = {text: text.split(", ") for text in texts}
    every = list(dict.fromkeys(entry for own in entries.values() for entry in own))
    shared = [entry for entry in every if all(entry in own for own in entries.values())]
    common = f"The runs were made with {', '.join(shared)}." if shared else ""
    if len(texts) < 2:
        return common, ""
    others = (
        (amount, [entry for entry in entries[text] if entry not in shared])
        for text, amount in texts.most_common()
    )
    said = [f"{count(amount, 'run')} with {', '.join(own) or 'less'}" for amount, own in others]
    return common, (
        f"The runs were not all made alike, and a difference may come of that: {'; '.join(said)}."
    )
