"""Who is let in, over a real socket: heartbeats, foreign pages, foreign names, the admin's key."""

import asyncio
import json

import msgspec
import pytest
import structlog
from fakes.fake_ollama import FakeOllama
from running import ADMIN, loaded, running_router

from app.store.store import Store
from node.wire import EngineReport, Heartbeat

BODY = {"model": "smollm2:135m", "messages": []}


async def test_a_strangers_heartbeat_for_a_known_name_changes_nothing() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        await router.join("a", fake)  # its token was shown: from now on nobody comes in without
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
    b'{"node_id": "a", "door_port": 70000}', b'{"node_id": "a", "door_port": -1}',
    b'{"node_id": "a", "door_secret": "x\\r\\nX-Evil: 1"}', b'{"node_id": "a", "door_secret": "\\u00e9"}',
    b'{"node_id": "a", "engines": [{"name": "e", "kind": "ollama", "port": 65536}]}',
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


@pytest.mark.parametrize("origin", ["http://[", "http://[::1\xff]:99999", "http://a:b:c", "null", "//", "\xff"])
async def test_an_origin_that_is_none_is_refused_and_not_a_fault(origin: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        for method, path in (("POST", "/api/chat"), ("POST", "/admin/login"), ("POST", "/heartbeat")):
            answer = await router.http.request(method, path, json=BODY, headers={"Origin": origin.encode("latin-1")})
            assert answer.status_code == 403, (path, answer.text)
        for method in ("GET", "OPTIONS"):
            answer = await router.http.request(method, "/api/tags", headers={"Origin": origin.encode("latin-1")})
            assert answer.status_code in (200, 204), answer.text
            assert "access-control-allow-origin" not in answer.headers
        assert not fake.asked("/api/chat")


async def test_a_wrong_key_in_the_base_url_is_told_in_the_callers_dialect() -> None:
    async with running_router() as router:
        answer = await router.http.post("/key/wrong/v1/chat/completions", json=BODY)
        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "unauthorized")
        answer = await router.http.post("/key/wrong/api/chat", json=BODY)
        assert (answer.status_code, type(answer.json()["error"])) == (401, str)


@pytest.mark.parametrize("version", ["0.\u00b2.1", "9" * 5000, "", "v0.1", "\u0663.1", "1..2", "-1"])
async def test_whatever_version_an_engine_claims_the_fleets_is_told(version: str) -> None:
    async with FakeOllama() as fake, running_router() as router:
        report = EngineReport(name="e", kind="ollama", version=version, port=fake.port, models=(loaded(),))
        await router.beat(Heartbeat(node_id="a", engines=(report,)))
        assert (await router.http.get("/api/version")).status_code == 200


async def test_a_machine_with_thousands_of_models_is_heard_in_a_moment_and_told_in_a_line() -> None:
    models = tuple(loaded(f"m{number}:1") for number in range(6000))
    async with FakeOllama() as fake, running_router() as router:
        with structlog.testing.capture_logs() as lines:
            await router.join("a", fake, *models)
        told = [line for line in lines if line["event"].startswith("model.")]
        assert [(line["event"], line.get("count")) for line in told] == [("model.added", 5000), ("model.loaded", 5000)]
        assert len((await router.http.get("/api/tags")).json()["models"]) == 5000


async def test_a_node_whose_admission_could_not_be_kept_is_admitted_by_its_next_heartbeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The disk was full in that moment: the name must not be lost to a token that nobody was given."""

    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with FakeOllama() as fake, running_router() as router:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "put_node", full)
            answer = await router.http.post("/heartbeat", content=msgspec.json.encode(Heartbeat(node_id="a")))
            assert answer.status_code == 500
        assert (await router.join("a", fake)).token
        assert (await router.http.post("/api/chat", json={**BODY, "stream": False})).status_code == 200


async def test_a_node_that_drained_and_left_is_offline() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake)
        for more, status in (({"draining": True}, "draining"), ({"draining": True, "goodbye": True}, "offline")):
            await router.beat(Heartbeat(node_id="a", **more))
            [node] = (await router.http.get("/fleet/status")).json()["nodes"]
            assert node["status"] == status
