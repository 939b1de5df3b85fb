"""Tickets, leases and slots, without a socket."""

from collections import Counter

from builders import model, node
from fleet_builders import arrive, court, job
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.errors import EngineFailed, NodeAway
from app.fleet.queue import PASS, Counts, Ticket, key_of
from app.scoring.types import Absent, Held, Placed, Verdict
from node.wire import Capacity


def test_a_free_slot_is_granted_at_once() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    _, lease = arrive(bench.queue, "m:1")
    assert lease is not None
    assert lease.key == ("a", "ollama", "m:1")
    assert bench.queue.depth == 0


def test_twenty_on_one_slot_are_served_one_by_one_in_order_of_arrival() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    queue = bench.queue
    arrived = [arrive(queue, "m:1", now=float(n)) for n in range(20)]
    running = arrived[0][1]
    assert running is not None
    assert queue.depth == 19
    served = [arrived[0][0].id]
    while running is not None:
        assert queue.release(running, completed=True)
        granted = queue.advance(100.0, ("m:1",))
        assert len(granted) <= 1
        running = granted[0] if granted else None
        if running is not None:
            served.append(running.ticket.id)
    assert served == [ticket.id for ticket, _ in arrived]
    assert queue.tallies["a", "ollama", "m:1"].completed == 20


def test_closing_a_lease_twice_changes_nothing() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    _, lease = arrive(bench.queue, "m:1")
    assert lease is not None
    assert bench.queue.release(lease, completed=True)
    assert not bench.queue.release(lease, completed=True)
    assert bench.queue.running(lease.key) == 0
    assert bench.queue.tallies[lease.key].completed == 1


def test_whoever_waits_for_a_node_that_takes_nothing_more_waits_for_another_at_once() -> None:
    both = [node(name, model("m:1", loaded=True)) for name in ("a", "b")]
    bench, registry, _ = court(*both)
    for number in range(7):
        arrive(bench.queue, "m:1", now=float(number))
    assert {ticket.planned[0] for ticket in bench.queue.tickets() if ticket.planned} == {"a", "b"}
    registry.apply(replace(both[0], capacity=Capacity(mode="paused", availability=0.0)), "127.0.0.1", 9.0)
    assert bench.queue.advance(9.0) == []
    assert [ticket.planned[0] for ticket in bench.queue.tickets() if ticket.planned] == ["b"] * 5
    assert (bench.queue.node_planned("a"), bench.queue.node_planned("b")) == (0, 5)


def test_advancing_twice_without_a_change_grants_nothing_the_second_time() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    _, lease = arrive(bench.queue, "m:1")
    arrive(bench.queue, "m:1")
    assert lease is not None
    bench.queue.release(lease, completed=True)
    assert len(bench.queue.advance(1.0)) == 1
    assert bench.queue.advance(1.0) == []


def test_a_model_on_a_node_that_may_not_serve_is_held_and_one_nobody_has_is_absent() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True), draining=True))
    held, lease = arrive(bench.queue, "m:1")
    assert lease is None
    assert isinstance(held.verdict, Held)
    assert held.held_since is not None
    absent, _ = arrive(bench.queue, "other")
    assert isinstance(absent.verdict, Absent)


def test_a_held_request_is_granted_when_its_node_comes_back() -> None:
    bench, registry, _ = court(node("a", model("m:1", loaded=True), draining=True))
    ticket, _ = arrive(bench.queue, "m:1")
    registry.apply(node("a", model("m:1", loaded=True)), "127.0.0.1", 5.0)
    [lease] = bench.queue.advance(5.0)
    assert lease.ticket is ticket


def test_a_busy_line_of_one_model_does_not_keep_another_models_requests_waiting() -> None:
    """The pass over all tickets must not end at the first model that has no slot."""
    bench, registry, _ = court(node("a", model("m:1", loaded=True), model("m:2", loaded=True)))
    for _ in range(30):
        arrive(bench.queue, "m:1")
    _, running = arrive(bench.queue, "m:2")
    waiting, _ = arrive(bench.queue, "m:2")
    assert running is not None
    bench.queue.release(running, completed=True)
    registry.apply(node("a", model("m:1", loaded=True), model("m:2", loaded=True)), "127.0.0.1", 1.0)
    assert [lease.ticket for lease in bench.queue.advance(1.0)] == [waiting]


def test_a_node_that_failed_the_request_is_not_asked_again() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)), node("b", model("m:1", loaded=True)))
    ticket, lease = arrive(bench.queue, "m:1")
    assert lease is not None
    bench.queue.release(lease, completed=None)
    ticket.exclude(lease.chosen.candidate, EngineFailed("x"), 0.0)
    again = bench.queue.try_now(ticket, 1.0)
    assert again is not None
    assert again.key[0] != lease.key[0]


def test_a_node_that_has_another_address_since_it_failed_the_request_is_asked_again() -> None:
    bench, registry, _ = court(node("a", model("m:1", loaded=True)))
    ticket, lease = arrive(bench.queue, "m:1")
    assert lease is not None
    bench.queue.release(lease, completed=None)
    ticket.exclude(lease.chosen.candidate, NodeAway("nobody there"), 0.0)
    assert bench.queue.try_now(ticket, 1.0) is None
    bench.queue.wait(ticket)
    registry.apply(node("a", model("m:1", loaded=True)), "10.0.0.9", 2.0)
    assert [lease.key[0] for lease in bench.queue.advance(2.0)] == ["a"]


def test_a_request_that_comes_back_from_a_failed_node_keeps_its_place() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    first, lease = arrive(bench.queue, "m:1")
    arrive(bench.queue, "m:1")
    assert lease is not None
    bench.queue.wait(first)
    assert bench.queue.tickets()[0] is first


def test_two_equal_nodes_share_parallel_requests() -> None:
    loaded = model("m:1", loaded=True, slots=2)
    bench, *_ = court(node("a", loaded), node("b", loaded))
    nodes = Counter(lease.key[0] for _, lease in (arrive(bench.queue, "m:1") for _ in range(4)) if lease)
    assert nodes == {"a": 2, "b": 2}


def test_waiting_requests_count_as_load_where_they_are_planned() -> None:
    loaded = model("m:1", loaded=True)
    bench, *_ = court(node("a", loaded), node("b", loaded))
    for _ in range(6):
        arrive(bench.queue, "m:1")
    planned = Counter(ticket.planned[0] for ticket in bench.queue.tickets() if ticket.planned)
    assert planned == {"a": 2, "b": 2}


def test_who_leaves_the_queue_counts_nowhere_any_more() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)))
    arrive(bench.queue, "m:1")
    ticket, _ = arrive(bench.queue, "m:1")
    bench.queue.leave(ticket)
    bench.queue.leave(ticket)
    assert bench.queue.depth == 0
    assert bench.queue.planned(("a", "ollama", "m:1")) == 0
    assert bench.queue.node_planned("a") == 0


MODELS = ("m:1", "m:2")


@settings(max_examples=60, deadline=None)
@given(
    slots=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
    steps=st.lists(
        st.tuples(st.sampled_from(["arrive", "finish", "fail", "leave", "advance"]), st.integers(0, 7)), max_size=60
    ),
)
def test_whatever_happens_slots_hold_and_each_ticket_ends_once(
    slots: tuple[int, int, int], steps: list[tuple[str, int]]
) -> None:
    bench, *_ = court(
        node("a", model("m:1", loaded=True, slots=slots[0]), model("m:2", loaded=True, slots=slots[1])),
        node("b", model("m:1", loaded=True, slots=slots[2])),
    )
    queue, leases, granted_ids = bench.queue, [], []

    def check() -> None:
        held = Counter(lease.key for lease in queue.leases())
        assert held == Counter(lease.key for lease in leases)
        for lease in leases:
            assert held[lease.key] <= lease.chosen.candidate.load.slots
            assert queue.running(lease.key) == held[lease.key]
        planned = Counter(ticket.planned for ticket in queue.tickets() if ticket.planned)
        for key, count in planned.items():
            assert queue.planned(key) == count
        assert queue.node_planned("a") == sum(count for key, count in planned.items() if key[0] == "a")

    for now, (step, pick) in enumerate(steps):
        if step == "arrive":
            _, lease = arrive(queue, MODELS[pick % 2], now=float(now))
            if lease is not None:
                leases.append(lease)
                granted_ids.append(lease.ticket.id)
        elif step in ("finish", "fail") and leases:
            lease = leases.pop(pick % len(leases))
            queue.release(lease, completed=step == "finish")
        elif step == "leave" and queue.depth:
            queue.leave(queue.tickets()[pick % queue.depth])
        if step != "arrive":
            for lease in queue.advance(float(now)):
                leases.append(lease)
                granted_ids.append(lease.ticket.id)
        check()
    assert len(granted_ids) == len(set(granted_ids))
    for ticket in queue.tickets():
        verdict = ticket.verdict
        assert isinstance(verdict, Placed)
        key = key_of(verdict.ranking.scored[0].candidate)
        assert queue.running(key) == verdict.ranking.scored[0].candidate.load.slots


@settings(max_examples=30, deadline=None)
@given(finishes=st.lists(st.integers(0, 3), min_size=1, max_size=40))
def test_equal_requests_are_granted_in_order_of_arrival(finishes: list[int]) -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True, slots=3)))
    queue = bench.queue
    order: list[int] = []
    leases = []
    for n in range(30):
        ticket, lease = arrive(queue, "m:1", now=float(n))
        if lease is not None:
            leases.append(lease)
            order.append(ticket.id)
    for pick in finishes:
        if not leases:
            break
        queue.release(leases.pop(pick % len(leases)), completed=True)
        for lease in queue.advance(50.0, ("m:1",)):
            leases.append(lease)
            order.append(lease.ticket.id)
    assert order == sorted(order)


def test_a_request_that_may_not_go_to_a_node_does_not_keep_those_behind_it_from_that_node() -> None:
    """The first in line failed on a and waits for b: when a's slot becomes free, the second in line gets it."""
    bench, *_ = court(node("a", model("m:1", loaded=True)), node("b", model("m:1", loaded=True)))
    leases = [lease for _, lease in (arrive(bench.queue, "m:1") for _ in range(2)) if lease]
    on_a = next(lease for lease in leases if lease.key[0] == "a")
    failed = on_a.ticket
    failed.exclude(on_a.chosen.candidate, EngineFailed("broken"), 0.0)
    bench.queue.release(on_a, completed=None)
    _, again = arrive(bench.queue, "m:1")
    assert again is not None
    assert bench.queue.try_now(failed, 1.0) is None
    bench.queue.wait(failed)
    waiting, _ = arrive(bench.queue, "m:1")
    bench.queue.release(again, completed=True)
    [lease] = bench.queue.advance(1.0, ("m:1",))
    assert lease.ticket is waiting
    assert lease.key[0] == "a"


def test_a_request_that_needs_more_does_not_keep_those_behind_it_from_nodes_that_have_less() -> None:
    sees = model("m:1", loaded=True, capabilities=("completion", "vision"))
    bench, *_ = court(node("blind", model("m:1", loaded=True, capabilities=("completion",))), node("sees", sees))
    queue = bench.queue
    picture = queue.enter(job("m:1", needs=("vision",)), 0.0)
    assert queue.try_now(picture, 0.0) is not None
    _, text = arrive(queue, "m:1")
    assert text is not None
    following = queue.enter(job("m:1", needs=("vision",)), 0.0)
    assert queue.try_now(following, 0.0) is None
    queue.wait(following)
    waiting, _ = arrive(queue, "m:1")
    queue.release(text, completed=True)
    assert [lease.ticket for lease in queue.advance(1.0, ("m:1",))] == [waiting]


def test_requests_held_for_one_model_do_not_hide_another_models_return() -> None:
    away, back = node("a", model("m:1", loaded=True), draining=True), node("b", model("m:2", loaded=True))
    bench, registry, _ = court(away, node("b", model("m:2", loaded=True), draining=True))
    for _ in range(200):
        arrive(bench.queue, "m:1")
    waiting, _ = arrive(bench.queue, "m:2")
    registry.apply(back, "127.0.0.1", 1.0)
    assert [lease.ticket for lease in bench.queue.advance(1.0)] == [waiting]


def test_who_waits_for_a_busy_node_is_no_longer_held_once_it_came_back() -> None:
    bench, registry, _ = court(node("a", model("m:1", loaded=True), draining=True))
    tickets = [arrive(bench.queue, "m:1")[0] for _ in range(100)]
    assert all(ticket.held_since is not None for ticket in tickets)
    registry.apply(node("a", model("m:1", loaded=True)), "127.0.0.1", 5.0)
    assert len(bench.queue.advance(5.0)) == 1
    assert all(ticket.held_since is None for ticket in tickets)
    assert bench.queue.planned(("a", "ollama", "m:1")) == 99
    assert bench.queue.overdue(100.0, hold_s=30, wait_s=600) == []


def test_when_a_node_leaves_all_who_wait_for_it_are_held_at_once() -> None:
    bench, registry, _ = court(node("a", model("m:1", loaded=True)))
    for _ in range(100):
        arrive(bench.queue, "m:1")
    registry.apply(node("a", model("m:1", loaded=True), draining=True), "127.0.0.1", 5.0)
    bench.queue.advance(5.0)
    assert {ticket.held_since for ticket in bench.queue.tickets()} == {5.0}
    assert bench.queue.planned(("a", "ollama", "m:1")) == 0


def test_a_pass_judges_a_bounded_number_and_no_ticket_is_passed_over_for_ever() -> None:
    """Five hundred kinds wait: a pass stays cheap, and the passes after it reach the last of them."""
    names = [f"m{number}:1" for number in range(500)]
    bench, *_ = court(node("a", *(model(name, loaded=True) for name in names), draining=True))
    for name in names:
        arrive(bench.queue, name)
    judged: list[int] = []
    judge = bench.queue._judge

    def counting(ticket: Ticket, counts: Counts) -> Verdict:
        judged.append(ticket.id)
        return judge(ticket, counts)

    bench.queue._judge = counting  # type: ignore[method-assign]
    bench.queue.advance(1.0)
    assert len(judged) <= PASS
    for _ in range(10):
        bench.queue.advance(1.0)
    assert set(judged) == {ticket.id for ticket in bench.queue.tickets()}
