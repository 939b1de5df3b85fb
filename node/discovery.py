"""Where routers are: what mDNS tells, what was known before, what was told. Knows no heartbeat and trusts no record."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
import structlog
from zeroconf import BadTypeInNameException, InterfaceChoice, NotRunningException, ServiceStateChange
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from node.settings import ROUTER_PORT, bracketed

AGAIN_S = 15.0
"""Seconds until multicast is tried again where there is none."""
RESOLVE_MS = 3000
RECORDS_MOST = 32
ADDRESSES_MOST = 16
HERE = f"http://127.0.0.1:{ROUTER_PORT}"
TROUBLES = (OSError, RuntimeError, AssertionError, BadTypeInNameException, NotRunningException)


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One router as mDNS tells of it: base URLs, and the fleet it claims to be."""

    urls: tuple[str, ...]
    fleet_id: str = ""


class Discovery:
    """``changed`` is called when the records of routers changed; ``interfaces`` are addresses, empty: all."""

    def __init__(
        self,
        *,
        router_url: str,
        mdns: bool,
        service_type: str,
        changed: Callable[[], None],
        interfaces: Sequence[str] = (),
    ) -> None:
        self._router_url = router_url
        self.mdns = mdns and not router_url
        self._type = service_type
        self._changed = changed
        self._interfaces = list(interfaces)
        self._records: dict[str, Found] = {}
        self._heard: asyncio.Queue[str] = asyncio.Queue(maxsize=1000)
        self._stale = False
        self._trouble = ""
        self._log = structlog.get_logger("mdns")

    @property
    def explicit(self) -> bool:
        """The router's place was told; nothing else counts."""
        return bool(self._router_url)

    @property
    def told(self) -> list[str]:
        """Every URL of every router that mDNS tells of."""
        return [url for found in self._records.values() for url in found.urls]

    def candidates(self, last: str = "", pinned: str = "") -> list[str]:
        """URLs to try, best first: ``last`` is where the router was, ``pinned`` the fleet that is looked for."""
        if self._router_url:
            return [self._router_url]
        own_first = sorted(self._records.values(), key=lambda found: found.fleet_id != pinned)
        urls = [last] if last else []
        urls += [url for found in own_first for url in found.urls]
        return list(dict.fromkeys([*urls, HERE]))

    def renew(self) -> None:
        """This machine slept, or has other addresses: begin anew."""
        self._stale = True
        if self._heard.empty():
            self._heard.put_nowait("")

    async def run(self) -> None:
        """Browse until cancelled; begins anew when told to, or when multicast fails."""
        if not self.mdns:
            return
        while True:
            self._stale, self._heard = False, asyncio.Queue(maxsize=1000)
            try:
                await self._browse()
                self._trouble = ""
            except TROUBLES as error:
                told = str(error) or repr(error)
                if told != self._trouble:
                    self._log.warning("mdns.unavailable", error=told, hint="name the router by --router-url")
                self._trouble = told
                with suppress(TimeoutError):
                    async with asyncio.timeout(AGAIN_S):
                        await self._heard.get()

    async def _browse(self) -> None:
        """Browse until there is a reason to begin anew."""
        zeroconf = AsyncZeroconf(interfaces=self._interfaces or InterfaceChoice.All)
        browser: AsyncServiceBrowser | None = None
        try:
            browser = AsyncServiceBrowser(zeroconf.zeroconf, self._type, handlers=[self._hear])
            self._log.debug("mdns.browsing", type=self._type)
            while not self._stale:
                if name := await self._heard.get():
                    await self._resolve(zeroconf, name)
        finally:
            await asyncio.shield(_close(zeroconf, browser))

    def _hear(self, *, name: str, state_change: ServiceStateChange, **_: Any) -> None:
        if state_change is ServiceStateChange.Removed:
            if self._records.pop(name, None) is not None:
                self._log.debug("mdns.gone", name=name)
                self._changed()
        elif not self._heard.full():
            self._heard.put_nowait(name)

    async def _resolve(self, zeroconf: AsyncZeroconf, name: str) -> None:
        info = AsyncServiceInfo(self._type, name)
        if not await info.async_request(zeroconf.zeroconf, RESOLVE_MS):
            self._log.debug("mdns.unresolved", name=name)
            return
        found = found_in(info)
        if not found.urls or self._records.get(name) == found:
            return
        if name not in self._records and len(self._records) >= RECORDS_MOST:
            self._log.warning("mdns.crowded", records=len(self._records), ignored=name)
            return
        self._records[name] = found
        self._log.debug("mdns.found", name=name, urls=found.urls, fleet=found.fleet_id)
        self._changed()


def found_in(info: AsyncServiceInfo) -> Found:
    """What a service record says, IPv4 first; link-local addresses of IPv6 are left out, no URL can name their link."""
    addresses = [text for text in info.parsed_addresses() if not text.lower().startswith("fe80")]
    addresses.sort(key=lambda text: ":" in text)
    port = info.port or ROUTER_PORT
    fleet = (info.properties.get(b"id") or b"").decode("utf-8", "replace")
    urls = dict.fromkeys(f"http://{bracketed(text)}:{port}" for text in addresses[:ADDRESSES_MOST])
    return Found(urls=tuple(urls), fleet_id=fleet)


async def _close(zeroconf: AsyncZeroconf, browser: AsyncServiceBrowser | None) -> None:
    try:
        async with asyncio.timeout(2):
            if browser is not None:
                await browser.async_cancel()
    except (TimeoutError, *TROUBLES):
        pass
    finally:
        await zeroconf.async_close()
