"""The pulls that pages began: started, cancelled, and what became of each. Knows no page and no engine.

They belong to nobody who could leave: a pull goes on when the page that began it is closed.
"""

from typing import Literal

import msgspec

from app.errors import NotFound, StreamBroken
from app.fleet.pull import Pull
from app.fleet.pulls import Pulls
from node.wire import model_key

KEPT_MOST = 100
"""Pulls that are over and still told of."""

State = Literal["pulling", "done", "failed", "cancelled"]


class PullRow(msgspec.Struct, frozen=True, kw_only=True):
    """One pull. ``progress`` is 0 to 1 of the bytes that its engine has told of so far."""

    node_id: str
    model: str
    state: State
    status: str
    completed_bytes: int
    total_bytes: int
    progress: float
    error: str


class PullBoard:
    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self._begun: dict[tuple[str, str], Pull] = {}
        self._cancelled: set[Pull] = set()

    def begin(self, node_id: str, model: str) -> Pull:
        """Begin a pull, or join the one that is under way. Raises a ``HerdError`` when none can begin."""
        pull = self._pulls.want(model, node_id=node_id)
        pull.kept = True
        self._pulls.leave(pull)
        self._note(pull)
        return pull

    async def whole(self, pull: Pull) -> None:
        """Until it is over. Raises the ``HerdError`` with which it ended."""
        listener = self._pulls.listen(pull)
        try:
            while await listener.next():
                pass
        finally:
            self._pulls.deafen(pull, listener)
        if pull.error is not None:
            raise pull.error

    def cancel(self, node_id: str, model: str) -> None:
        """Stop it, for all who wait for it. What came so far stays on the node for the next one."""
        pull = self._pulls.find(model, node_id)
        if pull is None:
            raise NotFound(f"no pull of {model} to {node_id} is under way")
        self._note(pull)
        self._cancelled.add(pull)
        self._pulls.stop(pull, StreamBroken("cancelled on the dashboard"))

    def rows(self) -> tuple[PullRow, ...]:
        """All that run, whoever began them, and those begun or cancelled here that are over."""
        running = {(pull.node_id, pull.key): pull for pull in self._pulls.all()}
        return tuple(self._row(pull) for pull in {**self._begun, **running}.values())

    def _row(self, pull: Pull) -> PullRow:
        return PullRow(
            node_id=pull.node_id,
            model=pull.name,
            state=self._state(pull),
            status=pull.status,
            completed_bytes=pull.completed,
            total_bytes=pull.total,
            progress=round(pull.progress, 4),
            error=pull.error.text if pull.error is not None and pull not in self._cancelled else "",
        )

    def _state(self, pull: Pull) -> State:
        if pull in self._cancelled:
            return "cancelled"
        if not pull.ended:
            return "pulling"
        return "done" if pull.error is None else "failed"

    def _note(self, pull: Pull) -> None:
        key = (pull.node_id, model_key(pull.name))
        before = self._begun.pop(key, None)
        if before is not None and before is not pull:
            self._cancelled.discard(before)
        self._begun[key] = pull
        over = [key for key, one in self._begun.items() if one.ended]
        for key in over[: max(0, len(self._begun) - KEPT_MOST)]:
            self._cancelled.discard(self._begun.pop(key))
