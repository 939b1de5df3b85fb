"""The choice among models, branch by branch of its tree. Knows no queue."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders import candidate, demand
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from strategies import fleets

from app.scoring.chain import Chain
from app.scoring.policy import Policy, load
from app.scoring.selection import choose
from app.scoring.types import Absent, Candidate, Held, Placed

CHAIN = Chain(load((Path(__file__).parents[3] / "app" / "modalities" / "llm" / "policy.toml").read_text()))
ASKED, BACKUP, LAST, OTHER = "llama3.3:70b", "qwen3:32b", "qwen3:8b", "gemma3:27b"


def on(node_id: str, name: str, **more: Any) -> Candidate:
    return candidate(node_id, name, **{"category": "general", "gb": 40, **more})


def others(*candidates: Candidate) -> Callable[[], list[Candidate]]:
    return lambda: list(candidates)


def test_1_a_loaded_candidate_of_the_asked_model_serves() -> None:
    asked = {ASKED: [on("a", ASKED), on("b", ASKED, loaded=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP), asked | {BACKUP: [on("c", BACKUP, loaded=True)]})
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("asked", ASKED)
    assert [scored.candidate.node_id for scored in verdict.ranking.scored] == ["b", "a"]


def test_2_a_loaded_model_of_the_same_category_stands_in_for_a_cold_one() -> None:
    wanting = demand(ASKED, substitutes=True)
    verdict = choose(CHAIN, wanting, {ASKED: [on("a", ASKED)]}, others(on("b", OTHER, loaded=True)))
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("substitute", OTHER)


def test_2_no_substitute_while_the_asked_model_is_loaded_somewhere() -> None:
    wanting = demand(ASKED, substitutes=True)
    asked = {ASKED: [on("a", ASKED, loaded=True, waiting=30, p75_s=100.0)]}
    verdict = choose(CHAIN, wanting, asked, others(on("b", OTHER, loaded=True)))
    assert isinstance(verdict, Placed)
    assert verdict.how == "asked"


def stands_in(substitute: Candidate, **wanting: Any) -> bool:
    asked = {ASKED: [on("a", ASKED, capabilities=("vision",))]}
    verdict = choose(CHAIN, demand(ASKED, **{"substitutes": True, **wanting}), asked, others(substitute))
    assert isinstance(verdict, Placed)
    return verdict.how == "substitute"


def test_2_a_substitute_must_be_allowed_loaded_of_the_category_and_able() -> None:
    fit = on("b", OTHER, loaded=True, context=8192, capabilities=("completion", "vision"))
    assert stands_in(fit)
    assert stands_in(fit, needs=("vision",), context_needed=8192)
    assert not stands_in(fit, substitutes=False)
    assert not stands_in(fit, context_needed=8193)
    assert not stands_in(fit, prompt_tokens=9000)
    assert not stands_in(replace(fit, category="coding"))
    assert not stands_in(on("b", OTHER, loaded=False))
    assert not stands_in(on("b", OTHER, loaded=True), needs=("vision",))
    assert not stands_in(replace(fit, draining=True))
    assert not stands_in(replace(fit, model=replace(fit.model, modality="embed")))


def test_2_a_model_that_the_client_named_is_no_substitute() -> None:
    assert not stands_in(on("b", "Llama3.3:70B", loaded=True))


def test_2_a_substitute_is_about_as_large_as_the_model_that_was_asked_for() -> None:
    assert stands_in(on("b", OTHER, loaded=True, gb=32))
    assert not stands_in(on("b", OTHER, loaded=True, gb=31))
    assert not stands_in(on("b", OTHER, loaded=True, gb=None))
    any_size = Chain(replace(CHAIN.policy, substitute_size=0))
    verdict = choose(
        any_size, demand(ASKED, substitutes=True), {ASKED: [on("a", ASKED)]}, others(on("b", OTHER, loaded=True, gb=1))
    )
    assert isinstance(verdict, Placed)
    assert verdict.how == "substitute"


def test_2_the_weights_count_and_not_what_a_large_context_adds_to_them() -> None:
    roomy = on("b", OTHER, loaded=True, gb=60)
    assert not stands_in(replace(roomy, model=replace(roomy.model, size_bytes=2 * 1024**3)))


def test_3_without_a_substitute_the_asked_model_is_loaded() -> None:
    verdict = choose(CHAIN, demand(ASKED, substitutes=True), {ASKED: [on("a", ASKED)]})
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("asked", ASKED)


def test_1_a_loaded_fallback_goes_before_a_cold_earlier_model_unless_the_policy_keeps_the_clients_order() -> None:
    known = {ASKED: [on("a", ASKED)], BACKUP: [on("b", BACKUP)], LAST: [on("c", LAST, loaded=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP, LAST, substitutes=True), known, others(on("d", OTHER, loaded=True)))
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("fallback", LAST)
    in_order = Chain(replace(CHAIN.policy, hot_first=False))
    verdict = choose(in_order, demand(ASKED, BACKUP, LAST), known)
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("asked", ASKED)


def test_1_of_two_loaded_models_the_one_that_the_client_named_first_serves() -> None:
    known = {ASKED: [on("a", ASKED, loaded=True, waiting=3)], BACKUP: [on("b", BACKUP, loaded=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP), known)
    assert isinstance(verdict, Placed)
    assert verdict.how == "asked"


def test_1_a_fallback_that_is_loaded_where_it_may_not_serve_is_not_hot() -> None:
    known = {ASKED: [on("a", ASKED)], BACKUP: [on("b", BACKUP, loaded=True, draining=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP), known)
    assert isinstance(verdict, Placed)
    assert verdict.how == "asked"


def test_3_fallbacks_are_tried_in_the_clients_order() -> None:
    known = {
        ASKED: [on("a", ASKED, status="offline")],
        BACKUP: [on("b", BACKUP)],
        LAST: [on("c", LAST)],
    }
    verdict = choose(CHAIN, demand(ASKED, BACKUP, LAST), known)
    assert isinstance(verdict, Placed)
    assert (verdict.how, verdict.model) == ("fallback", BACKUP)
    verdict = choose(CHAIN, demand(ASKED, LAST, BACKUP), known)
    assert isinstance(verdict, Placed)
    assert verdict.model == LAST


def test_3_a_fallback_serves_when_nobody_has_the_asked_model() -> None:
    verdict = choose(CHAIN, demand(ASKED, BACKUP), {ASKED: [], BACKUP: [on("b", BACKUP)]})
    assert isinstance(verdict, Placed)
    assert verdict.how == "fallback"


def test_4_a_known_model_with_nobody_to_serve_it_is_held_with_all_the_reasons() -> None:
    known = {ASKED: [on("a", ASKED, status="offline")], BACKUP: [on("b", BACKUP, draining=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP), known, others(on("c", OTHER, loaded=True)))
    assert isinstance(verdict, Held)
    assert [(one.node_id, one.filter) for one in verdict.ranking.refused] == [("a", "online"), ("b", "online")]


def test_5_who_waits_for_a_capability_waits_in_vain_even_where_the_node_is_away() -> None:
    blind = {ASKED: [on("a", ASKED, capabilities=("completion",), status="offline")]}
    verdict = choose(CHAIN, demand(ASKED, needs=("vision",)), blind)
    assert isinstance(verdict, Held)
    assert verdict.hopeless
    sighted = {**blind, BACKUP: [on("b", BACKUP, capabilities=("vision",), draining=True)]}
    verdict = choose(CHAIN, demand(ASKED, BACKUP, needs=("vision",)), sighted)
    assert isinstance(verdict, Held)
    assert not verdict.hopeless


def test_4_a_model_that_no_node_has_is_absent() -> None:
    verdict = choose(CHAIN, demand(ASKED, BACKUP), {ASKED: []}, others(on("c", OTHER, loaded=True)))
    assert verdict == Absent(models=(ASKED, BACKUP))


@settings(max_examples=80)
@given(asked=fleets, backup=fleets, further=fleets, allowed=st.booleans())
def test_a_verdict_never_names_somebody_a_filter_refuses(
    asked: list[Candidate], backup: list[Candidate], further: list[Candidate], allowed: bool
) -> None:
    wanting = demand(ASKED, BACKUP, substitutes=allowed)
    verdict = choose(CHAIN, wanting, {ASKED: asked, BACKUP: backup}, others(*further))
    if isinstance(verdict, Absent):
        assert not asked
        assert not backup
    elif isinstance(verdict, Held):
        assert len(verdict.ranking.refused) == len(asked) + len(backup) > 0
    else:
        first = verdict.ranking.scored[0].candidate
        assert all(part.refuse(wanting, first) is None for part in CHAIN.policy.filter)
        assert allowed or verdict.how != "substitute"


def test_4_who_is_refused_by_everybody_for_good_is_hopeless_and_nobody_else() -> None:
    short, away = on("a", ASKED, loaded=True, context=2048), on("b", ASKED, status="offline")
    long = demand(ASKED, prompt_tokens=9000)
    verdict = choose(CHAIN, long, {ASKED: [short]})
    assert isinstance(verdict, Held)
    assert verdict.hopeless
    verdict = choose(CHAIN, long, {ASKED: [short, away]})
    assert isinstance(verdict, Held)
    assert not verdict.hopeless


def test_1_a_model_that_must_be_loaded_anew_for_more_context_is_not_hot() -> None:
    def sized(name: str, context: int) -> Candidate:
        plain = on("a", name, loaded=True, context=context)
        return replace(plain, resizes=True, model=replace(plain.model, context_max=131072))

    long = demand(ASKED, BACKUP, prompt_tokens=9000, context_needed=9000, resizes=True)
    verdict = choose(CHAIN, long, {ASKED: [sized(ASKED, 4096)], BACKUP: [sized(BACKUP, 16384)]})
    assert isinstance(verdict, Placed)
    assert verdict.model == BACKUP
    assert not sized(ASKED, 4096).ready_for(long)
    assert sized(ASKED, 131072).ready_for(replace(long, context_needed=10**6))


def test_a_request_that_is_meant_for_one_engine_goes_nowhere_else_whatever_the_policy() -> None:
    best, meant = on("a", "m", loaded=True, slots=8), on("b", "m", loaded=True, running=5)
    bare = Chain(Policy(name="bare"))
    for chain in (CHAIN, bare):
        verdict = choose(chain, demand("m", at=("b", "ollama")), {"m": [best, meant]})
        assert isinstance(verdict, Placed)
        assert [scored.candidate.node_id for scored in verdict.ranking.scored] == ["b"]
    verdict = choose(bare, demand("m", at=("c", "ollama")), {"m": [best, meant]})
    assert isinstance(verdict, Held)
    assert verdict.hopeless


def test_a_request_that_shall_load_nothing_waits_for_no_load() -> None:
    cold, hot = on("a", "m"), on("b", "m", loaded=True)
    verdict = choose(CHAIN, demand("m", resident=True), {"m": [cold, hot]})
    assert isinstance(verdict, Placed)
    assert [scored.candidate.node_id for scored in verdict.ranking.scored] == ["b"]
    assert choose(CHAIN, demand("m", resident=True), {"m": [cold]}).hopeless  # type: ignore[union-attr]
