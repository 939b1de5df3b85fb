"""Which span of time a page shows, whatever its address says."""

from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.ranges import CHOICES, DAY_S, HOUR_S, chosen

NOW = 1_795_485_600.0
WILD = st.floats(allow_nan=True, allow_infinity=True)


@pytest.mark.parametrize(("word", "hours"), CHOICES.items())
def test_a_choice_reaches_back_from_now(word: str, hours: int) -> None:
    it = chosen(NOW, choice=word)
    assert (it.end, it.hours, it.choice) == (NOW, hours, word)


def test_an_exact_span_goes_before_hours_and_these_before_a_choice() -> None:
    exact = chosen(NOW, choice="7d", hours=24, start_ts=NOW - 1000, end_ts=NOW - 500)
    assert (exact.start, exact.end, exact.choice) == (NOW - 1000, NOW - 500, "custom")
    assert chosen(NOW, choice="7d", hours=24).choice == "24h"
    assert chosen(NOW, choice="7d", hours=5).choice == "custom"


@given(st.text(max_size=5), st.none() | WILD, WILD, WILD)
def test_whatever_is_asked_for_is_a_span_with_a_beginning_an_end_and_some_marks(
    choice: str, hours: float | None, start_ts: float, end_ts: float
) -> None:
    it = chosen(NOW, choice=choice, hours=hours, start_ts=start_ts, end_ts=end_ts)
    assert it.start < it.end
    assert 1 <= len(it.buckets()) <= 3662
    assert it.buckets()[0] <= it.start
    assert it.buckets()[-1] + it.bucket_s >= it.end


@given(st.sampled_from([*CHOICES, "custom"]), st.floats(1, 1000))
def test_its_query_chooses_it_again(choice: str, hours: float) -> None:
    it = chosen(NOW, start_ts=NOW - hours * HOUR_S, end_ts=NOW) if choice == "custom" else chosen(NOW, choice=choice)
    words = {name: values[0] for name, values in parse_qs(it.query).items()}
    span = {name: float(words[name]) for name in ("start_ts", "end_ts") if name in words}
    again = chosen(NOW, choice=words.get("range", ""), **span)
    assert abs(again.start - it.start) <= 1
    assert abs(again.end - it.end) <= 1


def test_up_to_three_days_are_shown_by_the_hour_and_more_by_the_day() -> None:
    assert chosen(NOW, choice="72h").bucket_s == HOUR_S
    assert chosen(NOW, choice="7d").bucket_s == DAY_S
