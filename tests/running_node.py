"""A whole node agent in the test's own loop, with real sockets and a folder of its own. Knows no router.

async with running_node(router_url=router.url, ollama_host=fake.url) as node:
    node.agent.stop()
    await node.ended
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from node.agent import Agent
from node.machine.observe import Observer
from node.settings import NodeSettings, completed

NOWHERE = "http://127.0.0.1:9"
"""The discard port: nothing listens there."""


@dataclass
class RunningNode:
    agent: Agent
    settings: NodeSettings
    ended: asyncio.Task[None]


@asynccontextmanager
async def running_node(
    *,
    data_dir: Path | None = None,
    observer: Any = None,
    meetings: Any = None,
    addresses: Callable[[], list[str]] = list,
    **told: Any,
) -> AsyncIterator[RunningNode]:
    """A node with these settings; it is ended at once when the block ends, unless it has ended by then."""
    with TemporaryDirectory() as folder:
        base = {
            "node_id": "n", "router_url": NOWHERE, "ollama_host": NOWHERE, "door_host": "127.0.0.1", "door_port": 0,
            "poll_interval": 0.1, "drain_timeout": 10.0, "mdns": False, "data_dir": data_dir or Path(folder),
        }  # fmt: skip
        settings = completed(NodeSettings(**{**base, **told}))
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as tasks:
            agent = Agent(
                settings,
                http=http,
                observer=observer or Observer(settings.models),
                meetings=meetings,
                well_known=(),
                addresses=addresses,
            )
            ended = tasks.create_task(agent.run())
            try:
                yield RunningNode(agent, settings, ended)
            finally:
                agent.stop()
                agent.stop()
