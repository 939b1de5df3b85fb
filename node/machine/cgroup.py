"""How much memory a container leaves to what runs in it: cgroups of both versions. Knows no machine beyond it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from node.machine.files import number, word

UNLIMITED = 2**60
"""The first version writes an absurd number where nothing is limited."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that is nearest to its end. ``pressure`` is the text of that group's stalls; empty: it has none.

    ``used_bytes`` leaves out the pages of files that nothing has touched lately: the kernel gives them up when asked,
    and the file of a model is mostly such pages.
    """

    limit_bytes: int
    used_bytes: int
    pressure: str = ""

    @property
    def free_bytes(self) -> int:
        return max(0, self.limit_bytes - self.used_bytes)


def room(root: Path = Path("/")) -> Room | None:
    """The tightest of the groups in which this process is; None where nothing is limited."""
    rooms = [found for folder in _groups(root) if (found := _room(folder)) is not None]
    return min(rooms, key=lambda one: one.free_bytes, default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The folders of this process's groups, inner ones first. A container may show its own group as the topmost."""
    top = root / "sys/fs/cgroup"
    for line in word(root / "proc/self/cgroup").splitlines():
        number_, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if number_ == "0" and not kinds:
            mount = top
        elif "memory" in kinds.split(","):
            mount = top / "memory"
        else:
            continue
        inner = Path(path.strip("/"))
        for part in (inner, *inner.parents):
            yield mount / part


def _room(folder: Path) -> Room | None:
    limit, used, cold = number(folder / "memory.max"), number(folder / "memory.current"), "inactive_file"
    if limit is None:
        limit, used = number(folder / "memory.limit_in_bytes"), number(folder / "memory.usage_in_bytes")
        cold = "total_inactive_file"
    if limit is None or used is None or limit >= UNLIMITED:
        return None
    stat = dict(line.split(" ", 1) for line in word(folder / "memory.stat").splitlines() if " " in line)
    idle = stat.get(cold, "0")
    return Room(
        limit_bytes=limit,
        used_bytes=max(0, used - (int(idle) if idle.isdecimal() else 0)),
        pressure=word(folder / "memory.pressure"),
    )
