"""A node's life over real sockets: joining, reporting at once what changed, draining, against the real router too."""

import asyncio
import json
from pathlib import Path
from threading import Event

import httpx
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.fake_router import FakeRouter
from fakes.scripted import hang
from running import RunningRouter, running_router
from running_node import running_node

from node.agent import steady
from node.machine.observe import Observer
from node.machine.probes import Probe
from node.wire import DirectClient, EngineReport, Machine, ModelReport

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}


async def online(router: RunningRouter, count: int) -> list[dict[str, object]]:
    """The nodes' records once so many are online and show their models."""
    async with asyncio.timeout(10):
        while True:
            nodes = (await router.http.get("/fleet/status")).json()["nodes"]
            if sum(node["status"] == "online" and bool(node["ollama"]["models_available"]) for node in nodes) == count:
                return list(nodes)
            await asyncio.sleep(0.02)


async def test_a_node_that_starts_is_soon_served_through_the_router() -> None:
    async with (
        running_router() as router,
        FakeOllama() as fake,
        running_node(node_id="mac", router_url=router.url, ollama_host=fake.url),
    ):
        (node,) = await online(router, 1)
        assert node["node_id"] == "mac"
        assert node["memory"]["total_gb"] > 0  # type: ignore[index]
        answer = await router.http.post("/api/chat", json={**BODY, "stream": False})
        assert answer.status_code == 200
        assert answer.json()["message"]["content"] == "Hello from fake"
        assert answer.headers["x-fleet-node"] == "mac"


async def test_a_drain_lets_a_stream_finish_and_sends_new_work_elsewhere() -> None:
    async with running_router() as router, FakeOllama() as leaving, FakeOllama() as staying:
        leaving.hold_last = asyncio.Event()
        async with running_node(node_id="a", router_url=router.url, ollama_host=leaving.url) as node:
            await online(router, 1)
            async with router.http.stream("POST", "/api/chat", json=BODY) as stream:
                lines = stream.aiter_lines()
                first = json.loads(await anext(lines))
                async with running_node(node_id="b", router_url=router.url, ollama_host=staying.url):
                    await online(router, 2)
                    node.agent.stop()
                    async with asyncio.timeout(5):
                        while not any(seen["status"] == "draining" for seen in (await nodes_of(router))):
                            await asyncio.sleep(0.02)
                    answer = await router.http.post("/api/chat", json={**BODY, "stream": False})
                    assert answer.headers["x-fleet-node"] == "b"
                    assert not node.ended.done()
                    leaving.hold_last.set()
                    rest = [json.loads(line) async for line in lines]
            await asyncio.wait_for(node.ended, 5)
            assert first["message"]["content"] == "Hello"
            assert rest[-1]["done"] is True
            assert len(leaving.asked("/api/chat")) == 1
            assert {seen["node_id"]: seen["status"] for seen in await nodes_of(router)}["a"] == "offline"


async def nodes_of(router: RunningRouter) -> list[dict[str, object]]:
    return list((await router.http.get("/fleet/status")).json()["nodes"])


async def test_the_last_words_are_draining_until_drained_and_then_one_goodbye() -> None:
    async with FakeRouter() as router, running_node(router_url=router.url) as node:
        await router.heard(1)
        router.ack["node_status"] = "draining"
        before = len(router.beats)
        node.agent.stop()
        await router.heard(before + 2)
        router.ack["node_status"] = "drained"
        await asyncio.wait_for(node.ended, 5)
        said = [(beat["draining"], beat["goodbye"]) for beat in router.beats]
        at = said.index((True, False))
        assert at <= before + 1
        assert set(said[:at]) == {(False, False)}
        assert set(said[at:-1]) == {(True, False)}
        assert said[-1] == (True, True)


async def test_a_drain_ends_when_its_time_is_up() -> None:
    async with FakeRouter() as router, running_node(router_url=router.url, drain_timeout=0.3) as node:
        await router.heard(1)
        router.ack["node_status"] = "draining"
        node.agent.stop()
        await asyncio.wait_for(node.ended, 5)
        assert router.beats[-1]["goodbye"]


async def test_told_a_second_time_a_node_ends_at_once() -> None:
    async with FakeRouter() as router, running_node(router_url=router.url, drain_timeout=3600) as node:
        await router.heard(1)
        router.ack["node_status"] = "draining"
        node.agent.stop()
        await router.heard(len(router.beats) + 1)
        assert not node.ended.done()
        node.agent.stop()
        await asyncio.wait_for(node.ended, 3)


async def test_a_relay_in_the_door_is_waited_for_even_without_a_router() -> None:
    async with FakeOllama() as fake, FakeRouter() as router:
        fake.hold = asyncio.Event()
        async with running_node(router_url=router.url, ollama_host=fake.url) as node:
            beat = await router.heard(1)
            await router.refuse()
            url = f"http://127.0.0.1:{beat['door_port']}/engines/ollama/api/chat"
            async with httpx.AsyncClient(trust_env=False) as http:
                shown = {"X-Herd-Door": beat["door_secret"]}
                call = asyncio.ensure_future(http.post(url, json={**BODY, "stream": False}, headers=shown))
                async with asyncio.timeout(5):
                    while not fake.asked("/api/chat"):
                        await asyncio.sleep(0.01)
                node.agent.stop()
                done, _ = await asyncio.wait({node.ended}, timeout=1.5)
                assert not done
                fake.hold.set()
                assert (await call).json()["message"]["content"] == "Hello from fake"
            await asyncio.wait_for(node.ended, 10)


async def test_a_node_that_never_met_a_router_stops_at_once() -> None:
    async with running_node() as node:
        await asyncio.sleep(0)
        node.agent.stop()
        await asyncio.wait_for(node.ended, 5)


async def test_a_model_that_was_loaded_is_told_before_the_next_interval() -> None:
    async with FakeOllama() as fake, FakeRouter() as router:
        router.ack["interval_s"] = 60
        async with running_node(router_url=router.url, ollama_host=fake.url):
            first = await router.heard(1)
            assert first["engines"][0]["models"][0]["name"] == "smollm2:135m"
            fake.models["llama3:8b"] = FakeModel("llama3:8b", loaded=True)
            async with asyncio.timeout(10):
                while not any(model["name"] == "llama3:8b" for model in router.beats[-1]["engines"][0]["models"]):
                    await router.heard(len(router.beats) + 1)


async def test_an_engine_that_hangs_does_not_keep_the_heartbeat_waiting() -> None:
    async with (
        FakeOllama() as fake,
        FakeRouter() as router,
        running_node(router_url=router.url, ollama_host=fake.url),
    ):
        await router.heard(1)
        fake.script("*", hang(), times=None)
        async with asyncio.timeout(2):  # less than the engine's budget of 3 s
            last = await router.heard(len(router.beats) + 8)
        assert last["engines"][0]["models"]


class StuckMachine:
    async def observe(self) -> Machine:
        await asyncio.Event().wait()
        raise AssertionError


class BrokenMachine:
    async def observe(self) -> Machine:
        raise ZeroDivisionError


@pytest.mark.parametrize("machine", [StuckMachine(), BrokenMachine()])
async def test_a_machine_that_cannot_be_looked_at_still_has_a_heartbeat(
    machine: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.agent.FIRST_LOOK_S", 0.1)
    async with FakeRouter() as router, running_node(router_url=router.url, observer=machine):
        await router.heard(3)


async def test_while_a_probe_hangs_beats_go_on_and_it_is_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.machine.probes.BUDGET_S", 0.2)
    asked, freed = [], Event()

    def hangs() -> dict[str, object]:
        asked.append(1)
        freed.wait(60)
        return {"temperature_c": 61.0}

    quick = Probe(name="cpu", ask=lambda: {"cores": 7}, every_s=0.01)
    observer = Observer(tmp_path, probes=(Probe(name="heat", ask=hangs, every_s=0.01), quick))
    async with FakeRouter() as router, running_node(router_url=router.url, observer=observer, heartbeat_interval=0.1):
        beat = await router.heard(20, timeout_s=60)
        assert len(asked) == 1
        assert beat["machine"]["cores"] == 7
        assert beat["machine"].get("temperature_c") is None
        freed.set()
        async with asyncio.timeout(30):
            while (await router.heard(len(router.beats) + 1))["machine"]["temperature_c"] != 61.0:
                pass


async def test_a_heartbeat_tells_what_went_through_the_door_and_who_goes_past_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = DirectClient(peer="192.168.1.7", connections=2)
    monkeypatch.setattr("node.agent.direct_clients", lambda ports, urls: dict.fromkeys(ports, (peer,)))
    monkeypatch.setattr("node.agent.CLIENTS_EVERY_S", 0.05)
    async with FakeOllama() as fake, FakeRouter() as router, running_node(router_url=router.url, ollama_host=fake.url):
        beat = await router.heard(1)
        url = f"http://127.0.0.1:{beat['door_port']}/engines/ollama/api/tags"
        async with httpx.AsyncClient(trust_env=False) as http:
            said = await http.get(url, headers={"X-Herd-Door": beat["door_secret"]})
        async with asyncio.timeout(30):
            while not ((told := beat["traffic"][0])["requests"] and told["direct_clients"]):
                beat = await router.heard(len(router.beats) + 1)
        assert told == {
            "engine": "ollama",
            "requests": 1,
            "bytes_in": 0,
            "bytes_out": len(said.content),
            "direct_clients": [{"peer": "192.168.1.7", "connections": 2}],
        }


async def test_two_nodes_of_one_machine_have_two_doors() -> None:
    async with FakeRouter() as router:
        async with running_node(node_id="a", router_url=router.url):
            port = (await router.heard(1))["door_port"]
            async with running_node(node_id="b", router_url=router.url, door_port=port):
                async with asyncio.timeout(5):
                    while not (second := [beat for beat in router.beats if beat["node_id"] == "b"]):
                        await router.heard(len(router.beats) + 1)
        assert second[0]["door_port"] != port
        secrets = {beat["door_secret"] for beat in router.beats}
        assert len(secrets) == 2
        assert min(map(len, secrets)) >= 40


async def test_a_router_that_comes_back_is_reported_to_again_with_the_token_it_gave() -> None:
    async with FakeRouter() as router, running_node(router_url=router.url):
        await router.heard(2)
        await router.refuse()
        await asyncio.sleep(0.3)
        before = len(router.beats)
        await router.accept()
        back = await router.heard(before + 1)
        assert router.tokens[before] == router.token
        assert back["failures"]["count"] >= 1
        after = await router.heard(before + 3)
        assert after["failures"].get("count", 0) == 0


def test_that_a_model_expires_later_is_no_news() -> None:
    def report(expires: str, *, loaded: bool = True) -> tuple[EngineReport, ...]:
        model = ModelReport(name="m", loaded=loaded, expires_at=expires)
        return (EngineReport(name="ollama", kind="ollama", models=(model,)),)

    assert steady(report("1")) == steady(report("2"))
    assert steady(report("1")) != steady(report("1", loaded=False))


async def test_a_token_is_shown_at_once_so_that_nobody_else_is_given_one() -> None:
    async with FakeRouter() as router, running_node(router_url=router.url):
        router.ack["interval_s"] = 60.0
        await router.heard(2)
        assert router.tokens[:2] == ["", router.token]
