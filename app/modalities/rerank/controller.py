"""The doors of rerank: /v1/rerank as Jina has it, /v2/rerank as Cohere has it. Knows no engine and no node."""

from functools import partial

from litestar import Controller, Request, post
from litestar.datastructures import State
from litestar.di import NamedDependency

from app.dialects import error_body
from app.modalities.caller import caller_of
from app.modalities.http import Corridor, Entrance
from app.modalities.rerank import adapter


class Rerank(Controller):
    @post(["/v1/rerank", "/v2/rerank"], status_code=200, summary="Put documents in order, on the best node")
    async def ask(self, request: Request[None, None, State], entrance: NamedDependency[Entrance]) -> Corridor:
        endpoint, caller = request.scope["path"], caller_of(request.scope)
        read = partial(adapter.job, endpoint, request_id=entrance.request_id(), caller=caller)
        return entrance.corridor(read, partial(error_body, endpoint))
