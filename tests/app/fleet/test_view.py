"""The picture of lines and of who waits in them, without a socket."""

from builders import model, node
from fleet_builders import seen

from app.fleet.snapshot import FleetSnapshot
from node.wire import Heartbeat


def picture(*heartbeats: Heartbeat, waiting: int, p75_s: float | None = None) -> FleetSnapshot:
    """What is seen when so many have come for m:1."""
    return seen(*heartbeats, asked=("m:1",) * waiting, p75_s={} if p75_s is None else {"m:1": p75_s})


def test_each_place_in_line_waits_for_as_many_rounds_as_stand_before_it() -> None:
    shot = picture(node("a", model("m:1", loaded=True, slots=2)), waiting=7, p75_s=8.0)
    assert [(view.request_id, view.position, view.estimated_wait_s) for view in shot.waiting] == [
        ("r2", 1, 8.0), ("r3", 2, 8.0), ("r4", 3, 16.0), ("r5", 4, 16.0), ("r6", 5, 24.0),
    ]  # fmt: skip
    [line] = shot.lines
    assert (line.running, line.waiting, line.estimated_wait_s) == (2, 5, 24.0)


def test_a_free_slot_means_no_wait() -> None:
    [line] = picture(node("a", model("m:1", loaded=True, slots=2)), waiting=1, p75_s=8.0).lines
    assert line.estimated_wait_s == 0.0


def test_without_a_history_line_and_waiting_are_guessed_alike_from_the_size() -> None:
    shot = picture(node("a", model("m:1", gb=5, loaded=True)), waiting=2)
    assert shot.waiting[0].estimated_wait_s == 5.0
    assert shot.lines[0].estimated_wait_s == 10.0


def test_places_are_counted_in_each_line_by_itself() -> None:
    loaded = model("m:1", loaded=True)
    shot = picture(node("a", loaded), node("b", loaded), waiting=6)
    places = [(view.node_id, view.position) for view in shot.waiting]
    assert sorted(places) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_who_is_held_waits_for_nobody_knows_how_long() -> None:
    shot = picture(node("a", model("m:1", loaded=True), draining=True), waiting=2)
    assert [(view.why, view.position, view.estimated_wait_s) for view in shot.waiting] == [
        ("held", 1, None), ("held", 2, None),
    ]  # fmt: skip
