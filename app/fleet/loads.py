"""Which models are being loaded where, and since when. Pure; knows no queue and no clock."""

from app.fleet.job import Key


class Loads:
    """Loads that requests caused, and loads ahead of them. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: dict[Key, float] = {}

    def begin(self, key: Key, now: float) -> None:
        self._since.setdefault(key, now)

    def end(self, key: Key) -> None:
        """Loaded, failed or given up. Twice is as once."""
        self._since.pop(key, None)

    def under_way(self) -> tuple[Key, ...]:
        return tuple(self._since)

    def lasts_s(self, key: Key, now: float) -> float | None:
        """For how long the load has been under way; None: there is none."""
        since = self._since.get(key)
        return None if since is None else now - since
