"""The doors of image: /api/generate-image, /v1/images/generations. 501 until it serves; knows no engine."""

from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State

from app.modalities.unserved import not_served


class Images(Controller):
    @post(["/api/generate-image", "/v1/images/generations"], status_code=501)
    async def ask(self, request: Request[None, None, State]) -> Response[bytes]:
        return not_served(request.url.path, "Images")

    @get("/api/image-models")
    async def listing(self, request: Request[None, None, State]) -> Response[bytes]:
        return not_served(request.url.path, "Images")
