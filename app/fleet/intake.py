"""What becomes of a heartbeat: admission, registry, the answer, and the tickets that may move. Knows no HTTP."""

from collections import Counter

import structlog

from app.errors import Unauthorized
from app.fleet.admission import Admission
from app.fleet.dispatcher import Dispatcher
from app.fleet.letter import bounded
from app.fleet.registry import Change, Registry
from app.store.records import NodeRecord
from app.store.store import Store
from node.wire import Heartbeat, HeartbeatAck

QUIET: tuple[str, ...] = ("model.added", "model.removed")
"""Changes that are told to the log file only."""
TOLD_MOST = 20
"""Changes of one kind that are told one by one; more of them at once are told as a number."""


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
        status = "offline" if node is None else "draining" if node.draining else node.status
        if letter.draining:
            busy = self._dispatcher.runs_on(letter.node_id)
            status_word = "draining" if busy else "drained"
            return HeartbeatAck(
                status="draining", node_status=status_word, interval_s=1.0, fleet_id=self._fleet_id,
                token=decision.token,
            )  # fmt: skip
        return HeartbeatAck(
            status="ok", node_status=status, interval_s=self._interval_s, fleet_id=self._fleet_id,
            token=decision.token, running=self._dispatcher.runs_on(letter.node_id),
        )  # fmt: skip

    def hear(self, changes: list[Change]) -> None:
        """Log what changed and let the waiting be judged again."""
        kinds = Counter((change.node_id, change.kind) for change in changes)
        for (node_id, kind), count in kinds.items():
            write = self._log.debug if kind in QUIET else self._log.info
            if count > TOLD_MOST:
                write(kind, node=node_id, count=count)
                continue
            for change in changes:
                if (change.node_id, change.kind) == (node_id, kind):
                    write(kind, node=node_id, what=change.what)
        for change in changes:
            if change.kind == "engine.up":
                self._dispatcher.trust(change.node_id, change.what)
        self._dispatcher.nudge()

    async def approve(self, node_id: str, wall: float) -> NodeRecord | None:
        record = self._admission.approve(node_id, wall)
        if record is not None:
            await self._store.put_node(record)
            self._log.info("node.approved", node=node_id)
        return record

    async def drain(self, node_id: str, drained: bool) -> bool:
        """The operator wants no new work for the node, or wants it again. False: nobody of that name was let in."""
        record = self._admission.drain(node_id, drained)
        if record is None:
            return False
        await self._store.put_node(record)
        self.hear(self._registry.drain(node_id, drained))
        return True

    async def forget(self, node_id: str) -> bool:
        """Free the name: its token counts no longer, and the node leaves the fleet until it joins anew."""
        known = self._admission.forget(node_id)
        here = self._registry.forget(node_id)
        await self._store.forget_node(node_id)
        if known or here:
            self._log.info("node.forgotten", node=node_id)
        return known or here
