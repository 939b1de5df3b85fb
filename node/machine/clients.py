"""Who uses an engine of this machine past the router, as far as its connections tell. Knows no engine's API.

What can be seen: Linux shows every connection, and whose it is only to its owner and root; macOS and Windows show those
of the user who asks. So a client on another machine is always seen on Linux; one on this machine is told apart from the
router only where its process may be read.
"""

import os
import socket
from collections.abc import Collection, Iterable, Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any
from urllib.parse import urlsplit

import msgspec
import psutil

from node.wire import DirectClient

End = tuple[str, int]


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a connection as its own side has it; ``remote`` None: it listens. ``pid`` None: not told."""

    local: End
    remote: End | None = None
    pid: int | None = None


def direct_clients(ports: Collection[int], router_urls: Sequence[str]) -> dict[int, tuple[DirectClient, ...]]:
    """By the port of each engine. Asks the system; blocks for as long as that takes. Raises ``OSError``.

    ``router_urls`` is where the router is, then its other addresses.
    """
    if not ports or not router_urls:
        return {}
    router, *others = map(urlsplit, router_urls)
    return bypassing(
        connections(),
        ports,
        own_pid=os.getpid(),
        router_hosts=_addresses(router.hostname),
        router_port=router.port,
        also=frozenset(address for url in others for address in _addresses(url.hostname)),
    )


def bypassing(
    seen: Iterable[Connection],
    ports: Collection[int],
    *,
    own_pid: int,
    router_hosts: Collection[str],
    router_port: int | None = None,
    also: Collection[str] = (),
) -> dict[int, tuple[DirectClient, ...]]:
    """Of all that is connected to these ports: neither the node itself nor its router, ``also`` at other addresses."""
    seen = list(seen)
    owners = {one.local: one.pid for one in seen if one.remote is not None}
    listening = {one.local[1]: one.pid for one in seen if one.remote is None}
    here = {one.local[0] for one in seen}
    router_pid = listening.get(router_port or 0)
    router_here = bool(here & set(router_hosts)) or any(ip_address(host).is_loopback for host in router_hosts)
    counts: dict[int, dict[str, int]] = {}
    for one in seen:
        if one.remote is None or one.local[1] not in ports or one.local[1] not in listening:
            continue
        peer = one.remote[0]
        if one.remote in owners or peer in here or ip_address(peer).is_loopback:
            pid = owners.get(one.remote)
            known = pid is not None and pid not in (own_pid, router_pid)
            if pid == own_pid or (router_here and not known):
                continue
        elif peer in router_hosts or peer in also:
            continue
        there = counts.setdefault(one.local[1], {})
        there[peer] = there.get(peer, 0) + 1
    return {
        port: tuple(DirectClient(peer=peer, connections=count) for peer, count in sorted(there.items()))
        for port, there in counts.items()
    }


def connections() -> Iterator[Connection]:
    """All of this machine that may be seen: at once, or of each process that may be asked."""
    try:
        found = [(entry, entry.pid) for entry in psutil.net_connections("tcp")]
    except psutil.AccessDenied:
        found = [(entry, process.pid) for process in psutil.process_iter() for entry in _of(process)]
    for entry, pid in found:
        if entry.status == psutil.CONN_LISTEN:
            yield Connection(local=_end(entry.laddr), pid=pid)
        elif entry.status == psutil.CONN_ESTABLISHED and entry.raddr:
            yield Connection(local=_end(entry.laddr), remote=_end(entry.raddr), pid=pid)


def _of(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("tcp"))
    except (psutil.Error, OSError):
        return []


def _end(address: tuple[str, int]) -> End:
    """An IPv4 address that came in on an IPv6 socket is that IPv4 address."""
    parsed = ip_address(address[0].partition("%")[0])
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return (str(parsed), address[1])


def _addresses(host: str | None) -> frozenset[str]:
    """What a router's name stands for; nothing, if nobody knows it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM) if host else []
    except OSError:
        return frozenset()
    return frozenset(str(entry[4][0]).partition("%")[0] for entry in found)
