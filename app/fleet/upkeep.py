"""Changes to the models of the whole fleet: who has to make them, and what became of it. Knows no client's connection.

Which nodes: a copy and a deletion go to all who hold the model, a push to one of them, a new model to where its parts
are: its blobs, or the model it is made from. Only engines that report the operation are asked.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager

import msgspec

from app.errors import BodyInvalid, EngineFailed, HerdError, HoldTimeout, ModelAbsent, NotServed, StreamBroken
from app.fleet.arrivals import Arrivals
from app.fleet.node_client import Answer, NodeClient
from app.fleet.placement import Place, Placement
from app.fleet.pulls import Pulls
from app.fleet.registry import Holding, Registry
from node.wire import model_key

CHANGE_S = 120.0
"""Seconds an engine has for a deletion or a copy."""
BENCH_S = 3600.0
"""Seconds after its last blob for which a client's next ones go to the same node."""
BENCHES_MOST = 1000


Change = Callable[[Holding], Awaitable[None]]


class Done(msgspec.Struct, frozen=True):
    """``nodes`` made the change; ``skipped`` hold the model too and could not be asked, each with the reason."""

    nodes: list[str]
    skipped: dict[str, str]


class NewModel(msgspec.Struct, rename={"from_": "from"}):
    """What decides where a model is made: its name, the model it is made from, the digests of its files."""

    model: str = ""
    name: str = ""
    from_: str = ""
    files: dict[str, str] | None = None
    adapters: dict[str, str] | None = None
    draft_files: dict[str, str] | None = None

    @property
    def digests(self) -> set[str]:
        return {digest for files in (self.files, self.adapters, self.draft_files) for digest in (files or {}).values()}


class Upkeep:
    """``clock`` is the event loop's monotonic seconds."""

    def __init__(
        self,
        *,
        registry: Registry,
        nodes: NodeClient,
        placement: Placement,
        arrivals: Arrivals,
        pulls: Pulls,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._nodes = nodes
        self._placement = placement
        self._arrivals = arrivals
        self._pulls = pulls
        self._clock = clock
        self._benches: dict[str, tuple[Place, float]] = {}

    async def delete(self, name: str, node_id: str = "") -> Done:
        """Everybody who holds the model deletes it, or the named node; pulls of it are stopped."""
        stopped = [pull.node_id for pull in self._pulls.all() if pull.key == model_key(name)]
        stopped = [node for node in stopped if node_id in ("", node)]
        for node in stopped:
            pull = self._pulls.find(name, node)
            if pull is not None:
                self._pulls.stop(pull, StreamBroken(f"{name} was deleted while it was being pulled"))
        if stopped and not self._registry.holdings(model_key(name)):
            return Done(stopped, {})

        async def change(holding: Holding) -> None:
            body = msgspec.json.encode({"model": holding.model.name})
            await self._ask(holding, "DELETE", "/api/delete", body)
            self._registry.model_gone(holding.node.node_id, holding.engine.name, holding.key)

        return await self._by_all(name, "delete", node_id, change)

    async def copy(self, source: str, destination: str, node_id: str = "") -> Done:
        """Everybody who holds the source gets it under the other name too, or the named node."""

        async def change(holding: Holding) -> None:
            body = msgspec.json.encode({"source": holding.model.name, "destination": destination})
            await self._ask(holding, "POST", "/api/copy", body)
            await self._arrivals.learn(holding.node.node_id, holding.engine.name, destination)

        return await self._by_all(source, "copy", node_id, change)

    def holder(self, name: str, operation: str, node_id: str = "") -> Place:
        """One who holds the model and knows the operation."""
        able, _ = self._holders(name, operation, node_id)
        return Place(able[0].node.node_id, able[0].engine.name)

    async def home(self, new: NewModel, client: str, node_id: str = "") -> Place:
        """Where a model is to be made: the named node, else where its blobs are, its base is, or the best place."""
        if node_id:
            return self._placement.named(node_id, "create")
        if new.digests:
            return await self._with_blobs(new, client)
        if new.from_ and self._registry.holdings(model_key(new.from_)):
            return self.holder(new.from_, "create")
        return self._placement.choose(new.from_ or new.model or new.name, "create")

    def bench(self, client: str, *, node_id: str = "", size_bytes: int | None = None) -> Place:
        """Where this client's blobs go: all to one node, so that a model can be made of them there."""
        place = self._placement.named(node_id, "create") if node_id else self._known_bench(client)
        if place is None:
            place = self._placement.choose("", "create", size_bytes=size_bytes)
        self._remember(client, place)
        return place

    async def blob_at(self, client: str, digest: str, node_id: str = "") -> Place | None:
        """Who has a blob already: asked is the node that this client's blobs go to, else everybody."""
        known = self._placement.named(node_id, "create") if node_id else self._known_bench(client)
        for place in [known] if known else self._able("create"):
            if await self.has_blob(place, digest):
                self._remember(client, place)
                return place
        return None

    async def has_blob(self, place: Place, digest: str) -> bool:
        try:
            async with self._nodes.stream(place.node_id, place.engine, "HEAD", f"/api/blobs/{digest}", b"") as answer:
                return answer.status == 200
        except HerdError:
            return False

    def forward(
        self, place: Place, path: str, body: bytes | AsyncIterator[bytes], *, length: int | None = None
    ) -> AbstractAsyncContextManager[Answer]:
        """POST to the engine; a body and an answer of any size."""
        kind = "application/json" if isinstance(body, bytes) else "application/octet-stream"
        return self._nodes.stream(place.node_id, place.engine, "POST", path, body, length=length, content_type=kind)

    async def made(self, place: Place, name: str) -> None:
        """The engine has made a model."""
        await self._arrivals.learn(place.node_id, place.engine, name)

    def _holders(self, name: str, operation: str, node_id: str) -> tuple[list[Holding], dict[str, str]]:
        """Who can be asked, and why the others cannot. Raises a ``HerdError`` when nobody can."""
        holdings = self._registry.holdings(model_key(name))
        holdings = tuple(one for one in holdings if node_id in ("", one.node.node_id))
        if not holdings:
            raise ModelAbsent(f"model '{name}' not found" + (f" on {node_id}" if node_id else ""))
        able = [one for one in holdings if _reachable(one) and operation in one.engine.operations]
        skipped = {one.node.node_id: _why_not(one, operation) for one in holdings if one not in able}
        if able:
            return able, skipped
        told = "; ".join(f"{node}: {why}" for node, why in skipped.items())
        if all(_reachable(one) for one in holdings):
            raise NotServed(f"nobody who holds '{name}' can {operation} models: {told}")
        raise HoldTimeout(f"nobody who holds '{name}' can be asked now: {told}", retry_after_s=30)

    async def _by_all(self, name: str, operation: str, node_id: str, change: Change) -> Done:
        """All at once. Raises when one of them failed, saying who did not."""
        able, skipped = self._holders(name, operation, node_id)
        failed: dict[str, HerdError] = {}

        async def one(holding: Holding) -> None:
            try:
                await change(holding)
            except HerdError as error:
                failed[holding.node.node_id] = error

        async with asyncio.TaskGroup() as tasks:
            for holding in able:
                tasks.create_task(one(holding), name=f"{operation} {name}")
        nodes = list(dict.fromkeys(one.node.node_id for one in able if one.node.node_id not in failed))
        if failed:
            if not nodes and all(isinstance(error, ModelAbsent) for error in failed.values()):
                raise ModelAbsent(f"model '{name}' not found")
            told = "; ".join(f"{node}: {error.message}" for node, error in failed.items())
            done = f"done on {', '.join(nodes)}, not on" if nodes else "failed on"
            raise EngineFailed(f"{operation} of '{name}' {done} {told}")
        return Done(nodes, skipped)

    async def _ask(self, holding: Holding, method: str, path: str, body: bytes) -> None:
        await self._nodes.ask(holding.node.node_id, holding.engine.name, path, body, method=method, timeout_s=CHANGE_S)

    async def _with_blobs(self, new: NewModel, client: str) -> Place:
        bench = self._known_bench(client)
        places = sorted(self._able("create"), key=lambda place: (place != bench, not self._holds(place, new.from_)))
        for place in places:
            if await self._has_all(place, new.digests):
                return place
        raise BodyInvalid("no node has all files of this model: send its blobs first, one after the other")

    async def _has_all(self, place: Place, digests: Iterable[str]) -> bool:
        for digest in digests:
            if not await self.has_blob(place, digest):
                return False
        return True

    def _able(self, operation: str) -> list[Place]:
        return [
            Place(node.node_id, engine.name)
            for node in self._registry.nodes()
            for engine in node.heartbeat.engines
            if node.status != "offline" and engine.healthy and operation in engine.operations
        ]

    def _holds(self, place: Place, name: str) -> bool:
        holdings = self._registry.holdings(model_key(name)) if name else ()
        return any(place == Place(one.node.node_id, one.engine.name) for one in holdings)

    def _known_bench(self, client: str) -> Place | None:
        place, used_at = self._benches.get(client, (None, 0.0))
        fresh = self._clock() - used_at <= BENCH_S
        return place if fresh and place in self._able("create") else None

    def _remember(self, client: str, place: Place) -> None:
        self._benches.pop(client, None)
        self._benches[client] = (place, self._clock())
        if len(self._benches) > BENCHES_MOST:
            del self._benches[next(iter(self._benches))]


def _reachable(holding: Holding) -> bool:
    return holding.node.status != "offline" and holding.engine.healthy


def _why_not(holding: Holding, operation: str) -> str:
    if holding.node.status == "offline":
        return "offline"
    if not holding.engine.healthy:
        return f"its {holding.engine.name} is down"
    return f"its {holding.engine.name} cannot {operation} models"
