"""How the router may reach an engine of this node: on the LAN, or only through the node's door. Knows no kind."""

from collections.abc import Sequence

import httpx

from node.engines.addresses import Address, is_loopback
from node.engines.base import EngineError
from node.engines.http import ask
from node.wire import Reach

PROBE_TIMEOUT_S = 1.0


async def reach_of(http: httpx.AsyncClient, address: Address, lan_addresses: Sequence[str], path: str) -> Reach:
    """ "lan" only if the engine answers 200 for ``path`` on each of this machine's LAN addresses.

    Each, because the node does not know which of them the router uses; the door works in any case.
    """
    if address.scheme != "http" or address.path or not address.here(lan_addresses):
        return "door"
    lan = [host for host in lan_addresses if not is_loopback(host)]
    for host in lan:
        try:
            said = await ask(http, Address("http", host, address.port).url + path, timeout_s=PROBE_TIMEOUT_S)
        except EngineError:
            return _near(address)
        if said.status != 200:
            return _near(address)
    return "lan" if lan else _near(address)


def _near(address: Address) -> Reach:
    """Not on every LAN address: on the loopback, or on one address only, which is the door's business."""
    return "loopback" if address.loopback else "door"
