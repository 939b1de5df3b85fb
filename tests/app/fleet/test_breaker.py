"""Engines that fail again and again rest, are tried, and come back; told by a clock of numbers."""

from builders import model, node
from fleet_builders import court, job

from app.fleet.breaker import IN_ROW, LAST, REST_LEAST_S, REST_MOST_S, Breaker
from app.scoring.types import Held, Placed

PLACE = ("a", "ollama")


def broken(now: float = 0.0, failures: int = IN_ROW) -> Breaker:
    breaker = Breaker()
    for _ in range(failures):
        breaker.failed(PLACE, now)
    return breaker


def test_a_few_failures_are_forgiven_and_a_success_starts_the_count_anew() -> None:
    breaker = broken(failures=IN_ROW - 1)
    breaker.served(PLACE)
    assert breaker.failed(PLACE, 1.0) is None
    assert breaker.rest(PLACE, 1.0) is None


def test_an_engine_that_fails_in_a_row_rests_and_then_may_be_tried() -> None:
    breaker = broken()
    rest = breaker.rest(PLACE, 1.0)
    assert rest is not None
    assert (rest.failures, rest.left_s) == (IN_ROW, REST_LEAST_S - 1.0)
    rest = breaker.rest(PLACE, REST_LEAST_S)
    assert rest is not None
    assert rest.left_s == 0


def test_who_fails_more_often_than_not_rests_too() -> None:
    breaker = Breaker()
    begun = []
    for number in range(LAST):
        if number % 3 == 2:
            breaker.served(PLACE)
        else:
            begun.append(breaker.failed(PLACE, 0.0))
    assert [rest for rest in begun if rest] == [REST_LEAST_S]


def test_a_failed_trial_means_a_longer_rest_but_never_a_very_long_one() -> None:
    breaker, now = broken(), 0.0
    for _ in range(10):
        rest = breaker.rest(PLACE, now)
        assert rest is not None
        now += rest.left_s
        breaker.failed(PLACE, now)
    rest = breaker.rest(PLACE, now)
    assert rest is not None
    assert rest.left_s == REST_MOST_S <= 10


def test_what_still_fails_during_a_rest_does_not_prolong_it() -> None:
    breaker = broken()
    assert breaker.failed(PLACE, 1.0) is None
    rest = breaker.rest(PLACE, REST_LEAST_S)
    assert rest is not None
    assert rest.left_s == 0


def test_one_served_trial_ends_the_matter() -> None:
    breaker = broken()
    breaker.served(PLACE)
    assert breaker.rest(PLACE, REST_LEAST_S) is None
    assert breaker.failed(PLACE, REST_LEAST_S) is None


def test_a_resting_engine_gets_nothing_while_another_is_there_and_one_trial_afterwards() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True, slots=4)), node("b", model("m:1", slots=4)))
    bench.breaker = broken()
    verdict = bench.judge(job("m:1").demand, 1.0)
    assert isinstance(verdict, Placed)
    assert [scored.candidate.node_id for scored in verdict.ranking.scored] == ["b"]
    [refused] = verdict.ranking.refused
    assert (refused.node_id, refused.filter) == ("a", "failing")
    assert refused.reason == "3 of its last requests failed: it is tried again in 3 s"

    queue, bench.now = bench.queue, REST_LEAST_S
    leases = [queue.try_now(queue.enter(job("m:1"), bench.now), bench.now) for _ in range(3)]
    assert sorted(lease.key[0] for lease in leases if lease) == ["a", "b", "b"]


def test_the_last_engine_that_has_a_model_is_asked_even_while_it_rests() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)), node("b", model("m:1", loaded=True), draining=True))
    bench.breaker = broken()
    verdict = bench.judge(job("m:1").demand, 1.0)
    assert isinstance(verdict, Placed)
    assert verdict.ranking.scored[0].candidate.node_id == "a"


def test_a_fallback_on_a_sound_engine_goes_before_the_asked_model_on_a_resting_one() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True)), node("b", model("m:2", loaded=True)))
    bench.breaker = broken()
    verdict = bench.judge(job("m:1", "m:2").demand, 1.0)
    assert isinstance(verdict, Placed)
    assert (verdict.model, verdict.how) == ("m:2", "fallback")


def test_what_no_engine_can_serve_stays_held_whether_it_rests_or_not() -> None:
    bench, *_ = court(node("a", model("m:1", loaded=True), draining=True))
    bench.breaker = broken()
    assert isinstance(bench.judge(job("m:1").demand, 1.0), Held)
