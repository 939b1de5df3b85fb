"""Who may call itself a node: admitted once, bound to a token from then on. Pure; knows no HTTP, store or clock.

``Admission.decide``, repeated as numbers in the code:
 1. The name is admitted: its token must match, wherever the heartbeat comes from. While nobody has shown the token yet
    (the answer that carried it may be lost), the address that was admitted may ask again and gets a new one.
 2. The name was approved by the operator and waits to be given its token: it goes to the address that had asked.
 3. A new name from loopback, within the join window, or with ``join=open``: admitted, a token is made.
 4. Any other new name waits for approval.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import msgspec

from app.fleet.address import is_loopback
from app.settings.schema import Join
from app.store.records import NodeRecord

WINDOW_S = 600.0
"""How long after the router's first ever start a machine of the LAN may join unasked, in seconds."""
WAITING_MOST = 100
"""Names that may wait for approval at once; further ones are refused."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Decision:
    """``token`` is the clear text to hand over, once; ``record`` is what the store must keep before answering."""

    status: Literal["admitted", "waiting", "refused"]
    token: str = ""
    record: NodeRecord | None = None
    reason: str = ""


class Admission:
    """The names known to this fleet. ``now`` is wall-clock seconds: the join window outlives restarts."""

    def __init__(
        self, records: Iterable[NodeRecord], *, join: Join, first_start: float, new_token: Callable[[], str]
    ) -> None:
        self._records = {record.node_id: record for record in records}
        self._join = join
        self._first_start = first_start
        self._new_token = new_token
        self._unproven: set[str] = set()

    def waiting(self) -> tuple[NodeRecord, ...]:
        return tuple(record for record in self._records.values() if record.admitted_at is None)

    def drained(self) -> list[str]:
        return [record.node_id for record in self._records.values() if record.drained]

    def decide(self, node_id: str, token: str, peer: str, now: float) -> Decision:
        if not NAME.fullmatch(node_id):
            return Decision("refused", reason="a node's name is 1 to 63 letters, digits, dots, dashes or underscores")
        known = self._records.get(node_id)
        if known is not None and known.token_hash:  # (1)
            if token and hmac.compare_digest(hash_token(token), known.token_hash):
                self._unproven.discard(node_id)
                return Decision("admitted")
            if not token and node_id in self._unproven and peer == known.address:
                return self._admit(node_id, peer, known, now)
            return Decision("refused", reason=f"the name {node_id} belongs to another machine, or its token is wrong")
        if known is not None and known.admitted_at is not None:  # (2)
            if peer == known.address:
                return self._admit(node_id, peer, known, now)
            return Decision("refused", reason=f"the name {node_id} was approved for another address")
        if is_loopback(peer) or self._join == "open" or (self._join == "window" and self._window_open(now)):  # (3)
            return self._admit(node_id, peer, known, now)
        if known is None and len(self.waiting()) >= WAITING_MOST:
            return Decision("refused", reason="too many machines wait for approval")
        if known is not None and known.address != peer:
            return Decision("refused", reason=f"another machine waits for approval as {node_id}")
        if known is None:  # (4)
            known = self._records[node_id] = NodeRecord(node_id=node_id, token_hash="", first_seen=now, address=peer)
        return Decision("waiting", record=known, reason=f"run `herd approve {node_id}` on the router")

    def approve(self, node_id: str, now: float) -> NodeRecord | None:
        """The operator lets a waiting name in; its next heartbeat gets the token. None: nobody of that name waits."""
        known = self._records.get(node_id)
        if known is None:
            return None
        if known.admitted_at is None:
            known = msgspec.structs.replace(known, admitted_at=now)
            self._records[node_id] = known
        return known

    def drain(self, node_id: str, drained: bool) -> NodeRecord | None:
        """Keep what the operator said of a node's work. None: no node of that name was let in."""
        known = self._records.get(node_id)
        if known is None or known.admitted_at is None:
            return None
        known = self._records[node_id] = msgspec.structs.replace(known, drained=drained)
        return known

    def forget(self, node_id: str) -> bool:
        return self._records.pop(node_id, None) is not None

    def _window_open(self, now: float) -> bool:
        return 0 <= now - self._first_start <= WINDOW_S

    def _admit(self, node_id: str, peer: str, known: NodeRecord | None, now: float) -> Decision:
        token = self._new_token()
        record = msgspec.structs.replace(
            known or NodeRecord(node_id=node_id, token_hash="", first_seen=now),
            token_hash=hash_token(token),
            admitted_at=now,
            address=peer,
        )
        self._records[node_id] = record
        self._unproven.add(node_id)
        return Decision("admitted", token=token, record=record)


def hash_token(token: str) -> str:
    """Hex SHA-256: enough for 256 random bits."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
