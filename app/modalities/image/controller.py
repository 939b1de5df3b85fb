"""The doors of image: /api/generate-image, /v1/images/generations, /api/image-models. Knows no engine and no node."""

import time
from functools import partial
from typing import Any

from litestar import Controller, Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from app.dialects import error_body
from app.fleet.holders import Holders
from app.fleet.inventory import FleetModel, Inventory
from app.fleet.job import Job
from app.modalities.caller import caller_of
from app.modalities.http import Corridor, Entrance
from app.modalities.image import adapter
from app.modalities.image.catalogue import steps_of


class Images(Controller):
    @post([adapter.OWN_PATH, adapter.OPENAI_PATH], status_code=200, summary="Make pictures, on the best node")
    async def ask(
        self,
        request: Request[None, None, State],
        entrance: NamedDependency[Entrance],
        holders: NamedDependency[Holders],
    ) -> Corridor:
        endpoint, caller, request_id = request.scope["path"], caller_of(request.scope), entrance.request_id()
        settings = entrance.settings("image")

        def job(body: bytes) -> Job:
            return adapter.job(
                endpoint,
                body,
                request_id=request_id,
                caller=caller,
                clock=time.time,
                settings=settings,
                know=partial(holders.know, operation=adapter.OPERATION),
                known=partial(holders.of_kind, "image", adapter.OPERATION),
            )

        return entrance.corridor(job, partial(error_body, endpoint))

    @get("/api/image-models", summary="Image models of the fleet")
    async def listing(self, inventory: NamedDependency[Inventory]) -> dict[str, Any]:
        """``steps`` are those of a request that names none; null: as many as the engine thinks right."""
        return {"models": [_row(model) for model in inventory.models() if model.best.modality == "image"]}


def _row(model: FleetModel) -> dict[str, Any]:
    return {
        "name": model.best.name,
        "type": model.best.modality,
        "backend": model.holdings[0].engine.kind,
        "steps": steps_of(model.best.name),
        "fleet_nodes": model.node_ids,
    }
