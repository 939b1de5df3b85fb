"""The honest answer of a door whose modality is not served yet: 501 in the caller's dialect. Knows no engine."""

import msgspec
from litestar import Response

from app.errors import NotServed


def not_served(path: str, title: str) -> Response[bytes]:
    """``path`` decides the dialect: ``/v1/*`` is OpenAI's, everything else Ollama's."""
    error = NotServed(f"{title} are not served by this version of Herd")
    body: object = {"error": error.text}
    if path.startswith("/v1/"):
        body = {"error": {"message": error.text, "type": error.code, "code": error.code}}
    return Response(msgspec.json.encode(body), status_code=error.status, media_type="application/json")
