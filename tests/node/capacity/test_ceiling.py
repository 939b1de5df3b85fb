"""From what is known of owner and machine to what is lent: the golden steps, and that a pause always wins."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.capacity.ceiling import GIB, Facts, decide, is_news
from node.capacity.learner import score
from node.wire import Capacity, Pressure, Workload

units = st.floats(0, 1)
facts = st.builds(
    Facts,
    total_bytes=st.integers(0, 2**41),
    meeting=st.booleans(),
    strained=st.booleans(),
    wish=st.none() | st.tuples(st.sampled_from(["owner", "operator"]), st.sampled_from(["paused", "full"])),
    until=st.none() | st.floats(0, 1e10),
    score=st.none() | units,
    usual_cpu=st.floats(0, 100),
    days=st.integers(0, 400),
    workload=st.sampled_from(get_args(Workload)),
    pressure=st.sampled_from(get_args(Pressure)),
    hot=st.booleans(),
)


def lent(total_gb: float = 128, days: int = 30, **told: object) -> Capacity:
    capacity = decide(Facts(**{"total_bytes": int(total_gb * GIB), "days": days, **told}))  # type: ignore[arg-type]
    assert capacity is not None
    return capacity


def test_the_golden_machines_lend_what_they_should() -> None:
    calm = lent(score=score(usual_cpu=20, cpu=10, memory=50, trend=0, sureness=1), usual_cpu=20)
    assert (calm.mode, calm.ceiling_bytes, calm.reason) == ("learned_high", 64 * GIB, "good_availability")
    busy = lent(score=score(usual_cpu=90, cpu=80, memory=80, trend=1, sureness=1), usual_cpu=90)
    assert (busy.mode, busy.ceiling_bytes, busy.reason) == ("paused", 0, "historically_busy_slot")


@pytest.mark.parametrize(
    ("left", "mode", "ceilings_gb", "reason"),
    [
        (0.19, "paused", (0, 0), "currently_busy"),
        (0.2, "learned_low", (16, 8), "low_availability"),
        (0.4, "learned_medium", (32, 16), "moderate_availability"),
        (0.6, "learned_high", (64, 32), "good_availability"),
        (0.8, "full", (204.8, 51.2), "high_availability"),
    ],
)
def test_each_step_of_the_score_has_its_mode_and_ceiling(
    left: float, mode: str, ceilings_gb: tuple[float, float], reason: str
) -> None:
    large, small = lent(256, score=left), lent(64, score=left)
    assert (large.mode, large.reason, large.availability) == (mode, reason, left)
    assert (large.ceiling_bytes, small.ceiling_bytes) == tuple(int(gb * GIB) for gb in ceilings_gb)


def test_the_decisions_stand_in_their_order() -> None:
    said = {"wish": ("owner", "full"), "score": 0.9}
    assert lent(meeting=True, strained=True, **said).reason == "meeting_detected"
    strained = lent(strained=True, **said)
    assert (strained.reason, strained.availability, strained.ceiling_bytes) == (
        "sustained_high_cpu", 0.1, int(12.8 * GIB),
    )  # fmt: skip
    full = lent(days=0, **said)
    assert (full.mode, full.availability, full.override, full.reason) == ("full", 1.0, True, "manual_override")
    paused = lent(wish=("operator", "paused"), until=99.0, score=0.9)
    assert (paused.mode, paused.until, paused.reason) == ("paused", 99.0, "operator_override")


def test_who_learns_nothing_and_was_told_nothing_lends_everything() -> None:
    assert decide(Facts(total_bytes=64 * GIB)) is None
    assert decide(Facts(total_bytes=64 * GIB, wish=("owner", "full"))) is None
    assert lent(wish=("owner", "paused"), days=0).mode == "paused"


@given(facts)
def test_availability_is_between_0_and_1_and_a_pause_always_wins(told: Facts) -> None:
    capacity = decide(told)
    pauses = told.meeting or told.strained or (told.wish is not None and told.wish[1] == "paused")
    assert not pauses or (capacity is not None and capacity.mode == "paused")
    if capacity is None:
        return
    assert 0 <= capacity.availability <= 1
    assert 0 <= capacity.ceiling_bytes <= told.total_bytes
    assert (capacity.mode == "paused") == (capacity.availability < 0.2)
    if told.total_bytes > GIB and capacity.mode != "paused":
        assert capacity.ceiling_bytes > 0


@pytest.mark.parametrize("days", range(7))
def test_a_new_machine_is_trusted_less_each_day_a_little_more_and_never_left_out(days: int) -> None:
    new, known = lent(64, days, score=0.9), lent(64, 7, score=0.9)
    assert new.mode == "bootstrap"
    assert 0.4 < new.availability < known.availability
    assert lent(64, days + 1, score=0.9).availability > new.availability
    assert 0 < new.ceiling_bytes <= known.ceiling_bytes
    assert lent(64, days, score=0.21).availability >= 0.2


@pytest.mark.parametrize(
    ("told", "mode", "reason"),
    [
        ({"workload": "heavy"}, "learned_medium", "owner_at_work"),
        ({"workload": "intensive"}, "learned_low", "owner_at_work"),
        ({"pressure": "warn"}, "learned_medium", "memory_pressure"),
        ({"pressure": "critical"}, "learned_low", "memory_pressure"),
        ({"hot": True}, "learned_low", "machine_hot"),
        ({"workload": "moderate", "pressure": "unavailable"}, "full", "high_availability"),
    ],
)
def test_what_the_owner_does_now_and_how_the_machine_feels_hold_the_score_down(
    told: dict[str, object], mode: str, reason: str
) -> None:
    capacity = lent(score=0.95, **told)
    assert (capacity.mode, capacity.reason) == (mode, reason)


def test_a_pause_its_end_and_a_leap_are_news_and_small_steps_are_not() -> None:
    high, higher = Capacity(mode="full", availability=0.9), Capacity(mode="full", availability=0.99)
    low, paused = Capacity(mode="learned_medium", availability=0.5), Capacity(mode="paused", availability=0.0)
    assert not is_news(high, higher)
    assert is_news(high, low)
    assert is_news(Capacity(mode="learned_low", availability=0.2), Capacity(mode="paused", availability=0.19))
    assert is_news(None, paused)
    assert is_news(paused, None)
    assert not is_news(None, None)
