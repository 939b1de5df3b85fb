"""The scorer adapter of llm: a request body becomes a job, a route becomes a call. Pure; knows no node, clock or HTTP.

Native first: where the engine speaks the client's dialect, only the few keys that the router must change are changed.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

from app.dialects import error_body
from app.errors import HerdError, NotServed
from app.fleet.job import Call, Job, Meter, Route, SignOfLife
from app.modalities import tags
from app.modalities.body import NULL, Fields, fields_of, given, is_zero, read
from app.modalities.llm import body as bodies
from app.modalities.llm import context, translate_messages, translate_request, translate_responses
from app.modalities.llm.body import View
from app.modalities.llm.body_messages import Messages, without_fingerprint
from app.modalities.llm.body_responses import Responses
from app.modalities.llm.dialects import anthropic, ollama, openai, responses
from app.modalities.llm.dialects.events import SSE, comment
from app.modalities.llm.fitting import Need, fit, override
from app.modalities.llm.settings import LanguageModels
from app.modalities.llm.translate_answer import translator
from app.modalities.llm.translate_messages_answer import MessagesWriter
from app.modalities.llm.translate_ollama import LoadMeter, OllamaWriter, Shape
from app.modalities.llm.translate_responses_answer import ResponsesWriter
from app.scoring.types import Demand
from node.wire import model_key


class Dialect(Protocol):
    """What each file of ``dialects/`` can do."""

    def error_event(self, error: HerdError, /) -> bytes: ...
    def meter(self, *, stream: bool) -> Meter: ...


class Endpoint(msgspec.Struct, frozen=True):
    """What a path takes. ``streams``: what it does when the client does not say."""

    reader: msgspec.json.Decoder[View]
    dialect: str
    operation: str
    streams: bool = False


_ENDPOINTS: dict[str, Endpoint] = {
    "/api/chat": Endpoint(msgspec.json.Decoder(bodies.OllamaChat), "ollama", "chat", streams=True),
    "/api/generate": Endpoint(msgspec.json.Decoder(bodies.OllamaGenerate), "ollama", "generate", streams=True),
    "/v1/chat/completions": Endpoint(msgspec.json.Decoder(bodies.OpenAIChat), "openai", "chat"),
    "/v1/completions": Endpoint(msgspec.json.Decoder(bodies.OpenAICompletion), "openai", "generate"),
    "/v1/messages": Endpoint(msgspec.json.Decoder(Messages), "anthropic", "chat"),
    "/v1/responses": Endpoint(msgspec.json.Decoder(Responses), "responses", "chat"),
}
_DIALECTS: dict[str, Dialect] = {"ollama": ollama, "openai": openai, "anthropic": anthropic, "responses": responses}
_OURS = ("metadata", "fallback_models", "fallback", "user")
"""Keys for the router's eyes only."""
DEFAULT = LanguageModels()
_USAGE = msgspec.Raw(b'{"include_usage":true}')
_encode = msgspec.json.Encoder().encode


def job(
    endpoint: str,
    body: bytes,
    *,
    request_id: str,
    clock: Callable[[], float],
    timer: Callable[[], float],
    client: str = "",
    user_agent: str = "",
    tag_header: str = "",
    meant: Callable[[str], str] = str,
    may_substitute: bool = True,
    settings: LanguageModels = DEFAULT,
) -> Job:
    """The job that a request body asks for. Raises a ``RequestError`` and nothing else.

    ``clock`` gives epoch seconds and ``timer`` monotonic ones; both are read only where an answer must be translated.
    ``meant`` says which model a name stands for.
    ``may_substitute``: the request's head does not forbid that another model stands in.
    """
    fields = fields_of(body)
    known = _ENDPOINTS[endpoint]
    view = read(known.reader, body)
    asked, *fallbacks = bodies.names_of(view)
    names = tuple(dict.fromkeys((meant(asked), *fallbacks)))
    notes = ("model.mapped",) if names[0] != asked else ()
    steady = without_fingerprint(fields["system"]) if known.dialect == "anthropic" and "system" in fields else None
    if steady is not None:
        fields["system"] = steady
        body = _encode(fields)
        notes = (*notes, "fingerprint.replaced")
    output = bodies.judge_numbers(view)
    bodies.judge_links(view)
    view.judge()
    prompt = context.prompt_tokens(*view.measure())
    stream = known.streams if view.stream is None else view.stream
    need = Need(prompt, context.context_needed(prompt, output, settings.context_output), view.num_ctx)
    request = Request(
        request_id, endpoint, body, fields, view, need, settings, notes, stream=stream, clock=clock, timer=timer
    )
    return Job(
        id=request_id,
        demand=Demand(
            modality="llm",
            operation=known.operation,
            models=names,
            prompt_tokens=prompt,
            context_needed=max(need.estimate, need.asked or override(settings, names[0]) or 0),
            resizes=known.dialect == "ollama" and (settings.context_protection == "strip" or need.asked is not None),
            needs=_needs(view),
            substitutes=settings.vram_fallback and may_substitute and view.fallback is not False and not view.bound,
        ),
        prepare=request.prepare,
        error_body=partial(error_body, endpoint),
        error_event=_DIALECTS[known.dialect].error_event,
        dialect=known.dialect,
        endpoint=endpoint,
        stream=stream,
        sign_of_life=request.sign_of_life(),
        loads_by="/api/generate",
        tags=tags.collect(fields.get("metadata"), tag_header, fields.get("user")),
        client=client,
        user_agent=user_agent,
    )


class Question(msgspec.Struct, frozen=True):
    """How many tokens are in a prompt: of which model, as the router estimates, and the body that asks an engine."""

    model: str
    estimate: int
    body: Callable[[str], bytes]


def question(body: bytes, meant: Callable[[str], str] = str) -> Question:
    """The question that a body of ``count_tokens`` asks. Raises a ``RequestError`` and nothing else."""
    fields = fields_of(body)
    view = read(_ENDPOINTS["/v1/messages"].reader, body)
    model = meant(bodies.names_of(view)[0])
    bodies.judge_links(view)

    def asking(name: str) -> bytes:
        return patch(body, fields, {"model": msgspec.Raw(_encode(name))})

    return Question(model, context.prompt_tokens(*view.measure()), asking)


def _needs(view: View) -> tuple[str, ...]:
    if view.pictured:
        return ("vision", "tools") if view.tools else ("vision",)
    return ("tools",) if view.tools else ()


class Request:
    """A body that was read, and what becomes of it at each node that is tried."""

    __slots__ = (
        "body", "clock", "dialect", "endpoint", "fields", "need", "notes", "request_id", "settings", "stream", "timer",
        "view",
    )  # fmt: skip

    def __init__(
        self,
        request_id: str,
        endpoint: str,
        body: bytes,
        fields: Fields,
        view: View,
        need: Need,
        settings: LanguageModels,
        notes: tuple[str, ...] = (),
        *,
        stream: bool,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self.request_id = request_id
        self.endpoint = endpoint
        self.body = body
        self.fields = fields
        self.view = view
        self.need = need
        self.settings = settings
        self.notes = notes
        self.dialect = _ENDPOINTS[endpoint].dialect
        self.stream = stream
        self.clock = clock
        self.timer = timer

    def prepare(self, route: Route) -> Call:
        """The call for this route. Raises ``NotServed`` if its engine cannot be spoken to, or a ``RequestError``."""
        fitting = fit(self.fields, self.view, self.need, route, self.settings, ollama=self.dialect == "ollama")
        call = self._spoken(route, fitting.changes)
        return msgspec.structs.replace(
            call,
            notes=(*self.notes, *call.notes, *fitting.notes),
            headers=tuple(fitting.headers),
            budget=fitting.budget,
            keeps=fitting.keeps,
            unloads=is_zero(self.fields.get("keep_alive")),
        )

    def _spoken(self, route: Route, changes: Fields) -> Call:
        if self.dialect in route.dialects:
            return self._as_it_is(route, changes)
        if "openai" in route.dialects:
            fields = {**self.fields, **changes}
            match self.dialect:
                case "ollama":
                    return self._from_ollama(route, fields)
                case "anthropic":
                    return self._from_messages(route, fields)
                case "responses":
                    return self._from_responses(route, fields)
        raise NotServed(f"{route.engine} on {route.node_id} does not speak the dialect of {self.endpoint}")

    def sign_of_life(self) -> SignOfLife:
        if self.dialect != "ollama":
            return SignOfLife(SSE, comment)
        shape = Shape(model=self.view.model or "", chat=self.endpoint == "/api/chat", clock=self.clock)
        return SignOfLife(ollama.NDJSON, shape.sign_of_life)

    def _from_ollama(self, route: Route, fields: Fields) -> Call:
        """The request in OpenAI's words, and a meter that brings the answer back into Ollama's."""
        asked = translate_request.read(self.body)
        chat = self.endpoint == "/api/chat"
        named = self._named(route)
        if translate_request.is_load(asked, chat=chat):
            reason = "unload" if is_zero(self.fields.get("keep_alive")) else "load"
            shape = Shape(model=named, chat=chat, clock=self.clock)
            notes = ("dialect.translated", f"{reason}.answered")
            return Call(
                path="/v1/models", method="GET", body=b"", meter=LoadMeter(shape, reason), stream=False, notes=notes
            )
        out = translate_request.outgoing(asked, fields, chat=chat, model=route.model.name, stream=self.stream)
        writer = OllamaWriter(Shape(model=named, chat=chat, clock=self.clock), self.timer)
        meter = translator(writer, stream=self.stream, prefill=out.prefill)
        return Call(path=out.path, body=out.body, meter=meter, stream=self.stream, notes=_told(route, out.notes))

    def _from_messages(self, route: Route, fields: Fields) -> Call:
        """The same out of Anthropic's words."""
        asked = translate_messages.read(self.body)
        out = translate_messages.outgoing(
            asked, fields, model=route.model.name, stream=self.stream, obeys=route.engine_kind != "ollama"
        )
        stops = tuple(asked.stop_sequences or ())
        writer = MessagesWriter(self.request_id, self._named(route), thinks=asked.thinks, stops=stops)
        meter = translator(writer, stream=self.stream, prefill=out.prefill)
        return Call(path=out.path, body=out.body, meter=meter, stream=self.stream, notes=_told(route, out.notes))

    def _from_responses(self, route: Route, fields: Fields) -> Call:
        """The same out of Responses' words."""
        asked = translate_responses.read(self.body)
        out = translate_responses.outgoing(
            asked, fields, model=route.model.name, stream=self.stream, obeys=route.engine_kind != "ollama"
        )
        writer = ResponsesWriter(
            self.request_id, self._named(route), created=self.clock(), fields=self.fields, free_text=asked.free_text()
        )
        return Call(
            path=out.path, body=out.body, meter=translator(writer, stream=self.stream), stream=self.stream,
            notes=_told(route, out.notes), error_event=writer.error,
        )  # fmt: skip

    def _named(self, route: Route) -> str:
        """The model as the client shall see it: as asked for, unless another one serves."""
        return (self.view.model or "") if route.how == "asked" else route.model.name

    def _as_it_is(self, route: Route, changes: Fields) -> Call:
        """The body with nothing changed but what must be; the very same bytes if nothing must."""
        notes: list[str] = []
        drop_usage = False
        name = route.model.name
        if _renamed(route, self.view.model or ""):
            changes["model"] = msgspec.Raw(_encode(name))
            notes.append("model.substituted" if route.how == "substitute" else "model.renamed")
        if self.dialect == "openai" and route.engine_kind == "ollama" and "max_tokens" not in self.fields:
            limit = {**self.fields, **changes}.get("max_completion_tokens", NULL)
            if given(limit):  # Ollama knows the older word only: it would write on without an end
                changes["max_tokens"] = limit
                notes.append("limit.renamed")
        if self.dialect == "openai" and self.stream and not _asks_for_usage(self.view):
            changes["stream_options"] = _usage_asked(self.view)
            drop_usage = True
            notes.append("usage.asked")
        meter = openai.StreamMeter(drop_usage=True) if drop_usage else _DIALECTS[self.dialect].meter(stream=self.stream)
        return Call(
            path=self.endpoint,
            body=patch(self.body, self.fields, changes),
            meter=meter,
            stream=self.stream,
            notes=tuple(notes),
            error_event=meter.error_event if isinstance(meter, responses.StreamMeter) else None,
        )


def patch(body: bytes, fields: Fields, changes: Fields) -> bytes:
    """The body with these top-level keys set and the router's own removed; every other value as it was written."""
    if not changes and not any(key in fields for key in _OURS):
        return body
    patched = {**fields, **changes}
    for key in _OURS:
        patched.pop(key, None)
    return _encode(patched)


def _told(route: Route, notes: tuple[str, ...]) -> tuple[str, ...]:
    """The notes of a translation, whose model is always written as the engine writes it."""
    return (*notes, "model.substituted") if route.how == "substitute" else notes


def _renamed(route: Route, asked: str) -> bool:
    """Whether the engine must be told another name. Ollama takes either spelling of one name; others only their own."""
    name = route.model.name
    if name == asked:
        return False
    return route.how != "asked" or route.engine_kind != "ollama" or model_key(name) != model_key(asked)


def _asks_for_usage(view: View) -> bool:
    options: Fields | None = getattr(view, "stream_options", None)
    return bool(options) and bytes((options or {}).get("include_usage", b"")) == b"true"


def _usage_asked(view: View) -> msgspec.Raw:
    options: Fields | None = getattr(view, "stream_options", None)
    return msgspec.Raw(_encode({**options, "include_usage": True})) if options else _USAGE
