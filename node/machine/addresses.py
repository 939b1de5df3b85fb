"""Which addresses of this machine others on the LAN can use. Knows no router and no engine."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import psutil

NOT_THE_LAN = ("docker", "br-", "veth", "virbr", "cni", "flannel", "tun", "utun", "tap", "tailscale", "wg", "zt")
"""Beginnings of the names of interfaces that lead elsewhere; they are used only when there is no other."""


def lan_addresses() -> list[str]:
    """Usable addresses, IPv4 first; those of bridges and tunnels only where nothing else is."""
    likely: list[str] = []
    unlikely: list[str] = []
    up = psutil.net_if_stats()
    for name, entries in psutil.net_if_addrs().items():
        if name in up and not up[name].isup:
            continue
        found = likely if not name.lower().startswith(NOT_THE_LAN) else unlikely
        found += [entry.address for entry in entries if _usable(entry.address)]
    return sorted(likely or unlikely, key=lambda text: (":" in text, text))


def _usable(text: str) -> bool:
    address = _parsed(text)
    return address is not None and not (
        address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    )


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
