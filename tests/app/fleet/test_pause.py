"""Engines that are full: spared for a moment, then asked by one."""

from app.fleet.pause import LEAST_S, MOST_S, Pauses

KEY = ("a", "ollama", "m:1")


def test_a_full_engine_gets_no_more_than_it_had_and_then_one_more() -> None:
    pauses = Pauses()
    assert pauses.slots(KEY, 4, 0.0) == 4
    assert pauses.busy(KEY, 2, 0.0) == LEAST_S
    assert pauses.slots(KEY, 4, 0.5) == 2
    assert pauses.slots(KEY, 4, LEAST_S) == 3
    assert pauses.slots(("a", "ollama", "other:1"), 4, 0.5) == 4


def test_the_pause_grows_while_the_engine_stays_full_but_not_by_those_sent_before_it() -> None:
    pauses, now, seen = Pauses(), 0.0, []
    for _ in range(6):
        pause_s = pauses.busy(KEY, 0, now)
        assert pause_s is not None
        assert pauses.busy(KEY, 0, now + 0.1) is None
        found = pauses.pause(KEY, now)
        assert found is not None
        seen.append((found.times, pause_s))
        now += pause_s
    assert seen == [(1, 1.0), (2, 2.0), (3, 4.0), (4, MOST_S), (5, MOST_S), (6, MOST_S)]


def test_one_answer_to_a_request_sent_since_gives_all_slots_back_and_one_sent_before_does_not() -> None:
    pauses = Pauses()
    pauses.busy(KEY, 1, 10.0)
    pauses.served(KEY, 9.0)
    assert pauses.slots(KEY, 4, 10.5) == 1
    pauses.served(KEY, 11.0)
    assert pauses.slots(KEY, 4, 11.0) == 4
    assert pauses.pause(KEY, 11.0) is None


def test_the_end_of_a_pause_is_told_once() -> None:
    pauses = Pauses()
    pauses.busy(KEY, 0, 0.0)
    assert not pauses.over(0.5)
    assert pauses.over(LEAST_S)
    assert not pauses.over(LEAST_S + 1)
    pauses.busy(KEY, 0, 2.0)
    assert pauses.over(9.0)


def test_an_engine_that_was_started_anew_is_not_full() -> None:
    pauses = Pauses()
    pauses.busy(KEY, 0, 0.0)
    pauses.forget("a", "ollama")
    assert pauses.slots(KEY, 4, 0.0) == 4
