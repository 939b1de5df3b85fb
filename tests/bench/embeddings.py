"""Real embeddings of one long list over three nodes, one of them killed midway, against a single engine's answer.

python tests/bench/embeddings.py --texts 10000

Three `herd node`s of unequal niceness, each with all-MiniLM-L6-v2 in llama.cpp, and a `herd run` before them. Needs the
extra `engine` and the packages of tests/e2e/minilm.py. The nodes share one machine, so what is gained by having three
is not shown here: that everything comes back, once and in order, is.
"""

import argparse
import math
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import httpx
from e2e import minilm
from e2e.fleet import Fleet, running_fleet
from programs import eventually

MODEL = "all-minilm:bench"
NODES = {"north": 0, "east": 5, "south": 10}
"""Each node's niceness."""
DYING = "east"
TOKENS = "llamacpp:prompt_tokens_total"
PATIENCE_S = 3600


def texts(count: int) -> list[str]:
    return [
        f"Passage {n}: on day {n % 365} the ship {n % 17} left harbour {n % 29} with the tide." for n in range(count)
    ]


def start(fleet: Fleet, models: Path) -> None:
    for node_id, niceness in NODES.items():
        node = fleet.start_node(node_id, "--models-dir", models)
        os.setpriority(os.PRIO_PROCESS, node.process.pid, niceness)  # before its engine starts, which inherits it

    def ready() -> bool:
        engines = [fleet.engine(node_id, "embedded") for node_id in NODES]
        return all(engine.get("port") and engine["models"][0]["digest"] for engine in engines)

    eventually(ready, within_s=120, what="three nodes")


def kill_at(fleet: Fleet, tokens: float, told: Callable[[str], None]) -> threading.Thread:
    """Kills a node once the engines have read so many tokens more, by their own counters."""
    ports = [fleet.engine(node_id, "embedded")["port"] for node_id in NODES]

    def read() -> float:
        pages = [httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text for port in ports]
        return sum(float(line.split()[1]) for page in pages for line in page.splitlines() if line.startswith(TOKENS))

    before, begun = read(), time.monotonic()

    def watch() -> None:
        while read() - before < tokens:
            time.sleep(0.2)
        fleet.nodes[DYING].kill()
        told(f"killed {DYING} after {time.monotonic() - begun:.1f} s")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def rows(answer: dict[str, Any], count: int) -> list[list[float]]:
    assert [row["index"] for row in answer["data"]] == list(range(count)), "not in order, or not all"
    return [row["embedding"] for row in answer["data"]]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = math.fsum(x * y for x, y in zip(one, other, strict=True))
    return product / math.sqrt(math.fsum(x * x for x in one) * math.fsum(y * y for y in other))


def run(count: int, share: float, home: Path) -> None:
    begun = time.monotonic()

    def told(line: str) -> None:
        print(f"{time.monotonic() - begun:7.1f} s  {line}", flush=True)

    if wanting := minilm.missing():
        sys.exit(f"needs packages: {wanting}")
    models = home / "models"
    models.mkdir()
    minilm.write(models / "all-minilm--bench.gguf")
    body = {"model": MODEL, "input": texts(count)}
    with running_fleet(home) as fleet, httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
        start(fleet, models)
        told("three nodes serve, with one digest")
        few = http.post(f"{fleet.url}/v1/embeddings", json={**body, "input": texts(20)}).json()
        killing = kill_at(fleet, share * count * few["usage"]["prompt_tokens"] / 20, told)
        asked = time.monotonic()
        answer = http.post(f"{fleet.url}/v1/embeddings", json=body)
        split_s = time.monotonic() - asked
        assert answer.status_code == 200, answer.text[:500]
        told(f"{count} texts, one reply of {len(answer.content) / 2**20:.1f} MiB, {split_s:.1f} s")
        killing.join(1)
        headers = answer.headers
        told(f"inputs by node: {headers['x-fleet-split']}; retries: {headers.get('x-fleet-retries', 0)}")
        trace = fleet.trace(headers["x-request-id"])
        told(f"trace: {trace['status']}, {trace['prompt_tokens']} tokens, {trace['notes'][0]!r}")
        for attempt in trace["attempts"]:
            seconds = attempt["latency_ms"] / 1000
            told(f"  {attempt['node_id']:6} {attempt['outcome']:10} {seconds:6.1f} s {attempt['error']}")
        figures = fleet.http.get("/fleet/queue").json()
        told(f"left in the queue: {figures['in_flight']} running, {figures['pending']} waiting")
        asked = time.monotonic()
        port = fleet.engine("north", "embedded")["port"]
        alone = http.post(f"http://127.0.0.1:{port}/v1/embeddings", json=body).json()
        told(f"one engine alone, asked without Herd: {time.monotonic() - asked:.1f} s")
        several, single = rows(answer.json(), count), rows(alone, count)
        likeness = [cosine(a, b) for a, b in zip(several, single, strict=True)]
        furthest = max(abs(x - y) for a, b in zip(several, single, strict=True) for x, y in zip(a, b, strict=True))
        equal = sum(a == b for a, b in zip(several, single, strict=True))
        told(f"of each text's two vectors: least cosine {min(likeness):.7f}, furthest numbers {furthest:.1e}")
        told(f"{equal} of {count} are the same bits")
        assert min(likeness) > 0.9999, "another vector than the single engine's"
        assert answer.json()["usage"] == alone["usage"], "another count of tokens"
    told(f"largest program among the children: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--kill-at", type=float, default=0.4, help="share of the texts after which a node is killed")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        run(args.texts, args.kill_at, Path(home))


if __name__ == "__main__":
    main()
