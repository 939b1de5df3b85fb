"""mDNS: tells the LAN where the router is, and says goodbye. Knows no node; its failure never hurts the router."""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from zeroconf import Error, IPVersion, ServiceInfo
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

REFRESH_S = 30.0
"""Seconds between two looks whether this machine's addresses changed."""
TROUBLES = (OSError, RuntimeError, AssertionError, ValueError, Error)
"""What zeroconf raises: without network or multicast, for an address that is none, for a name no record can hold."""


class Advertiser:
    """Keeps one service record alive. ``addresses`` tells this machine's usable addresses at any moment."""

    def __init__(
        self,
        *,
        service_type: str,
        name: str,
        port: int,
        fleet_id: str,
        version: str,
        interfaces: Sequence[str],
        addresses: Callable[[], list[str]],
    ) -> None:
        self._type = service_type
        self._name = name
        self._port = port
        self._fleet_id = fleet_id
        self._version = version
        self._interfaces = list(interfaces)
        self._addresses = addresses
        self._log = structlog.get_logger("mdns")

    async def run(self) -> None:
        """Advertise until cancelled; addresses that change are advertised anew. A trouble that stays is said once."""
        said = ""
        while True:
            found = self._addresses()
            try:
                await self._while_same(found)
                said = ""
            except TROUBLES as error:
                trouble = str(error) or repr(error)
                if trouble != said:
                    self._log.warning("mdns.unavailable", error=trouble)
                said = trouble
                await asyncio.sleep(REFRESH_S)

    async def _while_same(self, found: list[str]) -> None:
        info = self._info(found)
        choice = self._interfaces or found or None
        zeroconf = AsyncZeroconf(interfaces=choice, ip_version=IPVersion.All) if choice else AsyncZeroconf()
        try:
            task = await zeroconf.async_register_service(info, allow_name_change=True)
            await task
            self._log.info("mdns.advertised", addresses=found, port=self._port)
            while self._addresses() == found:  # noqa: ASYNC110 - no system tells of a new address by an event
                await asyncio.sleep(REFRESH_S)
        finally:
            await asyncio.shield(_leave(zeroconf, info))

    def _info(self, addresses: list[str]) -> ServiceInfo:
        return AsyncServiceInfo(
            self._type,
            f"{self._name}.{self._type}",
            port=self._port,
            parsed_addresses=addresses,
            server=f"herd-{self._fleet_id[:8]}.local.",
            properties={"id": self._fleet_id, "version": self._version, "proto": "http", "path": "/"},
        )


async def _leave(zeroconf: AsyncZeroconf, info: ServiceInfo) -> None:
    """Say goodbye, then close; neither may hang a stop."""
    try:
        async with asyncio.timeout(2):
            goodbye = await zeroconf.async_unregister_service(info)
            await goodbye
    except (TimeoutError, KeyError, *TROUBLES):
        pass
    finally:
        await zeroconf.async_close()
