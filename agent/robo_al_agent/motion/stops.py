"""Who has said stop, and to what, until the control loop has come to it."""

from collections import deque
from collections.abc import Iterator


class Stops:
    """Said by any thread, taken by the control loop; none is forgotten for another one."""

    def __init__(self) -> None:
        self._said: deque[tuple[str, str | None]] = deque()
        """Who, and to which rollout; None: to everything."""

    def __bool__(self) -> bool:
        """Whether one was said that was not taken yet."""
        return bool(self._said)

    def say(self, who: str, id: str | None) -> None:
        """Stop one rollout or recording, or everything; from any thread."""
        self._said.append((who, id))

    def of(self, id: str) -> str | None:
        """Return who was the first to stop this rollout or recording; takes nothing."""
        return next((who for who, to in tuple(self._said) if to in (None, id)), None)

    def taken(self) -> Iterator[tuple[str, str | None]]:
        """Take all, one by one, in their order."""
        while self._said:
            yield self._said.popleft()
