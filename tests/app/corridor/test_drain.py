"""A node that its operator drains: nothing new goes there, what runs finishes, nothing is lost; over real sockets."""

import asyncio
from pathlib import Path

from fakes.fake_ollama import FakeOllama
from fakes.scripted import streaming
from running import loaded, running_router

BODY = {"model": "smollm2:135m", "messages": [{"role": "user", "content": "Hi"}]}
LINE = b'{"model":"smollm2:135m","message":{"role":"assistant","content":"a"},"done":false}\n'
LAST = b'{"model":"smollm2:135m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n'


async def test_a_drained_nodes_long_stream_finishes_and_what_waits_runs_elsewhere_and_nothing_is_lost() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        more = asyncio.Event()
        a.script("/api/chat", streaming(LINE, more, LINE, LAST))
        await router.join("a", a)
        long = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(in_flight=1)
        calls = [asyncio.ensure_future(router.http.post("/api/chat", json=BODY)) for _ in range(5)]
        await router.until(pending=5)
        await router.join("b", b, healthy=False)
        assert (await router.http.post("/fleet/nodes/a/drain", headers=router.admin)).json()["status"] == "draining"
        figures = await router.queue()
        assert {view["why"] for view in figures["waiting"]} == {"held"}
        await router.join("b", b)
        answers = await asyncio.gather(*calls)
        assert [answer.headers["x-fleet-node"] for answer in answers] == ["b"] * 5
        assert not long.done()
        more.set()
        assert (await long).text.encode() == LINE + LINE + LAST
        assert (len(a.asked("/api/chat")), len(b.asked("/api/chat"))) == (1, 5)
        await router.until(completed=6, failed=0, queue_depth=0)
        assert [trace["status"] for trace in await router.traces(6)] == ["completed"] * 6


async def test_a_drained_node_stays_so_through_heartbeats_until_it_is_resumed() -> None:
    async with FakeOllama() as a, running_router() as router:
        await router.join("a", a)
        await router.http.post("/fleet/nodes/a/drain", headers=router.admin)
        ack = await router.join("a", a)
        assert (ack.status, ack.node_status) == ("ok", "draining")
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert node["status"] == "draining"
        call = asyncio.ensure_future(router.http.post("/api/chat", json=BODY))
        await router.until(pending=1)
        await router.join("a", a, loaded())
        assert (await router.http.post("/fleet/nodes/a/resume", headers=router.admin)).json()["status"] == "resumed"
        assert (await call).headers["x-fleet-node"] == "a"
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert node["status"] == "online"


async def test_a_node_that_leaves_by_itself_is_not_called_back_by_a_resume() -> None:
    async with FakeOllama() as a, running_router() as router:
        await router.join("a", a, draining=True)
        await router.http.post("/fleet/nodes/a/resume", headers=router.admin)
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert node["status"] == "draining"


async def test_a_drained_node_stays_so_when_the_router_is_started_anew(tmp_path: Path) -> None:
    async with FakeOllama() as a:
        async with running_router(data_dir=tmp_path) as router:
            await router.join("a", a)
            await router.http.post("/fleet/nodes/a/drain", headers=router.admin)
            tokens = router.tokens
        async with running_router(data_dir=tmp_path, hold_timeout=0.2) as router:
            router.tokens = tokens
            await router.join("a", a)
            assert (await router.http.post("/api/chat", json=BODY)).status_code == 503
            assert not a.asked("/api/chat")


async def test_only_the_administrator_drains_and_only_nodes_that_are_known() -> None:
    async with FakeOllama() as a, running_router() as router:
        await router.join("a", a)
        for word in ("drain", "resume"):
            assert (await router.http.post(f"/fleet/nodes/a/{word}")).status_code == 401
            assert (await router.http.post(f"/fleet/nodes/b/{word}", headers=router.admin)).status_code == 404
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 200


async def test_a_forgotten_node_that_comes_back_is_not_drained_any_more() -> None:
    async with FakeOllama() as a, running_router(server={"join": "open"}) as router:
        await router.join("a", a)
        await router.http.post("/fleet/nodes/a/drain", headers=router.admin)
        await router.http.delete("/fleet/nodes/a", headers=router.admin)
        router.tokens.clear()
        await router.join("a", a)
        assert (await router.http.post("/api/chat", json=BODY)).status_code == 200
