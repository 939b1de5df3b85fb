"""Asks nodes what their owners lend, and tells them an operator's wish to pause them. Knows no HTTP and no page.

The wish is kept by the node: it outlives restarts of both, and the node's next heartbeat, sent at once, says so.
"""

from typing import Any

import msgspec

from app.errors import BodyInvalid, EngineFailed, NotFound
from app.fleet.node_client import NodeClient
from app.fleet.registry import Registry

PATH = "/capacity"


class Lending:
    def __init__(self, *, registry: Registry, nodes: NodeClient) -> None:
        self._registry = registry
        self._nodes = nodes

    async def look(self, node_id: str) -> dict[str, Any]:
        """What the node lends now, what it learned of each hour of the week, and who wished what.

        Raises ``NotFound`` or a ``NodeFailed``.
        """
        return await self._ask(node_id, "GET")

    async def pause(self, node_id: str, lasts: str) -> dict[str, Any]:
        """Nothing new for this node for a while (``2h``), or until it is resumed (empty). Raises as ``look``."""
        return await self._ask(node_id, "POST", {"mode": "pause", "for": lasts})

    async def resume(self, node_id: str) -> dict[str, Any] | None:
        """Take the operator's pause back. None: the node has none. Raises as ``look``."""
        node = self._registry.node(node_id)
        capacity = node.heartbeat.capacity if node is not None else None
        if capacity is None or not capacity.override:
            return None
        return await self._ask(node_id, "POST", {"mode": "resume"})

    async def _ask(self, node_id: str, method: str, told: dict[str, str] | None = None) -> dict[str, Any]:
        if self._registry.node(node_id) is None:
            raise NotFound(f"no node called {node_id} is known")
        status, said = await self._nodes.knock(node_id, method, PATH, msgspec.json.encode(told) if told else b"")
        try:
            answer = msgspec.json.decode(said, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            answer = {}
        if status == 400:
            raise BodyInvalid(str(answer.get("error", "the node refuses it")))
        if status != 200:
            raise EngineFailed(f"{node_id} answered {status}: is its agent as new as this router?")
        return answer
