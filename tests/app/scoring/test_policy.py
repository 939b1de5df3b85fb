"""Reading a policy: what is accepted, and that a mistake is named with its place. Knows no candidate."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders import candidate, demand
from hypothesis import given
from hypothesis import strategies as st

from app.scoring.pickers import Cheapest, Spread
from app.scoring.policy import PolicyInvalid, build, load, schema, tune, use
from app.scoring.scorers import Scorer, Thermal
from app.scoring.types import Candidate, Demand

LLM = Path(__file__).parents[3] / "app" / "modalities" / "llm"
FILES = [LLM / "policy.toml", LLM / "policies" / "seven-signals.toml"]
SCORE = 'name = "x"\n[[score]]\nuse = "thermal"\nweight = 50\n'


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_shipped_policies_read_and_name_the_seven_signals(file: Path) -> None:
    policy = load(file.read_text())
    names = [use(part) for part in policy.filter if use(part) not in ("context_fits", "full", "knows_how", "one_load")]
    assert names == ["capable", "online", "serves", "owner_away", "pressure_below", "memory_fits", "failing"]
    assert [use(part) for part in policy.score] == [
        "thermal", "memory_fit", "queue_depth", "latency", "role_affinity", "availability", "context_fit",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('name = "x"\n[[score]]\nuse = "termal"\nweight = 1', "$.score[0].use"),
        (SCORE + "wram = 0.5", "$.score[0]"),
        (SCORE + 'warm = "hot"', "$.score[0].warm"),
        (SCORE + "warm = 1.5", "$.score[0].warm"),
        (SCORE.replace("50", "-1"), "$.score[0].weight"),
        (SCORE.replace("50", "nan"), "$.score[0].weight"),
        (SCORE.replace("50", "inf"), "$.score[0].weight"),
        ('name = "x"\n[[score]]\nuse = "thermal"', "weight"),
        (SCORE + '[[score]]\nuse = "thermal"\nweight = 1', "$.score[1].use"),
        ('name = "x"\n[[filter]]\nuse = "online"\n[[filter]]\nuse = "online"', "$.filter[1].use"),
        ('name = "x"\n[[filter]]\nuse = "thermal"', "$.filter[0].use"),
        ('name = "x"\n[[filter]]\nuse = "owner_away"\nmin_availability = 2', "$.filter[0].min_availability"),
        ('name = "x"\npicker = "best"', "$.picker"),
        ('name = "x"\nscores = []', "scores"),
        ('about = "nameless"', "name"),
        ("name = ", "not TOML"),
        (SCORE + '[[score]]\nuse = "latency"\nweight = 1\nworst_s = 0', "$.score[1].worst_s"),
        (SCORE + '[[score]]\nuse = "memory_fit"\nweight = 1\nsteps = [[1, 0.1], [2, 1]]', "$.score[1]"),
    ],
)
def test_a_mistake_in_a_policy_is_named_with_its_place(text: str, place: str) -> None:
    with pytest.raises(PolicyInvalid) as refused:
        load(text)
    assert place in str(refused.value)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner)))
def test_no_document_breaks_the_reader_in_another_way(value: Any) -> None:
    for document in ({"name": value}, {"name": "x", "score": value}, {"name": "x", "picker": value}):
        try:
            build(document)
        except PolicyInvalid:
            continue


def test_a_picker_is_a_word_or_a_table_with_knobs() -> None:
    assert load('name = "x"\npicker = "cheapest"').picker == Cheapest()
    assert load('name = "x"\npicker = { use = "spread", within = 9 }').picker == Spread(within=9)


def test_a_policy_survives_json_and_back() -> None:
    policy = load(FILES[0].read_text())
    assert build(msgspec.json.decode(msgspec.json.encode(policy))) == policy


class Loyalty(Scorer, frozen=True, kw_only=True, tag="loyalty"):
    bonus: float = 1.0

    def score(self, demand: Demand, candidate: Candidate) -> float:
        return self.bonus if candidate.node_id in demand.models else 0.0


def test_a_modalitys_own_scorer_may_be_used_by_its_policy_only() -> None:
    text = 'name = "x"\n[[score]]\nuse = "loyalty"\nweight = 4'
    (scorer,) = load(text, extra=(Loyalty,)).score
    assert scorer.score(demand("studio"), candidate("studio")) == 1
    with pytest.raises(PolicyInvalid, match="loyalty"):
        load(text)


def test_tuning_turns_the_named_knobs_and_no_others() -> None:
    policy = load(FILES[0].read_text())
    tuned = tune(policy, {"thermal.weight": 60, "thermal.warm": 0.5, "owner_away.min_availability": 0.5})
    assert tuned.score[0] == Thermal(weight=60, warm=0.5, cold=0.2, warm_for_s=1800)
    changed = [use(ours) for ours, theirs in zip(policy.filter, tuned.filter, strict=True) if ours != theirs]
    assert changed == ["owner_away"]
    assert tuned.score[1:] == policy.score[1:]


def test_tuning_passes_over_what_the_policy_does_not_use() -> None:
    policy = load(SCORE)
    assert tune(policy, {"latency.weight": 3, "context_fit.weight": 4}) == policy


@pytest.mark.parametrize(
    "knobs", [{"thermal.heat": 1.0}, {"thermal.weight": -1.0}, {"thermal.warm": 2.0}, {"thermal.weight": float("nan")}]
)
def test_a_knob_that_is_not_there_or_a_value_it_does_not_take_is_named(knobs: dict[str, float]) -> None:
    (name,) = knobs
    with pytest.raises(PolicyInvalid, match=name.partition(".")[2]):
        tune(load(SCORE), knobs)


def test_the_schema_tells_editors_every_name() -> None:
    text = msgspec.json.encode(schema(extra=(Loyalty,))).decode()
    for name in ("online", "memory_fits", "thermal", "context_fit", "spread", "loyalty"):
        assert f'"{name}"' in text


def test_a_shipped_policy_says_every_knob_that_the_corrections_turn() -> None:
    corrected, first = (tomllib.loads(file.read_text()) for file in FILES)
    turned = {
        knob for knob in corrected if not isinstance(corrected[knob], str | list) and corrected[knob] != first[knob]
    }
    for kind in ("filter", "score"):
        theirs = {part["use"]: part for part in first[kind]}
        turned |= {part["use"] for part in corrected[kind] if part["use"] not in theirs}
        for ours in (part for part in corrected[kind] if part["use"] in theirs):
            assert ours.keys() == theirs[ours["use"]].keys()
            turned |= {f"{ours['use']}.{knob}" for knob in ours if ours[knob] != theirs[ours["use"]][knob]}
    assert turned == {
        "context_fits", "full", "knows_how", "one_load", "substitute_size",
        "pressure_below.cold_only", "memory_fits.evict", "memory_fit.evicts", "queue_depth.node_wide",
        "owner_away.bootstrap", "role_affinity.slack", "availability.relative_to",
    }  # fmt: skip
