"""Models made, copied, pushed and deleted across a fleet, over real sockets, by Ollama's own client where it can."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import ollama
import pytest
from fakes.fake_ollama import FakeModel, FakeOllama
from fakes.scripted import failing, hung_up, replying, streaming
from running import ADMIN, RunningRouter, loaded, running_router
from running_node import running_node

KEEPS = ("chat", "generate", "pull", "push", "create", "copy", "delete")
DIGEST = "sha256:" + "0" * 64
BIG = 64 * 1024 * 1024


def client_of(router: RunningRouter) -> ollama.AsyncClient:
    return ollama.AsyncClient(host=f"{router.url}/key/{ADMIN}")


async def asked(router: RunningRouter, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
    return await router.http.request(method, path, json=body, headers={**router.admin, **headers})


async def nodes_of(router: RunningRouter, name: str) -> list[str]:
    models = (await router.http.get("/api/tags")).json()["models"]
    return next((model["details"]["fleet_nodes"] for model in models if model["name"] == name), [])


async def test_ollamas_client_makes_copies_lists_shows_and_removes(tmp_path: Path) -> None:
    file = tmp_path / "weights.gguf"
    file.write_bytes(b"GGUF" + b"x" * 100_000)
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS, memory_gb=128)
        await router.join("b", b, operations=KEEPS)
        client = client_of(router)
        digest = await client.create_blob(file)
        assert (await client.create("mine", files={"weights.gguf": digest})).status == "success"
        assert await nodes_of(router, "mine:latest") == ["a"]
        assert (await client.copy("mine", "yours")).status == "success"
        assert {model.model for model in (await client.list()).models} == {
            "smollm2:135m", "mine:latest", "yours:latest",
        }  # fmt: skip
        assert (await client.show("yours")).details is not None
        assert [model.model for model in (await client.ps()).models] == ["smollm2:135m"] * 2
        assert (await client.push("mine")).status == "success"
        assert (await client.delete("yours")).status == "success"
        assert (await client.delete("mine")).status == "success"
        with pytest.raises(ollama.ResponseError) as gone:
            await client.delete("mine")
        assert gone.value.status_code == 404
        assert set(a.models) == {"smollm2:135m"}
        assert not b.asked("/api/create")


async def test_the_blobs_of_a_client_and_the_model_made_of_them_land_on_one_node() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS, memory_gb=128)
        await router.join("b", b, operations=KEEPS)
        digests = []
        for n in range(3):
            body = f"part {n}".encode()
            digests.append("sha256:" + hashlib.sha256(body).hexdigest())
            sent = await router.http.post(f"/api/blobs/{digests[-1]}", content=body, headers=router.admin)
            assert (sent.status_code, sent.headers["x-fleet-node"]) == (201, "a")
            await router.join("b", b, operations=KEEPS, memory_gb=512)  # better by now, and still not taken
        assert (await asked(router, "HEAD", f"/api/blobs/{digests[0]}")).status_code == 200
        files = {f"{n}.gguf": digest for n, digest in enumerate(digests)}
        made = await asked(router, "POST", "/api/create", {"model": "m", "files": files})
        assert made.headers["x-fleet-node"] == "a"
        assert json.loads(made.text.splitlines()[-1]) == {"status": "success"}


async def test_a_blob_that_a_node_has_already_is_found_there_and_the_others_follow() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS, memory_gb=128)
        await router.join("b", b, operations=KEEPS)
        known = "sha256:" + hashlib.sha256(b"known").hexdigest()
        assert (await asked(router, "HEAD", f"/api/blobs/{known}")).status_code == 404
        b.store.blobs[known] = b"known"
        assert (await asked(router, "HEAD", f"/api/blobs/{known}")).headers["x-fleet-node"] == "b"
        other = "sha256:" + hashlib.sha256(b"other").hexdigest()
        sent = await router.http.post(f"/api/blobs/{other}", content=b"other", headers=router.admin)
        assert sent.headers["x-fleet-node"] == "b"


async def test_a_blob_that_a_node_has_already_is_not_sent_to_it_again() -> None:
    """Ollama answers before it has read the body and hangs up: who still sends has its answer torn away."""
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        known = "sha256:" + hashlib.sha256(b"known").hexdigest()
        fake.store.blobs[known] = b"known"
        sent = await router.http.post(f"/api/blobs/{known}", content=b"known", headers=router.admin)
        assert (sent.status_code, sent.headers["x-fleet-node"]) == (200, "a")
        assert [request.method for request in fake.asked(f"/api/blobs/{known}")] == ["HEAD"]


async def test_a_model_of_blobs_that_no_node_has_all_of_is_400() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        for digest in (DIGEST, "nonsense"):
            answer = await asked(router, "POST", "/api/create", {"model": "m", "files": {"x": digest}})
            assert answer.status_code == 400
        assert not fake.asked("/api/create")
        assert (await asked(router, "POST", "/api/blobs/nonsense")).status_code == 400


async def test_a_blob_with_another_digest_is_refused_in_the_engines_words() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        sent = await router.http.post(f"/api/blobs/{DIGEST}", content=b"other", headers=router.admin)
        assert sent.status_code == 400
        assert "digest mismatch" in sent.json()["error"]


@pytest.mark.parametrize("through_door", [False, True])
async def test_a_large_blob_waits_for_an_engine_that_reads_slowly(
    through_door: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the router nor the node's door takes in what the engine has not read, nor blames the client for it."""
    monkeypatch.setattr("app.reception.BODY_S", 3.0)
    read, sent = asyncio.Event(), 0

    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"HEAD"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n")
        elif b"/api/blobs/" not in head:
            version = {b"/api/tags": b'{"models":[]}', b"/api/ps": b'{"models":[]}'}
            body = next((text for path, text in version.items() if path in head), b'{"version":"0.31.0"}')
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        else:
            await read.wait()
            left = BIG
            while left:
                left -= len(await reader.read(min(left, 1024 * 1024)))
            writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def body() -> Any:
        nonlocal sent
        piece = b"x" * (256 * 1024)
        while sent < BIG:
            yield piece
            sent += len(piece)

    async def no_more() -> None:
        """Until nothing has gone out for longer than a client may be silent."""
        before = -1
        while before != sent or not sent:
            before = sent
            await asyncio.sleep(2)

    server = await asyncio.start_server(engine, "127.0.0.1", 0, limit=64 * 1024)
    port = server.sockets[0].getsockname()[1]
    async with running_router() as router:
        told = {"router_url": router.url, "ollama_host": f"http://127.0.0.1:{port}"}
        headers = {**router.admin, "content-length": str(BIG)}

        async def upload() -> int:
            return (await router.http.post(f"/api/blobs/{DIGEST}", content=body(), headers=headers)).status_code

        async def try_it() -> None:
            async with asyncio.TaskGroup() as tasks:
                work = tasks.create_task(upload())
                await no_more()
                assert sent < BIG // 2
                read.set()
            assert work.result() == 201

        if not through_door:
            await router.join("a", type("Engine", (), {"port": port})(), operations=KEEPS)
            await try_it()
        else:
            async with running_node(**told):
                async with asyncio.timeout(10):
                    while not (await router.http.get("/fleet/status")).json()["nodes"]:
                        await asyncio.sleep(0.02)
                await try_it()
    server.close()


async def test_an_upload_whose_client_leaves_is_broken_off_at_the_engine() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        host, port = router.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        head = (
            f"POST /api/blobs/{DIGEST} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\nContent-Length: 10\r\n"
        )
        writer.write(head.encode() + b"\r\nhalf ")
        async with asyncio.timeout(10):
            while not fake.connections:
                await asyncio.sleep(0.01)
        writer.close()
        async with asyncio.timeout(10):
            while fake.open:
                await asyncio.sleep(0.01)
        assert not fake.store.blobs


async def test_a_model_made_from_another_is_made_where_that_is() -> None:
    async with FakeOllama() as a, FakeOllama(FakeModel("base:1")) as b, running_router() as router:
        await router.join("a", a, operations=KEEPS, memory_gb=512)
        await router.join("b", b, loaded("base:1"), operations=KEEPS)
        made = await asked(router, "POST", "/api/create", {"model": "mine", "from": "base:1", "system": "be brief"})
        assert made.headers["x-fleet-node"] == "b"
        assert await nodes_of(router, "mine:latest") == ["b"]
        named = {"model": "mine", "from": "smollm2:135m", "node_id": "a", "stream": False}
        made = await asked(router, "POST", "/api/create", named)
        assert (made.json(), made.headers["x-fleet-node"]) == ({"status": "success"}, "a")
        assert "node_id" not in a.asked("/api/create")[0].json()


async def test_a_copy_is_made_and_a_deletion_done_by_all_who_hold_the_model() -> None:
    async with FakeOllama() as a, FakeOllama() as b, FakeOllama(FakeModel("other:1")) as c, running_router() as router:
        await router.join("a", a, operations=KEEPS)
        await router.join("b", b, operations=KEEPS)
        await router.join("c", c, loaded("other:1"), operations=KEEPS)
        copied = await asked(router, "POST", "/api/copy", {"source": "smollm2:135m", "destination": "twin"})
        assert copied.json() == {"nodes": ["a", "b"], "skipped": {}}
        assert await nodes_of(router, "twin:latest") == ["a", "b"]
        deleted = await asked(router, "DELETE", "/api/delete", {"name": "twin"})
        assert (deleted.status_code, deleted.headers["x-fleet-node"]) == (200, "a, b")
        assert await nodes_of(router, "twin:latest") == []
        assert set(c.models) == {"other:1"}


@pytest.mark.parametrize("how", ["body", "query", "header"])
async def test_one_named_node_deletes_alone(how: str) -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS)
        await router.join("b", b, operations=KEEPS)
        body = {"model": "smollm2:135m", **({"node_id": "b"} if how == "body" else {})}
        path = "/api/delete" + ("?node_id=b" if how == "query" else "")
        headers = {"X-Fleet-Node": "b"} if how == "header" else {}
        assert (await asked(router, "DELETE", path, body, **headers)).json()["nodes"] == ["b"]
        assert await nodes_of(router, "smollm2:135m") == ["a"]
        assert a.models
        assert (await asked(router, "DELETE", path, body, **headers)).status_code == 404


async def test_who_holds_the_model_and_cannot_be_asked_is_told_and_alone_is_503_or_501() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS)
        await router.join("asleep", b, operations=KEEPS, goodbye=True)
        await router.join("llama", b, kind="openai")
        deleted = (await asked(router, "DELETE", "/api/delete", {"model": "smollm2:135m"})).json()
        assert deleted["nodes"] == ["a"]
        assert deleted["skipped"] == {"asleep": "offline", "llama": "its openai cannot delete models"}
        body = {"model": "smollm2:135m"}
        assert (await asked(router, "DELETE", "/api/delete", {**body, "node_id": "llama"})).status_code == 501
        asleep = await asked(router, "DELETE", "/api/delete", {**body, "node_id": "asleep"})
        assert (asleep.status_code, asleep.headers["retry-after"]) == (503, "30")
        assert not b.asked("/api/delete")


async def test_a_change_that_some_could_not_make_is_no_success() -> None:
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, operations=KEEPS)
        await router.join("b", b, operations=KEEPS)
        b.script("/api/delete", failing(500, b'{"error":"disk broken"}'))
        answer = await asked(router, "DELETE", "/api/delete", {"model": "smollm2:135m"})
        assert answer.status_code == 502
        assert "done on a, not on b" in answer.json()["error"]


async def test_a_push_that_breaks_off_ends_in_an_error_record() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.script("/api/push", streaming(b'{"status":"retrieving manifest"}\n', end="close"), hung_up())
        answer = await asked(router, "POST", "/api/push", {"model": "smollm2:135m"})
        assert "broke off" in json.loads(answer.text.splitlines()[-1])["error"]
        assert (await asked(router, "POST", "/api/push", {"model": "smollm2:135m"})).status_code == 502
        assert (await asked(router, "POST", "/api/push", {"model": "nobody-has"})).status_code == 404


@pytest.mark.parametrize("body", [{"source": "a"}, {"destination": "b"}, {}, []])
async def test_a_copy_without_both_names_is_400(body: Any) -> None:
    async with running_router() as router:
        assert (await asked(router, "POST", "/api/copy", body)).status_code == 400


async def test_show_is_asked_once_for_each_digest_and_of_another_holder_when_the_first_fails() -> None:
    digest = "ab" * 32
    async with FakeOllama() as a, FakeOllama() as b, running_router() as router:
        await router.join("a", a, loaded(digest=digest))
        await router.join("b", b, loaded(digest=digest))
        a.script("/api/show", failing(500), failing(404, b'{"error":"model not found"}'), times=1)
        question = {"model": "smollm2:135m"}
        assert (await router.http.post("/api/show", json=question)).headers["x-fleet-node"] == "b"
        again = await router.http.post("/api/show", json=question)
        assert again.json() == b.models["smollm2:135m"].shown()
        assert len(b.asked("/api/show")) == 1
        verbose = await router.http.post("/api/show", json={**question, "verbose": True})
        assert verbose.status_code == 200
        assert b.asked("/api/show")[-1].json()["verbose"] is True
        assert await nodes_of(router, "smollm2:135m") == ["b"]  # the 404 of the second question was believed


async def test_nodes_with_other_weights_under_one_name_are_told_apart() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, loaded("m:1", digest="a" * 64))
        await router.join("b", fake, loaded("m:1", digest="a" * 64))
        [model] = (await router.http.get("/api/tags")).json()["models"]
        assert "fleet_digests" not in model["details"]
        await router.join("c", fake, loaded("m:1", digest="c" * 64))
        [model] = (await router.http.get("/api/tags")).json()["models"]
        assert model["details"]["fleet_digests"] == {"a" * 64: ["a", "b"], "c" * 64: ["c"]}


async def test_nobody_is_signed_in_and_the_cloud_is_off() -> None:
    async with running_router() as router:
        assert (await router.http.get("/api/status")).json()["cloud"]["disabled"] is True
        for path in ("/api/me", "/api/signout"):
            answer = await router.http.post(path)
            assert answer.status_code == 401
            assert answer.json()["error"]


async def test_an_engine_that_lists_nothing_sensible_after_a_change_costs_only_the_early_knowledge() -> None:
    async with FakeOllama() as fake, running_router() as router:
        await router.join("a", fake, operations=KEEPS)
        fake.script("/api/tags", replying([1, 2]))
        copied = await asked(router, "POST", "/api/copy", {"source": "smollm2:135m", "destination": "twin"})
        assert copied.status_code == 200
