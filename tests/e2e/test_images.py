"""Images by real processes all the way: a client, `herd run`, `herd node`, and the tools on the node's PATH."""

import base64
import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from e2e.fleet import Fleet, running_fleet
from fakes.image_tools import Bench
from programs import eventually
from tiny_digits.program import installed
from tiny_digits.reading import digit_in, size_of

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tools are scripts with a shebang")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """mflux is here a small diffusion process, DiffusionKit a stand-in that does what it is told."""
    bench = Bench(tmp_path_factory.mktemp("images") / "tools")
    installed(bench.bin)
    bench.install("diffusionkit-cli")
    return bench


@pytest.fixture(scope="module")
def fleet(bench: Bench) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as machine, running_fleet(bench.root.parent) as fleet:
        machine.setenv("PATH", f"{bench.bin}:{os.environ['PATH']}")
        machine.setenv("HOME", str(bench.root.parent))
        fleet.start_node("easel")
        for engine in ("mflux", "diffusionkit"):
            eventually(lambda name=engine: fleet.engine("easel", name).get("healthy"), within_s=60, what=engine)
        yield fleet


def test_what_a_prompt_names_is_to_be_seen_in_the_image(fleet: Fleet) -> None:
    asked = {"model": "flux-schnell", "prompt": "a handwritten 7", "size": "128x256", "n": 2, "seed": 1}
    with ThreadPoolExecutor() as clients:
        first = clients.submit(fleet.http.post, "/v1/images/generations", json=asked)
        own = {"model": "z-image-turbo", "prompt": "a handwritten 4", "width": 64, "height": 64}
        second = clients.submit(fleet.http.post, "/api/generate-image", json=own)
        images = [base64.b64decode(row["b64_json"]) for row in first.result().json()["data"]]
    assert [(digit_in(image), size_of(image)) for image in images] == [(7, (128, 256))] * 2
    assert images[0] != images[1]
    assert second.result().headers["content-type"] == "image/png"
    assert digit_in(second.result().content) == 4


def test_a_client_that_leaves_ends_the_process_and_the_next_one_has_its_turn(fleet: Fleet, bench: Bench) -> None:
    bench.behave(step_s=600, grandchild=True, deaf=True)
    asked = {"model": "sd3-medium", "prompt": "-x", "size": "64x64"}
    where, body = httpx.URL(fleet.url), json.dumps(asked).encode()
    with socket.create_connection((where.host, where.port)) as client:
        head = f"POST /v1/images/generations HTTP/1.1\r\nHost: {where.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        eventually(lambda: len(bench.alive) == 2, what="the run")
    eventually(lambda: not bench.alive, what="the end of the run and of all it started")
    bench.behave()
    assert fleet.http.post("/v1/images/generations", json=asked).status_code == 200
