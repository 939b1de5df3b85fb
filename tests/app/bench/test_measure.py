"""Percentiles and sums, by table and by property."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.bench.measure import Look, Sample, decode_rate, per_model, per_node, percentile, totals, utilisation
from app.store.records import BenchmarkRecord

numbers = st.lists(st.floats(0, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("values", "percent", "wanted"),
    [([], 50, None), ([7.0], 99, 7.0), ([4.0, 1.0], 50, 2.5), ([1, 2, 3, 4, 5], 50, 3), ([10, 20], 95, 19.5)],
)
def test_a_percentile_lies_between_its_two_neighbours(values: list[float], percent: float, wanted: float) -> None:
    assert percentile(values, percent) == (None if wanted is None else pytest.approx(wanted))


@given(values=numbers, low=st.floats(0, 100), high=st.floats(0, 100))
def test_percentiles_grow_and_stay_within_the_values(values: list[float], low: float, high: float) -> None:
    low, high = sorted((low, high))
    below, above = percentile(values, low), percentile(values, high)
    assert below is not None
    assert above is not None
    slack = 1e-9 * max(values)
    assert min(values) - slack <= below <= above + slack <= max(values) + 2 * slack


def sample(node_id: str = "a", model: str = "m", **more: Any) -> Sample:
    facts: dict[str, Any] = {
        "modality": "llm", "unit": "tokens", "ok": True, "latency_s": 2.0, "first_s": 0.5, "prompt_tokens": 5,
        "completion_tokens": 30, "decode_s": 1.0, "units": 30,
    }  # fmt: skip
    return Sample(node_id=node_id, model=model, **{**facts, **more})


TEXTS = {"unit": "texts", "units": 5, "completion_tokens": 0, "decode_s": None, "first_s": None, "modality": "embed"}


def test_a_rate_weighs_answers_by_their_length_and_leaves_out_who_counts_no_seconds() -> None:
    slow, silent = sample(completion_tokens=10, decode_s=3.0), sample(decode_s=None, completion_tokens=999)
    assert decode_rate([sample(), slow, silent, sample(ok=False)]) == 10.0
    assert decode_rate([silent]) is None


def test_totals_are_the_fields_of_a_record_and_texts_are_no_tokens() -> None:
    told = totals([sample(), sample("b"), sample(ok=False), sample("b", "e", **TEXTS)], 10.0)
    run = BenchmarkRecord(run_id="r", timestamp=1.0, **told)
    assert (run.total_requests, run.total_failures, run.total_completion_tokens) == (3, 1, 60)
    assert (run.tokens_per_sec, run.throughput_tok_s, run.requests_per_sec) == (30.0, 6.0, 0.3)
    assert (run.latency_p50_ms, run.ttft_p99_ms) == (2000.0, 500.0)
    assert totals([], 0.0)["tokens_per_sec"] is None


def test_each_model_is_counted_in_its_own_unit() -> None:
    written, listed = per_model([sample(), sample(), sample("b", "e", **TEXTS)], 10.0)
    assert (written["model"], written["tok_s"], written["unit_s"]) == ("m", 30.0, 6.0)
    assert (listed["unit"], listed["unit_s"], listed["tok_s"], listed["s_per_unit"]) == ("texts", 0.5, None, 0.4)


def test_shares_of_nodes_are_shares_of_what_was_answered() -> None:
    first, second = per_node([sample(), sample(), sample(), sample("b"), sample("b", ok=False)], 10.0)
    assert (first["pct"], second["pct"], second["failures"], first["tokens"]) == (75.0, 25.0, 1, 90)


def test_use_is_told_with_its_peak_and_memory_only_where_it_is_known() -> None:
    seen = [Look(node_id="a", cpu_percent=cpu, memory_percent=None, running=2) for cpu in (10.0, 40.0)]
    assert utilisation(seen) == [
        {"node_id": "a", "cpu_avg": 25.0, "cpu_peak": 40.0, "mem_avg": None, "mem_peak": None, "active_peak": 2}
    ]
