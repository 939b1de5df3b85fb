"""The doors of embed: one text or many, in Ollama's dialect and OpenAI's. Knows no engine and no node."""

import time
from functools import partial

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from app.dialects import error_body
from app.fleet.job import Job
from app.modalities.caller import caller_of
from app.modalities.embed import adapter
from app.modalities.http import Corridor, Entrance


class Embeddings(Controller):
    @post(
        ["/api/embed", "/api/embeddings", "/v1/embeddings"],
        status_code=200,
        summary="Vectors of texts, from the best node or, of a long list, from all",
    )
    async def ask(self, request: Request[None, None, State], entrance: NamedDependency[Entrance]) -> Corridor:
        scope, endpoint, settings = request.scope, request.scope["path"], entrance.settings("embed")
        request_id = entrance.request_id()

        def job(body: bytes) -> Job:
            return adapter.job(
                endpoint, body, request_id=request_id, timer=time.monotonic, caller=caller_of(scope), settings=settings
            )

        return entrance.corridor(job, partial(error_body, endpoint))
