"""Parameters of drivers that have an entry for each joint."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from robo_al_agent.errors import SetupError

Entry = TypeVar("Entry")


def checked_entries(
    name: str, kinds: Mapping[str, type[Entry]], given: Mapping[str, Any]
) -> dict[str, Entry]:
    """Return a parameter as entries, by joint.

    Args:
        name: of the parameter.
        kinds: what an entry may be, by the word that its key `kind` has; the first where it has
            none.
        given: the parameter's value.

    Raises:
        SetupError: there are none, or naming every entry that cannot be used.
    """
    if not isinstance(given, Mapping) or not given:
        raise SetupError(f"{name}: none; one entry for each joint is needed")
    checked, wrong = {}, []
    for joint, entry in given.items():
        kind = entry.get("kind", next(iter(kinds))) if isinstance(entry, Mapping) else None
        if kind is not None and kind not in kinds:
            wrong.append(f"{name}.{joint}.kind: {kind!r}; {' or '.join(kinds)} is needed")
            continue
        adapter: TypeAdapter[Entry] = TypeAdapter(kinds[kind or next(iter(kinds))])
        try:
            checked[str(joint)] = adapter.validate_python(entry)
        except ValidationError as error:
            for one in error.errors():
                key = ".".join(map(str, (name, joint, *one["loc"])))
                wrong.append(f"{key}: {one['msg']}")
    if wrong:
        raise SetupError("; ".join(wrong))
    return checked
