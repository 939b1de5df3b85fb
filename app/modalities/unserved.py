"""The honest answer of a door whose modality is not served yet: 501 in the caller's dialect. Knows no engine."""

from litestar import Response

from app.dialects import error_body
from app.errors import NotServed


def not_served(path: str, title: str) -> Response[bytes]:
    error = NotServed(f"{title} are not served by this version of Herd")
    return Response(error_body(path, error), status_code=error.status, media_type="application/json")
