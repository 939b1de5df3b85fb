"""A model that a request names and nobody has, over real sockets: pulled when it may be, the client kept company."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import hung_up
from running import RunningRouter, loaded, running_router

KEEPS = ("chat", "generate", "pull", "delete")
NEW = "llama3.2:3b"
LARGE = "llama3.1:405b"
UNKNOWN = "nobodys-model:7b"
SAYS = [{"role": "user", "content": "Hi"}]


@asynccontextmanager
async def fleet(mode: str = "catalogue", *, hold: bool = False, hold_timeout: float = 30, **models: Any) -> Any:
    """A router and a node that can pull; the time after a start in which nothing is pulled is over."""
    quick = {"heartbeat_interval": 0.1}
    told = {"auto_pull": mode, **models}
    async with FakeOllama() as fake, running_router(heartbeat=quick, models=told, hold_timeout=hold_timeout) as router:
        for name in (NEW, LARGE, UNKNOWN):
            fake.store.pulls[name] = FakeModel(name, size=1000)
        fake.store.pull_hold = asyncio.Event() if hold else None
        await router.join("a", fake, operations=KEEPS, disk_gb=500)
        await asyncio.sleep(0.2)
        yield router, fake


async def chat(router: RunningRouter, model: str = NEW, **more: Any) -> httpx.Response:
    return await router.http.post("/api/chat", json={"model": model, "messages": SAYS, **more})


async def pulling(router: RunningRouter, count: int) -> dict[str, Any]:
    """The queue, once so many requests wait for a pull."""
    async with asyncio.timeout(10):
        while True:
            queue = await router.queue()
            if [waiting["why"] for waiting in queue["waiting"]] == ["pulling"] * count:
                return queue
            await asyncio.sleep(0.01)


async def test_a_known_model_that_nobody_has_is_pulled_and_serves() -> None:
    async with fleet() as (router, fake):
        answer = await chat(router, stream=False)
        assert (answer.status_code, answer.json()["message"]["content"]) == (200, "Hello from fake")
        assert answer.headers["x-fleet-node"] == "a"
        assert len(fake.asked("/api/pull")) == 1
        [trace] = await router.traces()
        assert "model.pulled" in trace["notes"]


async def test_requests_at_once_for_an_absent_model_cause_one_pull() -> None:
    async with fleet(hold=True) as (router, fake):
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(chat(router, stream=False)) for _ in range(5)]
            queue = await pulling(router, 5)
            assert {waiting["node_id"] for waiting in queue["waiting"]} == {"a"}
            assert [pull["wanted"] for pull in queue["pulls"]] == [5]
            fake.store.pull_hold.set()
        assert [task.result().status_code for task in asked] == [200] * 5
        assert len(fake.asked("/api/pull")) == 1


async def test_a_request_joins_the_pull_of_an_operator() -> None:
    async with fleet("off", hold=True) as (router, fake):
        async with asyncio.TaskGroup() as tasks:
            manual = tasks.create_task(router.http.post("/api/pull", json={"model": NEW}, headers=router.admin))
            await fake.requests.wait()
            async with asyncio.timeout(10):
                while not fake.asked("/api/pull"):
                    await asyncio.sleep(0.01)
            request = tasks.create_task(chat(router, stream=False))
            await pulling(router, 1)
            fake.store.pull_hold.set()
        assert (manual.result().status_code, request.result().status_code) == (200, 200)
        assert len(fake.asked("/api/pull")) == 1


@pytest.mark.parametrize(
    ("mode", "model", "served"),
    [
        ("catalogue", NEW, True), ("true", NEW, True), ("any", NEW, True), ("off", NEW, False), ("false", NEW, False),
        ("catalogue", UNKNOWN, False), ("any", UNKNOWN, True), ("any", LARGE, False),
        ("any", "hf.co/x/y:Q4", False), ("any", "registry.example.com/x/y", False), ("any", "x/y", False),
        ("any", "../../etc", False), ("any", "a b", False), ("any", "gpt-oss:120b-cloud", False), ("any", "m@1", False),
    ],
)  # fmt: skip
async def test_what_is_pulled_for_a_request(mode: str, model: str, served: bool) -> None:
    async with fleet(mode) as (router, fake):
        answer = await chat(router, model, stream=False)
        assert answer.status_code == (200 if served else 404), answer.text
        assert len(fake.asked("/api/pull")) == served
        if not served:
            assert model in answer.json()["error"]
            assert "ollama pull" in answer.json()["error"]


async def test_a_model_that_turns_out_too_large_is_not_brought() -> None:
    async with fleet("any", hold=True, auto_pull_max_gb=1.0) as (router, fake):
        fake.store.pulls[UNKNOWN].size = 2 * 1024**3
        answer = await chat(router, UNKNOWN, stream=False)
        assert answer.status_code == 404
        assert "larger than the 1 GB" in answer.json()["error"]
        await fake.closed.wait()


async def test_a_model_for_which_no_disk_has_room_is_404_with_the_reason() -> None:
    async with fleet(disk_reserve_gb=499) as (router, fake):
        answer = await chat(router, stream=False)
        assert answer.status_code == 404
        assert "free on disk" in answer.json()["error"]
        assert not fake.asked("/api/pull")


@pytest.mark.parametrize("how", ["asleep", "down"])
async def test_a_model_of_a_node_that_sleeps_or_whose_engine_is_down_is_503_and_nothing_is_downloaded(how: str) -> None:
    async with fleet("any", hold_timeout=1.0) as (router, fake), FakeOllama() as other:
        away = {"goodbye": True} if how == "asleep" else {"healthy": False}
        await router.join("b", other, loaded(NEW), operations=KEEPS, **away)
        async with asyncio.TaskGroup() as tasks:
            request = tasks.create_task(chat(router, stream=False))
            await router.until(pending=1)
            [waiting] = (await router.queue())["waiting"]
            assert waiting["why"] == "held"
        assert request.result().status_code == 503
        assert not fake.asked("/api/pull")
        assert not other.asked("/api/pull")


async def test_nothing_is_pulled_before_every_node_has_had_time_to_report() -> None:
    async with FakeOllama() as fake, running_router(heartbeat={"heartbeat_interval": 3600.0}) as router:
        await router.join("a", fake, operations=KEEPS)
        answer = await chat(router, stream=False)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert not fake.asked("/api/pull")


async def test_a_pull_that_fails_is_told_in_the_clients_dialect() -> None:
    async with fleet() as (router, fake):
        del fake.store.pulls[NEW]
        answer = await chat(router)
        assert answer.status_code == 404
        assert "file does not exist" in answer.json()["error"]
        body = {"model": NEW, "messages": SAYS, "stream": True}
        asked = await router.http.post("/v1/chat/completions", json=body)
        assert (asked.status_code, asked.json()["error"]["type"]) == (404, "model_not_found")
        fake.script("/api/pull", hung_up())
        assert (await chat(router)).status_code == 503


async def test_a_request_that_waited_long_enough_is_503_and_the_pull_goes_on() -> None:
    async with fleet(hold=True, auto_pull_timeout=0.1) as (router, fake):
        answer = await chat(router, stream=False)
        assert answer.status_code == 503
        assert "pulling llama3.2:3b to a" in answer.json()["error"]
        assert answer.headers["retry-after"] == "30"
        [pull] = (await router.queue())["pulls"]
        assert pull["wanted"] == 0
        fake.store.pull_hold.set()
        async with asyncio.timeout(10):
            while (await router.queue())["pulls"]:
                await asyncio.sleep(0.01)
        assert (await chat(router, stream=False)).status_code == 200
        assert len(fake.asked("/api/pull")) == 1


async def test_a_client_that_leaves_ends_the_pull_that_it_caused() -> None:
    async with fleet(hold=True) as (router, fake):
        async with asyncio.TaskGroup() as tasks:
            request = tasks.create_task(chat(router))
            await pulling(router, 1)
            request.cancel()
            await fake.closed.wait()
        await router.until(pending=0)
        assert (await router.queue())["pulls"] == []


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life come quickly."""
    monkeypatch.setattr("app.fleet.autopull.SIGN_S", 0.02)


async def held_until_told(router: RunningRouter, fake: FakeOllama, lines: AsyncIterator[str]) -> list[str]:
    """The lines of a stream from the one that tells of half a pull; then the pull may go on."""
    told = []
    async for line in lines:
        if told or "50%" in line:
            told.append(line)
            assert fake.store.pull_hold is not None
            fake.store.pull_hold.set()
    return told


async def test_an_ollama_stream_is_kept_alive_by_records_that_say_nothing(often: None) -> None:
    async with fleet(hold=True) as (router, fake):
        for path, key in (("/api/chat", "message"), ("/api/generate", "response")):
            body = {"model": NEW, "messages": SAYS, "prompt": "Hi"}
            async with router.http.stream("POST", path, json=body) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"] == "application/x-ndjson"
                told = await held_until_told(router, fake, answer.aiter_lines())
            first, last = json.loads(told[0]), json.loads(told[-1])
            assert first[key] == ({"role": "assistant", "content": ""} if key == "message" else "")
            assert first["done"] is False
            assert "pulling llama3.2:3b to a, 50%" in first["status"]
            assert last["done"] is True
            del fake.models[NEW]
            fake.store.pull_hold = asyncio.Event()
            await router.join("a", fake, loaded(), loaded(NEW), operations=KEEPS, disk_gb=500)
            await router.join("a", fake, loaded(), operations=KEEPS, disk_gb=500)


async def test_the_ollama_client_reads_on_while_a_model_is_pulled(often: None) -> None:
    async with fleet(hold=True) as (router, fake):
        client = ollama.AsyncClient(host=router.url)
        words = []
        async for part in await client.chat(NEW, messages=SAYS, stream=True):
            words.append(part.message.content)
            fake.store.pull_hold.set()
        assert words[0] == ""
        assert "".join(words) == "Hello from fake"


async def test_the_openai_client_reads_on_while_a_model_is_pulled(often: None) -> None:
    async with fleet(hold=True) as (router, fake):
        asked = {"model": NEW, "messages": SAYS, "stream": True}
        async with router.http.stream("POST", "/v1/chat/completions", json=asked) as answer:
            told = await held_until_told(router, fake, answer.aiter_lines())
        assert told[0] == ": pulling llama3.2:3b to a, 50%"
        assert told[-2] == "data: [DONE]"
    async with fleet(hold=True) as (router, fake):
        client = openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", timeout=20)
        async with asyncio.TaskGroup() as tasks:

            async def read() -> str:
                stream = await client.chat.completions.create(model=NEW, messages=SAYS, stream=True)  # type: ignore[call-overload]
                return "".join([part.choices[0].delta.content or "" async for part in stream])

            reading = tasks.create_task(read())
            await pulling(router, 1)
            await asyncio.sleep(0.1)  # some signs of life
            fake.store.pull_hold.set()
        assert reading.result() == "Hello from fake"
        await client.close()


async def test_the_anthropic_client_reads_on_while_a_model_is_pulled(often: None) -> None:
    async with fleet(hold=True) as (router, fake):
        client = anthropic.AsyncAnthropic(base_url=router.url, api_key="any", max_retries=0)
        async with asyncio.TaskGroup() as tasks:

            async def read() -> str:
                async with client.messages.stream(model=NEW, max_tokens=50, messages=SAYS) as stream:  # type: ignore[arg-type]
                    return "".join([text async for text in stream.text_stream])

            reading = tasks.create_task(read())
            await pulling(router, 1)
            await asyncio.sleep(0.1)  # some signs of life
            fake.store.pull_hold.set()
        assert reading.result() == "Hello from fake"
        await client.close()


async def test_a_stream_that_was_kept_alive_in_vain_ends_in_an_error_record(often: None) -> None:
    async with fleet(hold=True, auto_pull_timeout=0.5) as (router, _):
        body = {"model": NEW, "messages": SAYS}
        answer = await router.http.post("/api/chat", json=body)
        assert answer.status_code == 200
        assert "is not here yet" in json.loads(answer.text.splitlines()[-1])["error"]
        client = openai.AsyncOpenAI(base_url=router.url + "/v1", api_key="any", max_retries=0)
        with pytest.raises(openai.APIError, match="is not here yet"):
            async for _part in await client.chat.completions.create(model=NEW, messages=SAYS, stream=True):  # type: ignore[call-overload]
                pass
        await client.close()
        python = ollama.AsyncClient(host=router.url)
        with pytest.raises(ollama.ResponseError, match="is not here yet"):
            async for _part in await python.chat(NEW, messages=SAYS, stream=True):
                pass
