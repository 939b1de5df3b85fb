"""The simulated nodes of `herd dev`: real agents, whose machine and engine are played. Knows no trace.

Run as ``python -m app.dev.nodes --router URL --data-dir DIR`` until it is stopped.
"""

import argparse
import asyncio
import signal
import socket
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any

import httpx
import uvicorn

from app.dev.engine import Pen, create
from app.dev.profiles import GB, Profile, book
from node.agent import Agent
from node.log import configure
from node.settings import NodeSettings, completed
from node.wire import Gpu, Machine


class Player:
    """Plays a machine: its memory holds the loaded models, its processor follows what runs."""

    def __init__(self, profile: Profile, pen: Pen) -> None:
        self._profile = profile
        self._pen = pen
        self._random = Random(profile.name)  # noqa: S311 - it shakes a gauge

    async def observe(self) -> Machine:
        hardware, pen, card = self._profile.machine, self._pen, self._profile.gpu
        total = int(hardware.memory_gb * GB)
        models = sum(pen.models[name].size_bytes for name in pen.loaded if name in pen.models)
        busy = min(96.0, hardware.cpu_percent + pen.running * 14 + self._random.uniform(-4, 4))
        gpus: tuple[Gpu, ...] = ()
        if card is not None:
            room = int(card.memory_gb * GB)
            gpus = (Gpu(name=card.name, memory_total_bytes=room, memory_free_bytes=max(0, room - models)),)
        return Machine(
            os=hardware.os,
            arch=hardware.arch,
            chip=hardware.chip,
            cores=hardware.cores,
            cpu_percent=max(1.0, busy),
            memory_total_bytes=total,
            memory_available_bytes=max(total // 20, int(total * 0.86) - models),
            pressure="normal",
            disk_free_bytes=int(total * 2.4),
            disk_total_bytes=int(total * 4),
            gpus=gpus,
        )


class Server(uvicorn.Server):
    """Signals belong to the whole process."""

    def capture_signals(self) -> Any:
        return nullcontext()


async def live(router: str, data_dir: Path, stop: asyncio.Event) -> None:
    """Run every profile's engine and agent until ``stop`` is set."""
    agents: list[Agent] = []
    servers: list[Server] = []
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.TaskGroup() as tasks:
        for profile in book().node:
            pen = Pen(profile)
            listener = socket.create_server(("127.0.0.1", 0))
            server = Server(uvicorn.Config(create(pen), log_config=None, lifespan="off", ws="none"))
            tasks.create_task(server.serve(sockets=[listener]), name=f"engine.{profile.name}")
            servers.append(server)
            settings = completed(
                NodeSettings(
                    node_id=profile.name, router_url=router, ollama_host=f"http://127.0.0.1:{listener.getsockname()[1]}",
                    data_dir=data_dir / profile.name, door_host="127.0.0.1", door_port=0, mdns=False,
                    slots=profile.slots, drain_timeout=1.0, heartbeat_interval=2.0, poll_interval=2.0,
                )
            )  # fmt: skip
            agent = Agent(settings, http=http, observer=Player(profile, pen), well_known=())
            tasks.create_task(agent.run(), name=f"agent.{profile.name}")
            agents.append(agent)
        await stop.wait()
        for agent in agents:
            agent.stop()
        for server in servers:
            server.should_exit = True


def main() -> None:
    parser = argparse.ArgumentParser(description="The simulated nodes of `herd dev`, until they are stopped.")
    parser.add_argument("--router", required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    args = parser.parse_args()
    args.data_dir.mkdir(parents=True, exist_ok=True)
    log = configure(file=args.data_dir / "nodes.jsonl", file_level="INFO", console_level="ERROR", days=2)

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for wanted in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(wanted, stop.set)
        await live(args.router, args.data_dir, stop)

    try:
        asyncio.run(run())
    finally:
        log.close()


if __name__ == "__main__":
    main()
