"""Where an engine is reached: the engine itself, or its node's door. Pure; knows no HTTP.

The host is always the address that the node's heartbeats come from, or one that the operator allowed; it is never
believed from the letter. Only the port is the node's word.
"""

from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address

from node.wire import EngineReport, Heartbeat

DOOR_HEADER = "X-Herd-Door"


def base_url(
    heartbeat: Heartbeat, engine: EngineReport, peer: str, allowed: Collection[str]
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Base URL without a trailing slash, and the headers that this way needs."""
    host = peer
    if heartbeat.advertise_host and heartbeat.advertise_host in allowed:
        host = heartbeat.advertise_host
    direct = engine.reach == "lan" or (engine.reach == "loopback" and is_loopback(peer))
    if direct and 0 < engine.port < 65536:
        return f"http://{bracketed(host)}:{engine.port}", ()
    door = f"http://{bracketed(host)}:{heartbeat.door_port}/engines/{engine.name}"
    return door, ((DOOR_HEADER, heartbeat.door_secret),)


@lru_cache(1024)  # asked for every request, and a fleet has few addresses
def is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@lru_cache(1024)
def bracketed(host: str) -> str:
    """The host as a URL wants it: IPv6 in brackets, an IPv4 address in IPv6 clothes undressed."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return str(mapped)
    return f"[{host}]" if address.version == 6 else host
