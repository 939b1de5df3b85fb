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
    host = _host(heartbeat, peer, allowed)
    direct = engine.reach == "lan" or (engine.reach == "loopback" and is_loopback(peer))
    if direct and 0 < engine.port < 65536:
        return f"http://{bracketed(host)}:{engine.port}", ()
    door, headers = door_url(heartbeat, peer, allowed)
    return f"{door}/engines/{engine.name}", headers


def door_url(heartbeat: Heartbeat, peer: str, allowed: Collection[str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The node's door itself, and the headers with which it opens."""
    door = f"http://{bracketed(_host(heartbeat, peer, allowed))}:{heartbeat.door_port}"
    return door, ((DOOR_HEADER, heartbeat.door_secret),)


def _host(heartbeat: Heartbeat, peer: str, allowed: Collection[str]) -> str:
    told = heartbeat.advertise_host
    return told if told and told in allowed else peer


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
