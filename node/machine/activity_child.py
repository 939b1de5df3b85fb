"""The program that looks whether camera or microphone are in use, a line of JSON for each it is sent. Knows no node.

Run as ``python -m node.machine.activity_child``. What it calls may hang or crash, and then only this process does. It
ends when its stdin does, and prints nothing but its answers.
"""

import json
import sys
from collections.abc import Callable

from node.machine import activity_linux, activity_macos, activity_windows

Look = Callable[[], tuple[bool | None, bool | None, str]]
"""Camera and microphone: in use, not in use, or None where that cannot be told; and why not."""
LOOKS: dict[str, Look] = {
    "linux": activity_linux.look,
    "darwin": activity_macos.look,
    "win32": activity_windows.look,
}


def main() -> None:
    look = LOOKS.get(sys.platform, _unknown)
    for _ in sys.stdin:
        camera, microphone, why = look()
        sys.stdout.write(json.dumps({"camera": camera, "microphone": microphone, "why": why}) + "\n")
        sys.stdout.flush()


def _unknown() -> tuple[bool | None, bool | None, str]:
    return None, None, f"nobody has taught this node to look on {sys.platform}"


if __name__ == "__main__":
    main()
