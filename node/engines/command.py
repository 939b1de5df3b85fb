"""One run of a command-line tool that ends with the node, with all that it started. Knows no tool.

Below ``command_child.py``, which owns the run's folder and process group and watches over the node.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from node.engines.command_child import GIVE_MOST
from node.engines.process import Child
from node.engines.reading import mapping

PROGRAM = Path(__file__).with_name("command_child.py")


async def run(command: Sequence[str], give: str, **environment: str) -> Child:
    """Start it; ``give`` is the file that it will leave, or ``STDOUT``. Raises ``OSError``."""
    words = [sys.executable, "-I", str(PROGRAM), give, *command]  # -I: nothing of ours gets in the tool's way
    return await Child.spawn(words, {**os.environ, **environment}, output_limit=GIVE_MOST + 100)


def outcome(output: bytes) -> tuple[int | None, bytes]:
    """The tool's exit code (None: the run itself was ended) and what it gave."""
    head, _, given = output.partition(b"\n")
    try:
        code = mapping(msgspec.json.decode(head)).get("code")
    except msgspec.MsgspecError:
        return None, b""
    return (code, given) if isinstance(code, int) else (None, b"")
