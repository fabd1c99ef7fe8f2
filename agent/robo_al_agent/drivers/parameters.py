"""Parameters of drivers that have an entry for each joint."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from robo_al_agent.errors import SetupError

Entry = TypeVar("Entry")


def checked_entries(name: str, kind: type[Entry], given: Mapping[str, Any]) -> dict[str, Entry]:
    """Return a parameter as entries of a kind, by joint.

    Raises:
        SetupError: there are none, or naming every entry that cannot be used.
    """
    entries: TypeAdapter[dict[str, Entry]] = TypeAdapter(dict[str, kind])  # type: ignore[valid-type]
    try:
        checked = entries.validate_python(given)
    except ValidationError as error:
        wrong = [f"{name}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise SetupError("; ".join(wrong)) from error
    if not checked:
        raise SetupError(f"{name}: none; one entry for each joint is needed")
    return checked
