"""One answer on its way from node to client: through the meter, one terminal, one end. Knows no HTTP library."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.errors import EngineFailed, HerdError, Stalled, StreamBroken
from app.fleet.job import Call, Job, Meter, Outcome, Route


class Exchange(Protocol):
    """One request at an engine, as the client of the data plane offers it. ``progressed_at`` is loop time."""

    status: int
    content_type: str
    progressed_at: float

    async def head(self) -> None: ...
    async def piece(self) -> bytes: ...
    async def whole(self, limit: int) -> bytes: ...
    def abort(self, error: HerdError) -> None: ...
    def close(self) -> None: ...


Close = Callable[[Outcome, HerdError | None], None]


@dataclass(slots=True)
class Reply:
    """An answer that has begun: ``first`` holds its first bytes (all of it if ``whole``), ``next`` gives the rest.

    ``retries`` and ``route`` are true by now; ``took_s`` is how long ``first`` took from the call on. ``close`` may be
    called any number of times; the first one counts.
    """

    job: Job
    route: Route
    meter: Meter
    content_type: str
    first: bytes
    whole: bool
    retries: int
    call: Call
    exchange: Exchange
    took_s: float
    close_lease: Close
    ended: bool = False

    async def next(self) -> bytes:
        """The next bytes for the client; empty at the end. An answer that breaks ends in an error record."""
        if self.ended:
            return b""
        meter, piece_of = self.meter, self.exchange.piece
        try:
            while piece := await piece_of():
                if out := meter.feed(piece):
                    return out
            self.ended = True
            rest = meter.finish()
        except HerdError as error:
            self.ended = True
            outcome: Outcome = "expired" if isinstance(error, Stalled) else "incomplete"
            self.close_lease(outcome, error)
            return (self.call.error_event or self.job.error_event)(error)
        return rest + self._end()

    def _end(self) -> bytes:
        """Close the lease by what the meter saw; what is missing is told, never made up."""
        if self.meter.failed is not None:
            self.close_lease("failed", EngineFailed(self.meter.failed))
            return b""
        if self.meter.complete:
            self.close_lease("completed", None)
            return b""
        error = StreamBroken(f"{self.route.node_id} ended its answer before it was complete")
        self.close_lease("incomplete", error)
        return (self.call.error_event or self.job.error_event)(error)

    def client_left(self) -> None:
        self.ended = True
        self.close_lease("client_disconnected", None)
