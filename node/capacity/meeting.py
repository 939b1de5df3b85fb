"""When a meeting begins and when it is over: at once, and after a minute of quiet. Pure; knows no microphone."""

QUIET_S = 60.0


class Meeting:
    """``now`` is monotonic seconds. A look that saw nothing because it could not (None) ends no meeting early."""

    def __init__(self) -> None:
        self._seen_at: float | None = None

    def saw(self, active: bool | None, now: float) -> None:
        if active:
            self._seen_at = now

    def on(self, now: float) -> bool:
        return self._seen_at is not None and now - self._seen_at < QUIET_S
