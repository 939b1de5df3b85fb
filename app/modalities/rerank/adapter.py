"""The scorer adapter of rerank: a request body becomes a job, a route becomes a call. Pure; knows no node and no HTTP.

Fields that nobody here has heard of go on to the engine as they came.
"""

from functools import partial

import msgspec

from app.dialects import error_body, openai_error
from app.errors import NotServed
from app.fleet.job import Call, Job, Route, Usage
from app.modalities import tags
from app.modalities.body import Fields, fields_of, model_of, read
from app.modalities.caller import Caller
from app.modalities.rerank import schema
from app.modalities.rerank.schema import Asked, Unscored
from app.scoring.types import Demand

PATH = "/v1/rerank"
_OURS = ("metadata", "user", "fallback_models", "fallback", "top_n", "return_documents")
"""Keys for the router's eyes only. All documents are scored: who is at the top is known when the scores are."""
_encode = msgspec.json.Encoder().encode


def job(endpoint: str, body: bytes, *, request_id: str, caller: Caller) -> Job:
    """The job that a request body asks for. Raises a ``RequestError`` and nothing else."""
    fields = fields_of(body)
    asked = read(schema.ASKED, body)
    model = model_of(asked.model)
    tokens = asked.longest_tokens
    return Job(
        id=request_id,
        demand=Demand(
            modality="rerank",
            operation="rerank",
            models=(model,),  # scores of another model would mean something else: no fallback, no substitute
            prompt_tokens=tokens,
            context_needed=tokens,
        ),
        prepare=partial(_call, request_id, model, asked, fields),
        error_body=partial(error_body, endpoint),
        error_event=openai_error,
        dialect="openai",
        endpoint=endpoint,
        stream=False,
        tags=tags.collect(fields.get("metadata"), caller.tags, fields.get("user")),
        client=caller.address,
        user_agent=caller.user_agent,
    )


def _call(request_id: str, model: str, asked: Asked, fields: Fields, route: Route) -> Call:
    """The call for this route. Raises ``NotServed`` if its engine cannot be spoken to."""
    if "openai" not in route.dialects:
        raise NotServed(f"{route.engine} on {route.node_id} has no {PATH}")
    own = {key: value for key, value in fields.items() if key not in _OURS}
    body = {**own, "model": route.model.name, "documents": asked.texts}
    notes = ("model.renamed",) if route.model.name != model else ()
    return Call(path=PATH, body=_encode(body), meter=Scores(request_id, model, asked), stream=False, notes=notes)


class Scores:
    """Reads an engine's scores and writes them as the client wants them: best first, and no more than it asked for."""

    __slots__ = ("_asked", "_model", "_parts", "_request_id", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self, request_id: str, model: str, asked: Asked) -> None:
        self._request_id = request_id
        self._model = model
        self._asked = asked
        self._parts: list[bytes] = []
        self.complete = False
        self.content_type = "application/json"
        self.failed: str | None = None
        self.refusal: str | None = None
        self.usage = Usage()

    def feed(self, piece: bytes) -> bytes:
        self._parts.append(piece)
        return b""

    def finish(self) -> bytes:
        try:
            scored = schema.scored(b"".join(self._parts), len(self._asked.documents))
        except Unscored as error:
            self.refusal = str(error)
            return b""
        self.complete = True
        self.usage.prompt_tokens = scored.usage.prompt_tokens or scored.usage.total_tokens
        return schema.answer(self._request_id, self._model, self._asked, scored)
