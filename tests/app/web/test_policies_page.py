"""Policies over a real router: what is edited is tried, saved, judged by, undone, and kept over a restart."""

from collections.abc import Iterator
from typing import Any

import pytest
from fakes.fake_ollama import FakeOllama
from running import RunningRouter, loaded
from web_house import House, web_house

from app.catalog import Catalog
from app.fleet.judge import Court
from app.fleet.latency import Latency
from app.fleet.policies import Policies
from app.fleet.registry import Registry
from app.scoring.policy import build
from app.store.database import migrate
from app.store.records import SettingRecord
from app.store.store import Store

API = "/dashboard/api/policies/llm"


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    with web_house(heartbeat={"heartbeat_timeout": 600.0, "heartbeat_offline": 900.0}) as house:
        yield house


def post(house: House, what: str, **body: Any) -> Any:
    return house.http.post(f"{API}/{what}", json=body, headers=house.admin)


def points(house: House, model: str = "smollm2:135m") -> dict[str, float]:
    scored = house.get("/fleet/explain", params={"model": model}).json()["scored"]
    return dict(scored[0]["points"])


def test_a_saved_weight_is_judged_by_at_once_and_undo_takes_it_back(house: House) -> None:
    async def asked(router: RunningRouter) -> None:
        async with FakeOllama() as fake:
            await router.join("hot", fake)
            await router.join("cold", fake, loaded(loaded=False), memory_gb=256)
            asking = {"model": "smollm2:135m", "messages": [], "stream": False}
            await router.http.post("/api/chat", json=asking)

    house.do(asked)
    assert points(house)["thermal"] == 50
    kept = {"changes": {"score.thermal.weight": 50}}
    told = post(house, "preview", **kept).json()
    assert (told["decisions"], told["elsewhere"]) == (1, 0)
    upside_down = {"score.thermal.loaded": -1.0, "score.thermal.cold": 1.0}
    told = post(house, "preview", changes=upside_down).json()
    assert [(one["before"], one["after"]) for one in told["moved"]] == [("hot", "cold")]
    assert points(house)["thermal"] == 50
    assert post(house, "save", changes={"score.thermal.weight": 70}).status_code == 200
    assert points(house)["thermal"] == 70
    log = house.get(API).json()["log"]
    assert [one["what"] for one in log] == ["saved"]
    assert log[0]["by"].startswith("admin from ")
    assert post(house, "reset").status_code == 200
    assert points(house)["thermal"] == 50
    assert post(house, "undo").status_code == 200
    assert points(house)["thermal"] == 70
    assert post(house, "undo").status_code == 200
    assert (points(house)["thermal"], house.get(API).json()["changed"]) == (50, False)
    assert post(house, "undo").status_code == 409


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"score.thermal.weight": -1}, "score.thermal.weight"),
        ({"score.thermal.weight": "much"}, "score.thermal.weight"),
        ({"filter.owner_away.min_availability": 7}, "filter.owner_away.min_availability"),
        ({"substitute_size": -2}, "substitute_size"),
        ({"picker.use": "nobody"}, "picker.use"),
    ],
)
def test_a_value_that_a_knob_does_not_take_is_refused_with_its_place(
    house: House, changes: dict[str, Any], place: str
) -> None:
    for what in ("preview", "save"):
        answer = post(house, what, changes=changes)
        assert (answer.status_code, answer.json()["place"]) == (400, place), answer.text
        assert answer.json()["error"]


@pytest.mark.parametrize("body", [{}, {"changes": 1}, {"changes": {"score.nobody.weight": 1}}, {"changes": {"x": 1}}])
def test_what_is_no_edit_is_refused(house: House, body: dict[str, Any]) -> None:
    assert post(house, "save", **body).status_code == 400
    assert house.http.post(f"{API}/save", content=b"[", headers=house.admin).status_code == 400


@pytest.mark.parametrize("what", ["save", "undo", "reset"])
def test_only_the_administrator_changes_a_policy(house: House, what: str) -> None:
    assert house.http.post(f"{API}/{what}", json={"changes": {}}).status_code == 401


def test_the_page_has_each_knob_of_each_modality_by_its_name(house: House) -> None:
    page = house.get("/dashboard/policies").text
    assert 'data-path="score.thermal.weight"' in page
    assert 'data-path="filter.online.' not in page
    for name in ("llm", "embed", "image", "rerank", "stt"):
        assert house.get(f"/dashboard/policies/{name}").status_code == 200
    assert house.get("/dashboard/policies/nobody").status_code == 404


def test_what_settings_say_lies_over_a_saved_policy_and_the_page_says_so() -> None:
    with web_house(score={"score_memory_fit_max": 33.0}) as house:
        post(house, "save", changes={"score.memory_fit.weight": 5})
        assert "a setting says 33, and wins" in house.get("/dashboard/policies/llm").text


async def test_a_saved_policy_outlives_a_restart_and_one_of_another_herd_is_passed_over(tmp_path: Any) -> None:
    migrate(tmp_path)
    store = await Store.open(tmp_path)
    own = {"llm": build({"name": "llm", "score": [{"use": "thermal", "weight": 50}]})}

    async def started() -> Policies:
        court = Court(
            registry=Registry(timeout_s=15, offline_s=30), latency=Latency(), chains={}, operations={},
            catalog=Catalog.empty(),
        )  # fmt: skip
        policies = Policies(court=court, store=store, own=own, knobs=dict)
        await policies.load()
        return policies

    await (await started()).save("llm", {"name": "llm", "score": [{"use": "thermal", "weight": 7}]}, by="anna")
    again = await started()
    assert (again.base("llm").score[0].weight, again.log("llm")[0].by) == (7, "anna")
    strange = {"stack": [{"name": "llm", "score": [{"use": "later", "weight": 1}]}], "log": []}
    await store.put_setting(SettingRecord(section="policy.llm", key="saved", value=strange, changed_at=0))
    passed_over = await started()
    assert (passed_over.base("llm"), "later" in passed_over.problems["llm"]) == (own["llm"], True)
    await passed_over.undo("llm", by="anna")
    assert passed_over.problems == {}
    await store.aclose()
