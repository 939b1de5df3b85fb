"""The page of the fleet's benchmark: what is under way, one run by itself, all runs over time. Pure; knows no HTML."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from app.bench.runner import Kinds, Progress
from app.fleet.snapshot import ModalityView
from app.store.records import BenchmarkRecord
from app.web.chart import Chart, Series, series
from app.web.insights import Bar, Figure
from app.web.view import NOT_KNOWN, count, rate, seconds

T = TypeVar("T")
TONES = {"complete": "ok", "cancelled": "warn", "error": "bad"}
WORDS = {"complete": "Complete", "cancelled": "Cancelled", "error": "Failed"}
RUNNING = ("pulling", "warming_up", "running")
MODELS_DRAWN = 5
BARS_MOST = 8
HOUR_S = 3600.0
STEP_LEAST_S, STEP_MOST_S = 60.0, 12 * HOUR_S
"""Room around the first and the last run of a chart, twice."""
DURATIONS = ((60, "1 minute"), (300, "5 minutes"), (600, "10 minutes"))


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """A kind of work that can be measured; ``found``: the fleet has models for it now. ``usual``: chosen unasked."""

    name: str
    title: str
    icon: str
    found: bool
    usual: bool


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """The run that is under way. ``share`` is 0 to 1 of its time."""

    running: bool
    run_id: str
    phase: str
    share: float
    done: str
    failed: str
    pace: str
    time: str
    loading: str


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``href`` opens it, ``requests_href`` lists its requests."""

    run: BenchmarkRecord
    began: float
    nodes: int
    models: int
    tone: str
    word: str
    href: str
    requests_href: str
    selected: bool


class ModelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of a run's ``per_model_results``; a run that was measured elsewhere may tell less."""

    model: str
    model_type: str = ""
    requests: int = 0
    failures: int = 0
    tok_s: float | None = None
    unit: str = "tokens"
    unit_s: float = 0.0
    avg_latency_ms: float | None = None
    avg_ttft_ms: float | None = None
    s_per_unit: float | None = None

    @property
    def made(self) -> str:
        """``12.4 texts/s``, ``8.1 s each``: what takes longer than a second is told by the piece."""
        if self.unit == "tokens":
            return NOT_KNOWN
        if self.unit_s >= 1:
            return f"{rate(self.unit_s)} {self.unit}/s"
        return f"{seconds(self.s_per_unit)} each" if self.s_per_unit else NOT_KNOWN


class NodeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of a run's ``per_node_results``."""

    node_id: str
    requests: int = 0
    failures: int = 0
    pct: float = 0.0
    tok_s: float | None = None
    throughput_tok_s: float = 0.0
    tokens: int = 0


class UseRow(msgspec.Struct, frozen=True, kw_only=True):
    """One of a run's ``peak_utilization``."""

    node_id: str
    cpu_avg: float | None = None
    cpu_peak: float | None = None
    mem_avg: float | None = None
    mem_peak: float | None = None
    active_peak: int = 0


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One run by itself."""

    row: Row
    figures: tuple[Figure, ...]
    per_model: tuple[ModelRow, ...]
    per_node: tuple[NodeRow, ...]
    uses: tuple[UseRow, ...]
    paces: tuple[Bar, ...]
    made: tuple[Bar, ...]
    latencies: tuple[Bar, ...]
    firsts: tuple[Bar, ...]
    nodes: tuple[Bar, ...]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    now: Now
    kinds: tuple[Kind, ...]
    figures: tuple[Figure, ...]
    charts: tuple[Chart, ...]
    rows: tuple[Row, ...]
    shown: Shown | None


def view(
    runs: Sequence[BenchmarkRecord], progress: Progress, modalities: Iterable[ModalityView],
    kinds: Kinds, selected: str,
) -> Page:  # fmt: skip
    """``runs`` are the newest first."""
    rows = tuple(_row(run, selected) for run in runs)
    one = next((row for row in rows if row.selected), rows[0] if rows else None)
    whole = [row for row in reversed(rows) if row.run.status == "complete" and row.run.total_requests]
    return Page(
        now=_now(progress),
        kinds=tuple(
            Kind(
                name=one.name,
                title=one.title,
                icon=one.icon,
                found=one.name in kinds.found,
                usual=one.name in kinds.usual,
            )
            for one in modalities
            if one.name in kinds.all
        ),
        figures=_figures(rows),
        charts=_charts(whole) if len(whole) > 1 else (),
        rows=rows,
        shown=None if one is None else _shown(one),
    )


def _now(told: Progress) -> Now:
    elapsed, duration = told.elapsed or 0.0, told.duration or 0.0
    loading = told.pull_progress
    return Now(
        running=told.status in RUNNING,
        run_id=told.run_id,
        phase=told.phase,
        share=min(1.0, elapsed / duration) if duration else 0.0,
        done=count(told.requests_completed or 0),
        failed=count(told.requests_failed or 0),
        pace=rate(told.tok_per_sec) if told.tok_per_sec else "–",
        time=f"{seconds(float(int(elapsed)))} of {seconds(duration)}",
        loading=f"{loading['model']} on {loading['node_id']}, {loading['total_gb']} GiB" if loading else "",
    )


def _row(run: BenchmarkRecord, selected: str) -> Row:
    began = _began(run)
    span = f"start_ts={began - 1:.0f}&end_ts={max(run.timestamp, began + 60) + 2:.0f}"
    return Row(
        run=run,
        began=began,
        nodes=len(_listed(run, "nodes")),
        models=len({str(one.get("name")) for one in _listed(run, "models")}),
        tone=TONES.get(run.status, "bad"),
        word=WORDS.get(run.status, run.status),
        href=f"?run={quote(run.run_id, safe='')}#run",
        requests_href=f"/dashboard/requests?tag=benchmark&{span}",
        selected=run.run_id == selected,
    )


def _listed(run: BenchmarkRecord, what: str) -> list[dict[str, Any]]:
    told = run.fleet_snapshot.get(what)
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def _began(run: BenchmarkRecord) -> float:
    """A run's name carries its start; of one measured elsewhere its length says it."""
    word = run.run_id.rpartition("-")[2]
    began = float(word) if word.isascii() and word.isdigit() and len(word) < 12 else 0.0
    return began if 0 <= run.timestamp - began < 2 * HOUR_S else run.timestamp - run.duration_s


def _figures(rows: Sequence[Row]) -> tuple[Figure, ...]:
    best = max(
        (row for row in rows if row.run.tokens_per_sec), key=lambda row: row.run.tokens_per_sec or 0, default=None
    )
    most = max(rows, key=lambda row: row.run.throughput_tok_s, default=None)
    return (
        Figure(label="Runs", text=count(len(rows))),
        Figure(
            label="Best throughput", text=rate(most.run.throughput_tok_s or None) if most else "–",
            small="tokens/s of the whole fleet", href=most.href if most else "",
        ),
        Figure(
            label="Best pace", text=rate(best.run.tokens_per_sec) if best else "–",
            small="tokens/s of one answer", href=best.href if best else "",
        ),
        Figure(label="Nodes", text=count(rows[0].nodes) if rows else "–", small="in the latest run"),
        Figure(
            label="Tokens written", small="in all runs",
            text=count(sum(row.run.total_completion_tokens for row in rows)),
        ),
    )  # fmt: skip


def _charts(rows: Sequence[Row]) -> tuple[Chart, ...]:
    """How the fleet has grown: over two complete runs or more, the oldest first."""
    at = tuple(row.began for row in rows)
    step = min(STEP_MOST_S, max(STEP_LEAST_S, (at[-1] - at[0]) / (len(at) - 1)))

    def chart(key: str, title: str, unit: str, summary: str, *lines: Series) -> Chart:
        return Chart(
            id=f"chart-{key}", title=title, kind="line", unit=unit, step_s=step, at=at, series=lines,
            summary=summary,
        )  # fmt: skip

    def line(
        name: str, of: Callable[[BenchmarkRecord], float | None], say: Callable[[float | None], str], number: int = 0
    ) -> Series:
        return series(name, [of(row.run) for row in rows], say, number=number)

    nodes = series("Nodes", [float(row.nodes) for row in rows], count, number=3)
    return (
        chart(
            "capacity", "Throughput of the fleet", "rate", "tokens/s, all nodes together",
            line("Tokens/s", lambda run: run.throughput_tok_s or None, rate),
        ),
        chart("nodes", "Nodes", "count", "that took part", nodes),
        chart(
            "requests", "Requests per second", "rate", "of all kinds",
            line("Requests/s", lambda run: run.requests_per_sec, rate),
        ),
        chart(
            "latency", "Latency", "seconds", "the median",
            line("Whole answer", lambda run: _s(run.latency_p50_ms), seconds),
            line("First token", lambda run: _s(run.ttft_p50_ms), seconds, 1),
        ),
        chart("models", "Pace of each model", "rate", "tokens/s of one answer", *_models_over_time(rows)),
    )  # fmt: skip


def _models_over_time(rows: Sequence[Row]) -> list[Series]:
    by_run = [{one.model: one.tok_s for one in _read(row.run.per_model_results, ModelRow)} for row in rows]
    names = [name for paces in reversed(by_run) for name, pace in paces.items() if pace]
    return [
        series(name, [paces.get(name) for paces in by_run], rate, number=number)
        for number, name in enumerate(list(dict.fromkeys(names))[:MODELS_DRAWN])
    ]


def _shown(row: Row) -> Shown:
    run = row.run
    models, nodes = _read(run.per_model_results, ModelRow), _read(run.per_node_results, NodeRow)
    waited = f"{count(run.gave_way)} gave way to others" if run.gave_way else ""
    return Shown(
        row=row,
        figures=(
            Figure(
                label="Requests", text=count(run.total_requests), small=waited, href=row.requests_href
            ),
            Figure(
                label="Failed", text=count(run.total_failures), tone="bad" if run.total_failures else "",
                href=f"{row.requests_href}&status=failed" if run.total_failures else "",
            ),
            Figure(label="Throughput", text=rate(run.throughput_tok_s or None), small="tokens/s of the whole fleet"),
            Figure(label="Pace", text=rate(run.tokens_per_sec), small="tokens/s of one answer, as engines count"),
            Figure(
                label="Latency", text=seconds(_s(run.latency_p50_ms)),
                small=f"median; 95 % under {seconds(_s(run.latency_p95_ms))}",
            ),
            Figure(
                label="First token", text=seconds(_s(run.ttft_p50_ms)),
                small=f"median; 95 % under {seconds(_s(run.ttft_p95_ms))}",
            ),
        ),
        per_model=models, per_node=nodes, uses=_read(run.peak_utilization, UseRow),
        paces=_bars([(one.model, one.tok_s) for one in models], rate),
        made=_made(models),
        latencies=_bars([(one.model, _s(one.avg_latency_ms)) for one in models], seconds),
        firsts=_bars([(one.model, _s(one.avg_ttft_ms)) for one in models], seconds),
        nodes=_bars([(one.node_id, one.throughput_tok_s) for one in nodes], rate),
    )  # fmt: skip


def _read(rows: Sequence[Any], kind: type[T]) -> tuple[T, ...]:
    """The rows that can be understood: a run may come from elsewhere."""
    found = []
    for row in rows:
        with suppress(msgspec.ValidationError):
            found.append(msgspec.convert(row, kind))
    return tuple(found)


def _bars(rows: Sequence[tuple[str, float | None]], say: Callable[[float | None], str]) -> tuple[Bar, ...]:
    known = sorted(((value, label) for label, value in rows if value), reverse=True)[:BARS_MOST]
    return tuple(Bar(label=label, share=value / known[0][0], text=say(value)) for value, label in known)


def _made(rows: Sequence[ModelRow]) -> tuple[Bar, ...]:
    """What is not text, each in its own unit: its bars compare within a unit only."""
    most: dict[str, float] = {}
    made = [row for row in rows if row.unit != "tokens" and row.unit_s > 0][:BARS_MOST]
    for row in made:
        most[row.unit] = max(most.get(row.unit, 0.0), row.unit_s)
    return tuple(Bar(label=row.model, share=row.unit_s / most[row.unit], text=row.made) for row in made)


def _s(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000
