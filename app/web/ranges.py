"""The span of time that a page shows: the choices, what a request chose, its buckets. Pure; knows no page."""

import math

import msgspec

HOUR_S = 3600.0
DAY_S = 86400.0
CHOICES = {"24h": 24, "48h": 48, "72h": 72, "7d": 168, "30d": 720}
"""Hours of each choice."""
SPAN_LEAST_S = 60.0
SPAN_MOST_S = 3660 * DAY_S


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """From ``start`` (included) to ``end`` (not), epoch seconds. ``choice`` is one of the choices, or "custom"."""

    start: float
    end: float
    choice: str

    @property
    def hours(self) -> float:
        return (self.end - self.start) / HOUR_S

    @property
    def days(self) -> float:
        return (self.end - self.start) / DAY_S

    @property
    def bucket_s(self) -> float:
        """An hour up to three days, a day beyond: some dozens of marks, as a chart can show."""
        return HOUR_S if self.end - self.start <= 3 * DAY_S else DAY_S

    @property
    def query(self) -> str:
        """The query string that chooses it again."""
        if self.choice != "custom":
            return f"range={self.choice}"
        return f"start_ts={self.start:.0f}&end_ts={self.end:.0f}"

    def buckets(self) -> list[float]:
        """The starts of all its buckets, in UTC, oldest first."""
        first = math.floor(self.start / self.bucket_s)
        last = math.ceil(self.end / self.bucket_s)
        return [number * self.bucket_s for number in range(first, last)]


def chosen(
    now: float, *, choice: str = "", hours: float | None = None, start_ts: float = 0.0, end_ts: float = 0.0,
    default: str = "72h",
) -> Range:  # fmt: skip
    """What a request chose: an exact span, else so many hours up to now, else one of the choices, else ``default``.

    What cannot be (no number, less than a minute, more than ten years) is passed over.
    """
    exact = math.isfinite(start_ts) and math.isfinite(end_ts) and start_ts > 0 and end_ts - start_ts >= SPAN_LEAST_S
    if exact and end_ts - start_ts <= SPAN_MOST_S and end_ts < now + SPAN_MOST_S:
        return Range(start=start_ts, end=end_ts, choice="custom")
    if hours is not None and math.isfinite(hours) and SPAN_LEAST_S <= hours * HOUR_S <= SPAN_MOST_S:
        word = next((word for word, count in CHOICES.items() if count == hours), "custom")
        return Range(start=now - hours * HOUR_S, end=now, choice=word)
    word = choice if choice in CHOICES else default
    return Range(start=now - CHOICES[word] * HOUR_S, end=now, choice=word)
