"""The shapes of reranking: a request of Jina's or Cohere's, an engine's scores, the answer. Pure; knows no job."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

CHARACTERS_PER_TOKEN = 4


class Document(msgspec.Struct, frozen=True):
    text: str


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request. ``documents`` are texts, bare or in objects; ``top_n``: as many of the best are wanted, else all."""

    model: str | None = None
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | Document], Meta(min_length=1)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]

    @property
    def longest_tokens(self) -> int:
        """Tokens of the query with the longest document, estimated: each pair is read for itself."""
        return max(1, (len(self.query) + max(map(len, self.texts))) // CHARACTERS_PER_TOKEN)


ASKED = msgspec.json.Decoder(Asked)


class Score(msgspec.Struct, frozen=True):
    index: int
    relevance_score: float


class Tokens(msgspec.Struct, frozen=True, omit_defaults=True):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class Scored(msgspec.Struct, frozen=True):
    """An engine's answer, in whatever order it comes."""

    results: list[Score]
    usage: Tokens = Tokens()


class Unscored(ValueError):
    """What an engine sent is no answer to the request; the text says why."""


_decode = msgspec.json.Decoder(Scored).decode


def scored(body: bytes, documents: int) -> Scored:
    """The engine's scores of so many documents. Raises ``Unscored``."""
    try:
        told = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Unscored("the engine's answer is no list of scores") from error
    if sorted(one.index for one in told.results) != list(range(documents)):
        raise Unscored(f"the engine was sent {documents} documents and scored others")
    return told


def answer(request_id: str, model: str, asked: Asked, told: Scored) -> bytes:
    """The answer as clients of Jina and of Cohere read it; equal scores stay in the order of the request."""
    best = sorted(told.results, key=lambda one: (-one.relevance_score, one.index))[: asked.top_n]
    return msgspec.json.encode(
        {
            "id": request_id,
            "object": "list",
            "model": model,
            "usage": told.usage,
            "results": [_result(one, asked) for one in best],
        }
    )


def _result(score: Score, asked: Asked) -> dict[str, Any]:
    result: dict[str, Any] = {"index": score.index, "relevance_score": score.relevance_score}
    if asked.return_documents:
        result["document"] = {"text": asked.texts[score.index]}
    return result
