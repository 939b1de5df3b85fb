"""The owner's kind of work by its signature, its trend, a meeting's beginning and end, and what people wish."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.capacity.meeting import QUIET_S, Meeting
from node.capacity.wish import Wish, seconds_of, stronger
from node.capacity.workload import Sample, Window, owners


def window(*loads: float, every_s: float = 5.0, memory: float = 30.0, network: float = 0.0) -> Window:
    window = Window()
    for number, cpu in enumerate(loads):
        window.add(Sample(at=number * every_s, cpu=cpu, memory=memory, network=network))
    return window


@pytest.mark.parametrize(
    ("loads", "more", "kind"),
    [
        ([99], {}, "idle"),
        ([86, 86], {}, "intensive"),
        ([85, 85], {}, "heavy"),
        ([61, 61], {"network": 500_001}, "intensive"),
        ([61, 61], {"network": 500_000}, "heavy"),
        ([60, 60], {"network": 9e9}, "moderate"),
        ([36, 36], {}, "moderate"),
        ([11, 11], {}, "light"),
        ([2, 2], {"memory": 71}, "light"),
        ([10, 10], {"memory": 70}, "idle"),
    ],
)
def test_work_is_classed_by_its_signature(loads: list[float], more: dict[str, float], kind: str) -> None:
    assert window(*loads, **more).workload == kind


def test_the_trend_is_the_later_half_against_the_earlier() -> None:
    assert window(0, 0, 0).trend == 0
    assert window(10, 10, 35, 35).trend == 0.5
    assert window(90, 90, 0, 0).trend == -1
    assert window(20, 20, 20, 20, 20).trend == 0


def test_only_the_last_two_minutes_count() -> None:
    assert window(*[90] * 30, *[0] * 25).workload == "idle"


def test_a_processor_taken_up_for_two_minutes_without_a_break_is_strained() -> None:
    assert not window(*[86] * 24).strained
    assert window(*[86] * 25).strained
    assert not window(*[86] * 20, 85, *[86] * 24).strained
    assert window(*[86] * 200).strained


def test_what_was_before_a_sleep_says_nothing_of_now() -> None:
    slept = window(*[90] * 24)
    slept.add(Sample(at=9000, cpu=90, memory=30))
    assert not slept.strained
    assert slept.workload == "idle"


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 100), st.floats(0, 100)), max_size=80))
def test_whatever_the_samples_the_trend_is_bounded_and_the_window_small(seen: list) -> None:
    window = Window()
    for at, cpu, memory in seen:
        window.add(Sample(at=at, cpu=cpu, memory=memory))
        assert -1 <= window.trend <= 1
        assert len(window._samples) <= 25


def test_the_fleets_own_load_is_no_activity_of_the_owner() -> None:
    assert owners(90, 80, fleet_works=True) == 10
    assert owners(50, 60, fleet_works=True) == 0
    assert owners(40, None, fleet_works=False) == 40
    assert owners(40, None, fleet_works=True) is None


def test_a_meeting_begins_at_once_and_ends_after_a_minute_of_quiet() -> None:
    meeting = Meeting()
    assert not meeting.on(0)
    meeting.saw(True, 10)
    assert meeting.on(10)
    meeting.saw(False, 12)
    assert meeting.on(10 + QUIET_S - 0.1)
    assert not meeting.on(10 + QUIET_S)
    meeting.saw(True, 100)
    meeting.saw(None, 130)
    assert meeting.on(150), "who can no longer look has not seen the end of it"
    assert not meeting.on(160)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("45s", 45), ("1.5d", 129_600), (" 1 H ", 3600), ("1w", 604_800)],
)
def test_a_time_is_said_as_people_say_it(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2h!", "-1h", "0s", "2 hours", "1e9d", "9999w", "nan", "2h30"])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="no time"):
        seconds_of(text)


def test_a_wish_to_pause_beats_one_to_give_all_and_both_end() -> None:
    full, brief, paused = Wish(mode="full"), Wish(mode="paused", until=50), Wish(mode="paused")
    assert stronger([("owner", full), ("operator", brief)], 0) == ("operator", brief)
    assert stronger([("owner", full), ("operator", brief)], 50) == ("owner", full)
    assert stronger([("owner", paused), ("operator", brief)], 0) == ("owner", paused)
    assert stronger([("owner", None), ("operator", brief)], 99) is None
