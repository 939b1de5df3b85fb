"""How a list is divided: each input exactly once, in order, sized by speed, smaller towards the end."""

from hypothesis import given
from hypothesis import strategies as st

from app.fleet.parts import FIRST_MOST, INPUTS_MOST, SECONDS_LEAST, SECONDS_MOST, Plan, Speeds

KEY = ("a", "ollama", "m:latest")


@given(st.data(), st.lists(st.integers(1, 5000), min_size=1, max_size=400), st.integers(1, 8))
def test_whatever_is_taken_and_put_back_each_input_is_served_exactly_once(
    data: st.DataObject, weights: list[int], lanes: int
) -> None:
    plan, held, served = Plan(weights, lanes), {}, []
    speeds = st.none() | st.floats(0.001, 1e9)
    while held or plan.left:
        lane = data.draw(st.integers(0, lanes - 1))
        if lane not in held:
            part = plan.take(lane, data.draw(speeds))
            if part is None:
                assert not plan.left
                continue
            assert 0 < len(part) <= INPUTS_MOST
            held[lane] = part
        elif data.draw(st.booleans()) or not plan.left:
            served.append(held.pop(lane))
            plan.rest(lane)
        else:
            plan.put_back(held.pop(lane))
    assert [place for part in sorted(served, key=lambda part: part.start) for place in part] == list(
        range(len(weights))
    )


def run(weights: list[int], speeds: list[float]) -> tuple[list[tuple[int, range]], list[float]]:
    """The parts as lanes of these speeds take them, and when each lane has ended its last one."""
    plan, free_at, parts = Plan(weights, len(speeds)), [0.0] * len(speeds), []
    known: list[float | None] = [None] * len(speeds)
    while plan.left:
        lane = min(range(len(speeds)), key=lambda one: free_at[one])
        plan.rest(lane)
        part = plan.take(lane, known[lane])
        assert part is not None
        free_at[lane] += plan.weight(part) / speeds[lane]
        known[lane] = speeds[lane]
        parts.append((lane, part))
    return parts, free_at


@given(
    st.lists(st.floats(50, 5000), min_size=2, max_size=6), st.lists(st.integers(10, 400), min_size=1000, max_size=1500)
)
def test_lanes_of_unequal_speed_end_together(speeds: list[float], weights: list[int]) -> None:
    parts, free_at = run(weights, speeds)
    largest_input = max(weights) / min(speeds)
    first_part = max(FIRST_MOST * max(weights), sum(weights) / 8 / len(speeds)) / min(speeds)
    assert max(free_at) - min(free_at) <= max(first_part, SECONDS_LEAST + largest_input)
    in_order = sorted(part.start for _, part in parts)
    assert in_order == [part.start for _, part in parts]  # without a failure, from front to back


def test_a_part_is_half_of_a_fair_share_of_the_rest() -> None:
    plan = Plan([1] * 1000, 2)
    plan.take(0, None)
    plan.take(1, None)
    left = plan.left
    assert plan.take(0, 300.0) is not None
    plan = Plan([1] * 1000, 2)
    plan.take(1, 100.0)  # a quarter of the speed, half of that share
    rest = plan.left
    part = plan.take(0, 300.0)
    assert part is not None
    assert abs(len(part) - rest * 3 / 4 / 2) <= 1
    assert left > rest > 0


def test_who_is_not_known_gets_little_at_first() -> None:
    part = Plan([1] * 100_000, 2).take(0, None)
    assert part is not None
    assert len(part) == FIRST_MOST


def test_no_part_takes_longer_than_a_newcomer_may_wait() -> None:
    part = Plan([1] * 10_000_000, 2).take(0, 100.0)
    assert part is not None
    assert len(part) == 100 * SECONDS_MOST


def test_one_input_is_taken_however_heavy_it_is() -> None:
    plan = Plan([10**9, 1], 1)
    assert plan.take(0, 0.001) == range(1)
    assert plan.take(0, 0.001) == range(1, 2)
    assert plan.take(0, 0.001) is None


def test_the_newest_speed_counts_half() -> None:
    speeds = Speeds()
    assert speeds.of(KEY) is None
    speeds.observe(KEY, 100, 1.0)
    speeds.observe(KEY, 400, 1.0)
    assert speeds.of(KEY) == 250.0
    speeds.observe(KEY, 100, 0.0)
    assert (speeds.of(KEY) or 0) > 1e6
