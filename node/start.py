"""What must be true before a node lives: a private folder, a name of its own, an open log. Knows no engine."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx

from node.agent import Agent
from node.log import configure
from node.settings import NodeSettings, Unusable
from node.state import Claim, NameTaken, StateFile
from node.threshold import DoorShut
from node.version import own_version


def start(settings: NodeSettings) -> None:
    """Run the node until it is told to stop; ``settings`` are completed. Exits with a sentence when it cannot."""
    os.umask(0o077)  # whatever is written from here on is its owner's alone
    claim = _claim(settings)
    log = configure(
        file=settings.log_file, file_level=settings.log_level, console_level=settings.console_log_level
    )  # fmt: skip
    try:
        print(banner(settings), flush=True)  # noqa: T201 - the terminal is where a person looks for it
        run_loop(_live(settings))
    except Unusable as error:
        sys.exit(f"herd node: {error}")
    except OSError as error:
        sys.exit(f"herd node: {error}")
    except ExceptionGroup as group:
        shut = group.subgroup(DoorShut)
        if shut is None:
            raise
        sys.exit(f"herd node: {_first(shut)} Try --door-port or --door-host.")
    except KeyboardInterrupt:
        pass
    finally:
        log.close()
        claim.release()


def forget(settings: NodeSettings) -> None:
    """Forget fleet and tokens of this node. Exits with a sentence when a node of this name runs."""
    claim = _claim(settings)
    try:
        known = StateFile(settings.state_file).forget()
    except OSError as error:
        sys.exit(f"herd node: cannot remove {settings.state_file}: {error.strerror}.")
    finally:
        claim.release()
    named = settings.node_id
    said = f"{named} belongs to no fleet any more." if known else f"{named} belonged to no fleet."
    hint = f"To join its old fleet again: `herd forget {named}` on that router, then `herd node` here."
    print(f"{said}\n{hint}")  # noqa: T201


def banner(settings: NodeSettings) -> str:
    """What a person reads when the node has started; its engines follow in the log as they are seen."""
    router = settings.router_url or ("found by mDNS" if settings.mdns else "the one it had, or on this machine")
    lines = [
        ("Router", router),
        ("Ollama", settings.ollama_host),
        *(("Engine", flag) for flag in settings.engine),
        ("Models", f"{settings.models} (GGUF files and speech models)"),
        ("Log", str(settings.log_file)),
    ]
    width = max(len(name) for name, _ in lines) + 2
    shown = "\n".join(f"  {name:<{width}}{what}" for name, what in lines)
    head = f"Herd {own_version()}  node {settings.node_id}"
    return f"\n{head}\n\n{shown}\n\n  Ctrl+C stops it; running requests may finish.\n"


async def _live(settings: NodeSettings) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        agent = Agent(settings, http=http)
        loop = asyncio.get_running_loop()
        for told in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(told, agent.stop)
            except NotImplementedError:  # Windows
                signal.signal(told, lambda *_: loop.call_soon_threadsafe(agent.stop))
        await agent.run()


def _claim(settings: NodeSettings) -> Claim:
    folder: Path = settings.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Claim(settings.lock_file)
    except NameTaken:
        sys.exit(
            f"herd node: a node {settings.node_id} runs on this machine already. "
            "Stop it, or give this one another name: --node-id NAME."
        )
    except OSError as error:
        sys.exit(f"herd node: cannot use the folder {folder}: {error.strerror}. Try --data-dir.")


def run_loop(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _first(group: BaseException) -> BaseException:
    while isinstance(group, BaseExceptionGroup):
        group = group.exceptions[0]
    return group
