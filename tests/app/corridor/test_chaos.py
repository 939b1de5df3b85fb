"""Engines that break in every way while clients come and go: slots hold, nothing stays behind, each is told once."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress

import httpx
import pytest
from fakes.answers import Responder
from fakes.fake_ollama import FakeOllama
from fakes.scripted import Answer, failing, hang, hung_up, reset, streaming
from running import RunningRouter, loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
SLOTS = {"a": 1, "b": 2, "c": 3}
REQUESTS = 120
FAULTS: tuple[Responder, ...] = (
    reset(), hung_up(), hang(), failing(500), failing(503), failing(429), failing(401),
    failing(400, b'{"error":"bad"}'), failing(404, b'{"error":"model not found"}'), Answer(pieces=()),
    Answer(pieces=(b"<html>",), content_type="text/html"), Answer(pieces=(b'{"error":"out of memory"}\n',)),
    streaming(LINE, end="reset"), streaming(LINE, LINE[:20], end="close"), streaming(LINE, asyncio.Event()),
)  # fmt: skip


async def cause_trouble(router: RunningRouter, fakes: dict[str, FakeOllama], chance: random.Random) -> None:
    while True:
        await asyncio.sleep(chance.random() * 0.02)
        name = chance.choice("abc")
        match chance.randrange(10):
            case 0:
                await router.join(name, fakes[name], loaded(slots=SLOTS[name]), draining=chance.random() < 0.3)
            case 1:
                await router.join(name, fakes[name], loaded(slots=SLOTS[name]), healthy=chance.random() < 0.7)
            case 2:
                await fakes[name].cut()
            case 3:
                await fakes[name].refuse()
                await fakes[name].accept()
            case _:
                fakes[name].script("/api/chat", chance.choice(FAULTS))


@pytest.mark.parametrize("seed", [1, 2])
async def test_whatever_breaks_no_slot_is_lost_and_each_request_ends_once(seed: int) -> None:
    chance = random.Random(seed)
    limits = {"first_byte_timeout": 0.5, "stale_timeout": 1.0, "hold_timeout": 3.0}
    told: Counter[str] = Counter()
    fakes = {name: FakeOllama() for name in SLOTS}
    async with fakes["a"], fakes["b"], fakes["c"], running_router(**limits) as router:
        for name, fake in fakes.items():
            fake.word_s = 0.01
            await router.join(name, fake, loaded(slots=SLOTS[name]))
        trouble = asyncio.ensure_future(cause_trouble(router, fakes, chance))

        async def ask(http: httpx.AsyncClient) -> None:
            answer = await http.post("/api/chat", json={**BODY, "stream": chance.random() < 0.5})
            last = json.loads(answer.text.splitlines()[-1])
            assert ("error" in last) != (last.get("done") is True)  # told or whole, never silently cut
            assert (answer.status_code == 200) or "error" in last
            told["whole" if answer.status_code == 200 and "error" not in last else "told"] += 1

        async def come_and_go(http: httpx.AsyncClient) -> None:
            await asyncio.sleep(chance.random() * 1.5)
            patience = chance.random() * 0.3 if chance.random() < 0.3 else 60
            with suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await ask(http)

        unbounded = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=router.url, trust_env=False, timeout=60, limits=unbounded) as http:
            await asyncio.gather(*(come_and_go(http) for _ in range(REQUESTS)))
        trouble.cancel()
        with suppress(asyncio.CancelledError):
            await trouble
        for name, fake in fakes.items():
            fake.unscript()
            await router.join(name, fake, loaded(slots=SLOTS[name]), healthy=False)  # what it denied is forgotten
            await router.join(name, fake, loaded(slots=SLOTS[name]))
        figures = await router.until(in_flight=0, pending=0)
        assert figures["queue_depth"] == 0
        for name, fake in fakes.items():
            assert fake.peak <= SLOTS[name]
        ended = await router.traces(sum(told.values()), limit=1000)
        assert len({trace["request_id"] for trace in ended}) == len(ended)
        outcomes = Counter(trace["status"] for trace in ended)
        assert outcomes["completed"] >= told["whole"]
        assert set(outcomes) <= {"completed", "failed", "incomplete", "expired", "client_disconnected"}
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 200
