"""Keeps this node known to its router: finds it, reports to it, believes only its own fleet. Knows no engine.

``Pulse.beat``, repeated as numbers in the code:
 1. No router, or a reason to doubt the one there is: ask all candidates who they are, take the first of this fleet.
 2. One heartbeat, with the token that this very fleet gave.
 3. Accepted: the fleet is pinned, token and place are kept. Waiting, refused: said once, tried again.
 4. A heartbeat that did not arrive: a reason to doubt. Lost is a router that nobody is any more.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from node.discovery import Discovery
from node.link import Accepted, Answer, Identity, Link, NoRouter, Refused, Unreachable, Waiting
from node.state import NodeState, StateFile
from node.wire import Heartbeat, HeartbeatAck, LinkFailures

RETRY_MOST_S = 10.0
"""Longest pause while the router is away, in seconds: it shall not be back for long without its nodes."""
REFUSED_S = 15.0
"""The pause after a refusal, which only people can end, in seconds."""
FIRST_ADVICE_S = 10.0
ADVICE_EVERY_S = 60.0
INTERVAL_LEAST_S, INTERVAL_MOST_S = 0.1, 60.0
"""Bounds of what a router may wish as interval, in seconds."""


class Pulse:
    """``letter`` gives the heartbeat as the node stands now; ``interval_s`` None leaves the interval to the router.

    Its methods are to be called by one task at a time.
    """

    def __init__(
        self,
        *,
        node_id: str,
        link: Link,
        discovery: Discovery,
        state_file: StateFile,
        state: NodeState,
        letter: Callable[[], Heartbeat],
        interval_s: float | None,
    ) -> None:
        self._node_id = node_id
        self._link = link
        self._discovery = discovery
        self._state_file = state_file
        self._state = state
        self._letter = letter
        self._interval_s = interval_s
        self._router: Identity | None = None
        self._doubt = False
        self._silences = 0
        self._failures = LinkFailures()
        self._said: tuple[object, ...] = ()
        self._strangers: set[tuple[str, str]] = set()
        self._why = ""
        self._advice_at = time.monotonic() + FIRST_ADVICE_S
        self._log = structlog.get_logger("router")

    @property
    def connected(self) -> bool:
        return self._router is not None

    @property
    def router_url(self) -> str:
        """Where its router is, or was last; empty: it never had one."""
        return self._router.url if self._router is not None else self._state.router

    def doubt(self) -> None:
        """Something changed about where routers are: make sure before the next heartbeat."""
        self._doubt = True

    async def beat(self, *, draining: bool = False, goodbye: bool = False) -> Answer:
        """One heartbeat to this node's router."""
        if self._router is None or self._doubt:  # (1)
            self._doubt = False
            found = await self._find()
            if found is None:
                self._lose()
            self._router = found
        router = self._router
        if router is None:
            self._advise()
            return self._missed(Unreachable(self._why or "no router found"))
        letter = msgspec.structs.replace(
            self._letter(), draining=draining, goodbye=goodbye, failures=self._failures
        )  # fmt: skip
        answer = await self._link.beat(router.url, self._state.tokens.get(router.fleet_id, ""), letter)  # (2)
        if isinstance(answer, Unreachable):
            return self._missed(answer)
        self._silences = 0
        if isinstance(answer, Refused):
            self._refused(router, answer)
            return answer
        return await self._heard(router, answer)

    def pause_s(self, answer: Answer, chance: Callable[[], float] = random.random) -> float:
        """How long to wait after this answer, in seconds; ``chance`` is in [0, 1) and keeps nodes out of step."""
        if isinstance(answer, Unreachable):
            return retry_pause(self._silences, chance())
        if isinstance(answer, Refused):
            return REFUSED_S * (0.8 + 0.4 * chance())
        if answer.ack.token:
            return INTERVAL_LEAST_S  # shown once, it is this node's alone: until then a lost one is given anew
        wished = min(max(answer.ack.interval_s, INTERVAL_LEAST_S), INTERVAL_MOST_S)
        return (self._interval_s or wished) * (0.95 + 0.1 * chance())

    async def _find(self) -> Identity | None:
        """The first candidate that is a router of this node's fleet, or of any if its owner told its place."""
        pinned = self._state.pinned
        urls = self._discovery.candidates(last=self._state.router, pinned=pinned)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(url)) for url in urls]
        for task in asked:
            identity = task.result()
            if identity is None:
                continue
            if pinned and identity.fleet_id != pinned and not self._discovery.explicit:
                self._stranger(identity)
                continue
            if identity != self._router:
                self._log.info("router.found", url=identity.url, fleet=identity.fleet_id, version=identity.version)
            return identity
        return None

    async def _ask(self, url: str) -> Identity | None:
        try:
            return await self._link.identify(url)
        except NoRouter as error:
            if self._discovery.explicit:
                self._why = str(error)
            return None

    async def _heard(self, router: Identity, answer: Accepted | Waiting) -> Answer:
        ack = answer.ack
        if ack.token:
            await self._keep(self._state.with_token(ack.fleet_id or router.fleet_id, ack.token))
        if ack.fleet_id and ack.fleet_id != router.fleet_id:
            self._doubt = True
            return self._missed(Unreachable(f"another fleet ({ack.fleet_id}) answers at {router.url} now"))
        self._failures = LinkFailures()
        self._advice_at = time.monotonic() + ADVICE_EVERY_S
        if isinstance(answer, Waiting):
            self._waiting(router, ack)
            return answer
        if self._say("router.connected", router.url, router.fleet_id):
            self._log.info("router.connected", url=router.url, fleet=router.fleet_id)
        if (self._state.pinned, self._state.router) != (router.fleet_id, router.url):  # (3)
            if self._state.pinned != router.fleet_id:
                self._log.info("router.pinned", fleet=router.fleet_id, before=self._state.pinned or None)
            await self._keep(self._state.with_router(router.fleet_id, router.url))
        return answer

    async def _keep(self, state: NodeState) -> None:
        self._state = state
        try:
            await asyncio.to_thread(self._state_file.save, state)
        except OSError as error:
            self._log.error("state.unwritable", file=str(self._state_file.path), error=error.strerror or repr(error))

    def _missed(self, answer: Unreachable) -> Unreachable:
        self._silences += 1
        self._failures = LinkFailures(count=self._failures.count + 1, last=answer.why[:200])
        if self._router is not None:
            self._log.debug("heartbeat.failed", url=self._router.url, why=answer.why)
            self._doubt = True  # (4)
        return answer

    def _lose(self) -> None:
        if self._router is not None:
            self._log.warning("router.lost", url=self._router.url, why=self._failures.last or self._why or "no answer")
            self._said = ()
            self._advice_at = time.monotonic() + FIRST_ADVICE_S

    def _advise(self) -> None:
        """Each minute without a router, what its owner can do."""
        now = time.monotonic()
        if now < self._advice_at:
            return
        self._advice_at = now + ADVICE_EVERY_S
        if self._discovery.explicit:
            hint = "is the router running there? start it with `herd run`, or correct --router-url"
            self._log.warning("router.missing", tried=self._discovery.candidates()[0], why=self._why, hint=hint)
            return
        where = "by mDNS nor where it was" if self._discovery.mdns else "where it was nor on this machine"
        hint = f"found neither {where}: name it with `herd node --router-url http://ADDRESS:11435`"
        self._log.warning("router.missing", hint=hint)

    def _stranger(self, identity: Identity) -> None:
        """Said once for each: a router of another fleet is no router of this node."""
        who = (identity.url, identity.fleet_id)
        if who in self._strangers or len(self._strangers) > 100:
            return
        self._strangers.add(who)
        hint = (
            f"this node belongs to fleet {self._state.pinned}; to join the other one: "
            f"`herd node --router-url {identity.url}`"
        )
        self._log.warning("router.foreign", url=identity.url, fleet=identity.fleet_id, hint=hint)

    def _waiting(self, router: Identity, ack: HeartbeatAck) -> None:
        if self._say("waiting", router.url, ack.hint):
            hint = ack.hint or f"run `herd approve {self._node_id}` on the router"
            self._log.warning("router.waiting", url=router.url, node=self._node_id, hint=hint)

    def _refused(self, router: Identity, answer: Refused) -> None:
        self._failures = LinkFailures(count=self._failures.count + 1, last=answer.why[:200])
        if not self._say("refused", router.url, answer.status, answer.why):
            return
        hint = None
        if answer.status == 401:
            hint = (
                f"the name {self._node_id} is taken, or this machine's token for it is wrong: "
                f"choose another --node-id, or run `herd forget {self._node_id}` on the router"
            )
        self._log.error("router.refused", url=router.url, status=answer.status, why=answer.why, hint=hint)

    def _say(self, *what: Any) -> bool:
        """Whether this is news: what stays the same is said once."""
        news, self._said = what != self._said, what
        return news


def retry_pause(silences: int, chance: float) -> float:
    """Seconds until the next try after ``silences`` failures in a row: about 1, 2, 4, 8, then at most 10."""
    return float(min(RETRY_MOST_S, 2 ** min(max(silences, 1) - 1, 10)) * (0.5 + 0.5 * chance))
