"""Drives real clients against Herd over real engines, and writes docs/clients.md: ``python tests/clients/run.py``.

python tests/clients/run.py                        install all, drive all, write the page
OLLAMA_BIN=/where/ollama python tests/clients/run.py                        also over a real Ollama
python tests/clients/run.py --only openai_client codex_cli --home folder    these rows only; keep what was installed
python tests/clients/run.py --only openai_client --home folder --installed  again, from what is there

Clients are installed from the public registries of Python and npm into a folder that is thrown away. All else happens
without a network: in a namespace that has only loopback, where the system can make one (Linux). Each client runs with
an environment of a few names and an empty home.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(ROOT), str(ROOT / "tests")]

from clients.fleets import llama_fleet, ollama_fleet  # noqa: E402
from clients.installed import Installed, ollama_version  # noqa: E402
from clients.table import ABSENT, CLIENTS, ENGINES, PAGE, Client, Row, block, result, updated, with_block  # noqa: E402

LIMIT_S = 1500
CUT_OFF = ("unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
NOWHERE = "http://127.0.0.1:9"
NO_WAY_OUT = {"HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE, "NO_PROXY": "127.0.0.1,localhost"}


def main() -> int:
    args = arguments()
    chosen = [client for client in CLIENTS if not args.only or client.key in args.only]
    if args.installed:
        return drive(args, chosen)
    home = args.home or Path(tempfile.mkdtemp(prefix="herd-clients-"))
    try:
        for client in chosen:
            print(f"installing {client.name}", flush=True)
            Installed(home, args.ollama).install(client)
        again = [sys.executable, __file__, *sys.argv[1:], "--installed", "--home", str(home)]
        if can_cut_off():
            return subprocess.run([*CUT_OFF, *again, "--cut-off"], check=False).returncode
        return subprocess.run(again, check=False).returncode
    finally:
        if not args.home:
            shutil.rmtree(home)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Drive real clients against Herd, and write docs/clients.md.")
    parser.add_argument("--home", type=lambda word: Path(word).resolve(), help="install here, and keep it")
    parser.add_argument("--only", nargs="+", choices=[client.key for client in CLIENTS], help="these clients only")
    parser.add_argument("--over", choices=ENGINES, help="over this engine only")
    parser.add_argument("--installed", action="store_true", help="install nothing: --home has it already")
    parser.add_argument("--cut-off", action="store_true", help=argparse.SUPPRESS)  # for its own second start
    args = parser.parse_args()
    args.ollama = os.environ.get("OLLAMA_BIN", "")
    return args


def can_cut_off() -> bool:
    return bool(shutil.which("unshare")) and not subprocess.run([*CUT_OFF, "true"], capture_output=True).returncode


def drive(args: argparse.Namespace, chosen: list[Client]) -> int:
    """Every client over every engine; 1: something failed."""
    home, ollama = args.home, args.ollama
    installed = Installed(home, ollama)
    rows = {client: Row(client, installed.version(client) or ABSENT) for client in chosen}
    for engine, fleet in fleets(home, ollama).items():
        if args.over not in (None, engine):
            continue
        with fleet as told:
            for client, row in rows.items():
                if row.version != ABSENT and engine in client.over:
                    began = time.monotonic()
                    row.results[engine] = said = driven(installed, client, home / engine, told)
                    took = f"{time.monotonic() - began:.0f} s"
                    print(f"{client.key} {row.version} over {engine}: {said} ({took})", flush=True)
    text, page = made(ollama, cut_off=args.cut_off), PAGE.read_text("utf-8")
    if args.only or args.over:
        page = updated(page, text, list(rows.values()))
    else:
        page = with_block(page, block(text, rows.values()))
    PAGE.write_text(page, "utf-8")
    return int(any(said != "passed" for row in rows.values() for said in row.results.values()))


def fleets(home: Path, ollama: str) -> dict[str, AbstractContextManager[dict[str, str]]]:
    """By engine, not yet started; those that can be had here."""
    folder = Path(tempfile.mkdtemp(prefix="fleets-", dir=home))
    found = {"llama.cpp": llama_fleet(folder / "llama")}
    if ollama:
        found["Ollama"] = ollama_fleet(folder / "ollama", ollama)
    return found


def driven(installed: Installed, client: Client, folder: Path, told: dict[str, str]) -> str:
    """What came of one client's program. What it wrote besides is kept in ``folder`` for who looks for a cause."""
    folder.mkdir(exist_ok=True)
    words = folder / f"{client.key}.txt"
    with tempfile.TemporaryDirectory() as empty_home, words.open("w") as errors:
        path = os.pathsep.join([*installed.path(client), "/usr/local/bin", "/usr/bin", "/bin"])
        environment = {"PATH": path, "HOME": empty_home, "OLLAMA_BIN": os.environ.get("OLLAMA_BIN", ""), **NO_WAY_OUT}
        try:
            done = subprocess.run(
                installed.command(client), env=environment | told, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True, timeout=LIMIT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            said = late.stdout or ""  # often bytes, whatever was asked for
            lines = (said.decode() if isinstance(said, bytes) else said).splitlines()
            return result(client.steps, came_of(lines), f"no end in {LIMIT_S} s")
    last = words.read_text("utf-8").strip().rpartition("\n")[2]
    return result(client.steps, came_of(done.stdout.splitlines()), f"the program ended with {done.returncode}: {last}")


def came_of(lines: Iterable[str]) -> dict[str, str | None]:
    """What a program told of its steps; libraries may print, too."""
    told = [json.loads(line) for line in lines if line.startswith('{"step"')]
    return {each["step"]: each["failed"] for each in told}


def made(ollama: str, *, cut_off: bool) -> str:
    """With what the table was made."""
    node = shutil.which("node")
    parts = [f"Herd {metadata.version('herd-router')}", f"llama.cpp by xllamacpp {metadata.version('xllamacpp')}"]
    parts += [f"Ollama {ollama_version(ollama)}"] if ollama else []
    parts += [f"Python {platform.python_version()}"]
    parts += [f"Node {subprocess.check_output([node, '--version'], text=True).strip()}"] if node else []
    parts += [f"{platform.system()} {platform.machine()}"]
    where = "no network but loopback" if cut_off else "the network of its machine"
    return f"Made with {where}: {', '.join(parts)}."


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # else its fleets would stay
    sys.exit(main())
