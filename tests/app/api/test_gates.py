"""Who is let in, over a real socket: heartbeats, foreign pages, foreign names, the admin's key."""

import asyncio
import json

import msgspec
import pytest
from fakes.fake_ollama import FakeOllama
from running import ADMIN, loaded, running_router

from node.wire import EngineReport, Heartbeat

BODY = {"model": "smollm2:135m", "messages": []}


async def test_a_strangers_heartbeat_for_a_known_name_changes_nothing() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        for letter in (Heartbeat(node_id="a", draining=True), Heartbeat(node_id="a", goodbye=True)):
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                answer = await router.http.post("/heartbeat", content=msgspec.json.encode(letter), headers=headers)
                assert answer.status_code == 401
                assert "forget" in answer.json()["error"]
        [node] = (await router.http.get("/fleet/status")).json()["nodes"]
        assert node["status"] == "online"


async def test_a_node_gets_its_token_once_and_an_admission_survives_the_router(tmp_path) -> None:
    async with FakeOllama() as fake, running_router(data_dir=tmp_path) as router:
        assert (await router.join("a", fake)).token
        assert not (await router.join("a", fake)).token
        tokens = router.tokens
    async with FakeOllama() as fake, running_router(data_dir=tmp_path) as router:
        answer = await router.http.post("/heartbeat", content=msgspec.json.encode(Heartbeat(node_id="a")))
        assert answer.status_code == 401
        router.tokens = tokens
        assert (await router.join("a", fake)).status == "ok"


LETTERS = [
    b"", b"[]", b"{", b"null", b"\xff", b'{"node_id": 5}', b'{"node_id": ""}', b'{"node_id": "<img src=x>"}',
    b'{"node_id": "a", "machine": 5}', b'{"node_id": "a", "sent_at": NaN}', b'{"node_id": "a\\ud800"}',
    b'{"node_id": "a", "wire": 99}', b'{"node_id": "a", "machine": {"cpu_percent": 1e999}}',
    b'{"node_id": "a", "engines": ' + b"[" * 50_000, b'{"node_id": "a\\r\\nX: y"}',
]  # fmt: skip


@pytest.mark.parametrize("letter", LETTERS, ids=lambda letter: letter[:40].decode("latin-1"))
async def test_a_letter_that_is_no_heartbeat_is_400_and_registers_nobody(letter: bytes) -> None:
    async with running_router() as router:
        answer = await router.http.post("/heartbeat", content=letter)
        assert answer.status_code == 400, answer.text
        assert isinstance(answer.json()["error"], str)
        assert (await router.http.get("/fleet/status")).json()["nodes"] == []


async def test_impossible_facts_of_a_node_are_bounded() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join(
            "a", fake, loaded(slots=-5), loaded("x" * 500), loaded("bad\nname"), loaded("big", slots=10**9)
        )
        names = {model["name"] for model in (await router.http.get("/api/tags")).json()["models"]}
        assert names == {"smollm2:135m", "big"}
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 200


async def test_a_node_cannot_make_the_router_call_another_address() -> None:
    async with FakeOllama() as fake, running_router() as router:
        report = EngineReport(
            name="e", kind="ollama", operations=("chat",), dialects=("ollama",), port=fake.port, reach="lan",
            models=(loaded(),),
        )  # fmt: skip
        await router.beat(Heartbeat(node_id="a", engines=(report,), advertise_host="203.0.113.9"))
        answer = await router.http.post("/api/chat", json=BODY)
        assert answer.status_code == 200
        assert fake.asked("/api/chat")


@pytest.mark.parametrize("path", ["/api/tags", "/fleet/status", "/dashboard", "/v1/models", "/healthz"])
async def test_a_request_by_a_foreign_name_is_misdirected(path: str) -> None:
    async with running_router() as router:
        for host in ("evil.example.com", "evil.example.com:11435"):
            assert (await router.http.get(path, headers={"Host": host})).status_code == 421


async def test_a_foreign_page_may_neither_infer_nor_administer() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        page = {"Origin": "http://evil.example.com", "Sec-Fetch-Site": "cross-site", **router.admin}
        assert (await router.http.post("/api/chat", json=BODY, headers=page)).status_code == 403
        assert (await router.http.post("/v1/chat/completions", json=BODY, headers=page)).status_code == 403
        assert (await router.http.delete("/fleet/nodes/a", headers=page)).status_code == 403
        assert (await router.http.post("/heartbeat", content=b"{}", headers=page)).status_code == 403
        assert not fake.asked("/api/chat")
        read = await router.http.get("/api/tags", headers=page)
        assert "access-control-allow-origin" not in read.headers


async def test_a_local_page_may_infer_and_its_browser_is_told_so() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        page = {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"}
        asked = {**page, "Access-Control-Request-Method": "POST"}
        preflight = await router.http.options("/api/chat", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "http://localhost:3000"
        answer = await router.http.post("/api/chat", json=BODY, headers=page)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_changes_need_the_admin_token_from_loopback_too() -> None:
    async with FakeOllama() as fake, running_router(server={"join": "approve"}) as router:
        await router.join("a", fake)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "herd_admin=x"}):
            assert (await router.http.post("/fleet/nodes/a/approve", headers=headers)).status_code == 401
            assert (await router.http.delete("/fleet/nodes/a", headers=headers)).status_code == 401
        assert (await router.http.delete("/fleet/nodes/a", headers=router.admin)).status_code == 200
        assert (await router.http.delete("/fleet/nodes/a", headers=router.admin)).status_code == 404


async def test_the_key_in_the_base_url_opens_for_clients_that_cannot_send_headers() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        assert (await router.http.get(f"/key/{ADMIN}/api/tags")).status_code == 200
        assert (await router.http.post(f"/key/{ADMIN}/api/chat", json=BODY)).status_code == 200
        assert (await router.http.delete("/key/wrong/fleet/nodes/a")).status_code == 401
        assert (await router.http.delete(f"/key/{ADMIN}/fleet/nodes/a")).status_code == 200


async def test_a_browser_trades_the_token_for_a_cookie_that_is_not_the_token() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        assert (await router.http.post("/admin/login", json={"token": "wrong"})).status_code == 401
        assert (await router.http.post("/admin/login", content=b"{")).status_code == 400
        login = await router.http.post("/admin/login", content=json.dumps({"token": ADMIN}))
        cookie = login.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ADMIN not in cookie
        assert (await router.http.get("/admin/whoami")).json() == {"admin": True}
        assert (await router.http.delete("/fleet/nodes/a")).status_code == 200


async def test_two_host_headers_are_refused() -> None:
    async with running_router() as router:
        host, port = router.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 400 " in await reader.readline()
        writer.close()
