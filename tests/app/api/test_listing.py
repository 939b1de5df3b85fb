"""What clients that list, show and probe are told, over a real socket."""

import json
from typing import Any

import ollama
import openai
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from running import GIB, loaded, running_router

from node.wire import ModelReport

FIELDS = {"name", "model", "modified_at", "size", "digest", "details", "capabilities"}
DETAILS = {"parent_model", "format", "family", "families", "parameter_size", "quantization_level"}


async def test_tags_carry_every_field_of_ollama_with_values_and_tell_the_nodes() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1"))
        await router.join("b", fake, loaded("m:1", loaded=False), loaded("n:2", digest="ab" * 32, context_max=8192))
        models = (await router.http.get("/api/tags")).json()["models"]
        assert [model["name"] for model in models] == ["m:1", "n:2"]
        for model in models:
            assert set(model) >= FIELDS
            assert set(model["details"]) >= DETAILS
            assert None not in model.values()
            assert None not in model["details"].values()
            assert model["size"] > 0
            assert len(model["digest"]) == 64
        assert models[0]["details"]["fleet_nodes"] == ["a", "b"]
        assert "context_length" not in models[0]["details"]  # nobody told it
        assert models[1]["details"]["context_length"] == 8192


async def test_models_of_an_engine_that_is_down_are_not_offered() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1"), healthy=False)
        assert (await router.http.get("/api/tags")).json() == {"models": []}


async def test_ps_lists_what_is_in_memory_once_for_each_node() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1", resident_bytes=5, context_length=8192), loaded("x:1", loaded=False))
        await router.join("b", fake, loaded("m:1"))
        models = (await router.http.get("/api/ps")).json()["models"]
        assert [(model["name"], model["fleet_node"]) for model in models] == [("m:1", "a"), ("m:1", "b")]
        assert (models[0]["size_vram"], models[0]["context_length"]) == (5, 8192)


async def test_ps_calls_the_gpus_only_what_is_in_its_memory() -> None:
    """By these two figures `ollama ps` says "100% CPU" or "30%/70% CPU/GPU"."""
    async with FakeOllama() as fake, running_router() as router:
        in_memory = [loaded(f"m:{vram}", resident_bytes=9, vram_bytes=vram) for vram in (0, 6)]
        await router.join("a", fake, *in_memory)
        models = (await router.http.get("/api/ps")).json()["models"]
        assert [(model["size"], model["size_vram"]) for model in models] == [(9, 0), (9, 6)]


async def test_show_is_the_engines_own_word() -> None:
    async with FakeOllama(FakeModel("m:1", context_max=9999)) as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1"))
        for question in ({"model": "m:1"}, {"name": "m:1"}):
            shown = (await router.http.post("/api/show", json=question)).json()
            assert shown == fake.models["m:1"].shown()


async def test_show_of_a_model_without_an_ollama_tells_what_its_node_reports() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1", family="llama", context_max=8192, parameters="1B"), kind="openai")
        shown = (await router.http.post("/api/show", json={"model": "m:1"})).json()
        assert shown["model_info"]["llama.context_length"] == 8192
        assert shown["details"]["parameter_size"] == "1B"


@pytest.mark.parametrize("body", [b"", b"[", b"[]", b'{"model": 5}', b"{}", b'{"model": ""}', b'{"model":"\xff"}'])
async def test_a_show_that_asks_nothing_is_400(body: bytes) -> None:
    async with running_router() as router:
        answer = await router.http.post("/api/show", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]


async def test_openai_clients_list_and_retrieve_models_with_slashes_in_their_names() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("hf.co/unsloth/m:Q4_K_M"))
        client = openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="anything")
        [model] = (await client.models.list()).data
        assert model.id == "hf.co/unsloth/m:Q4_K_M"
        assert (await client.models.retrieve(model.id)).id == model.id
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("nobody/has")
        await client.close()


async def test_the_ollama_client_lists_and_shows() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        client = ollama.AsyncClient(host=router.url)
        assert [model.model for model in (await client.list()).models] == ["smollm2:135m"]
        assert [model.model for model in (await client.ps()).models] == ["smollm2:135m"]
        assert "completion" in ((await client.show("smollm2:135m")).capabilities or [])
        with pytest.raises(ollama.ResponseError):
            await client.show("nobody-has")


async def test_the_root_greets_clients_with_ollamas_text_and_sends_browsers_to_the_dashboard() -> None:
    async with running_router() as router:
        assert (await router.http.get("/")).text == "Ollama is running"
        page = await router.http.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
        assert (page.status_code, page.headers["location"]) == (302, "/dashboard")


@pytest.mark.parametrize("path", ["/", "/api/version", "/api/tags", "/v1/models", "/healthz"])
async def test_head_is_answered_where_get_is(path: str) -> None:
    async with running_router() as router:
        answer = await router.http.head(path)
        assert answer.status_code == 200
        assert answer.content == b""


async def test_the_version_is_the_lowest_of_the_fleet() -> None:
    async with FakeOllama() as fake, running_router() as router:
        assert (await router.http.get("/api/version")).json() == {"version": "0.14.0"}  # Codex wants 0.13.4
        await router.join("a", fake)
        assert (await router.http.get("/api/version")).json() == {"version": "0.31.0"}


async def test_explain_shows_points_and_refusals() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        await router.join("b", fake, healthy=False)
        told = (await router.http.get("/fleet/explain", params={"model": "smollm2:135m", "tokens": 500})).json()
        assert (told["verdict"], told["chosen"]) == ("placed", "a")
        [scored] = told["scored"]
        assert scored["total"] == pytest.approx(sum(scored["points"].values()), abs=0.1)
        [refused] = told["refused"]
        assert refused["node_id"] == "b"
        assert refused["reason"]
        assert (await router.http.get("/fleet/explain", params={"model": "none"})).json()["verdict"] == "absent"
        assert (await router.http.get("/fleet/explain")).status_code == 400
        assert (await router.http.get("/fleet/explain", params={"model": "m", "tokens": "x"})).status_code == 400


async def test_status_has_the_public_field_names() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        await router.http.post("/api/chat", json={"model": "smollm2:135m", "messages": []})
        status = (await router.http.get("/fleet/status")).json()
        assert set(status) == {"fleet", "nodes", "queues", "timestamp"}
        assert status["fleet"] == {"nodes_total": 1, "nodes_online": 1, "models_loaded": 1, "requests_active": 0}
        line = status["queues"]["a:smollm2:135m"]
        assert (line["completed"], line["concurrency"], line["request_type"]) == (1, 1, "text")
        assert "door_secret" not in json.dumps(status)


async def test_the_router_says_that_it_lives_and_whether_it_is_ready() -> None:
    async with running_router() as router:
        health = (await router.http.get("/healthz")).json()
        assert health["status"] == "ok"
        assert len(health["fleet_id"]) == 16
        assert (await router.http.get("/readyz")).status_code == 200
        router.router.dispatcher.closing = True
        stopping = await router.http.get("/readyz")
        assert (stopping.status_code, stopping.headers["retry-after"]) == (503, "5")


async def test_an_explanation_may_be_asked_with_all_that_a_request_would_need() -> None:
    async with FakeOllama() as fake, running_router() as router:
        seen = loaded(context_length=4096, context_max=4096, capabilities=("completion",))
        twin = loaded("smollm2:360m", capabilities=("completion",))
        await router.join("a", fake, seen, twin, ModelReport(name="smollm2:1b", size_bytes=GIB))

        async def explained(**asked: object) -> dict[str, Any]:
            answer = await router.http.get("/fleet/explain", params={"model": "smollm2:135m", **asked})
            return dict(answer.json())

        assert (await explained(needs="tools, vision"))["refused"][0]["reason"] == "does not support tools, vision"
        assert (await explained(tokens=9000))["verdict"] == "refused"
        assert (await explained(tokens=10, context=9000))["verdict"] == "placed"
        assert (await explained(model="smollm2:1b", substitutes=True))["how"] == "substitute"
        assert (await explained(model="smollm2:1b"))["how"] == "asked"
