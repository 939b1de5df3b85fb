"""The owner's week: golden scores, fading, bounds, and a whole simulated week of beats."""

import tracemalloc
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_week import BEATS_A_DAY, MONDAY, Machine

from node.capacity.learner import HALF_LIFE_S, HOURS, Week, score, slot_of

percent = st.floats(-50, 150)
moments = st.integers(0, 4 * 10**9).map(lambda epoch: datetime.fromtimestamp(epoch, UTC))


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ({"usual_cpu": 20, "cpu": 10, "memory": 50, "trend": 0, "sureness": 1}, 0.732),
        ({"usual_cpu": 90, "cpu": 80, "memory": 80, "trend": 1, "sureness": 1}, 0.12),
        ({"usual_cpu": 90, "cpu": 0, "memory": 0, "trend": 0, "sureness": 0}, 0.9),
        ({"usual_cpu": 0, "cpu": 0, "memory": 0, "trend": -1, "sureness": 1}, 1.0),
    ],
)
def test_the_score_is_the_golden_one(told: dict[str, float], left: float) -> None:
    assert score(**told) == pytest.approx(left)


@given(percent, percent, percent, st.floats(-3, 3), st.floats(0, 1))
def test_a_score_stays_between_0_and_1(usual: float, cpu: float, memory: float, trend: float, sure: float) -> None:
    assert 0 <= score(usual_cpu=usual, cpu=cpu, memory=memory, trend=trend, sureness=sure) <= 1


@given(st.lists(st.tuples(moments, percent, percent, st.floats(-10, 1e6)), max_size=40))
def test_whatever_is_observed_at_whatever_time_a_week_is_sane_and_can_be_kept(seen: list) -> None:
    week = Week.new()
    for local, cpu, memory, seconds in seen:
        week.observe(local, cpu=cpu, memory=memory, seconds=seconds)
        assert 0 <= week.usual_cpu(local) <= 100 + 1e-6
        assert 0 <= week.sureness(local) <= 1
    assert 0 <= week.confidence <= 1
    assert len(week.drawn()) == HOURS
    kept = msgspec.json.decode(msgspec.json.encode(week), type=Week)
    assert kept == week
    assert all(0 <= cell.availability <= 1 for cell in kept.cells(0.0))


def test_what_was_seen_fifteen_days_ago_counts_half() -> None:
    week, later = Week.new(), MONDAY + timedelta(seconds=HALF_LIFE_S)
    week.observe(MONDAY, cpu=100, memory=50, seconds=60)
    hour = week.hours[slot_of(MONDAY)]
    assert hour.faded_seconds(later.timestamp()) == pytest.approx(30)
    hour.fade(later.timestamp())
    assert (hour.seconds, hour.cpu_percent, hour.memory_percent) == pytest.approx((30, 100, 50))


def test_the_sums_say_what_all_observations_together_would_say() -> None:
    week, seen = Week.new(), []
    for visit in range(5):
        for minute in range(60):
            local, cpu = MONDAY + timedelta(days=7 * visit, minutes=minute), (visit * 17 + minute) % 100
            week.observe(local, cpu=cpu, memory=30, seconds=60)
            seen.append((local, cpu))
    last = seen[-1][0]
    weights = [2 ** (-((last - local).total_seconds()) / HALF_LIFE_S) for local, _ in seen]
    mean = sum(weight * cpu for weight, (_, cpu) in zip(weights, seen, strict=True)) / sum(weights)
    spread = sum(weight * (cpu - mean) ** 2 for weight, (_, cpu) in zip(weights, seen, strict=True)) / sum(weights)
    assert week.usual_cpu(last) == pytest.approx(mean)
    assert week.hours[0].cpu_spread == pytest.approx(spread**0.5)


def test_looking_oftener_makes_nobody_busier() -> None:
    often, seldom = Week.new(), Week.new()
    for second in range(0, 600, 5):
        often.observe(MONDAY + timedelta(seconds=second), cpu=80 if second < 300 else 0, memory=0, seconds=5)
    for second in range(0, 600, 30):
        seldom.observe(MONDAY + timedelta(seconds=second), cpu=80 if second < 300 else 0, memory=0, seconds=30)
    assert often.usual_cpu(MONDAY) == pytest.approx(seldom.usual_cpu(MONDAY), rel=1e-3)


def test_days_are_nights_that_were_learned_over_and_a_wrong_clock_costs_one_at_most() -> None:
    week = Week.new()

    def see(**later: float) -> int:
        week.observe(MONDAY + timedelta(**later), cpu=1, memory=1, seconds=5)
        return week.days

    assert [see(hours=1), see(hours=23), see(days=1), see(days=1, hours=5), see(days=9)] == [0, 0, 1, 1, 2]
    assert [see(days=4000), see(days=10), see(days=11)] == [3, 3, 4]


def test_a_machine_that_slept_was_not_idle_all_that_time() -> None:
    week = Week.new()
    week.observe(MONDAY, cpu=0, memory=0, seconds=8 * 3600)
    assert week.hours[0].seconds == 60


def test_an_hour_is_believed_in_full_once_it_was_seen_for_an_hour() -> None:
    week, before = Week.new(), MONDAY + timedelta(minutes=29, seconds=55)
    for beat in range(720):
        if beat == 360:
            assert week.sureness(before) == pytest.approx(0.5, rel=1e-3)
        week.observe(MONDAY + timedelta(seconds=5 * beat), cpu=1, memory=1, seconds=5)
    assert week.sureness(MONDAY) == pytest.approx(1.0, rel=2e-3)
    assert week.sureness(MONDAY + timedelta(hours=1)) == 0


def test_the_week_is_drawn_in_tenths_with_dashes_where_nothing_was_seen() -> None:
    week = Week.new()
    week.observe(MONDAY, cpu=0, memory=0, seconds=5)
    week.observe(MONDAY + timedelta(hours=1), cpu=100, memory=0, seconds=5)
    week.observe(MONDAY + timedelta(days=6, hours=23), cpu=42, memory=0, seconds=5)
    assert week.drawn() == "90" + "-" * 165 + "5"


def test_a_simulated_week_of_beats_brings_the_documented_modes_in_memory_that_does_not_grow() -> None:
    machine = Machine()
    machine.live(BEATS_A_DAY)
    machine.live(6 * BEATS_A_DAY)
    assert sum(machine.modes.values()) == 120_960
    assert {mode for _, _, mode in machine.modes} == {"bootstrap"}, "new is no reason to be left out"
    assert machine.size < 20_000, "168 hours of five numbers each"
    assert machine.week.drawn()[24:48] == "999999999552585559999999"
    expected = {
        (0, 0): "full", (1, 10): "learned_medium", (2, 13): "learned_high", (3, 11): "learned_low", (5, 15): "full",
    }  # fmt: skip
    assert {at: machine.mode_at(*at) for at in expected} == expected
    tracemalloc.start()
    machine.live(100)
    before = tracemalloc.get_traced_memory()[0]
    machine.live(4000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000
