"""The doors of embed: /api/embed, /api/embeddings, /v1/embeddings. 501 until it serves; knows no engine."""

from litestar import Controller, Request, Response, post
from litestar.datastructures import State

from app.modalities.unserved import not_served


class Embeddings(Controller):
    @post(["/api/embed", "/api/embeddings", "/v1/embeddings"], status_code=501)
    async def ask(self, request: Request[None, None, State]) -> Response[bytes]:
        return not_served(request.url.path, "Embeddings")
