"""Settings over a real router: each is shown with who said it, changed, refused in words, undone, and kept."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running import loaded
from traces import trace
from web_house import House, web_house

API = "/dashboard/api/settings"


class FakePort:
    port = 9


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    used = [trace(n, timestamp=time.time() - n, model="m:1", status="completed", prompt_tokens=n, completion_tokens=0)
            for n in range(1, 101)]  # fmt: skip
    with web_house(used, heartbeat={"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}) as house:
        house.do(lambda router: router.join("mac", FakePort(), loaded("m:1", context_length=32768)))
        yield house


def post(house: House, path: str = API, **body: Any) -> Any:
    return house.http.post(path, json=body, headers=house.admin)


def test_one_override_keeps_the_others_and_null_removes_one(house: House) -> None:
    post(house, num_ctx_overrides={"a:1": 4096})
    answer = post(house, num_ctx_overrides={"b:1": 8192}).json()
    both = {"a:1": 4096, "b:1": 8192}
    assert answer == {"status": "updated", "updated": {"num_ctx_overrides": both}}
    assert house.get(API).json()["config"]["context"]["num_ctx_overrides"] == both
    post(house, num_ctx_overrides={"a:1": None, "b:1": None})


def test_switches_take_true_and_false_and_nothing_that_looks_like_them(house: House) -> None:
    for value in ("false", 0, 1, None, "true", []):
        assert post(house, vram_fallback=value).status_code == 400, value
    assert post(house, vram_fallback=False, auto_pull=False).json()["status"] == "updated"
    toggles = house.get(API).json()["config"]["toggles"]
    assert (toggles["vram_fallback"], toggles["auto_pull"]) == (False, False)
    post(house, vram_fallback=True, auto_pull=True)
    assert post(house).json()["status"] == "no_change"


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"hold_timeout": -1}, 400, "0 or more"),
        ({"hold_timeout": "long"}, 400, "hold_timeout"),
        ({"nobody": 1}, 400, "no setting nobody"),
        ({"num_ctx_overrides": {"m": 0}}, 400, "between"),
        ({"score_memory_fit_max": -5}, 400, "memory_fit"),
        ({"port": 80}, 409, "before the router"),
        ({"vram_fallback": False, "hold_timeout": -1}, 400, "hold_timeout"),
    ],
)
def test_what_may_not_be_is_refused_in_words_and_changes_nothing(
    house: House, body: dict[str, Any], status: int, word: str
) -> None:
    before = house.get(API).json()["config"]
    answer = post(house, **body)
    assert (answer.status_code, word in answer.text) == (status, True), answer.text
    assert house.get(API).json()["config"] == before


def test_only_the_administrator_changes_settings(house: House) -> None:
    for path in (API, f"{API}/hold_timeout/undo", f"{API}/hold_timeout/reset"):
        assert house.http.post(path, json={"hold_timeout": 3}).status_code == 401
    assert house.http.post(API, content=b"[1]", headers=house.admin).status_code == 400


def test_a_weight_is_judged_by_at_once_and_undone(house: House) -> None:
    def worth() -> float:
        return float(house.get("/fleet/explain", params={"model": "m:1"}).json()["scored"][0]["points"]["memory_fit"])

    assert worth() == 20
    post(house, score_memory_fit_max=31)
    assert worth() == 31
    assert "stored" in house.get("/dashboard/settings").text
    assert post(house, f"{API}/score_memory_fit_max/undo").json()["updated"] == {"score_memory_fit_max": 20}
    assert worth() == 20
    assert post(house, f"{API}/score_role_affinity_max/undo").status_code == 404
    assert post(house, f"{API}/nobody/reset").status_code == 400


def test_a_change_outlives_a_restart_and_is_listed(tmp_path: Path) -> None:
    with web_house(data_dir=tmp_path) as house:
        post(house, hold_timeout=12)
    with web_house(data_dir=tmp_path) as house:
        page = house.get("/dashboard/settings").text
        assert 'id="set-hold_timeout" value="12"' in page
        assert "admin from 127.0.0.1" in page
        post(house, f"{API}/hold_timeout/reset")
        assert 'id="set-hold_timeout" value="30"' in house.get("/dashboard/settings").text


def test_what_requests_took_of_a_models_context_is_told_with_what_would_do(house: House) -> None:
    [model] = house.get("/dashboard/api/context-usage").json()["models"]
    assert (model["model"], model["request_count"], model["allocated_ctx"]) == ("m:1", 100, 32768)
    assert model["prompt_tokens"] == {"avg": 50.5, "p50": 50, "p75": 75, "p95": 95, "p99": 99, "max": 100}
    assert model["total_tokens"] == {"p95": 95, "p99": 99, "max": 100, "max_24h": 100}
    assert (model["recommended_ctx"], model["savings_pct"], model["override_ctx"]) == (4096, 87.5, None)
    assert model["utilization_pct"] == 0.3


def test_the_nodes_are_told_with_their_models(house: House) -> None:
    told = house.get(API).json()
    [node] = told["nodes"]
    assert (node["node_id"], node["models_loaded_count"], node["is_router"]) == ("mac", 1, False)
    assert set(told) == {"router_version", "router_hostname", "config", "nodes"}
    assert len(told["config"]["scoring"]) == 12
