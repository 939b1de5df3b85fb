"""Lines before busy nodes while others stand idle, without a socket."""

from collections import Counter

from builders import machine, model, node
from fleet_builders import arrive, court
from hypothesis import given, settings
from hypothesis import strategies as st

from app.scoring.spill import wait_s


def test_a_free_slot_of_a_loaded_model_is_used_though_its_node_has_other_work() -> None:
    """b scores less because of its other work, but waiting for a would not be faster than beginning on b."""
    m2 = model("m:2", loaded=True, slots=8)
    bench, _, latency = court(
        node("a", model("m:1", loaded=True, slots=2)), node("b", model("m:1", loaded=True, slots=2), m2)
    )
    latency.observe("a", "m:1", 8.0)
    latency.observe("b", "m:1", 9.0)
    others = [arrive(bench.queue, "m:2")[1] for _ in range(6)]
    assert all(others)
    nodes = [lease.key[0] for _, lease in (arrive(bench.queue, "m:1") for _ in range(4)) if lease]
    assert Counter(nodes) == {"a": 2, "b": 2}


def test_a_slow_node_is_used_by_who_stands_so_far_back_that_waiting_is_slower() -> None:
    """In line before the fast node the 29th waits 29 s and is done after 30, as the slow one would be."""
    small = model("m:1", gb=2, loaded=True)
    home, hall = machine(16, 8), machine(256, 200)
    slow = node("slow", small, model("other:1", loaded=True, slots=9), machine=hall)
    bench, _, latency = court(node("fast", small, machine=home), slow)
    latency.observe("fast", "m:1", 1.0)
    latency.observe("slow", "m:1", 30.0)
    for _ in range(9):
        arrive(bench.queue, "other:1")
    arrived = [arrive(bench.queue, "m:1") for _ in range(40)]
    on_slow = next(lease for _, lease in arrived if lease and lease.key[0] == "slow")
    bench.queue.release(on_slow, completed=True)
    line = [ticket for ticket, lease in arrived if lease is None]
    [lease] = bench.queue.advance(1.0, ("m:1",))
    assert lease.key[0] == "slow"
    assert line.index(lease.ticket) == 28


def test_a_request_that_another_node_takes_than_it_first_waited_for_is_counted_once() -> None:
    bench, registry, _ = court(node("a", model("m:1", loaded=True)))
    arrive(bench.queue, "m:1")
    arrive(bench.queue, "m:1")
    assert bench.queue.rebalanced == 0
    registry.apply(node("b", model("m:1", loaded=True)), "127.0.0.1", 1.0)
    [lease] = bench.queue.advance(1.0)
    assert lease.key[0] == "b"
    assert bench.queue.rebalanced == 1


@settings(max_examples=80, deadline=None)
@given(
    slots=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    paces=st.tuples(*(st.none() | st.integers(1, 200) for _ in range(3))),
    others=st.integers(0, 8),
    steps=st.lists(st.tuples(st.sampled_from(["arrive", "arrive", "finish"]), st.integers(0, 7)), max_size=70),
)
def test_no_free_slot_of_a_loaded_model_stays_idle_while_somebody_would_be_done_no_later_by_it(
    slots: tuple[int, int, int],
    paces: tuple[int | None, int | None, int | None],
    others: int,
    steps: list[tuple[str, int]],
) -> None:
    names = ("a", "b", "c")
    rooms = dict(zip(names, slots, strict=True))
    bench, _, latency = court(
        *(
            node(name, model("m:1", loaded=True, slots=rooms[name]), model(f"{name}:1", loaded=True, slots=9))
            for name in names
        )
    )
    for name, pace in zip(names, paces, strict=True):
        if pace is not None:
            latency.observe(name, "m:1", float(pace))
    queue, leases = bench.queue, []
    for _ in range(others):
        arrive(queue, "b:1")
    for now, (step, pick) in enumerate(steps):
        if step == "arrive":
            _, lease = arrive(queue, "m:1", now=float(now))
            leases += [lease] if lease else []
        elif leases:
            queue.release(leases.pop(pick % len(leases)), completed=True)
            leases += queue.advance(float(now), ("m:1",))
    leases += queue.advance(100.0)
    positions: Counter[str] = Counter()
    for ticket in queue.tickets():
        assert ticket.planned is not None
        best = ticket.planned[0]
        positions[best] += 1
        for name in names:
            if queue.running((name, "ollama", "m:1")) < rooms[name]:
                mine, its = latency.p75(name, "m:1"), latency.p75(best, "m:1")
                assert mine is not None
                assert its is not None
                assert mine > wait_s(positions[best], rooms[best], its) + its
