"""The scorer adapter of embed: a body becomes a job, a route becomes a call. Pure; knows no node, clock or HTTP.

Native first: an engine that speaks the client's dialect gets the body with only those keys changed that must be.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec

from app.dialects import error_body, ollama_error, openai_error
from app.errors import BodyInvalid, NotServed
from app.fleet.job import Call, Job, Route, Usage
from app.modalities import tags
from app.modalities.body import Fields, fields_of, given, is_zero, model_of, read
from app.modalities.caller import Caller
from app.modalities.embed.answers import OllamaWriter, OpenAIWriter, Reading, Write
from app.modalities.embed.schema import BODY, Body, Inputs, inputs_of
from app.modalities.embed.settings import Embedding
from app.modalities.embed.vectors import Form
from app.scoring.types import Demand
from node.wire import model_key

LEGACY = "/api/embeddings"
"""Ollama's first door for embeddings: one ``prompt``, one vector."""
PATHS = {"ollama": "/api/embed", "openai": "/v1/embeddings"}
OURS = ("metadata", "fallback_models", "fallback", "user")
"""Keys for the router's eyes only."""
ONE_DIALECTS = {"ollama": ("truncate", "keep_alive", "options"), "openai": ("encoding_format",)}
"""Keys that only one dialect has a word for."""
ITEM_WEIGHT = 16
"""What an input costs besides its characters."""
FOREVER = msgspec.Raw(b"-1")
_encode = msgspec.json.Encoder().encode
DEFAULT = Embedding()
NOBODY = Caller()


def job(
    endpoint: str,
    body: bytes,
    *,
    request_id: str,
    timer: Callable[[], float],
    caller: Caller = NOBODY,
    settings: Embedding = DEFAULT,
) -> Job:
    """The job that a request body asks for. Raises a ``RequestError`` and nothing else.

    ``timer`` gives monotonic seconds.
    """
    fields = fields_of(body)
    told = read(BODY, body)
    model = model_of(told.model)
    field = _input_field(endpoint, told)
    inputs = inputs_of(field, getattr(told, field), settings.embed_inputs_max)
    dialect = "openai" if endpoint == PATHS["openai"] else "ollama"
    if dialect == "ollama" and inputs.tokens:
        raise BodyInvalid(f'the field "{field}" is of a wrong type: a text or a list of texts is expected')
    asked = Request(endpoint, dialect, body, fields, told, model, field, inputs, timer)
    divides = 0 < settings.embed_split_from <= len(inputs.items)
    return Job(
        id=request_id,
        demand=Demand(modality="embed", operation="embed", models=(model,)),
        prepare=asked.prepare,
        error_body=partial(error_body, endpoint),
        error_event=openai_error if dialect == "openai" else ollama_error,
        dialect=dialect,
        endpoint=endpoint,
        stream=False,
        parts=asked if divides else None,
        loads_by=PATHS["ollama"],
        tags=tags.collect(fields.get("metadata"), caller.tags, fields.get("user")),
        client=caller.address,
        user_agent=caller.user_agent,
    )


def _input_field(endpoint: str, told: Body) -> str:
    """Where the inputs stand: the old door reads ``prompt`` first, the others take it for want of an ``input``."""
    if given(told.prompt) and (endpoint == LEGACY or (endpoint == PATHS["ollama"] and not given(told.input))):
        return "prompt"
    return "input"


class Request:
    """A body that was read, and what becomes of it, or of a part of it, at each node that is tried."""

    def __init__(
        self,
        endpoint: str,
        dialect: str,
        body: bytes,
        fields: Fields,
        told: Body,
        model: str,
        field: str,
        inputs: Inputs,
        timer: Callable[[], float],
    ) -> None:
        self.dialect = dialect
        self.body = body
        self.fields = fields
        self.model = model
        self.field = field
        self.inputs = inputs
        self.form = Form(base64=told.encoding_format == "base64" and dialect == "openai", dimensions=told.dimensions)
        self.weights = [len(item) + ITEM_WEIGHT for item in inputs.items]
        begun = timer()
        self._old = endpoint == LEGACY
        self._writer: OpenAIWriter | OllamaWriter = (
            OpenAIWriter(model)
            if dialect == "openai"
            else OllamaWriter(model, lambda: timer() - begun, alone=self._old and inputs.single)
        )

    def prepare(self, route: Route) -> Call:
        """The call for all of it. Raises ``NotServed`` or a ``RequestError`` if this engine cannot be asked so."""
        dialect = self._spoken(route)
        native = dialect == self.dialect and not (self._old and self.inputs.single)
        changes = {} if self.field == "input" else {"input": self.inputs.items[0]}
        return self._call(route, dialect, changes, len(self.inputs.items), self._whole, native=native)

    def call(self, route: Route, part: range) -> Call:
        """The call for some of the inputs, whose answer is a fragment."""
        listed = b",".join(map(bytes, self.inputs.items[part.start : part.stop]))
        changes = {"input": msgspec.Raw(b"[%b]" % listed)}
        return self._call(
            route, self._spoken(route), changes, len(part),
            lambda vectors, usage: self._writer.fragment(vectors, part.start), native=False,
        )  # fmt: skip

    def join(self, fragments: Iterable[bytes], usage: Usage) -> bytes:
        return self._writer.whole(fragments, usage)

    def _whole(self, vectors: Sequence[msgspec.Raw], usage: Usage) -> bytes:
        return self._writer.whole([self._writer.fragment(vectors, 0)], usage)

    def _spoken(self, route: Route) -> str:
        """The dialect to speak with this engine: the client's own, if it can."""
        if self.inputs.tokens and route.engine_kind == "ollama":
            raise BodyInvalid(f"{route.engine} on {route.node_id} takes text only, no tokens")
        for dialect in (self.dialect, *PATHS):
            if dialect in route.dialects and not (dialect == "ollama" and self.inputs.tokens):
                return dialect
        raise NotServed(f"{route.engine} on {route.node_id} speaks no dialect that has embeddings")

    def _call(
        self,
        route: Route,
        dialect: str,
        changes: Fields,
        count: int,
        write: Write,
        *,
        native: bool,
    ) -> Call:
        notes: list[str] = []
        dropped = {key for key in (*OURS, "prompt") if key in self.fields}
        if dialect != self.dialect:
            notes.append("dialect.translated")
            foreign = [key for key in ONE_DIALECTS[self.dialect] if key in self.fields]
            dropped |= set(foreign)
            notes += ["fields.dropped " + ", ".join(foreign)] if foreign else []
        if _renamed(route, self.model):
            changes["model"] = msgspec.Raw(_encode(route.model.name))
            notes.append("model.renamed")
        if dialect == "ollama" and "keep_alive" not in self.fields:
            changes["keep_alive"] = FOREVER
            notes.append("keep_alive.set")
        body = self.body
        if changes or dropped:
            kept = {key: value for key, value in self.fields.items() if key not in dropped}
            body = _encode({**kept, **changes})
        return Call(
            path=PATHS[dialect],
            body=body,
            meter=Reading(dialect, count, self.form, write, native=native),
            stream=False,
            notes=tuple(notes),
            unloads=dialect == "ollama" and is_zero(self.fields.get("keep_alive")),
            keeps=dialect == "openai" and route.engine_kind == "ollama",
        )


def _renamed(route: Route, asked: str) -> bool:
    """Whether the engine must be told another name. Ollama takes either spelling of one name; others only their own."""
    name = route.model.name
    return name != asked and (route.engine_kind != "ollama" or model_key(name) != model_key(asked))
