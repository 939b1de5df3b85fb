"""The learner's files: the week as it was learned, and what people wished. Knows no score and no system.

Each wish has a file of its own with one writer: the owner's is written by his commands, the operator's by the agent.
"""

import os
from pathlib import Path

import msgspec

from node.capacity.learner import Week
from node.capacity.wish import Side, Wish
from node.kept import set_aside, write_whole

Signature = tuple[int, int, int]


class WeekFile:
    """One node's week. ``damaged`` is where a file went that made no sense."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: Path | None = None

    def load(self) -> Week:
        """A new week if there is none; one that makes no sense is set aside. Raises ``OSError``."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Week.new()
        try:
            return msgspec.json.decode(content, type=Week)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged = set_aside(self.path)
            return Week.new()

    def save(self, content: bytes) -> None:
        """Raises ``OSError``."""
        write_whole(self.path, content)


class WishFiles:
    """What owner and operator wished for a node, each in a folder beside the node's state."""

    def __init__(self, state_file: Path) -> None:
        folder = state_file.with_suffix(".wishes")
        self._paths: dict[Side, Path] = {"owner": folder / "owner.json", "operator": folder / "operator.json"}

    def signature(self) -> tuple[Signature | None, ...]:
        """Changes whenever a file does; cheap enough to be asked four times a second."""
        return tuple(_signature(path) for path in self._paths.values())

    def read(self) -> dict[Side, Wish | None]:
        return {side: _read(path) for side, path in self._paths.items()}

    def write(self, side: Side, wish: Wish | None) -> None:
        """None takes it back. Raises ``OSError``."""
        path = self._paths[side]
        if wish is None:
            path.unlink(missing_ok=True)
        else:
            write_whole(path, msgspec.json.encode(wish))


def _read(path: Path) -> Wish | None:
    """What cannot be read is a pause: somebody wished something, and the machine's owner comes first."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Wish)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return Wish(mode="paused")


def _signature(path: Path) -> Signature | None:
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_mtime_ns, told.st_size, told.st_ino
