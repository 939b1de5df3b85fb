"""A node with mflux on its PATH: reported, asked through the door, ended with the client and with the node."""

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.fake_router import FakeRouter
from fakes.image_tools import Bench
from programs import Program, herd
from running_node import NOWHERE, running_node

from node.engines import discover
from node.engines.image_tool import png_size

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins are scripts with a shebang")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch) -> Bench:
    bench = Bench(tmp_path / "tools")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{bench.bin}:{os.environ['PATH']}")
    return bench


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(trust_env=False, timeout=None) as client:
        yield client


async def reported(router: FakeRouter, true: Callable[[dict[str, Any] | None], object], name: str = "mflux") -> Any:
    """The last heartbeat, once it says this of the engine (None: there is none)."""
    async with asyncio.timeout(20):
        while True:
            beat = await router.heard(len(router.beats) + 1)
            engine = next((engine for engine in beat["engines"] if engine["name"] == name), None)
            if true(engine):
                return beat, engine


def ready(engine: dict[str, Any] | None) -> object:
    return engine and engine["models"]


async def ask(http: httpx.AsyncClient, beat: dict[str, Any], **ordered: object) -> httpx.Response:
    return await http.post(
        f"http://127.0.0.1:{beat['door_port']}/engines/mflux/v1/images/generations",
        json={"model": "flux-schnell", "prompt": "--help", "size": "128x64", **ordered},
        headers={"X-Herd-Door": beat["door_secret"]},
    )


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)


async def test_the_router_hears_of_it_and_gets_an_image_through_the_door(bench: Bench, http: httpx.AsyncClient):
    bench.install("mflux-generate")
    async with FakeRouter() as router, running_node(router_url=router.url):
        beat, engine = await reported(router, ready)
        assert (engine["kind"], engine["lane"], engine["lane_slots"]) == ("mflux", "image", 1)
        assert [model["name"] for model in engine["models"]] == ["flux-dev", "flux-schnell"]
        answer = await ask(http, beat)
        assert answer.status_code == 200
        assert png_size(base64.b64decode(answer.json()["data"][0]["b64_json"])) == (128, 64)
        refused = await ask(http, beat, size="100x100")
        assert (refused.status_code, "multiple of 16" in refused.json()["error"]["message"]) == (400, True)


async def test_a_router_that_leaves_ends_the_run_and_all_it_started(bench: Bench, http: httpx.AsyncClient):
    bench.install("mflux-generate")
    bench.behave(step_s=600, grandchild=True, deaf=True)
    async with FakeRouter() as router, running_node(router_url=router.url):
        beat, _engine = await reported(router, ready)
        asked = asyncio.create_task(ask(http, beat))
        await until(lambda: len(bench.alive) == 2)
        asked.cancel()
        await until(lambda: not bench.alive)


async def test_what_is_installed_while_the_node_runs_is_found_and_what_is_removed_is_gone(bench: Bench, monkeypatch):
    monkeypatch.setattr(discover, "LOOK_AGAIN_S", 0.0)
    async with FakeRouter() as router, running_node(router_url=router.url):
        await reported(router, lambda engine: engine is None)
        bench.install("mflux-generate")
        _, engine = await reported(router, ready)
        assert len(engine["models"]) == 2
        bench.install("mflux-generate-z-image-turbo")
        await reported(router, lambda engine: engine and len(engine["models"]) == 3)
        bench.remove("mflux-generate")
        await reported(router, lambda engine: engine and len(engine["models"]) == 1)
        bench.remove("mflux-generate-z-image-turbo")
        await reported(router, lambda engine: engine is None)


async def test_a_node_that_is_killed_takes_its_images_with_it(bench: Bench, http: httpx.AsyncClient, tmp_path: Path):
    bench.install("mflux-generate")
    bench.behave(step_s=600, grandchild=True, deaf=True)
    async with FakeRouter() as router:
        words = ["node", "--router-url", router.url, "--no-mdns", "--ollama-host", NOWHERE, "--door-host", "127.0.0.1"]
        words += ["--door-port", "0", "--data-dir", str(tmp_path / "data"), "--node-id", "n", "--poll-interval", "0.2"]
        with Program(herd(*words), tmp_path / "node.txt") as node:
            beat, _engine = await reported(router, ready)
            asked = asyncio.create_task(ask(http, beat))
            await until(lambda: len(bench.alive) == 2)
            node.kill()
            await until(lambda: not bench.alive)
            with pytest.raises(httpx.HTTPError):
                await asked
    assert json.loads((bench.root / "calls").read_text())[0] == "mflux-generate"
