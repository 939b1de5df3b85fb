"""Whether a model that a request names and nobody has is pulled for it, and the wait for that. Knows no client.

In this order, repeated as numbers in the code:
 1. It is pulled already, for whomever: wait for that pull.
 2. It may not be pulled: no such work is pulled for, switched off, not a plain name, not in the catalogue, too large.
    The answer says which.
 3. The router has just started, or pulls enough: come again later.
 4. The best node by ``placement.toml`` pulls it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping

from app.catalog import Catalog
from app.errors import EngineRejected, HerdError, HoldTimeout, ModelAbsent, NoRoom, NotServed, PullFailed
from app.fleet.pull import Pull
from app.fleet.pulls import GIB, Pulls
from app.fleet.queue import Lease, Ticket
from app.settings.schema import Models

Tell = Callable[[str], Awaitable[None]]
Ended = Callable[[Ticket, HerdError | None], None]
SIGN_S = 10.0
"""Seconds between two signs of life to a client that waits for a pull. What fails sooner still gets its true status."""

AT_ONCE = 4
"""Pulls under way beyond which no request begins another."""
PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,99})?")
"""A name of the engine's own library: no host, no path, so nobody makes the fleet fetch from an address of his own."""
CLOUD = re.compile(r"(.*[:-])cloud", re.IGNORECASE)
"""A name that stands for a model elsewhere: pulling it would send prompts out of the house."""


class AutoPull:
    """``catalogs`` are by modality; for one whose catalogue is empty nothing is ever pulled. ``limits`` are those now.

    ``quiet_until`` is when every node that lives has had time to report itself, in the seconds of ``clock``.
    """

    def __init__(
        self,
        *,
        pulls: Pulls,
        catalogs: Mapping[str, Catalog],
        limits: Callable[[], Models],
        quiet_until: float,
        clock: Callable[[], float],
    ) -> None:
        self._pulls = pulls
        self._catalogs = dict(catalogs)
        self._limits = limits
        self._quiet_until = quiet_until
        self._clock = clock

    def bring_for(self, ticket: Ticket, ended: Ended) -> None:
        """Let the ticket wait for its model to be pulled. Raises a ``HerdError`` that says why it is not.

        ``ended`` is called when the pull is over, unless the ticket was ``let_go`` before.
        """
        pull = ticket.pull = self._bring(ticket.job.demand.modality, *ticket.job.demand.models)
        ticket.pull_s = self._limits().auto_pull_timeout

        def over() -> None:
            if ticket.pull is pull:
                self.let_go(ticket)
                ended(ticket, None if pull.error is None else _not_brought(ticket, pull.error))

        pull.on_end.append(over)

    def let_go(self, ticket: Ticket) -> None:
        """The ticket waits for a pull no longer. Twice is as once."""
        pull, ticket.pull = ticket.pull, None
        if pull is not None:
            self._pulls.leave(pull)

    def not_yet(self, ticket: Ticket) -> HoldTimeout:
        """The ticket has waited long enough. The pull goes on: who asks again finds the model or waits for the rest."""
        pull = ticket.pull
        assert pull is not None
        pull.kept = True
        return HoldTimeout(f"{pull.name} is not here yet: {pull.text}", hint="ask again later", retry_after_s=30)

    async def tell_of(self, pull: Pull, granted: asyncio.Future[Lease], tell: Tell) -> None:
        """Tell how the pull goes, until it or the wait is over."""
        while not granted.done() and not pull.ended:
            done, _ = await asyncio.wait((granted,), timeout=SIGN_S)
            if not done:
                await tell(pull.text)

    def _bring(self, modality: str, name: str, *fallbacks: str) -> Pull:
        most_bytes = int(self._limits().auto_pull_max_gb * GIB)
        if self._pulls.find(name) is not None:  # (1)
            return self._pulls.want(name, most_bytes=most_bytes)
        self._permit(self._catalogs[modality], name, fallbacks)  # (2)
        if self._clock() < self._quiet_until:  # (3)
            raise HoldTimeout(f"model {name} is on no node so far, but the router has just started", retry_after_s=10)
        if len(self._pulls.all()) >= AT_ONCE:
            raise HoldTimeout(f"model {name} is on no node, and enough others are being pulled", retry_after_s=30)
        try:
            return self._pulls.want(name, most_bytes=most_bytes)  # (4)
        except (NoRoom, NotServed) as error:
            raise absent(name, *fallbacks, why=error.message) from error

    def _permit(self, catalog: Catalog, name: str, fallbacks: tuple[str, ...]) -> None:
        if not catalog.models:
            raise absent(name, *fallbacks, hint="")
        mode, most_gb = self._limits().auto_pull, self._limits().auto_pull_max_gb
        if mode in ("off", "false"):
            raise absent(name, *fallbacks)
        if not PLAIN.fullmatch(name) or CLOUD.fullmatch(name):
            raise absent(name, *fallbacks, why="such a name is not pulled for a request")
        known = catalog.named(name)
        if known is None and mode != "any":
            raise absent(name, *fallbacks, why="it is not in the catalogue of models that are pulled for a request")
        if known is not None and known.install:
            raise absent(name, *fallbacks, hint=f"`{known.install}` on a node brings it")
        if known is not None and (known.size_bytes or 0) > most_gb * GIB:
            raise absent(name, *fallbacks, why=f"it is larger than the {most_gb:g} GB of FLEET_AUTO_PULL_MAX_GB")


def absent(*names: str, why: str = "", hint: str | None = None) -> ModelAbsent:
    """No node has any of the models; the first is the one asked for."""
    told = f"model {', '.join(names)} not found on any node"
    brings = f"`ollama pull {names[0]}` brings it" if hint is None else hint
    return ModelAbsent(f"{told}; {why}" if why else told, hint=brings)


def _not_brought(ticket: Ticket, error: HerdError) -> HerdError:
    """What a client is told when the pull for its request failed: 404 if the model cannot be had, else try again."""
    text = f"model {ticket.job.demand.models[0]} not found on any node, and pulling it failed: {error.message}"
    if isinstance(error, PullFailed | NoRoom | EngineRejected):
        return ModelAbsent(text)
    return HoldTimeout(text, retry_after_s=10)
