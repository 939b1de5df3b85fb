"""The commands by which whoever sits at a machine pauses its node, or takes that back. Knows no router.

They write a small file that the node looks at four times a second, so that they work on every system, whether the node
runs or not, and hold over its restart.
"""

import sys
import time
from datetime import datetime

from node.capacity.memory import WishFiles
from node.capacity.wish import Wish, seconds_of
from node.settings import NodeSettings
from node.standing import runs


def pause(settings: NodeSettings, lasts: str) -> None:
    """Nothing new for this node; what runs there finishes. Exits with a sentence when it cannot."""
    until = _until(lasts)
    _write(settings, Wish(mode="paused", until=until))
    _say(settings, f"{settings.node_id} takes nothing new {_till(until)}; what runs finishes.")


def resume(settings: NodeSettings, lasts: str) -> None:
    """Take every pause back, the operator's too; for a time: lend all, whatever was learned."""
    until = _until(lasts)
    _write(settings, Wish(mode="full", until=until) if lasts else None)
    WishFiles(settings.state_file).write("operator", None)
    lends = f"lends all it may {_till(until)}" if lasts else "lends what it has learned to lend"
    _say(settings, f"{settings.node_id} {lends}.")


def _until(lasts: str) -> float | None:
    try:
        return time.time() + seconds_of(lasts) if lasts else None
    except ValueError as error:
        print(f"herd node: --for {error}.", file=sys.stderr)  # noqa: T201
        sys.exit(2)


def _write(settings: NodeSettings, wish: Wish | None) -> None:
    known = sorted(lock.stem for lock in settings.lock_file.parent.glob("*.lock"))
    if settings.node_id not in known:
        others = f"; there are: {', '.join(known)} (--node-id)" if known else ""
        sys.exit(f"herd node: no node {settings.node_id} ever ran with the folder {settings.data_dir}{others}.")
    try:
        WishFiles(settings.state_file).write("owner", wish)
    except OSError as error:
        sys.exit(f"herd node: cannot write to {settings.data_dir}: {error.strerror}.")


def _till(until: float | None) -> str:
    if until is None:
        return "until `herd node resume`"
    at = datetime.fromtimestamp(until).astimezone()
    return f"until {at:%H:%M}" if until - time.time() < 20 * 3600 else f"until {at:%Y-%m-%d %H:%M}"


def _say(settings: NodeSettings, said: str) -> None:
    later = "" if runs(settings) else " It does not run now; this holds when it does."
    print(said + later)  # noqa: T201
