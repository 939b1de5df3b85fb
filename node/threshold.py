"""Where the node's door stands: the first free port of its address, and whether the machine has that address. Knows no
request."""

import asyncio
import errno
import socket
import sys

PORTS_TRIED = 50
"""Ports from the wished one upwards that are tried before the door gives up."""
LOOK_EVERY_S = 3.0
"""Seconds between two looks whether this machine has the address of the door."""


class DoorShut(OSError):
    """The door cannot listen; the text says why."""


class DoorAway(DoorShut):
    """This machine does not have the address now."""


async def until_away(host: str) -> None:
    """Return when this machine has the address no more."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, 0))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    return


def listen(host: str, first: int) -> socket.socket:
    """A listening socket on the first free port. Raises ``DoorShut``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(first + PORTS_TRIED - 1, 65535)
    for port in range(first, last + 1) if first else (0,):
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            if sys.platform != "win32":  # there it would let two doors share a port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            listener.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            if error.errno == errno.EADDRNOTAVAIL:
                raise DoorAway(f"the door cannot listen on {host}: {error.strerror or error}.") from error
            raise DoorShut(f"the door cannot listen on {host}: {error.strerror or error}.") from error
        return listener
    raise DoorShut(f"no port between {first} and {last} is free for the door.")
