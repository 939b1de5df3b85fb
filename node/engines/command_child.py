"""The program of one run of a command-line tool, in a folder and a process group of its own. Knows no engine.

Run as ``command_child.py FILE TOOL ARGUMENT...`` by its path, with the standard library alone. It says one line of
JSON, ``{"code": 0}``, and after it the bytes of FILE, which the tool left in the folder (``-``: what the tool wrote to
its stdout). Everything else that the tool says goes to stderr.

When the tool ends, when stdin ends, at SIGTERM: the folder is removed, and the last act is to kill the whole group,
so that nothing which the tool started outlives it, nor the tool whoever started this.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

GRACE_S = 0.5
GIVE_MOST = 64 * 2**20
STDOUT = "-"


def main() -> None:
    wanted, command = sys.argv[1], sys.argv[2:]
    if os.name != "nt" and os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # or the last act would hit whoever started this
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())  # before there is a folder to be left behind
    folder = Path(tempfile.mkdtemp(prefix="herd-"))
    try:
        code, given = _run(command, folder, wanted, over)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        sys.stdout.buffer.write(json.dumps({"code": code}).encode() + b"\n" + given)
        sys.stdout.buffer.flush()
    except OSError:
        pass  # nobody listens any more
    sys.stderr.flush()
    if os.name == "nt":
        os._exit(0)
    os.killpg(0, signal.SIGKILL)


def _run(command: list[str], folder: Path, wanted: str, over: threading.Event) -> tuple[int, bytes]:
    """The tool's exit code (negative: a signal; 127: it cannot be started) and what it was to give.

    ``over``: it is to end, or has ended.
    """
    file = folder / (".stdout" if wanted == STDOUT else wanted)
    try:
        with (folder / ".stdout").open("wb") as said:
            tool = subprocess.Popen(  # noqa: S603 - the command line comes from the node
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said if wanted == STDOUT else sys.stderr
            )
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error}\n")
        return 127, b""
    for wait in (sys.stdin.buffer.read, tool.wait):
        threading.Thread(target=_then_set, args=(wait, over), daemon=True).start()
    over.wait()
    if tool.poll() is None:
        return _end(tool), b""
    if tool.returncode or not file.is_file() or file.stat().st_size > GIVE_MOST:
        return tool.returncode, b""
    return 0, file.read_bytes()


def _then_set(wait: Callable[[], object], over: threading.Event) -> None:
    wait()
    over.set()


def _end(tool: "subprocess.Popen[bytes]") -> int:
    """Ask the tool and all that it started to end, then end the tool by force."""
    if os.name == "nt":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(tool.pid)], check=False, capture_output=True)  # noqa: S603, S607
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
    try:
        return tool.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        tool.kill()
        return tool.wait()


if __name__ == "__main__":
    main()
