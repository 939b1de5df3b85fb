"""Ollama's own client, the router, and an engine that speaks only OpenAI's dialect: all on real sockets."""

import ollama
import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeOllama
from fakes.scripted import reset
from running import running_router

HI = [{"role": "user", "content": "Hi"}]
MODEL = "smollm2:135m"


async def test_ollamas_client_is_served_by_an_engine_without_ollamas_routes() -> None:
    async with FakeLlama() as fake, running_router() as router:
        await router.join("a", fake, kind="openai")
        client = ollama.AsyncClient(host=router.url)
        parts = [part async for part in await client.chat(MODEL, messages=HI, stream=True)]
        assert "".join(part.message.content or "" for part in parts) == "Hello from fake"
        assert (parts[-1].done, parts[-1].done_reason, parts[-1].prompt_eval_count) == (True, "stop", 11)
        whole = await client.chat(MODEL, messages=HI, options={"num_ctx": 5})
        assert whole.message.content == "Hello from fake"
        assert (await client.generate(MODEL, "Hi", raw=True)).response == "Hello from fake"
        assert (await client.generate(MODEL)).done_reason == "load"
        assert (await client.generate(MODEL, keep_alive=0)).done_reason == "unload"
        with pytest.raises(ollama.ResponseError, match="suffix") as told:
            await client.generate(MODEL, "a", suffix="b")
        assert told.value.status_code == 400
        assert [request.path for request in fake.requests if request.method == "POST"] == [
            "/v1/chat/completions",
            "/v1/chat/completions",
            "/v1/completions",
        ]
        notes = [trace["notes"] for trace in await router.traces(6)]
        assert ["dialect.translated", "options.dropped num_ctx"] in notes


async def test_an_attempt_that_breaks_before_its_first_token_goes_on_in_the_other_engines_dialect() -> None:
    async with FakeLlama() as first, FakeOllama() as second, running_router() as router:
        await router.join("a", first, kind="openai")
        await router.join("b", second)
        first.script("/v1/chat/completions", reset(), times=None)
        answer = await router.http.post("/api/chat", json={"model": MODEL, "messages": HI})
        assert answer.headers["x-fleet-node"] == "b"
        assert answer.text.splitlines()[-1].startswith(f'{{"model":"{MODEL}"')
        sent = {"model": MODEL, "messages": HI, "options": {"num_ctx": 4096}, "keep_alive": -1}
        assert second.asked("/api/chat")[0].json() == sent
