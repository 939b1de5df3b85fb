"""Recommendations over real sockets: advice, what lies on disks, pulls with progress, deletions, and who may."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import replying
from running import RunningRouter, loaded, running_router
from shown_fleet import MARKUP
from traces import trace

from app.store.store import Store
from app.store.writer import TraceWriter

KEEPS = ("chat", "generate", "pull", "delete")
NEW = "qwen3:4b"
ADVICE = {"nodes", "usage", "fleet_summary", "uncovered_categories", "generated_at"}
PLAN = {
    "node_id", "total_ram_gb", "usable_ram_gb", "current_models", "recommendations", "disk_total_gb",
    "disk_available_gb", "total_recommended_ram_gb", "ram_headroom_gb",
}  # fmt: skip
ONE = {
    "model", "display_name", "category", "ram_gb", "quality_score", "reason", "priority", "already_available",
}  # fmt: skip
HELD = {
    "name", "display_name", "category", "size_gb", "parameter_size", "quantization", "last_used", "days_unused",
    "total_requests", "loaded_in_vram", "unused",
}  # fmt: skip


def having(*names: str) -> FakeOllama:
    fake = FakeOllama(*(FakeModel(name) for name in names or ("smollm2:135m",)))
    fake.store.pulls[NEW] = FakeModel(NEW, size=1000)
    return fake


async def join(router: RunningRouter, node_id: str, fake: FakeOllama, *models: Any, **more: Any) -> None:
    await router.join(node_id, fake, *models, **{"operations": KEEPS, "memory_gb": 16, "disk_gb": 100, **more})


async def told(router: RunningRouter, path: str) -> Any:
    return (await router.http.get(f"/dashboard/api/{path}")).json()


async def done(router: RunningRouter, path: str, **body: Any) -> httpx.Response:
    return await router.http.post(f"/dashboard/api/{path}", json=body, headers=router.admin)


async def used(router: RunningRouter, *models: str, node_id: str = "a", age_s: float = 60.0) -> None:
    store = await Store.open(router.data_dir)
    writer = TraceWriter(store)
    for number, model in enumerate(models):
        moment = time.time() - age_s - number
        writer.put(trace(number + int(age_s) * 100, model=model, node_id=node_id, timestamp=moment, modality="llm"))
    await writer.flush()
    await store.aclose()


async def pulls_are(router: RunningRouter, *states: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(10):
        while True:
            rows: list[dict[str, Any]] = (await told(router, "pulls"))["pulls"]
            if tuple(row["state"] for row in rows) == states:
                return rows
            await asyncio.sleep(0.01)


async def test_the_advice_has_its_shape_and_counts_the_last_day() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake, loaded("llama3.2:1b", loaded=False))
        await used(router, "llama3.2:1b", "llama3.2:1b")
        await used(router, "llama3.2:1b", age_s=3 * 86400.0)
        advice = await told(router, "recommendations")
        assert set(advice) == ADVICE
        assert advice["usage"]["total_requests_24h"] == 2
        assert advice["usage"]["category_breakdown"] == {"fast-chat": 2}
        assert advice["usage"]["top_models"] == [{"model": "llama3.2:1b", "requests": 2, "category": "fast-chat"}]
        assert advice["usage"]["category_coverage"]["fast-chat"] == 1
        [plan] = advice["nodes"]
        assert set(plan) == PLAN
        assert all(set(one) == ONE for one in plan["recommendations"])
        first = plan["recommendations"][0]
        assert (first["model"], first["priority"], first["already_available"]) == ("llama3.2:1b", "high", True)


async def test_the_advice_is_kept_until_somebody_wants_it_anew_or_a_model_comes() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        first = await told(router, "recommendations")
        await used(router, "llama3.2:1b")
        assert await told(router, "recommendations") == first
        second = await told(router, "recommendations?refresh=1")
        assert second["usage"]["total_requests_24h"] == 1
        assert second["generated_at"] > first["generated_at"]
        assert await told(router, "recommendations") == second
        await join(router, "a", fake, loaded(NEW))
        assert (await told(router, "recommendations"))["nodes"][0]["current_models"] == [NEW]


async def test_what_lies_on_disks_comes_from_the_last_reports_and_asks_no_node() -> None:
    async with having() as fake, running_router() as router:
        await join(
            router, "a", fake, loaded("b:1b", loaded=False, parameters="1B", quantization="Q8_0"), loaded("c:1b")
        )
        await used(router, "b:1b")
        before = len(fake.requests)
        [node] = (await told(router, "model-management"))["nodes"]
        assert len(fake.requests) == before
        assert (node["node_id"], node["total_size_gb"], node["disk_available_gb"]) == ("a", 2.0, 100.0)
        first, second = node["models"]
        assert set(first) >= HELD
        assert (first["name"], first["loaded_in_vram"], first["last_used"], first["unused"]) == (
            "c:1b",
            True,
            None,
            True,
        )
        assert (second["total_requests"], second["days_unused"], second["unused"]) == (1, 0.0, False)
        assert (second["size_gb"], second["parameter_size"], second["quantization"]) == (1.0, "1B", "Q8_0")


async def test_a_pull_is_waited_for_and_the_model_is_there() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        answer = await done(router, "pull", node_id="a", model=NEW)
        assert (answer.status_code, answer.json()) == (200, {"ok": True, "node_id": "a", "model": NEW})
        assert NEW in (await told(router, "recommendations"))["nodes"][0]["current_models"]
        [row] = await pulls_are(router, "done")
        assert (row["completed_bytes"], row["total_bytes"], row["progress"]) == (1000, 1000, 1.0)


async def test_a_pull_goes_on_without_its_page_and_is_seen_by_the_next_one() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.store.pull_hold = asyncio.Event()
        assert (await done(router, "pull", node_id="a", model=NEW, wait=False)).json()["ok"]
        async with asyncio.timeout(10):
            while (await told(router, "pulls"))["pulls"][0]["progress"] < 0.5:
                await asyncio.sleep(0.01)
        page = (await router.http.get("/dashboard/recommendations")).text
        assert 'data-state="pulling"' in page
        assert 'value="0.5"' in page
        assert "50 %" in page
        fake.store.pull_hold.set()
        await pulls_are(router, "done")
        assert NEW in {model["name"] for model in (await router.http.get("/api/tags")).json()["models"]}


async def test_whoever_waits_for_a_pull_may_leave_and_it_goes_on() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.store.pull_hold = asyncio.Event()
        with pytest.raises(httpx.ReadTimeout):
            await router.http.post(
                "/dashboard/api/pull", json={"node_id": "a", "model": NEW}, headers=router.admin, timeout=0.5
            )
        await pulls_are(router, "pulling")
        fake.store.pull_hold.set()
        await pulls_are(router, "done")


async def test_a_pull_is_cancelled_for_all_who_wait_and_may_be_begun_again() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.store.pull_hold = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(done(router, "pull", node_id="a", model=NEW))
            await pulls_are(router, "pulling")
            assert (await done(router, "pull/cancel", node_id="a", model=NEW)).json()["ok"]
        assert waiting.result().json() == {
            "ok": False, "node_id": "a", "model": NEW, "error": "cancelled on the dashboard",
        }  # fmt: skip
        [row] = await pulls_are(router, "cancelled")
        assert row["error"] == ""
        assert (await router.queue())["pulls"] == []
        fake.store.pull_hold.set()
        assert (await done(router, "pull", node_id="a", model=NEW)).json()["ok"]
        await pulls_are(router, "done")


async def test_cancelling_what_is_not_under_way_says_so() -> None:
    async with running_router() as router:
        answer = await done(router, "pull/cancel", node_id="a", model=NEW)
        assert (answer.status_code, answer.json()["ok"]) == (404, False)
        assert answer.json()["error"] == f"no pull of {NEW} to a is under way"


async def test_a_pull_that_cannot_be_says_why_in_words() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        await join(router, "plain", fake, operations=("chat",))
        told = [
            (await done(router, "pull", node_id=node, model=model)).json()
            for node, model in (("a", "nobody:1b"), ("nowhere", NEW), ("plain", NEW), ("a", "flux-schnell"))
        ]
        assert not any(one["ok"] for one in told)
        assert [one["error"] for one in told][:3] == [
            "pull model manifest: file does not exist", "no node called nowhere is known",
            "no engine of plain can pull models",
        ]  # fmt: skip
        assert "uv tool install" in told[3]["error"]


async def test_a_full_disk_is_told_at_the_card_until_it_is_tried_again() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        full = "write /models/blobs/x: no space left on device"
        fake.script("/api/pull", replying({"error": full}, 500), times=1)
        assert (await done(router, "pull", node_id="a", model=NEW)).json()["error"] == full
        page = (await router.http.get("/dashboard/recommendations")).text
        assert full in page
        assert 'data-state="failed"' in page
        await done(router, "pull", node_id="a", model=NEW)
        assert full not in (await router.http.get("/dashboard/recommendations")).text


async def test_a_model_is_deleted_from_the_node_that_was_named_and_from_no_other() -> None:
    async with having("x:1b") as one, having("x:1b") as other, running_router() as router:
        await join(router, "a", one, loaded("x:1b"))
        await join(router, "b", other, loaded("x:1b"))
        answer = await done(router, "delete", node_id="a", model="x:1b")
        assert (answer.status_code, answer.json()) == (200, {"ok": True, "node_id": "a", "model": "x:1b"})
        assert (list(one.models), list(other.models)) == ([], ["x:1b"])
        rows = {node["node_id"]: len(node["models"]) for node in (await told(router, "model-management"))["nodes"]}
        assert rows == {"a": 0, "b": 1}


async def test_a_deletion_that_cannot_be_says_why() -> None:
    async with having("x:1b") as fake, running_router() as router:
        await join(router, "a", fake, loaded("x:1b"), operations=("chat",))
        answer = await done(router, "delete", node_id="a", model="x:1b")
        assert (answer.status_code, answer.json()["ok"]) == (501, False)
        assert "cannot delete models" in answer.json()["error"]
        assert (await done(router, "delete", node_id="a", model="y:1b")).status_code == 404
        assert not (await told(router, "model-management"))["nodes"][0]["models"][0]["deletable"]


@pytest.mark.parametrize("path", ["pull", "pull/cancel", "delete"])
async def test_changes_need_the_administrator_and_name_both_node_and_model(path: str) -> None:
    async with having("x:1b") as fake, running_router() as router:
        await join(router, "a", fake, loaded("x:1b"))
        asked = {"node_id": "a", "model": "x:1b"}
        assert (await router.http.post(f"/dashboard/api/{path}", json=asked)).status_code == 401
        for body in ({"model": "x:1b"}, {"node_id": "a"}, {**asked, "model": 7}, {**asked, "model": "x\n"}, [], {}):
            answer = await router.http.post(f"/dashboard/api/{path}", json=body, headers=router.admin)
            assert answer.status_code == 400, body
        assert not fake.asked(f"/api/{path}")
        assert list(fake.models) == ["x:1b"]


async def test_markup_in_names_of_nodes_and_models_stays_text() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake, loaded(MARKUP, loaded=False, parameters=MARKUP))
        page = (await router.http.get("/dashboard/recommendations")).text
        assert page.count("&lt;img") >= 3
        assert "<img src=x" not in page


async def test_a_node_whose_engine_pulls_nothing_offers_no_pull_and_says_so() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake, operations=("chat",))
        page = (await router.http.get("/dashboard/recommendations")).text
        assert "No engine of this node pulls models by itself" in page
        assert "data-pull-all" not in page
        assert "data-delete " not in page


async def test_a_pull_of_what_is_not_recommended_is_shown_too() -> None:
    async with having() as fake, running_router() as router:
        await join(router, "a", fake)
        fake.store.pulls["odd:1b"] = FakeModel("odd:1b", size=1000)
        fake.store.pull_hold = asyncio.Event()
        await done(router, "pull", node_id="a", model="odd:1b", wait=False)
        assert "odd:1b" in (await router.http.get("/dashboard/recommendations")).text
        fake.store.pull_hold.set()
        await pulls_are(router, "done")


async def test_of_a_large_fleet_the_models_of_one_node_are_shown_that_was_chosen() -> None:
    async with having() as fake, running_router() as router:
        for number in range(4):
            await join(router, f"n{number}", fake, loaded(f"own-{number}:1b"))
        page = (await router.http.get("/dashboard/recommendations")).text
        assert page.count('class="card stock closed"') == 4
        assert 'href="?node=n2#stock-' in page
        page = (await router.http.get("/dashboard/recommendations?node=n2")).text
        assert page.count('class="card stock closed"') == 3
        assert 'data-model="own-2:1b"' in page


async def test_without_a_node_the_page_says_what_to_do_first() -> None:
    async with running_router() as router:
        page = (await router.http.get("/dashboard/recommendations")).text
        assert "No node is online" in page
        assert "herd node" in page
