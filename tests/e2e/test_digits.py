"""Two machines that draw: router, nodes and tiny-digits behind mflux's command line are processes of their own."""

import base64
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import psutil
import pytest
from e2e.fleet import Fleet, running_fleet
from programs import eventually
from tiny_digits.program import installed
from tiny_digits.reading import digit_in

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the program is found by a shell script")
SEVEN: dict[str, Any] = {"model": "flux-schnell", "prompt": "a handwritten 7", "width": 256, "height": 128}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two machines with mflux, as it were."""
    home = tmp_path_factory.mktemp("digits")
    programs = home / "programs"
    programs.mkdir()
    with running_fleet(home) as fleet:
        for node_id in ("den", "attic"):
            fleet.start_node(node_id, PATH=f"{installed(programs)}{os.pathsep}{os.environ['PATH']}")

        def found() -> bool:
            models = fleet.http.get("/api/image-models").json()["models"]
            return any(one["name"] == "flux-schnell" and len(one["fleet_nodes"]) == 2 for one in models)

        eventually(found, within_s=60, what="mflux on both nodes")
        yield fleet


def runs(mark: str) -> list[psutil.Process]:
    """Processes that have been told this."""
    return [one for one in psutil.process_iter(["cmdline"]) if any(mark in word for word in one.info["cmdline"] or ())]


def test_the_openai_client_gets_several_pictures_and_the_same_ones_for_the_same_seed(fleet: Fleet) -> None:
    with openai.OpenAI(
        base_url=f"{fleet.url}/v1", api_key="any", http_client=httpx2.Client(trust_env=False), max_retries=0
    ) as client:

        def drawn(seed: int) -> list[bytes]:
            answer = client.images.generate(
                model="z-image-turbo", prompt="--help me with a four", n=2, size="64x64",
                response_format="b64_json", extra_body={"seed": seed, "steps": 3, "negative_prompt": "9"},
            )  # fmt: skip
            return [base64.b64decode(one.b64_json or "") for one in answer.data or ()]

        first = drawn(5)
        assert [digit_in(picture) for picture in first] == [4, 4]
        assert first[0] != first[1]
        assert drawn(5) == first
        with pytest.raises(openai.BadRequestError, match="multiple of 16"):
            client.images.generate(model="flux-schnell", prompt="1", size="100x100")


def test_a_burst_is_drawn_by_both_nodes(fleet: Fleet) -> None:
    def asked(digit: int) -> httpx.Response:
        return fleet.http.post("/api/generate-image", json={**SEVEN, "prompt": f"the number {digit}", "steps": 2})

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(asked, range(6)))
    assert [digit_in(answer.content) for answer in answers] == list(range(6))
    assert set(Counter(answer.headers["x-fleet-node"] for answer in answers)) == {"den", "attic"}


def test_when_the_client_leaves_the_program_is_dead_within_a_second(fleet: Fleet, tmp_path: Path) -> None:
    mark = tmp_path.name
    body = json.dumps({**SEVEN, "prompt": f"an 8 for {mark}", "steps": 100}).encode()
    host, port = fleet.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /api/generate-image HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        eventually(lambda: runs(mark), every_s=0.01, what="the program")
    eventually(lambda: not runs(mark), within_s=1, every_s=0.01, what="its end")

    def left() -> list[dict[str, Any]]:
        asked = {"status": "client_disconnected"}
        return list(fleet.http.get("/dashboard/api/traces", params=asked).json()["traces"])

    assert len(eventually(left, within_s=5, what="its trace")) == 1
