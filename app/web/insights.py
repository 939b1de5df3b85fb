"""What Trends, Model Insights and Apps show: figures, charts and rows out of sums of usage. Pure; knows no HTML.

Every number is of the chosen span. Averages weigh by requests; tokens per second come from the engines' own counters.
"""

from collections.abc import Callable, Sequence
from urllib.parse import urlencode

import msgspec

from app.store.usage import Use
from app.web.chart import Chart, Series, series
from app.web.ranges import Range
from app.web.view import count, percent, rate, seconds

BAD_SHARE = 0.05
"""Share of failed requests from which a number is red."""
MOST_TAGS_DRAWN = 5
ROWS_MOST = 500


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One large number with its unit, and where the requests behind it are."""

    label: str
    text: str
    small: str = ""
    tone: str = ""
    href: str = ""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """``share`` is 0 to 1 of the longest bar."""

    label: str
    share: float
    text: str
    href: str = ""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model, node or tag of the span. ``href`` opens it here, ``requests_href`` lists its requests."""

    name: str
    note: str
    use: Use
    href: str
    requests_href: str
    failed_href: str
    tone: str
    selected: bool = False


def requests_href(range_: Range, **words: str) -> str:
    """The list of the requests behind a number."""
    query = f"start_ts={range_.start:.0f}&end_ts={range_.end:.0f}"
    return f"/dashboard/requests?{query}" + (f"&{urlencode(words)}" if words else "")


def figures(total: Use | None, range_: Range, *, first: Sequence[Figure] = (), **words: str) -> tuple[Figure, ...]:
    """The cards over every page of usage."""
    if total is None:
        zero = ("Requests", "0"), ("Average latency", "–"), ("Tokens read", "0"), ("Tokens written", "0")
        return (*first, *(Figure(label=label, text=text) for label, text in zero))
    share = total.error_share
    return (
        *first,
        Figure(
            label="Requests", text=count(total.requests), small=f"{count(total.disconnected)} clients left",
            href=requests_href(range_, **words),
        ),
        Figure(
            label="Failed", text=percent(share), small=f"{count(total.failed)} requests",
            tone="bad" if share and share >= BAD_SHARE else "", href=requests_href(range_, status="failed", **words),
        ),
        Figure(
            label="Average latency", text=_ms(total.avg_latency_ms),
            small=f"first token after {_ms(total.avg_first_token_ms)}",
        ),
        Figure(label="Decode speed", text=rate(total.tokens_per_s), small="tokens/s, by the engines' counters"),
        Figure(label="Tokens read", text=count(total.prompt_tokens)),
        Figure(label="Tokens written", text=count(total.completion_tokens)),
    )  # fmt: skip


def charts(uses: Sequence[Use], range_: Range) -> tuple[Chart, ...]:
    """Requests, latency, tokens and speed over the span; ``uses`` are by bucket."""
    at = range_.buckets()
    by = {use.bucket: use for use in uses}
    found = [by.get(int(bucket)) for bucket in at]

    def counted(name: str, of: Callable[[Use], float], number: int) -> Series:
        return series(name, [of(use) if use else 0 for use in found], count, number=number)

    def known(name: str, of: Callable[[Use], float | None], say: Callable[[float | None], str], number: int) -> Series:
        return series(name, [of(use) if use else None for use in found], say, number=number)

    def chart(key: str, title: str, kind: str, unit: str, *lines: Series) -> Chart:
        return Chart(
            id=f"chart-{key}", title=title, kind=kind, unit=unit, step_s=range_.bucket_s, at=tuple(at),  # type: ignore[arg-type]
            series=lines, summary="by the hour" if range_.bucket_s <= 3600 else "by the day, UTC",
        )  # fmt: skip

    return (
        chart(
            "requests", "Requests", "stack", "count",
            counted("Completed", lambda use: use.completed, 0), counted("Client left", lambda use: use.disconnected, 2),
            counted("Failed", lambda use: use.failed, 4),
        ),
        chart(
            "latency", "Average latency", "line", "seconds",
            known("Whole answer", lambda use: _s(use.avg_latency_ms), seconds, 0),
            known("First token", lambda use: _s(use.avg_first_token_ms), seconds, 1),
        ),
        chart(
            "tokens", "Tokens", "stack", "count",
            counted("Read", lambda use: use.prompt_tokens, 1), counted("Written", lambda use: use.completion_tokens, 0),
        ),
        chart("speed", "Decode speed", "line", "rate", known("Tokens/s", lambda use: use.tokens_per_s, rate, 0)),
    )  # fmt: skip


def activity(uses: Sequence[Use], range_: Range, tags: Sequence[str]) -> Chart:
    """Requests of the busiest tags over the span."""
    at = range_.buckets()
    by = {(use.bucket, use.tag): use.requests for use in uses}
    lines = tuple(
        series(tag, [by.get((int(bucket), tag), 0) for bucket in at], count, number=number)
        for number, tag in enumerate(tags[:MOST_TAGS_DRAWN])
    )
    return Chart(
        id="chart-activity", title="Requests by tag", kind="line", unit="count", step_s=range_.bucket_s, at=tuple(at),
        series=lines, summary="the busiest" if len(tags) > MOST_TAGS_DRAWN else "",
    )  # fmt: skip


def rows(uses: Sequence[Use], range_: Range, *, by: str, selected: str = "", key: str = "") -> tuple[Row, ...]:
    """One row for each group, busiest first. ``by`` is the field that names it, ``key`` the word of its address."""
    made = []
    for use in sorted(uses, key=lambda use: (-use.requests, getattr(use, by)))[:ROWS_MOST]:
        name = getattr(use, by)
        share = use.error_share or 0.0
        made.append(
            Row(
                name=name,
                note=use.modality,
                use=use,
                href=f"?{range_.query}&{urlencode({key or by: name})}",
                requests_href=requests_href(range_, **{by: name}),
                failed_href=requests_href(range_, status="failed", **{by: name}),
                tone="bad" if share >= BAD_SHARE else "",
                selected=name == selected,
            )
        )
    return tuple(made)


def bars(rows: Sequence[Row], of: Callable[[Use], float | None], say: Callable[[float | None], str]) -> tuple[Bar, ...]:
    """The rows that have the value, longest first, eight at most."""
    known = sorted(((value, row) for row in rows if (value := of(row.use))), key=lambda pair: -pair[0])[:8]
    most = known[0][0] if known else 1.0
    return tuple(Bar(label=row.name, share=value / most, text=say(value), href=row.href) for value, row in known)


def latency_bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    return bars(rows, lambda use: _s(use.avg_latency_ms), seconds)


def token_bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    return bars(rows, lambda use: use.prompt_tokens + use.completion_tokens, count)


def request_bars(rows: Sequence[Row]) -> tuple[Bar, ...]:
    return bars(rows, lambda use: use.requests, count)


def _s(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


def _ms(ms: float | None) -> str:
    return seconds(_s(ms))
