"""The span of time of a page's or an answer's address, as a dependency of its doors. Knows no page."""

import time

from litestar.di import Provide
from litestar.params import FromQuery

from app.web.ranges import Range, chosen


def span_of_page(default: str) -> Provide:
    """``?range=7d``, or ``?start_ts=...&end_ts=...``; ``default`` is one of the choices."""

    def span(
        range: FromQuery[str] = "",  # noqa: A002 - the word in the address
        start_ts: FromQuery[float] = 0.0,
        end_ts: FromQuery[float] = 0.0,
    ) -> Range:
        return chosen(time.time(), choice=range, start_ts=start_ts, end_ts=end_ts, default=default)

    return Provide(span, sync_to_thread=False)


def span_of_hours(usual: float) -> Provide:
    """``?hours=72``, or an exact span."""

    def span(
        hours: FromQuery[float] = usual, start_ts: FromQuery[float] = 0.0, end_ts: FromQuery[float] = 0.0
    ) -> Range:
        return _reaching_back(hours, start_ts, end_ts)

    return Provide(span, sync_to_thread=False)


def span_of_days(usual: float) -> Provide:
    """``?days=7``, or an exact span."""

    def span(days: FromQuery[float] = usual, start_ts: FromQuery[float] = 0.0, end_ts: FromQuery[float] = 0.0) -> Range:
        return _reaching_back(days * 24, start_ts, end_ts)

    return Provide(span, sync_to_thread=False)


def _reaching_back(hours: float, start_ts: float, end_ts: float) -> Range:
    return chosen(time.time(), hours=hours, start_ts=start_ts, end_ts=end_ts, default="7d")
