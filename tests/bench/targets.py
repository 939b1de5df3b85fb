"""Starts what is measured, each as the real program: engine, nginx before it, router with node. Knows no load.

What the kernel knows of their processes is read here too, on Linux: CPU seconds, and how busy the machine was.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROC = Path("/proc")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TICK = os.sysconf("SC_CLK_TCK")
START_S = 30.0
SLOTS = 256
"""Requests that the engine's owner lets it serve at once; the queue is not what is measured here."""
NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    keepalive_requests 100000000;
    client_max_body_size 64m;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


@dataclass
class Target:
    """A port to ask, and the processes behind it that are not the engine's."""

    name: str
    port: int
    processes: tuple[subprocess.Popen[bytes], ...]

    def cpu_s(self) -> float:
        return sum(cpu_s(pid) for process in self.processes for pid in family(process.pid))


@contextmanager
def running(folder: Path, models: list[str]) -> Iterator[list[Target]]:
    """The targets, the engine itself first. All are stopped at the end."""
    with ExitStack() as stack:

        def start(name: str, *command: object) -> subprocess.Popen[bytes]:
            log = stack.enter_context((folder / f"{name}.log").open("wb"))
            env = {key: value for key, value in os.environ.items() if not key.startswith("FLEET_")}
            env |= {"HOME": str(folder)}
            process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=ROOT, env=env)
            stack.callback(_stop, process)
            return process

        engine, herd = free_port(), free_port()
        targets = [Target("direct", engine, (start("engine", sys.executable, HERE / "engine.py", engine, *models),))]
        _until(f"http://127.0.0.1:{engine}/api/tags", lambda told: told["models"], folder / "engine.log")
        if shutil.which("nginx"):
            port = free_port()
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, engine=engine))
            targets.append(Target("nginx", port, (start("nginx", "nginx", "-c", folder / "nginx.conf"),)))
            _until(f"http://127.0.0.1:{port}/api/tags", lambda told: told["models"], folder / "nginx.log")
        command = (sys.executable, "-c", "from app.cli import main; main()")
        router = start(
            "router", *command, "run", "--host", "127.0.0.1", "--port", herd, "--data-dir", folder / "router",
            "--no-mdns",
        )  # fmt: skip
        _until(f"http://127.0.0.1:{herd}/healthz", bool, folder / "router.log")
        node = start(
            "node", *command, "node", "--node-id", "bench", "--router-url", f"http://127.0.0.1:{herd}",
            "--ollama-host", f"http://127.0.0.1:{engine}", "--slots", SLOTS, "--data-dir", folder / "node",
            "--door-port", free_port(), "--no-mdns",
        )  # fmt: skip
        targets.append(Target("herd", herd, (router, node)))
        _until(
            f"http://127.0.0.1:{herd}/api/tags", lambda told: len(told["models"]) == len(models), folder / "node.log"
        )
        yield targets


def told(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(pid: int) -> float:
    """User and system seconds of a process so far; 0 when it is gone."""
    return sum(int(field) for field in _stat(pid)[11:13]) / TICK


def family(pid: int) -> set[int]:
    """The process and its children: nginx works in one."""
    if not PROC.is_dir():
        return {pid}
    parents = {int(entry): int(_stat(int(entry))[1]) for entry in os.listdir("/proc") if entry.isdigit()}
    return {pid} | {child for child, parent in parents.items() if parent == pid}


def busy_s() -> float:
    """Seconds that all cores together were busy so far, whoever it was for."""
    if not PROC.is_dir():
        return 0.0
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICK


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return ["0"] * 20


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _until(url: str, ready: Any, log: Path) -> None:
    """Wait until the URL tells what ``ready`` wants; exits with the log's last words when it never does."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if ready(told(url)):
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    sys.exit(f"bench: {url} did not come up:\n{log.read_text(errors='replace')[-2000:]}")
