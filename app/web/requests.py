"""A finished request as its row shows it, with "why this node": points, attempts, phases. Pure; knows no HTML."""

import msgspec

from app.store.records import AttemptRecord, TraceRecord
from app.web.view import count, dom_key, seconds

OUTCOMES = {
    "completed": ("ok", "Completed"),
    "failed": ("bad", "Failed"),
    "retried": ("warn", "Retried"),
    "incomplete": ("warn", "Incomplete"),
    "client_disconnected": ("quiet", "Client left"),
    "expired": ("warn", "Expired waiting"),
}
GROUPS = {"failed": ("failed", "incomplete", "expired")}
"""What is looked for together: all that the fleet owes its client."""
CHOICES = (
    ("", "Any outcome"),
    ("completed", "Completed"),
    ("failed", "Failed, incomplete or expired"),
    ("client_disconnected", "Client left"),
)
SCORERS = {
    "thermal": ("Thermal", "is the model in memory already"),
    "memory_fit": ("Memory fit", "room to spare beside the model"),
    "queue_depth": ("Queue depth", "requests ahead on this node"),
    "wait_time": ("Latency", "how long such requests took here"),
    "latency": ("Latency", "how long such requests took here"),
    "role_affinity": ("Role affinity", "large models to large machines"),
    "availability": ("Availability", "what the owner leaves to the fleet"),
    "availability_trend": ("Availability", "what the owner leaves to the fleet"),
    "context_fit": ("Context fit", "does the prompt fit the loaded context"),
}
HOW = {
    "asked": "",
    "fallback": "a fallback that the client named",
    "substitute": "a loaded model of the same category, chosen by the router",
}


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What one scorer gave. ``left`` and ``width`` place its bar on a scale of 0 to 100, 50 being zero points."""

    label: str
    meaning: str
    text: str
    left: float
    width: float
    negative: bool


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the request's time. ``left`` and ``width`` are parts of 100."""

    name: str
    label: str
    text: str
    left: float
    width: float


class AttemptRow(msgspec.Struct, frozen=True, kw_only=True):
    node: str
    engine: str
    model: str
    score: str
    tone: str
    word: str
    error: str
    took: str


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why this node: a sentence, then what it rests on. ``facts`` are pairs of label and value."""

    sentence: str
    total: str
    points: tuple[Point, ...]
    phases: tuple[Phase, ...]
    attempts: tuple[AttemptRow, ...]
    notes: tuple[str, ...]
    error: str
    facts: tuple[tuple[str, str], ...]


class RequestRow(msgspec.Struct, frozen=True, kw_only=True):
    """``tone`` colours the outcome: ok, warn, bad, quiet. ``asked`` is set if another model than the served one was."""

    key: str
    id: str
    at: float
    model: str
    asked: str
    node: str
    tone: str
    word: str
    wait: str
    first: str
    tokens_in: str
    tokens_out: str
    rate: str
    retries: int
    tags: tuple[str, ...]
    why: Why


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests a list holds: the words of its address. Empty: any."""

    model: str = ""
    node_id: str = ""
    tag: str = ""
    status: str = ""
    modality: str = ""
    text: str = ""

    @property
    def words(self) -> dict[str, str]:
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name))}

    @property
    def statuses(self) -> tuple[str, ...]:
        return GROUPS.get(self.status, (self.status,) if self.status else ())


def request_row(trace: TraceRecord) -> RequestRow:
    tone, word = outcome(trace.status)
    first = trace.time_to_first_token_ms
    return RequestRow(
        key=f"request-{dom_key(trace.request_id)}",
        id=trace.request_id,
        at=trace.timestamp,
        model=trace.model or trace.original_model,
        asked=trace.original_model if trace.original_model != trace.model and trace.model else "",
        node=trace.node_id,
        tone=tone,
        word=word,
        wait=seconds(trace.queue_wait_ms / 1000),
        first=seconds(None if first is None else first / 1000),
        tokens_in=count(trace.prompt_tokens),
        tokens_out=count(trace.completion_tokens),
        rate=rate(trace),
        retries=trace.retry_count,
        tags=tuple(trace.tags or ()),
        why=why(trace),
    )


def outcome(status: str) -> tuple[str, str]:
    return OUTCOMES.get(status, ("quiet", status.replace("_", " ").capitalize() or "Unknown"))


def rate(trace: TraceRecord) -> str:
    """Tokens per second while writing: by the engine's own clock, else between first token and end."""
    took_ms = trace.decode_ms
    if not took_ms and trace.streamed and trace.time_to_first_token_ms is not None:
        took_ms = trace.latency_ms - trace.time_to_first_token_ms
    if not trace.completion_tokens or not took_ms or took_ms < 1:
        return "–"
    per_second = trace.completion_tokens / took_ms * 1000
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.1f}"


def why(trace: TraceRecord) -> Why:
    facts = (
        ("Request", trace.request_id),
        ("Door", " ".join(part for part in (trace.endpoint, "streamed" if trace.streamed else "") if part)),
        ("Engine", trace.engine),
        ("Finish", trace.finish_reason or ""),
        ("From cache", f"{count(trace.cached_tokens)} tokens" if trace.cached_tokens else ""),
        ("Client", " ".join(part for part in (trace.client_ip, trace.user_agent) if part)),
        ("Left out", ", ".join(trace.excluded_nodes or ())),
    )
    return Why(
        sentence=sentence(trace),
        total="" if trace.score is None else f"{trace.score:+.1f}",
        points=points(given(trace)),
        phases=phases(trace),
        attempts=tuple(_attempt(attempt) for attempt in trace.attempts),
        notes=tuple(trace.notes or ()),
        error=trace.error_message or "",
        facts=tuple((label, value) for label, value in facts if value),
    )


def sentence(trace: TraceRecord) -> str:
    """The decision in one breath."""
    if not trace.node_id:
        return "No node was chosen: none could take the request in time."
    policy = f" under the policy {trace.policy}" if trace.policy else ""
    score = "" if trace.score is None else f" with {trace.score:.1f} points"
    text = f"{trace.node_id} came first{score}{policy}."
    if HOW.get(trace.how):
        text += f" {trace.model} is {HOW[trace.how]}; {trace.original_model} was asked for."
    best = _strongest(given(trace))
    return f"{text} {best}".strip()


def given(trace: TraceRecord) -> dict[str, float]:
    """The points of each scorer; the stored breakdown also carries their sum."""
    return {name: value for name, value in (trace.scores_breakdown or {}).items() if name != "total"}


def _strongest(scores: dict[str, float]) -> str:
    up = max(scores.items(), key=lambda pair: pair[1], default=("", 0.0))
    down = min(scores.items(), key=lambda pair: pair[1], default=("", 0.0))
    parts = [f"{_label(up[0])} spoke most for it" if up[1] > 0 else ""]
    parts += [f"{_label(down[0])} most against" if down[1] < 0 else ""]
    said = ", ".join(part for part in parts if part)
    return f"{said[:1].upper()}{said[1:]}." if said else ""


def _label(name: str) -> str:
    return SCORERS[name][0] if name in SCORERS else name.replace("_", " ").capitalize()


def points(scores: dict[str, float]) -> tuple[Point, ...]:
    """One bar for each scorer, all on the scale of the largest, in the order in which the policy asked them."""
    scale = max((abs(value) for value in scores.values()), default=0.0) or 1.0
    bars = []
    for name, value in scores.items():
        width = round(abs(value) / scale * 50, 2)
        bars.append(
            Point(
                label=_label(name),
                meaning=SCORERS[name][1] if name in SCORERS else "",
                text=f"{value:+.1f}" if value else "0",
                left=50 - width if value < 0 else 50,
                width=width,
                negative=value < 0,
            )
        )
    return tuple(bars)


def phases(trace: TraceRecord) -> tuple[Phase, ...]:
    """Where the time went, as far as the engine told it. Phases that took nothing are left out."""
    stretches = [
        ("wait", "Waiting", trace.queue_wait_ms),
        ("load", "Loading", trace.load_ms or 0.0),
        ("prefill", "Reading", trace.prefill_ms or 0.0),
        ("decode", "Writing", trace.decode_ms or 0.0),
    ]
    whole = sum(took for _, _, took in stretches if took > 0)
    if whole <= 0 or not (trace.prefill_ms or trace.decode_ms or trace.load_ms):
        return ()
    drawn, left = [], 0.0
    for name, label, took in stretches:
        if took > 0:
            width = took / whole * 100
            text = seconds(took / 1000)
            drawn.append(Phase(name=name, label=label, text=text, left=round(left, 2), width=round(width, 2)))
            left += width
    return tuple(drawn)


def _attempt(attempt: AttemptRecord) -> AttemptRow:
    tone, word = outcome(attempt.outcome)
    return AttemptRow(
        node=attempt.node_id,
        engine=attempt.engine,
        model=attempt.model,
        score=f"{attempt.score:.1f}",
        tone=tone,
        word=word,
        error=attempt.error,
        took=seconds(attempt.latency_ms / 1000),
    )
