"""Each filter: whom it refuses, in which words, and that what is not known never refuses. Knows no policy file."""

import pytest
from builders import candidate, demand, model
from msgspec.structs import replace

from app.scoring.filters import (
    Capable,
    ContextFits,
    Filter,
    Full,
    KnowsHow,
    MemoryFits,
    OfModality,
    OneLoad,
    Online,
    OwnerAway,
    PressureBelow,
    SameDigest,
    Serves,
)
from app.scoring.types import Candidate, Pause
from node.wire import Capacity, ModelReport


def bootstrapping(availability: float) -> Candidate:
    return replace(candidate(), capacity=Capacity(mode="bootstrap", availability=availability, days_observed=2))


@pytest.mark.parametrize(
    ("gate", "refused", "reason"),
    [
        (Online(), candidate(status="offline"), "offline"),
        (Online(), candidate(draining=True), "draining"),
        (OfModality(), replace(candidate(), model=ModelReport(name="m", modality="stt")), "for stt, not for llm"),
        (Serves(), candidate(healthy=False), "ollama is down"),
        (Serves(), candidate(operations=("embed",)), "does not serve chat"),
        (KnowsHow(), candidate(operations=("embed",)), "does not serve chat"),
        (OwnerAway(), candidate(availability=0.1), "10% left by its owner, 20% needed"),
        (OwnerAway(), replace(candidate(), capacity=Capacity(mode="paused", reason="in a meeting")), "in a meeting"),
        (OwnerAway(bootstrap=False), bootstrapping(0.5), "2 days observed"),
        (OwnerAway(), bootstrapping(0.1), "10% left by its owner, 20% needed"),
        (MemoryFits(), candidate(gb=40, usable_gb=11), "11 GB free, 40 GB needed"),
        (MemoryFits(), candidate(gb=9.8, usable_gb=9.4), "9.4 GB free, 9.8 GB needed"),
        (MemoryFits(), candidate(gb=40.4, usable_gb=39.9), "39.9 GB free, 40.4 GB needed"),
        (MemoryFits(), candidate(gb=40, usable_gb=10, evictable_gb=20), "30 GB free with idle models gone"),
    ],
)
def test_a_refusal_says_why_in_figures(gate: Filter, refused: Candidate, reason: str) -> None:
    said = gate.refuse(demand(), refused)
    assert said is not None
    assert reason in said


@pytest.mark.parametrize(
    "gate", [Capable(), Online(), Serves(), KnowsHow(), SameDigest(), OwnerAway(), PressureBelow(), MemoryFits()]
)
def test_what_is_not_known_never_refuses(gate: Filter) -> None:
    assert gate.refuse(demand(needs=("vision",)), candidate(pressure="unavailable", status="degraded")) is None


def test_correction_a_new_machine_is_trusted_less_and_not_left_out() -> None:
    assert OwnerAway().refuse(demand(), bootstrapping(0.2)) is None


def test_a_model_without_a_needed_capability_is_refused_only_if_its_capabilities_are_known() -> None:
    needing = demand(needs=("vision",))
    assert Capable().refuse(needing, candidate(capabilities=("completion",))) == "does not support vision"
    assert Capable().refuse(needing, candidate(capabilities=("completion", "vision"))) is None
    assert Capable().refuse(needing, candidate(capabilities=())) is None


def test_a_capability_may_make_up_for_the_kind_of_a_model() -> None:
    hears = candidate(capabilities=("completion", "audio"))
    asked = demand(modality="stt")
    assert OfModality().refuse(asked, hears) == "is a model for llm, not for stt"
    assert OfModality(or_capable="audio").refuse(asked, hears) is None
    assert OfModality(or_capable="audio").refuse(asked, candidate(capabilities=("completion",))) is not None


def test_an_engine_that_tells_of_no_operation_may_still_learn_to_know_how() -> None:
    assert KnowsHow().refuse(demand(), candidate(operations=())) is None
    assert Serves().refuse(demand(), candidate(operations=())) is not None


def test_weights_are_the_same_only_where_their_digest_says_so() -> None:
    def holding(node_id: str, digest: str) -> Candidate:
        return candidate(node_id, model=model("m:1", digest=digest))

    first, second, other = holding("a", "d1"), holding("b", "d1"), holding("c", "d2")
    wanted = demand("m:1", digest=first.digest)
    assert [SameDigest().refuse(wanted, one) is None for one in (first, second, other)] == [True, True, False]
    unknown, too = holding("a", ""), holding("b", "")
    wanted = demand("m:1", digest=unknown.digest)
    assert [SameDigest().refuse(wanted, one) is None for one in (unknown, too, first)] == [True, False, False]


def test_correction_critical_pressure_forbids_only_cold_loads() -> None:
    cold, loaded = candidate(pressure="critical"), candidate(pressure="critical", loaded=True)
    assert PressureBelow().refuse(demand(), cold) == "memory pressure is critical: no new loads"
    assert PressureBelow().refuse(demand(), loaded) is None
    assert PressureBelow(cold_only=False).refuse(demand(), loaded) == "memory pressure is critical"


def test_the_pressure_that_refuses_is_a_knob() -> None:
    warned = candidate(pressure="warn")
    assert PressureBelow().refuse(demand(), warned) is None
    assert PressureBelow(level="warn").refuse(demand(), warned) is not None


def test_correction_idle_models_that_would_make_room_count_as_room() -> None:
    full = candidate(gb=40, usable_gb=10, evictable_gb=35)
    assert MemoryFits().refuse(demand(), full) is None
    assert MemoryFits(evict=False).refuse(demand(), full) == "10 GB free, 40 GB needed"


def test_evicting_never_reaches_beyond_the_owners_ceiling() -> None:
    capped = candidate(gb=40, usable_gb=10, evictable_gb=100, availability=1, ceiling_gb=32)
    assert MemoryFits().refuse(demand(), capped) == "32 GB free with idle models gone, 40 GB needed"


def test_a_loaded_model_needs_no_further_room() -> None:
    assert MemoryFits().refuse(demand(), candidate(gb=40, usable_gb=0, loaded=True)) is None


def test_a_model_fits_exactly_into_what_is_free() -> None:
    assert MemoryFits(evict=False).refuse(demand(), candidate(gb=40, usable_gb=40)) is None


def test_a_prompt_must_fit_the_context_or_what_could_be_loaded_with_room_for_a_wrong_estimate() -> None:
    fits = ContextFits()
    fixed = candidate(loaded=True, context=4096)
    assert fits.refuse(demand(prompt_tokens=5120), fixed) is None
    refused = fits.refuse(demand(prompt_tokens=5121), fixed)
    assert refused is not None
    assert "5121" in refused
    assert "4096" in refused
    assert fits.refuse(demand(prompt_tokens=10**6), candidate(loaded=True)) is None
    assert fits.refuse(demand(prompt_tokens=10**6), candidate(loaded=False, context=4096)) is None


def test_an_engine_that_can_load_a_larger_context_is_refused_only_above_what_the_model_was_made_for() -> None:
    plain = candidate(loaded=True, context=4096)
    ollama = replace(plain, resizes=True, model=replace(plain.model, context_max=32768))
    asks = demand(prompt_tokens=20_000, resizes=True)
    assert ContextFits().refuse(asks, ollama) is None
    assert ContextFits().refuse(replace(asks, prompt_tokens=50_000), ollama) is not None
    assert ContextFits(strict=True).refuse(asks, ollama) is None
    assert ContextFits(strict=True).refuse(replace(asks, resizes=False), ollama) is not None


def test_a_second_load_waits_for_the_first_but_not_for_ever_and_who_has_the_model_is_not_concerned() -> None:
    gate = OneLoad(patience_s=60)
    assert gate.refuse(demand(), candidate(loads_elsewhere_s=3.4)) == "another node has been loading it for 3 s"
    assert gate.refuse(demand(), candidate(loads_elsewhere_s=60.0)) is None
    assert gate.refuse(demand(), candidate(loads_elsewhere_s=3.0, loading_s=5.0)) is None
    assert gate.refuse(demand(), candidate(loads_elsewhere_s=3.0, loaded=True)) is None
    assert gate.refuse(demand(), candidate()) is None


def test_an_engine_that_says_again_that_it_is_full_is_passed_over_and_the_first_time_it_is_waited_for() -> None:
    once, twice = (candidate(loaded=True, pause=Pause(times=times, left_s=1.6)) for times in (1, 2))
    assert Full().refuse(demand(), once) is None
    assert Full().refuse(demand(), twice) == "its own queue is full: it is asked again in 2 s"
