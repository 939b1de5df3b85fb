"""What becomes of a heartbeat: admission, registry, the answer, and the tickets that may move. Knows no HTTP."""

import msgspec
import structlog

from app.errors import Unauthorized
from app.fleet.admission import NAME, Admission
from app.fleet.dispatcher import Dispatcher
from app.fleet.registry import Change, Registry
from app.store.records import NodeRecord
from app.store.store import Store
from node.wire import EngineReport, Heartbeat, HeartbeatAck, ModelReport

NAME_MOST = 200
"""Longest model name that is believed, in characters."""
MODELS_MOST = 5000
"""Models of one engine that are believed."""
QUIET: tuple[str, ...] = ("model.added", "model.removed")
"""Changes that are told to the log file only."""


class Intake:
    """The one hand that feeds the registry."""

    def __init__(
        self,
        *,
        admission: Admission,
        registry: Registry,
        dispatcher: Dispatcher,
        store: Store,
        fleet_id: str,
        interval_s: float,
    ) -> None:
        self._admission = admission
        self._registry = registry
        self._dispatcher = dispatcher
        self._store = store
        self._fleet_id = fleet_id
        self._interval_s = interval_s
        self._log = structlog.get_logger("fleet")

    async def take(self, letter: Heartbeat, *, peer: str, token: str, now: float, wall: float) -> HeartbeatAck:
        """The answer to the node. Raises ``Unauthorized`` when it is refused: then nothing has changed."""
        decision = self._admission.decide(letter.node_id, token, peer, wall)
        if decision.status == "refused":
            self._log.warning("node.refused", node=letter.node_id, peer=peer)
            raise Unauthorized(decision.reason, hint="`herd forget NAME` on the router frees a name")
        if decision.record is not None:
            await self._store.put_node(decision.record)
        if decision.status == "waiting":
            return HeartbeatAck(
                status="waiting", node_status="waiting", interval_s=self._interval_s, fleet_id=self._fleet_id,
                hint=decision.reason,
            )  # fmt: skip
        if decision.token:
            self._log.info("node.admitted", node=letter.node_id, peer=peer)
        self.hear(self._registry.apply(bounded(letter), peer, now))
        node = self._registry.node(letter.node_id)
        status = "offline" if node is None else node.status
        if node is not None and node.draining:
            busy = self._dispatcher.runs_on(letter.node_id)
            status_word = "draining" if busy else "drained"
            return HeartbeatAck(
                status="draining", node_status=status_word, interval_s=1.0, fleet_id=self._fleet_id,
                token=decision.token,
            )  # fmt: skip
        return HeartbeatAck(
            status="ok", node_status=status, interval_s=self._interval_s, fleet_id=self._fleet_id, token=decision.token
        )

    def hear(self, changes: list[Change]) -> None:
        """Log what changed and let the waiting be judged again."""
        for change in changes:
            write = self._log.debug if change.kind in QUIET else self._log.info
            write(change.kind, node=change.node_id, what=change.what)
            if change.kind == "engine.up":
                self._dispatcher.trust(change.node_id, change.what)
        self._dispatcher.nudge()

    async def approve(self, node_id: str, wall: float) -> NodeRecord | None:
        record = self._admission.approve(node_id, wall)
        if record is not None:
            await self._store.put_node(record)
            self._log.info("node.approved", node=node_id)
        return record

    async def forget(self, node_id: str) -> bool:
        """Free the name: its token counts no longer, and the node leaves the fleet until it joins anew."""
        known = self._admission.forget(node_id)
        here = self._registry.forget(node_id)
        await self._store.forget_node(node_id)
        if known or here:
            self._log.info("node.forgotten", node=node_id)
        return known or here


def bounded(letter: Heartbeat) -> Heartbeat:
    """The letter without what no honest node says: endless lists, names that are no names, slots below one."""
    engines = tuple(_bounded_engine(engine) for engine in letter.engines[:64] if NAME.fullmatch(engine.name))
    return msgspec.structs.replace(letter, engines=engines)


def _bounded_engine(engine: EngineReport) -> EngineReport:
    models = tuple(_bounded_model(model) for model in engine.models[:MODELS_MOST] if _is_name(model.name))
    if models == engine.models:
        return engine
    return msgspec.structs.replace(engine, models=models)


def _bounded_model(model: ModelReport) -> ModelReport:
    if 1 <= model.slots <= 4096:
        return model
    return msgspec.structs.replace(model, slots=min(max(model.slots, 1), 4096))


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_MOST and name.isprintable()
