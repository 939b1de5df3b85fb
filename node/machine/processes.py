"""Other programs of this machine, as far as they tell how an engine was started. Knows no HTTP and no engine's API.

Everything here blocks for some milliseconds: call it in a thread.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import psutil

_BLOB = re.compile(r"sha256[-:]([0-9a-f]{64})")
_OPTIONS = {
    "-np": "parallel",
    "--parallel": "parallel",
    "--n-parallel": "parallel",
    "-c": "context",
    "--ctx-size": "context",
    "--port": "port",
    "-m": "model",
    "--model": "model",
}


class Runner(msgspec.Struct, frozen=True, kw_only=True):
    """A child that Ollama runs for one loaded model, as its command line tells. None: not told there.

    ``blob`` is the SHA-256 of the model file; ``context`` is for all slots together.
    """

    pid: int = 0
    parallel: int | None = None
    context: int | None = None
    port: int | None = None
    blob: str = ""


class OllamaProcesses(msgspec.Struct, frozen=True, kw_only=True):
    """The runners of the Ollama that serves a port, and the ``OLLAMA_NUM_PARALLEL`` in its environment, if readable."""

    runners: tuple[Runner, ...] = ()
    num_parallel: int | None = None


def ollama_processes(port: int) -> OllamaProcesses:
    """Look at the processes of the Ollama that listens on ``port``; what may not be read is left out."""
    runners: list[Runner] = []
    parallel: int | None = None
    for process in _ollamas(port):
        parallel = parallel or num_parallel(_environment(process))
        for child in _children(process):
            runner = runner_of(_command(child), child.pid)
            if runner is not None:
                runners.append(runner)
    return OllamaProcesses(runners=tuple(runners), num_parallel=parallel)


def num_parallel(environment: Mapping[str, str]) -> int | None:
    """``OLLAMA_NUM_PARALLEL`` as a number of at least 1, else None."""
    value = environment.get("OLLAMA_NUM_PARALLEL", "").strip()
    return int(value) if value.isdecimal() and 1 <= int(value) <= 1024 else None


def runner_of(command: Sequence[str], pid: int = 0) -> Runner | None:
    """Read a runner's command line; None for a program that serves no model."""
    told: dict[str, str] = {}
    words = iter(command[1:])
    for word in words:
        option, joined, value = word.partition("=")
        if option in _OPTIONS:
            told[_OPTIONS[option]] = value if joined else next(words, "")
    if "model" not in told:
        return None
    blob = _BLOB.search(told["model"])
    return Runner(
        pid=pid,
        parallel=_number(told.get("parallel")),
        context=_number(told.get("context")),
        port=_number(told.get("port")),
        blob=blob.group(1) if blob else "",
    )


def available_bytes() -> int:
    """Memory that could be taken without pushing others out."""
    return int(psutil.virtual_memory().available)


def physical_cores() -> int:
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isdecimal() and 0 < int(value) < 2**31 else None


def _ollamas(port: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter(["name"]):
        name = (process.info["name"] or "").lower().removesuffix(".exe")
        if name == "ollama" and _may_serve(process, port):
            yield process


def _may_serve(process: psutil.Process, port: int) -> bool:
    """False only when the process is known to listen, and not on this port."""
    try:
        listening = [c.laddr.port for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):
        return True
    return port in listening


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except (psutil.Error, OSError):
        return []


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except (psutil.Error, OSError):
        return []


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return dict(process.environ())
    except (psutil.Error, OSError, UnicodeDecodeError):
        return {}
