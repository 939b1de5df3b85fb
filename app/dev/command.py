"""The command `herd dev`: a router with simulated nodes and a week of history, to look at. Knows no page.

The router and the agents are the real ones; machines, engines and history are played. Nothing leaves this machine.
"""

import asyncio
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import FrameType
from typing import Annotated

import httpx
from cyclopts import Parameter

from app.dev.profiles import book
from app.dev.seed import APPS, traces
from app.processes import Failed, answers, free_port, process, until
from app.store import queries
from app.store.database import migrate
from app.store.store import Store
from app.store.writer import TraceWriter

PROMPT = "Tell me in one sentence what a herd of sheep does on a rainy day."
EVERY_S = 1.6
"""Seconds between two requests of the light traffic, on average."""


def dev(
    *,
    port: Annotated[int, Parameter(help="Port of the router; when it is taken, the next free one.")] = 11435,
    data_dir: Annotated[Path | None, Parameter(help="Folder to keep; unset: a new one, removed at the end.")] = None,
    requests: Annotated[int, Parameter(help="Requests of the seeded week.")] = 20_000,
    traffic: Annotated[bool, Parameter(help="Send a request now and then.")] = True,
) -> None:
    """Run a router with three simulated nodes, a week of traces and light traffic."""
    signal.signal(signal.SIGTERM, _stop)
    home = data_dir.expanduser().resolve() if data_dir else Path(tempfile.mkdtemp(prefix="herd-dev-"))
    try:
        _run(home, port, requests, traffic)
    except Failed as error:
        sys.exit(f"herd dev: {error}")
    except KeyboardInterrupt:
        pass
    finally:
        if data_dir is None:
            shutil.rmtree(home, ignore_errors=True)


def _run(home: Path, wished: int, requests: int, traffic: bool) -> None:
    home.mkdir(parents=True, exist_ok=True)
    asyncio.run(seed(home, requests))
    port = free_port(wished)
    base = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        router = stack.enter_context(
            process(home, "run", "--host", "127.0.0.1", "--port", str(port), "--no-mdns", "--data-dir", str(home))
        )
        http = stack.enter_context(httpx.Client(base_url=base, trust_env=False, timeout=120))
        until(lambda: answers(http), router)
        nodes = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "app.dev.nodes", "--router", base, "--data-dir", str(home / "nodes")]
        )
        stack.callback(nodes.wait, 20)
        stack.callback(nodes.terminate)
        # Who asks before anybody serves gets an error, and the first thing seen would be a page of those.
        until(lambda: _joined(http) >= len(book().node), nodes)
        token = (home / "admin-token").read_text("utf-8").strip()
        print(f"Dashboard  {base}/dashboard#admin={token}\nCtrl+C stops.", flush=True)  # noqa: T201 - its answer
        _live(http, router, nodes, traffic)


def _joined(http: httpx.Client) -> int:
    try:
        return int(http.get("/fleet/status").json()["fleet"]["nodes_online"])
    except (httpx.HTTPError, ValueError):
        return 0


def _live(http: httpx.Client, router: subprocess.Popen[bytes], nodes: subprocess.Popen[bytes], traffic: bool) -> None:
    random = Random()  # noqa: S311 - it paces a demonstration
    while router.poll() is None and nodes.poll() is None:
        time.sleep(random.expovariate(1 / EVERY_S))
        if traffic:
            app, _, models, endpoint, _ = random.choice(APPS)
            _ask(http, endpoint, app, random.choice(models))
    raise Failed("a process of it has ended by itself")


def _ask(http: httpx.Client, endpoint: str, app: str, model: str) -> None:
    """One request, in whichever of the endpoints' shapes: each passes over what it does not know."""
    said = {"messages": [{"role": "user", "content": PROMPT}], "prompt": PROMPT, "input": PROMPT, "max_tokens": 60}
    try:
        http.post(endpoint, json={"model": model, "stream": False, **said}, headers={"x-herd-tags": app})
    except httpx.HTTPError:
        return


async def seed(home: Path, requests: int) -> None:
    """Write a week of traces into the folder's database, unless it has a history already."""
    migrate(home)
    store = await Store.open(home)
    try:
        if await queries.recent_traces(store, limit=1):
            return
        writer = TraceWriter(store, limit=requests + 1)
        for record in traces(time.time(), count=requests):
            writer.put(record)
        await writer.flush()
    finally:
        await store.aclose()


def _stop(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt
