"""A node's engines together: found, named, told truthfully while up and while down, and reached the right way."""

import asyncio
import json
from pathlib import Path

import pytest
from fakes.fake_llama import FakeLlama
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import ScriptedServer, failing, replying, streaming

from node.engines import discover
from node.engines.base import Answer, Question
from node.engines.discover import Engines
from node.engines.found import Found, Tools
from node.engines.http import ask
from node.wire import EngineReport

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def engines(http, tmp_path: Path):
    def build(
        *flags: str, ollama_host: str = NOBODY, lan=(), well_known=(), models_dir=tmp_path, slots=None, finders=()
    ) -> Engines:
        return Engines(
            ollama_host=ollama_host,
            engine_flags=flags,
            models_dir=models_dir,
            slots=slots,
            http=http,
            lan_addresses=lambda: list(lan),
            well_known=well_known,
            finders=finders,
        )

    return build


async def test_a_flag_may_name_any_kind_of_engine_and_the_right_one_is_found(engines):
    async with FakeOllama() as ollama, FakeLlama() as llama:
        found = engines(f"one={ollama.url}", f"two={llama.url}/v1", ollama_host=ollama.url)
        reports = await found.observe()
    assert [(report.name, report.kind, report.healthy) for report in reports] == [
        ("one", "ollama", True),
        ("two", "openai", True),
    ]
    assert found.target("two") == llama.url
    assert found.target("nobody") is None


async def test_an_ollama_that_was_never_there_is_not_spoken_of(engines, monkeypatch):
    monkeypatch.setattr("node.engines.discover.OLLAMA_PORT", 9)
    assert await engines(ollama_host=NOBODY).observe() == ()


async def test_an_ollama_that_its_owner_named_is_reported_as_down(engines):
    (report,) = await engines(ollama_host=NOBODY).observe()
    assert (report.name, report.healthy, report.models) == ("ollama", False, ())
    assert "Nothing listens" in report.error


async def test_an_engine_that_goes_away_keeps_its_inventory_marked_stale_until_it_is_back(engines):
    async with FakeOllama(FakeModel("llama3:8b", loaded=True)) as fake:
        found = engines(ollama_host=fake.url)
        (before,) = await found.observe()
        await fake.refuse()
        (down,) = await found.observe()
        assert (down.healthy, down.stale) == (False, True)
        assert down.models == before.models
        assert down.error
        await fake.accept()
        (back,) = await found.observe()
        assert (back.healthy, back.stale, back.error) == (True, False, "")


async def test_one_silence_makes_an_engine_stale_and_a_second_one_makes_it_ill(engines, monkeypatch):
    async with FakeOllama() as fake:
        found = engines(ollama_host=fake.url)
        await found.observe()
        fake.script("/api/version", streaming(asyncio.Event()), times=2)
        with monkeypatch.context() as impatient:
            impatient.setattr(discover, "ASK_BUDGET_S", 0.1)
            (once,) = await found.observe()
            (twice,) = await found.observe()
        (back,) = await found.observe()
    assert (once.healthy, once.stale, len(once.models)) == (True, True, 1)
    assert (twice.healthy, twice.stale, len(twice.models)) == (False, True, 1)
    assert (back.healthy, back.stale) == (True, False)


async def test_a_hanging_engine_does_not_keep_the_others_waiting(engines, monkeypatch):
    monkeypatch.setattr(discover, "ASK_BUDGET_S", 1.5)
    async with FakeOllama() as good, FakeLlama() as bad:
        bad.script("*", streaming(asyncio.Event()), times=None)
        reports = await engines(f"bad={bad.url}", ollama_host=good.url).observe()
    assert {report.name: report.healthy for report in reports} == {"bad": False, "ollama": True}


async def test_the_same_engine_named_twice_is_reported_once(engines):
    async with FakeLlama() as fake:
        flags = (f"a={fake.url}", f"b={fake.url}/v1/", fake.url.replace("127.0.0.1", "localhost"))
        reports = await engines(*flags, well_known=(fake.port,)).observe()
    assert [report.name for report in reports if report.healthy] == ["a"]


def test_a_malformed_flag_and_a_name_given_twice_are_refused_with_a_sentence(engines):
    with pytest.raises(ValueError, match="--engine"):
        engines("GPU!=http://x:1")
    with pytest.raises(ValueError, match="'a'"):
        engines("a=http://x:1", "a=http://x:2")
    with pytest.raises(ValueError, match="'embedded'"):
        engines("embedded=http://x:1")


async def test_an_engine_called_ollama_does_not_hide_the_ollama_of_this_machine(engines):
    async with FakeOllama() as here, FakeOllama(FakeModel("other:1")) as there:
        reports = await engines(f"ollama={there.url}", ollama_host=here.url).observe()
    assert {report.name: report.models[0].name for report in reports} == {
        "ollama": "other:1",
        "ollama-2": "smollm2:135m",
    }


async def test_a_server_on_a_well_known_port_appears_unasked_and_disappears_when_it_has_been_gone(engines, monkeypatch):
    monkeypatch.setattr(discover, "LOOK_AGAIN_S", 0.0)
    monkeypatch.setattr("node.engines.discover.OLLAMA_PORT", 9)
    async with FakeLlama() as fake:
        found = engines(well_known=(fake.port,))
        await fake.refuse()
        assert await found.observe() == ()
        await fake.accept()
        (report,) = await found.observe()
        assert (report.name, report.healthy) == (f"openai-{fake.port}", True)
        await fake.refuse()
        (gone,) = await found.observe()
        assert (gone.healthy, gone.stale, len(gone.models)) == (False, True, 1)
        monkeypatch.setattr(discover, "FORGET_AFTER_S", -1.0)
        await found.observe()
        assert await found.observe() == ()
        assert found.target(report.name) is None


@pytest.mark.parametrize(
    "answer",
    [
        failing(200, b"<html>hello</html>", "text/html"),
        replying({"data": [{"id": "x"}]}),
        replying({"object": "list", "data": [{"id": "m", "owned_by": "herd"}]}),
        replying({"object": "list", "data": [{"id": "m", "owned_by": "library"}]}),
        failing(401),
        failing(500),
    ],
    ids=["a web server", "almost", "herd", "ollama", "locked", "ill"],
)
async def test_what_is_surely_no_engine_is_not_taken_for_one(engines, monkeypatch, answer):
    monkeypatch.setattr("node.engines.discover.OLLAMA_PORT", 9)
    async with ScriptedServer() as other:
        other.script("/v1/models", answer, times=None)
        assert await engines(well_known=(other.port,)).observe() == ()


async def test_a_herd_is_known_by_its_headers_and_by_its_status_too(engines, monkeypatch):
    monkeypatch.setattr("node.engines.discover.OLLAMA_PORT", 9)
    listed = {"object": "list", "data": [{"id": "m", "owned_by": "someone"}]}
    async with ScriptedServer() as other:
        other.script("/v1/models", replying(listed), times=None)
        other.script("/fleet/status", replying({"nodes": []}), times=None)
        assert await engines(well_known=(other.port,)).observe() == ()
        answer = replying(listed)
        answer.headers = (("X-Fleet-Node", "studio"),)
        other.unscript()
        other.script("/v1/models", answer, times=None)
        assert await engines(well_known=(other.port,)).observe() == ()


async def test_an_engine_that_answers_on_each_lan_address_is_reached_there(engines):
    async with FakeOllama(host="0.0.0.0") as fake:
        (report,) = await engines(ollama_host=f"127.0.0.1:{fake.port}", lan=["127.0.0.2"]).observe()
        assert (report.port, report.reach) == (fake.port, "loopback")  # a loopback address is no LAN address


async def test_reach_is_lan_only_if_the_engine_answers_there(http, monkeypatch):
    monkeypatch.setattr("node.engines.reach.is_loopback", lambda host: host == "localhost")
    address = discover.Address("http", "localhost", 0)
    async with FakeOllama(host="127.0.0.2") as fake:
        there = discover.Address("http", "localhost", fake.port)
        assert await discover.reach_of(http, there, ["127.0.0.2"], "/api/version") == "lan"
        assert await discover.reach_of(http, there, ["127.0.0.2", "127.0.0.3"], "/api/version") == "loopback"
        fake.script("/api/version", failing(403))
        assert await discover.reach_of(http, there, ["127.0.0.2"], "/api/version") == "loopback"
    assert await discover.reach_of(http, address, [], "/") == "loopback"


@pytest.mark.parametrize(
    "address",
    [
        discover.Address("https", "127.0.0.1", 443),
        discover.Address("http", "192.0.2.7", 8000),
        discover.Address("http", "127.0.0.1", 8000, "/llm"),
    ],
)
async def test_another_host_a_path_and_tls_are_reached_through_the_door(http, address):
    assert await discover.reach_of(http, address, ["127.0.0.1"], "/v1/models") == "door"


async def test_a_report_stays_small_enough_to_travel_whatever_the_engine_lists(engines):
    rows = [{"name": f"m{n}:1", "model": f"m{n}:1", "size": 1, "digest": f"{n}"} for n in range(20_000)]
    async with FakeOllama() as fake:
        fake.script("/api/tags", replying({"models": rows}), times=None)
        fake.script("/api/show", failing(500), times=None)
        (report,) = await engines(ollama_host=fake.url).observe()
    assert len(report.models) <= 5000


async def test_asking_ignores_the_environments_proxies(http, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", NOBODY)
    async with FakeOllama() as fake:
        said = await ask(http, fake.url + "/api/version")
    assert json.dumps(said.value) == '{"version": "0.31.0"}'


class Painter:
    """An engine that answers inside the node."""

    kind = "painter"
    url = ""

    def __init__(self) -> None:
        self.name = "painter"
        self.lived: list[str] = []

    async def start(self) -> None:
        self.lived.append("started")

    async def report(self) -> EngineReport:
        return EngineReport(name=self.name, kind=self.kind, lane="image")

    async def aclose(self) -> None:
        self.lived.append("closed")

    async def answer(self, question: Question) -> Answer:
        return Answer(body=question.path.encode())


async def test_what_is_installed_while_the_node_runs_appears_and_what_is_removed_disappears(engines, monkeypatch):
    monkeypatch.setattr(discover, "LOOK_AGAIN_S", 0.0)
    installed: list[str] = []
    made: list[Painter] = []

    def make() -> Painter:
        made.append(Painter())
        return made[-1]

    def look(_: Tools) -> tuple[Found, ...]:
        return tuple(Found(name="painter", key=(path,), make=make) for path in installed)

    found = engines(finders=(look,))

    async def seen() -> list[tuple[str, str]]:
        return [(report.kind, report.reach) for report in await found.observe() if report.kind == "painter"]

    assert await seen() == []
    installed.append("/a")
    assert await seen() == [("painter", "door")]
    await seen()
    assert found.target("painter") is made[0]
    installed[:] = ["/b"]
    await seen()
    assert found.target("painter") is made[1]
    installed.clear()
    assert await seen() == []
    assert found.target("painter") is None
    assert [painter.lived for painter in made] == [["started", "closed"]] * 2
