"""Slots that several models of a node share: one generation at a time, whichever model or engine makes it."""

from collections import Counter

from builders import engine, model, node
from fleet_builders import arrive, court, seen
from hypothesis import given
from hypothesis import strategies as st

from app.fleet.queue import Lease
from node.wire import Heartbeat

MODELS = ("m:1", "m:2", "m:3")


def painter(node_id: str, *, lane_slots: tuple[int, int] = (1, 1), lane: str = "image") -> Heartbeat:
    """A node whose two engines share a lane, beside one that shares nothing; ``m:2`` is on both."""
    one, two, three = (model(name, loaded=True, slots=4) for name in MODELS)
    mflux = engine(one, two, name="mflux", lane=lane, lane_slots=lane_slots[0])
    other = engine(two, three, name="diffusionkit", lane=lane, lane_slots=lane_slots[1])
    return node(node_id, engines=(mflux, other, engine(model("text:1", loaded=True, slots=4))))


def test_one_at_a_time_over_all_models_and_engines_of_a_lane() -> None:
    bench, *_ = court(painter("a"))
    _, first = arrive(bench.queue, "m:1")
    assert first is not None
    assert [arrive(bench.queue, name)[1] for name in ("m:1", "m:2", "m:3")] == [None] * 3
    assert [arrive(bench.queue, "text:1")[1] is None for _ in range(5)] == [False] * 4 + [True]


def test_a_slot_of_the_lane_goes_to_the_oldest_of_all_who_wait_for_it() -> None:
    bench, registry, _ = court(painter("a"))
    queue = bench.queue
    _, running = arrive(queue, "m:1")
    waiting = [arrive(queue, name)[0] for name in ("m:3", "m:1", "m:2")]
    served = []
    while running is not None:
        queue.release(running, completed=True)
        granted = queue.advance(1.0, registry.sharing(*running.key))
        served += [lease.ticket for lease in granted]
        running = granted[0] if granted else None
    assert served == waiting


def test_what_shares_a_slot_is_told_together_and_nothing_else() -> None:
    _, registry, _ = court(painter("a"), painter("b", lane=""))
    assert set(registry.sharing("a", "mflux", "m:1")) == set(MODELS)
    assert registry.sharing("a", "ollama", "text:1") == ("text:1",)
    assert registry.sharing("b", "mflux", "m:1") == ("m:1",)
    assert registry.sharing("gone", "mflux", "m:1") == ("m:1",)


def test_engines_that_do_not_agree_about_their_lane_share_the_least() -> None:
    bench, *_ = court(painter("a", lane_slots=(4, 2)))
    granted = [arrive(bench.queue, name)[1] for name in ("m:1", "m:3", "m:2")]
    assert [lease is not None for lease in granted] == [True, True, False]


def test_a_burst_spreads_over_two_nodes_before_any_of_them_has_reported_to_be_busy() -> None:
    bench, *_ = court(painter("a"), painter("b"))
    tickets = [arrive(bench.queue, MODELS[number % 3]) for number in range(8)]
    assert Counter(lease.key[0] for _, lease in tickets if lease) == {"a": 1, "b": 1}
    assert Counter(ticket.planned[0] for ticket, _ in tickets if ticket.planned) == {"a": 3, "b": 3}


def test_a_request_that_fails_frees_its_lane_for_another_model() -> None:
    bench, registry, _ = court(painter("a"))
    _, running = arrive(bench.queue, "m:1")
    waiting, _ = arrive(bench.queue, "m:3")
    assert running is not None
    bench.queue.release(running, completed=None)
    [lease] = bench.queue.advance(1.0, registry.sharing(*running.key))
    assert lease.ticket is waiting


def test_who_waits_in_a_lane_waits_for_everybody_before_him_whatever_their_model() -> None:
    shot = seen(painter("a"), asked=("m:1", "m:3", "m:2", "m:1"), p75_s={"m:1": 10.0, "m:2": 10.0, "m:3": 10.0})
    assert [(view.model, view.position, view.estimated_wait_s) for view in shot.waiting] == [
        ("m:3", 1, 10.0), ("m:2", 2, 20.0), ("m:1", 3, 30.0),
    ]  # fmt: skip
    assert {(line.lane, line.slots, line.estimated_wait_s) for line in shot.lines if line.lane} == {("image", 1, 40.0)}


@given(
    lane_slots=st.integers(1, 3),
    steps=st.lists(
        st.tuples(st.sampled_from(["arrive", "finish", "leave", "advance"]), st.integers(0, 11)), max_size=60
    ),
)
def test_whatever_happens_a_lane_holds_and_nobody_waits_for_a_lane_that_is_free(
    lane_slots: int, steps: list[tuple[str, int]]
) -> None:
    bench, registry, _ = court(painter("a", lane_slots=(lane_slots,) * 2), painter("b", lane_slots=(lane_slots,) * 2))
    queue, names = bench.queue, (*MODELS, "text:1")
    leases: list[Lease] = []

    for step, pick in steps:
        if step == "arrive":
            _, lease = arrive(queue, names[pick % 4])
            leases += [lease] if lease is not None else []
        elif step == "finish" and leases:
            lease = leases.pop(pick % len(leases))
            queue.release(lease, completed=True)
            leases += queue.advance(1.0, registry.sharing(*lease.key))
        elif step == "leave" and queue.depth:
            queue.leave(queue.tickets()[pick % queue.depth])
        elif step == "advance":
            leases += queue.advance(1.0)
        running = Counter(lease.lane for lease in queue.leases() if lease.lane)
        assert running == Counter(lease.lane for lease in leases if lease.lane)
        assert all(count <= lane_slots for count in running.values())
        for place in (ticket.planned for ticket in queue.tickets() if ticket.planned):
            own_slot_taken = queue.running(place) == 1
            assert place[1] == "ollama" or running[place[0], "image"] == lane_slots or own_slot_taken
