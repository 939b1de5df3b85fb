"""Errors as answers, in the dialect that a path speaks, and whether an engine's own one is. Pure; knows no request."""

import re
from collections.abc import Callable

import msgspec

from app.errors import HerdError, RequestError


def error_body(path: str, error: HerdError) -> bytes:
    """``/v1/messages`` is Anthropic's dialect, all else below a version (``/v1/``) OpenAI's, the rest Ollama's."""
    return _WRITERS[_dialect(path)](error)


def is_error(path: str, body: bytes) -> bool:
    """Whether this is an error's body in the dialect of the path."""
    try:
        said = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    match _dialect(path):
        case "ollama":
            return isinstance(said.error, str)
        case "anthropic":
            return said.type == "error" and isinstance(said.error, dict)
        case _:
            return isinstance(said.error, dict)


def ollama_error(error: HerdError) -> bytes:
    told = {"error": _printable(error.text)}
    if error.status == 401:
        told["status"] = told["error"]  # all that the `ollama` command line shows of a 401
    return msgspec.json.encode(told)


def openai_error(error: HerdError) -> bytes:
    kind = RequestError.code if isinstance(error, RequestError) else error.code
    return msgspec.json.encode({"error": {"message": _printable(error.text), "type": kind, "code": error.code}})


def anthropic_error(error: HerdError) -> bytes:
    kind = _ANTHROPIC.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": _printable(error.text)}})


_VERSIONED = re.compile(r"/v\d+/")


class _Said(msgspec.Struct):
    error: str | dict[str, msgspec.Raw] | None = None
    type: str = ""


_decode = msgspec.json.Decoder(_Said).decode
_WRITERS: dict[str, Callable[[HerdError], bytes]] = {
    "ollama": ollama_error,
    "openai": openai_error,
    "anthropic": anthropic_error,
}
_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}
"""Anthropic's word for a status; of the others, 4xx is the request's fault and 5xx the API's."""


def _dialect(path: str) -> str:
    if path == "/v1/messages" or path.startswith("/v1/messages/"):
        return "anthropic"
    return "openai" if _VERSIONED.match(path) else "ollama"


def _printable(message: str) -> str:
    """A message that every encoder takes: half a surrogate pair may have come from a client."""
    return message.encode("utf-8", "replace").decode()
