"""A finished job becomes history: one trace, one duration for the latency table, one log line. Knows no HTTP."""

from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from app.errors import HerdError
from app.fleet.job import Job, Outcome, Route, Usage
from app.fleet.latency import Latency
from app.store.records import AttemptRecord, TraceRecord
from node.wire import model_key


@dataclass(slots=True)
class Trail:
    """What happened to one job so far. Times are monotonic seconds.

    ``notes`` are those of the last attempt, after ``router_notes``: what was done before any. ``is_part``: the job is
    part of another one, which is written down instead, and whose ``attempts`` it shares.
    """

    job: Job
    entered_at: float
    attempts: list[AttemptRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    router_notes: list[str] = field(default_factory=list)
    waited_s: float = 0.0
    route: Route | None = None
    dispatched_at: float | None = None
    first_at: float | None = None
    usage: Usage = field(default_factory=Usage)
    closed: bool = False
    is_part: bool = False

    @property
    def retries(self) -> int:
        return sum(attempt.outcome == "retried" for attempt in self.attempts)


class Ledger:
    """Writes each job down once. ``wall`` is epoch seconds and stands on the trace; ``clock`` measures."""

    def __init__(
        self,
        *,
        latency: Latency,
        put: Callable[[TraceRecord], None],
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._latency = latency
        self._put = put
        self._clock = clock
        self._wall = wall
        self._log = structlog.get_logger("fleet")
        self.completed = 0
        self.failed = 0
        self.retried = 0

    def attempt_failed(self, trail: Trail, error: HerdError) -> None:
        """An attempt that another node may make good."""
        route = trail.route
        if route is None or trail.dispatched_at is None:
            return  # nothing was sent
        self.retried += 1
        trail.attempts.append(self._attempt(route, trail.dispatched_at, "retried", error))
        trail.dispatched_at = None
        self._log.warning(
            "attempt.failed", request_id=trail.job.id, node=route.node_id, model=route.model.name, error=error.message
        )

    def close(self, trail: Trail, outcome: Outcome, error: HerdError | None = None) -> None:
        """The one terminal trace of a job; closing twice changes nothing."""
        if trail.closed or trail.is_part:
            return
        trail.closed = True
        now = self._clock()
        route = trail.route
        if outcome == "completed":
            self.completed += 1
        else:
            self.failed += 1
        if route is not None and trail.dispatched_at is not None:
            if outcome == "completed":
                self._latency.observe(route.node_id, model_key(route.model.name), now - trail.dispatched_at)
            trail.attempts.append(self._attempt(route, trail.dispatched_at, outcome, error))
        self._put(self._trace(trail, outcome, error, now))
        write = self._log.debug if outcome in ("completed", "client_disconnected") else self._log.warning
        write(
            "request.finished",
            request_id=trail.job.id,
            endpoint=trail.job.endpoint,
            model=trail.job.demand.models[0],
            node=route.node_id if route is not None else None,
            outcome=outcome,
            retries=trail.retries,
            waited_s=round(trail.waited_s, 4),
            ttft_s=None if trail.first_at is None else round(trail.first_at - trail.entered_at, 4),
            took_s=round(now - trail.entered_at, 4),
            error=error.message if error is not None else None,
        )

    def _attempt(self, route: Route, started_at: float, outcome: Outcome, error: HerdError | None) -> AttemptRecord:
        return AttemptRecord(
            node_id=route.node_id,
            engine=route.engine,
            model=route.model.name,
            score=route.score,
            outcome=outcome,
            error=error.message if error is not None else "",
            latency_ms=(self._clock() - started_at) * 1000,
        )

    def _trace(self, trail: Trail, outcome: Outcome, error: HerdError | None, now: float) -> TraceRecord:
        job, route, usage = trail.job, trail.route, trail.usage
        asked = job.demand.models[0]
        return TraceRecord(
            request_id=job.id,
            model=route.model.name if route is not None else asked,
            original_model=asked,
            node_id=route.node_id if route is not None else "",
            status=outcome,
            timestamp=self._wall(),
            modality=job.demand.modality,
            engine=route.engine if route is not None else "",
            endpoint=job.endpoint,
            policy=route.policy if route is not None else "",
            how=route.how if route is not None else "asked",
            score=route.score if route is not None else None,
            scores_breakdown={**route.points, "total": route.score} if route is not None else None,
            latency_ms=(now - trail.entered_at) * 1000,
            time_to_first_token_ms=None if trail.first_at is None else (trail.first_at - trail.entered_at) * 1000,
            queue_wait_ms=trail.waited_s * 1000,
            load_ms=_ms(usage.load_s),
            prefill_ms=_ms(usage.prefill_s),
            decode_ms=_ms(usage.decode_s),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            finish_reason=usage.finish_reason,
            retry_count=trail.retries,
            fallback_used=route is not None and route.how != "asked",
            excluded_nodes=[attempt.node_id for attempt in trail.attempts if attempt.outcome == "retried"] or None,
            attempts=trail.attempts,
            client_ip=job.client,
            user_agent=job.user_agent,
            original_format=job.dialect,
            streamed=job.stream,
            error_message=(error.message or repr(error)) if error is not None else None,
            tags=list(job.tags) or None,
            notes=[*(trail.notes or trail.router_notes), *usage.notes] or None,
        )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
