"""What a node remembers over a restart: its fleet, the tokens it was given, where the router was. Knows no router."""

import os
import sys
from pathlib import Path

import msgspec

from node.kept import set_aside, write_whole


class NodeState(msgspec.Struct, frozen=True, kw_only=True):
    """``pinned`` is the fleet this node belongs to ("": none yet), ``tokens`` are by fleet, ``router`` is a URL."""

    pinned: str = ""
    tokens: dict[str, str] = {}
    router: str = ""

    def with_token(self, fleet_id: str, token: str) -> "NodeState":
        return msgspec.structs.replace(self, tokens={**self.tokens, fleet_id: token})

    def with_router(self, fleet_id: str, url: str) -> "NodeState":
        return msgspec.structs.replace(self, pinned=fleet_id, router=url)


class StateFile:
    """One node's file, readable by its owner only. ``damaged`` is where a file went that made no sense."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: Path | None = None

    def load(self) -> NodeState:
        """An empty state if there is none; one that makes no sense is set aside. Raises ``OSError``."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return NodeState()
        try:
            return msgspec.json.decode(content, type=NodeState)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged = set_aside(self.path)
            return NodeState()

    def save(self, state: NodeState) -> None:
        """Raises ``OSError``."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.chmod(self.path.parent, 0o700)
        write_whole(self.path, msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")

    def forget(self) -> bool:
        """Remove it; False: there was none."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True


class NameTaken(Exception):
    """Another process of this machine runs under this name."""


class Claim:
    """The right of one process to a node's name on this machine; the system ends it with the process, however it ends.

    Raises ``NameTaken`` or ``OSError``.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._handle)
        except OSError:
            os.close(self._handle)
            raise NameTaken from None

    def release(self) -> None:
        os.close(self._handle)


def _lock(handle: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
