"""Bringing models to nodes, over real sockets: who may, which node, one pull for all who want it."""

import asyncio
import json
from typing import Any

import httpx
import ollama
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import failing, hung_up
from running import ADMIN, RunningRouter, loaded, running_router

from node.wire import Capacity

KEEPS = ("chat", "generate", "pull", "push", "create", "copy", "delete")
NEW = "llama3.2:3b"


def having(*names: str) -> FakeOllama:
    """A fake Ollama whose registry knows the new model."""
    fake = FakeOllama(*(FakeModel(name) for name in names or ("smollm2:135m",)))
    fake.store.pulls[NEW] = FakeModel(NEW, size=1000)
    return fake


async def pulled(router: RunningRouter, **body: Any) -> httpx.Response:
    return await router.http.post("/api/pull", json={"model": NEW, **body}, headers=router.admin)


async def names(router: RunningRouter) -> set[str]:
    return {model["name"] for model in (await router.http.get("/api/tags")).json()["models"]}


async def pulls(router: RunningRouter, *wanted: int) -> None:
    """Until the running pulls are wanted by this many each."""
    async with asyncio.timeout(10):
        while tuple(pull["wanted"] for pull in (await router.queue())["pulls"]) != wanted:
            await asyncio.sleep(0.01)


async def test_the_engines_progress_comes_byte_for_byte_and_the_model_is_known_at_once() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        direct = await router.http.post(fake.url + "/api/pull", json={"model": NEW})
        del fake.models[NEW]
        answer = await pulled(router)
        assert answer.content == direct.content
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert answer.headers["x-fleet-node"] == "a"
        assert await names(router) == {"smollm2:135m", NEW}
        chat = await router.http.post("/api/chat", json={"model": NEW, "messages": [{"role": "user", "content": "x"}]})
        assert chat.headers["x-fleet-node"] == "a"


@pytest.mark.parametrize("where", [{}, {"node_id": "a"}])
async def test_a_model_that_no_engine_pulls_is_400_with_the_command_that_brings_it(where: dict[str, str]) -> None:
    async with having() as fake, running_router(models={"auto_pull": "any"}) as router:
        await router.join("a", fake, operations=KEEPS)
        for model in ("flux-schnell", "sd3-medium:latest"):
            answer = await pulled(router, model=model, **where)
            assert answer.status_code == 400
            assert "uv tool install" in answer.json()["error"]
        assert not fake.asked("/api/pull")


async def test_a_report_made_before_the_model_came_does_not_take_it_away_again() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        await pulled(router)
        await router.join("a", fake, operations=KEEPS)
        assert NEW in await names(router)
        await router.join("a", fake, loaded(), loaded(NEW, loaded=False), operations=KEEPS)
        await router.join("a", fake, loaded(), operations=KEEPS)
        assert NEW not in await names(router)


@pytest.mark.parametrize("path", ["pull", "push", "create", "copy"])
async def test_changing_models_needs_the_admin_token_and_says_how_to_show_it(path: str) -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        answer = await router.http.post(f"/api/{path}", json={"model": NEW, "source": "smollm2:135m"})
        assert answer.status_code == 401
        assert "OLLAMA_HOST" in answer.json()["error"]
        assert answer.json()["status"] == answer.json()["error"]  # what the command line shows
        for method in ("POST", "HEAD"):
            blob = await router.http.request(method, "/api/blobs/sha256:" + "0" * 64)
            assert blob.status_code == 401
        gone = await router.http.request("DELETE", "/api/delete", json={"model": "smollm2:135m"})
        assert gone.status_code == 401
        assert [request.path for request in fake.requests if request.path.startswith(f"/api/{path}")] == []
        assert "smollm2:135m" in fake.models


async def test_everybody_may_change_models_where_the_operator_says_so() -> None:
    async with having() as fake, running_router(models={"open_models": True}) as router:
        await router.join("a", fake, operations=KEEPS)
        assert (await router.http.post("/api/pull", json={"name": NEW})).status_code == 200
        page = {"Origin": "http://localhost:3000"}
        assert (await router.http.post("/api/pull", json={"name": NEW}, headers=page)).status_code == 403


async def test_the_key_in_the_base_url_opens_for_the_ollama_client() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        client = ollama.AsyncClient(host=f"{router.url}/key/{ADMIN}")
        steps = [step.status async for step in await client.pull(NEW, stream=True)]
        assert steps[0] == "pulling manifest"
        assert steps[-1] == "success"
        assert (await client.pull(NEW)).status == "success"


async def test_a_pull_goes_where_the_disk_has_room() -> None:
    async with having() as full, having() as roomy, running_router() as router:
        await router.join("full", full, operations=KEEPS, disk_gb=5, memory_gb=512)
        await router.join("roomy", roomy, operations=KEEPS, disk_gb=400)
        assert (await pulled(router)).headers["x-fleet-node"] == "roomy"


async def test_a_second_pull_brings_a_second_copy_and_a_named_node_is_the_one() -> None:
    async with having() as a, having() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS)
        await router.join("b", b, operations=KEEPS)
        first = (await pulled(router)).headers["x-fleet-node"]
        second = (await pulled(router)).headers["x-fleet-node"]
        assert {first, second} == {"a", "b"}
        assert (await pulled(router, node_id="b")).headers["x-fleet-node"] == "b"
        by_header = {**router.admin, "X-Fleet-Node": "a"}
        answer = await router.http.post("/api/pull", json={"model": NEW}, headers=by_header)
        assert answer.headers["x-fleet-node"] == "a"


async def test_a_node_that_is_unknown_or_away_is_404_and_one_that_cannot_pull_is_501() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake)
        await router.join("gone", fake, operations=KEEPS, goodbye=True)
        assert (await pulled(router, node_id="nobody")).status_code == 404
        assert (await pulled(router, node_id="gone")).status_code == 404
        assert (await pulled(router, node_id="a")).status_code == 501


async def test_where_no_node_fits_the_answer_gives_each_reason() -> None:
    async with having() as fake, running_router() as router:
        await router.join("small", fake, operations=KEEPS, disk_gb=11)
        await router.join("paused", fake, operations=KEEPS, capacity=Capacity(mode="paused", reason="meeting"))
        answer = await pulled(router)
        assert answer.status_code == 503
        assert "small: 11.0 GB free on disk" in answer.json()["error"]
        assert "paused: paused: meeting" in answer.json()["error"]


async def test_a_fleet_without_an_ollama_says_that_it_cannot() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, kind="openai")
        answer = await pulled(router)
        assert answer.status_code == 501
        assert "pull" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"{}", b'{"model": 5}', b'{"model": "a\\nb"}'])
async def test_a_pull_of_nothing_is_400(body: bytes) -> None:
    async with running_router() as router:
        answer = await router.http.post("/api/pull", content=body, headers=router.admin)
        assert answer.status_code == 400
        assert answer.json()["error"]


async def test_who_comes_second_joins_the_pull_and_sees_its_progress() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.store.pull_hold = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(pulled(router))
            await pulls(router, 1)
            second = tasks.create_task(pulled(router, stream=True))
            third = tasks.create_task(pulled(router, stream=False))
            await pulls(router, 3)
            fake.store.pull_hold.set()
        assert len(fake.asked("/api/pull")) == 1
        assert first.result().text.endswith('{"status":"success"}\n')
        joined = [json.loads(line) for line in second.result().text.splitlines()]
        assert joined[0] == {"status": "pulling manifest"}
        assert joined[-1] == {"status": "success"}
        assert third.result().json() == {"status": "success"}


async def test_a_client_that_leaves_does_not_end_the_pull_of_others_and_the_last_one_does() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.store.pull_hold = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            first, second = (tasks.create_task(pulled(router)) for _ in range(2))
            await pulls(router, 2)
            first.cancel()
            await pulls(router, 1)
            assert not fake.closed
            second.cancel()
            await fake.closed.wait()
        await pulls(router)
        assert NEW not in fake.models


async def test_a_pull_that_broke_off_goes_on_where_it_was() -> None:
    async with having() as a, having() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS, memory_gb=64)
        await router.join("b", b, operations=KEEPS, memory_gb=256)
        b.store.pull_hold = asyncio.Event()
        a.store.pulls[NEW].size = b.store.pulls[NEW].size = 10**9
        async with asyncio.TaskGroup() as tasks:
            first = tasks.create_task(pulled(router))
            await b.requests.wait()
            async with asyncio.timeout(10):
                while not any(pull["completed_bytes"] for pull in (await router.queue())["pulls"]):
                    await asyncio.sleep(0.01)
            first.cancel()
        await pulls(router)
        b.store.pull_hold = None
        await router.join("b", b, operations=KEEPS, memory_gb=32)
        assert (await pulled(router)).headers["x-fleet-node"] == "b"


async def test_what_the_engine_says_of_a_failure_is_told() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        streamed = await pulled(router)
        assert streamed.status_code == 200
        assert json.loads(streamed.text.splitlines()[-1]) == {"error": "pull model manifest: file does not exist"}
        whole = await pulled(router, stream=False)
        assert (whole.status_code, whole.json()) == (500, {"error": "pull model manifest: file does not exist"})
        fake.script("/api/pull", failing(400, b'{"error":"invalid model name"}'), hung_up())
        refused = await pulled(router)
        assert (refused.status_code, refused.json()) == (400, {"error": "invalid model name"})
        assert (await pulled(router)).status_code == 502
        assert (await router.queue())["pulls"] == []


async def test_a_pull_whose_node_leaves_the_fleet_ends_in_an_error() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.store.pull_hold = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            pull = tasks.create_task(pulled(router))
            await pulls(router, 1)
            await router.join("a", fake, operations=KEEPS, goodbye=True)
        assert "left the fleet" in json.loads(pull.result().text.splitlines()[-1])["error"]


async def test_a_pull_that_would_fill_the_disk_is_ended_by_what_the_engine_tells_of_its_size() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS, disk_gb=30)
        fake.store.pulls["unknown:1"] = FakeModel("unknown:1", size=25 * 1024**3)
        fake.store.pull_hold = asyncio.Event()
        answer = await router.http.post("/api/pull", json={"model": "unknown:1"}, headers=router.admin)
        assert "has no room" in json.loads(answer.text.splitlines()[-1])["error"]
        await fake.closed.wait()


async def test_deleting_a_model_stops_its_pull() -> None:
    async with having() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.store.pull_hold = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            pull = tasks.create_task(pulled(router))
            await pulls(router, 1)
            gone = await router.http.request("DELETE", "/api/delete", json={"model": NEW}, headers=router.admin)
            assert gone.status_code == 200
        assert "was deleted" in json.loads(pull.result().text.splitlines()[-1])["error"]
