"""An error as the body of an answer, in the dialect that a path speaks. Pure; knows no request and no HTTP library."""

import msgspec

from app.errors import HerdError, RequestError


def error_body(path: str, error: HerdError) -> bytes:
    """``/v1/*`` is OpenAI's dialect, everything else Ollama's."""
    return openai_error(error) if path.startswith("/v1/") else ollama_error(error)


def ollama_error(error: HerdError) -> bytes:
    return msgspec.json.encode({"error": _printable(error.text)})


def openai_error(error: HerdError) -> bytes:
    kind = RequestError.code if isinstance(error, RequestError) else error.code
    return msgspec.json.encode({"error": {"message": _printable(error.text), "type": kind, "code": error.code}})


def _printable(message: str) -> str:
    """A message that every encoder takes: half a surrogate pair may have come from a client."""
    return message.encode("utf-8", "replace").decode()
