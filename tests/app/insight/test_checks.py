"""Each check of health is made to speak by the facts it is for, and is silent a hair before them."""

import json
import re
import shlex
from typing import Any

import pytest
from architecture_rules import ROOT
from builders import GIB, engine, machine, model
from health_builders import facts, span, view

from app.fleet.usage import ContextUse
from app.insight.health import CHECKS, COSTS, examined, report
from app.insight.types import Facts, Finding
from app.store.records import Pace, Troubled
from node.wire import Capacity, DirectClient, Traffic


def fat(resident_gb: float, **more: Any) -> Any:
    facts = {"gb": 8, "loaded": True, "resident_bytes": int(resident_gb * GIB)}
    return model("big:8b", **{**facts, **more})


def used(p99: int, context: int, requests: int = 10) -> ContextUse:
    return ContextUse(model="a:1b", requests=requests, p99_tokens=p99, most_tokens=0, context=context)


def past(*peers: str) -> Traffic:
    return Traffic(engine="ollama", direct_clients=tuple(DirectClient(peer=peer) for peer in peers))


def pace(recent_ms: float) -> Facts:
    recent, usual = (Pace(node_id="mac", model="a", requests=30, token_ms=ms) for ms in (recent_ms, 20))
    return facts(paces=((recent, usual),))


def on(**more: Any) -> Facts:
    """One node whose machine is so."""
    return facts(view(machine=machine(64, 30, **more)))


def swap(gb: float) -> Facts:
    return on(swap_used_bytes=int(gb * GIB))


def disk(gb: float) -> Facts:
    return facts(view(machine=machine(64, 30, disk_free_bytes=int(gb * GIB))), disk_reserve_bytes=10 * GIB)


def thrashing(free_gb: float = 30, **more: Any) -> Facts:
    return facts(view(machine=machine(64, free_gb)), by_node={"mac": span(**more)})


def slow(count: int, hour: int = 0) -> Facts:
    return facts(
        by_model={"a": span(hour, slow_failures=count)},
        slow=(Troubled(node_id="mac", model="a", count=count),) if count else (),
    )


def spare(free_gb: float = 40, loaded: int = 2, **more: Any) -> Facts:
    models = [model(f"m{number}", gb=1, loaded=True) for number in range(loaded)]
    return facts(view("mac", *models, machine=machine(64, free_gb)), **more)


def two_names(gb: float, digest: str) -> Facts:
    return facts(view("mac", model("a", gb=gb, loaded=True, digest="x"), model("b", gb=gb, loaded=True, digest=digest)))


def by_kind(name: str, hour: int = 0, **more: Any) -> Facts:
    return facts(by_modality={name: span(hour, **more)})


def able(name: str, operation: str, free_gb: float, completed: int = 3) -> Facts:
    ours = view("ours", engines=(engine(operations=(operation,)),))
    other = view("other", machine=machine(64, free_gb, os="macos"))
    return facts(ours, other, by_modality={name: span(requests=completed, completed=completed)})


OVERRIDE = {"a:latest": 8192}
LOADED_WIDE = model("a", gb=1, loaded=True, context_length=16384)
TABLE: list[tuple[str, str, Facts, Facts]] = [
    ("node_offline", "critical", facts(view(status="offline")), facts(view(status="degraded"))),
    ("node_degraded", "warning", facts(view(status="degraded", seen_s_ago=17)), facts(view())),
    ("version_mismatch", "warning", facts(view(version="0.9")), facts(view(version="0.9", status="offline"))),
    ("version_unknown", "info", facts(view(version="")), facts(view(version="", status="offline"))),
    ("connection_failures", "warning", facts(view(links_lost=2, link_lost_s_ago=20, link_failures=2)), facts(view())),
    ("connection_failures", "critical", facts(view(links_lost=11, link_lost_s_ago=20, link_failures=11)),
     facts(view(links_lost=11, link_lost_s_ago=90_000, link_failures=11))),
    ("clock_skew", "warning", facts(view(clock_ahead_s=-31)), facts(view(clock_ahead_s=29))),
    ("memory_pressure", "warning", on(pressure="warn"), on(pressure="unavailable")),
    ("memory_pressure", "critical", on(pressure="critical"), on()),
    ("swap_usage", "warning", swap(32), swap(31)),
    ("kv_cache_bloat", "warning", facts(view("mac", fat(12.1))), facts(view("mac", fat(12)))),
    ("kv_cache_bloat", "critical", facts(view("mac", fat(17))), facts(view("mac", fat(17, loaded=False)))),
    ("thermal_throttling", "warning", on(thermal="warning"), on(thermal="nominal", temperature_c=95)),
    ("disk_low", "warning", disk(9), disk(11)),
    ("disk_low", "critical", disk(1.9), on()),
    ("engine_down", "warning", facts(view(engines=(engine(healthy=False),))), facts(view())),
    ("engine_quarantined", "critical", facts(view(engines=(engine(healthy=False, quarantined=True),))),
     facts(view(engines=(engine(healthy=False),)))),
    ("backend_bypass_clients", "warning", facts(view(traffic=(past("10.0.0.9"),))), facts(view(traffic=(past(),)))),
    ("duplicate_runners", "info", two_names(4, "x"), two_names(4, "y")),
    ("duplicate_runners", "warning", two_names(32, "x"), two_names(32, "")),
    ("num_ctx_override_inert", "warning", facts(view("mac", LOADED_WIDE), overrides=OVERRIDE),
     facts(view("mac", model("a", gb=1, loaded=True, context_length=8192)), overrides=OVERRIDE)),
    ("model_thrashing", "warning", thrashing(cold_loads=3, hour=1), thrashing(cold_loads=2, hour=1)),
    ("model_thrashing", "info", thrashing(cold_loads=3), thrashing(free_gb=4, cold_loads=3)),
    ("model_load_timeout", "warning", slow(3, 1), slow(2, 1)),
    ("model_load_timeout", "info", slow(3), slow(2)),
    ("underutilized_memory", "info", spare(), spare(loaded=3)),
    ("underutilized_memory", "info", spare(), spare(free_gb=32)),
    ("underutilized_memory", "info", spare(by_node={"mac": span(cold_loads=3)}),
     spare(by_node={"mac": span(1, cold_loads=3)})),
    ("vram_fallback_active", "info", facts(substituted={"a": 1}), facts()),
    ("context_protection_insufficient", "warning", facts(by_model={"a": span(context_short=1)}),
     facts(by_model={"a": span(context_stripped=1)})),
    ("context_protection_active", "info", facts(all=span(context_reloaded=1)), facts(all=span(context_short=1))),
    ("context_waste", "info", facts(contexts=(used(3000, 12_001),)), facts(contexts=(used(3000, 12_000),))),
    ("context_waste", "warning", facts(contexts=(used(3000, 24_001),)), facts(contexts=(used(3000, 99_000, 9),))),
    ("context_waste", "warning", facts(contexts=(used(100, 8192),)), facts(contexts=(used(100, 4096),))),
    ("high_error_rate", "warning", facts(by_node={"mac": span(2, requests=40, failed=2)}),
     facts(by_node={"mac": span(1, requests=41, failed=2)})),
    ("high_error_rate", "info", facts(by_node={"mac": span(requests=21, failed=2)}),
     facts(by_node={"mac": span(requests=20, failed=20)})),
    ("high_retry_rate", "info", facts(all=span(requests=30, retries=9)), facts(all=span(requests=30, retries=8))),
    ("high_retry_rate", "warning", facts(all=span(requests=30, retries=15)), facts(all=span(requests=20, retries=20))),
    ("client_disconnects", "warning", facts(all=span(1, requests=299, disconnected=3)),
     facts(all=span(1, requests=299, disconnected=2))),
    ("client_disconnects", "info", facts(all=span(1, requests=300, disconnected=3)), facts(all=span(requests=300))),
    ("incomplete_streams", "warning", facts(all=span(1, requests=399, incomplete=2)),
     facts(all=span(1, requests=399, incomplete=1))),
    ("incomplete_streams", "info", facts(all=span(1, requests=400, incomplete=2)), facts()),
    ("zombie_reaper_active", "warning", facts(all=span(requests=10, expired=1, expired_ms=5000)), facts()),
    ("zombie_reaper_active", "critical", facts(all=span(requests=10, expired=11)), facts(all=span(requests=11))),
    ("empty_generations", "warning", facts(by_model={"a": span(1, empty=1)}), facts(by_model={"a": span()})),
    ("empty_generations", "info", facts(by_model={"a": span(empty=1)}), facts()),
    ("decode_degraded", "warning", pace(40), pace(39)),
    ("trace_store_write_failures", "warning", facts(write_failures=1), facts()),
    ("trace_store_write_failures", "critical", facts(write_failures=50), facts()),
    ("trace_store_write_failures", "info", facts(dropped=1), facts()),
    ("image_generation", "info", by_kind("image", requests=1, completed=1), by_kind("stt", requests=1, completed=1)),
    ("image_generation", "warning", by_kind("image", requests=1, failed=1), by_kind("image")),
    ("mflux_expansion", "info", able("image", "image", 8), able("image", "image", 7.9)),
    ("mflux_expansion", "info", able("image", "image", 8), able("image", "image", 8, completed=2)),
    ("transcription_activity", "info", by_kind("stt", requests=1, completed=1), by_kind("image", requests=1)),
    ("transcription_activity", "warning", by_kind("stt", requests=1, failed=1), by_kind("stt")),
    ("stt_expansion", "info", able("stt", "transcribe", 4), able("stt", "transcribe", 4, completed=2)),
    ("embed_error_rate", "warning", by_kind("embed", 5, requests=9, failed=5),
     by_kind("embed", 4, requests=9, failed=9)),
    ("embed_error_rate", "critical", by_kind("embed", 25, requests=99, failed=25),
     by_kind("embed", requests=9, failed=9)),
]  # fmt: skip


def found(check_id: str, facts: Facts) -> list[Finding]:
    return [finding for finding in examined(facts) if finding.check_id == check_id]


@pytest.mark.parametrize(("check_id", "severity", "loud", "quiet"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_a_check_speaks_of_what_it_is_for_and_of_nothing_less(
    check_id: str, severity: str, loud: Facts, quiet: Facts
) -> None:
    spoken = found(check_id, loud)
    assert [finding.severity for finding in spoken[:1]] == [severity]
    assert all((spoken[0].title, spoken[0].description, spoken[0].fix))
    assert found(check_id, quiet) == []


def test_every_check_is_in_the_table_with_the_worst_it_can_say() -> None:
    said: dict[str, set[str]] = {}
    for check_id, severity, *_ in TABLE:
        said.setdefault(check_id, set()).add(severity)
    assert {check.id: check.worst for check in CHECKS} == {
        check_id: min(severities, key=list(COSTS).index) for check_id, severities in said.items()
    }


def test_a_fleet_that_is_well_has_no_findings_and_all_points() -> None:
    told = report(facts(), 5.0)
    assert (told.score, told.findings, told.checked_at) == (100, (), 5.0)


def test_what_is_grave_comes_first_and_what_is_resolved_last_and_only_the_first_costs() -> None:
    told = report(
        facts(
            view("a", status="degraded"), view("b", status="offline"), view("c", version=""),
            by_node={"c": span(requests=30, failed=30)},
        ),
        0.0,
    )  # fmt: skip
    assert [found.check_id for found in told.findings] == [
        "node_offline", "node_degraded", "version_unknown", "high_error_rate",
    ]  # fmt: skip
    assert [found.resolved for found in told.findings] == [False, False, False, True]
    assert told.score == 70


def test_the_score_ends_at_nought() -> None:
    assert report(facts(*(view(f"n{number}", status="offline") for number in range(9))), 0.0).score == 0


def test_a_node_that_waits_for_approval_is_no_finding_and_no_node() -> None:
    told = report(facts(view(status="offline", waiting_approval=True)), 0.0)
    assert told.findings == ()
    assert told.vitals["nodes_total"] == 0


def test_a_share_of_few_requests_is_not_told() -> None:
    [finding] = found("client_disconnects", facts(all=span(1, requests=20, disconnected=20)))
    assert finding.severity == "info"
    assert finding.data["rate_pct"] is None


def test_what_was_is_resolved_after_an_hour_without() -> None:
    [loss] = found("connection_failures", facts(view(links_lost=2, link_lost_s_ago=301)))
    [left] = found("client_disconnects", facts(all=span(requests=30, disconnected=3)))
    assert (loss.resolved, loss.severity, left.resolved, left.severity) == (True, "info", True, "info")


def test_weights_are_those_of_the_file_and_else_of_parameters_and_quantization() -> None:
    big = {"parameters": "8B", "size_bytes": None}
    half = facts(view("mac", fat(20, quantization="F16", **big)))
    four = facts(view("mac", fat(20, quantization="Q4_K_M", **big)))
    unknown = facts(view("mac", fat(20, size_bytes=None)))
    assert found("kv_cache_bloat", half) == []
    [finding] = found("kv_cache_bloat", four)
    assert finding.data["bloated_models"][0]["expected_gb"] == pytest.approx(4.5, abs=0.1)
    assert found("kv_cache_bloat", unknown) == []


def test_a_model_with_a_huge_cache_does_not_hide_behind_a_large_one_without() -> None:
    lean = model("lean:70b", gb=40, loaded=True)
    [finding] = found("kv_cache_bloat", facts(view("mac", lean, fat(30))))
    assert finding.severity == "critical"
    assert finding.data["kv_cache_gb"] == 22.0


def test_many_slots_are_made_fewer_and_few_get_a_smaller_cache() -> None:
    many, few = (found("kv_cache_bloat", facts(view("mac", fat(30, slots=slots))))[0].fix for slots in (4, 1))
    assert "OLLAMA_NUM_PARALLEL=2" in many
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in few


@pytest.mark.parametrize(
    ("os", "word"), [("macOS", "launchctl setenv"), ("windows", "setx"), ("linux", "systemctl edit"), ("", "systemctl")]
)
def test_a_fix_is_what_the_nodes_own_system_understands(os: str, word: str) -> None:
    [finding] = found("underutilized_memory", facts(view(machine=machine(64, 40, os=os))))
    assert word in finding.fix


def test_a_name_in_a_fix_is_one_word_to_the_shell() -> None:
    [finding] = found("vram_fallback_active", facts(substituted={"x; rm -rf ~": 1}))
    assert "'x; rm -rf ~'" in finding.fix


def test_the_context_that_is_advised_is_written_as_the_settings_take_it() -> None:
    [finding] = found("context_waste", facts(contexts=(used(3000, 99_000),)))
    variable, _, value = shlex.split(finding.fix)[0].partition("=")
    assert (variable, json.loads(value)) == ("FLEET_NUM_CTX_OVERRIDES", {"a:1b": 8192})


def test_a_paused_node_is_not_told_to_load_more() -> None:
    assert found("underutilized_memory", facts(view(machine=machine(64, 40), capacity=Capacity(mode="paused")))) == []


def test_the_page_about_health_has_each_check_and_no_other() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (\w+) \| (.+?) \|", (ROOT / "docs" / "health.md").read_text("utf-8"), re.MULTILINE
    )
    assert rows == [(check.id, check.worst, check.docs) for check in CHECKS]
