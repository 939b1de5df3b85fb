"""Whether camera or microphone are in use on Linux, as processes, PipeWire, PulseAudio and ALSA tell. Knows no node.

Only the standard library, and everything may block: it runs in a process of its own. Nobody's program is named: what
counts is that a device records.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ASK_S = 1.5
MEDIA_SERVERS = ("pipewire", "wireplumber", "pipewire-media-")
"""They open cameras to see what these can do; whether one records, they say themselves."""
_OUTPUT = re.compile(r"^Source Output #", re.MULTILINE)


def look(proc: Path = Path("/proc"), devices: Path = Path("/dev")) -> tuple[bool | None, bool | None, str]:
    graph = _asked(["pw-dump", "--no-colors"])
    camera, microphone = None, None
    if graph is not None:
        camera, microphone = of_pipewire(graph)
    if microphone is None:
        outputs, sources = _asked(["pactl", "list", "source-outputs"]), _asked(["pactl", "list", "short", "sources"])
        if outputs is not None and sources is not None:
            microphone = of_pulseaudio(outputs, sources)
    if microphone is None:
        microphone = of_alsa(proc)
    why = "" if microphone is not None else "neither pw-dump nor pactl answers, and there is no /proc/asound"
    return bool(camera) or camera_open(proc, devices), microphone, why


def camera_open(proc: Path, devices: Path) -> bool:
    """Whether a process of this user, or of anybody if we may look, has a camera open."""
    if not any(devices.glob("video*")):
        return False
    wanted = str(devices / "video")
    return any(target.startswith(wanted) for process in _processes(proc) for target in _open_files(process))


def of_pipewire(dump: str) -> tuple[bool | None, bool | None]:
    """Camera and microphone by PipeWire's graph: what runs, and what it is fed from."""
    try:
        objects = json.loads(dump)
    except ValueError:
        return None, None
    if not isinstance(objects, list):
        return None, None
    nodes = {one.get("id"): _info(one) for one in objects if _is(one, "Node")}
    if not nodes:
        return None, None
    links = [_info(one) for one in objects if _is(one, "Link")]
    fed = {link.get("input-node-id"): link.get("output-node-id") for link in links}
    recording = [
        nodes.get(fed.get(number), {})
        for number, node in nodes.items()
        if _class(node) == "Stream/Input/Audio" and node.get("state") == "running" and not _listens_to_itself(node)
    ]
    microphone = any(_class(source).startswith("Audio/Source") for source in recording)
    camera = any(_class(node) == "Video/Source" and node.get("state") == "running" for node in nodes.values())
    return camera, microphone


def of_pulseaudio(outputs: str, sources: str) -> bool:
    """Whether somebody records from a source that is no monitor: the texts of two ``pactl list``."""
    rows = [line.split("\t") for line in sources.splitlines()]
    monitors = {row[0] for row in rows if len(row) > 1 and row[1].endswith(".monitor")}
    for told in _OUTPUT.split(outputs)[1:]:
        fields = dict(re.findall(r"^\t([A-Z][\w ]*): ?(.*)$", told, re.MULTILINE))
        meter = fields.get("Resample method") == "peaks"
        if fields.get("Corked") != "yes" and fields.get("Source") not in monitors and not meter:
            return True
    return False


def of_alsa(proc: Path) -> bool | None:
    """Whether a recording device of the sound hardware runs; None without sound hardware."""
    cards = proc / "asound"
    if not cards.is_dir():
        return None
    return any("RUNNING" in _text(status) for status in cards.glob("card*/pcm*c/sub*/status"))


def _listens_to_itself(node: dict[str, Any]) -> bool:
    """Meters and recorders of what the machine plays are no microphone."""
    properties = node.get("props") or {}
    return any(str(properties.get(name)).lower() == "true" for name in ("stream.monitor", "stream.capture.sink"))


def _is(one: Any, kind: str) -> bool:
    return isinstance(one, dict) and one.get("type") == f"PipeWire:Interface:{kind}"


def _info(one: dict[str, Any]) -> dict[str, Any]:
    info = one.get("info")
    return info if isinstance(info, dict) else {}


def _class(node: dict[str, Any]) -> str:
    properties = node.get("props")
    return str(properties.get("media.class", "")) if isinstance(properties, dict) else ""


def _asked(command: Sequence[str]) -> str | None:
    """What a tool says, in its plain language; None if it is not there, fails or takes too long."""
    try:
        said = subprocess.run(  # noqa: S603 - the two tools named above
            command, capture_output=True, timeout=ASK_S, check=True, stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return said.stdout.decode("utf-8", "replace")


def _processes(proc: Path) -> Iterator[Path]:
    for process in proc.iterdir():
        if process.name.isdigit() and not _text(process / "comm").startswith(MEDIA_SERVERS):
            yield process


def _open_files(process: Path) -> Iterator[str]:
    try:
        for handle in (process / "fd").iterdir():
            yield os.readlink(handle)
    except OSError:  # another user's, or it has just ended
        return


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
