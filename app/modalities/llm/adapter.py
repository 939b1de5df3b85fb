"""The scorer adapter of llm: a request body becomes a job, a route becomes a call. Pure; knows no node, clock or HTTP.

Native first: where the engine speaks the client's dialect, only the few keys that the router must change are changed.
"""

from collections.abc import Callable
from functools import partial

import msgspec

from app.dialects import error_body
from app.errors import NotServed
from app.fleet.job import Call, Job, Meter, Route
from app.modalities.llm import body as bodies
from app.modalities.llm import context, tags, translate_request
from app.modalities.llm.body import Fields, View
from app.modalities.llm.dialects import ollama, openai
from app.modalities.llm.fitting import Need, fit, override
from app.modalities.llm.settings import LanguageModels
from app.modalities.llm.translate_answer import LoadMeter, Shape, StreamTranslator, WholeTranslator
from app.scoring.types import Demand
from node.wire import model_key

_READERS: dict[str, msgspec.json.Decoder[View]] = {
    "/api/chat": msgspec.json.Decoder(bodies.OllamaChat),
    "/api/generate": msgspec.json.Decoder(bodies.OllamaGenerate),
    "/v1/chat/completions": msgspec.json.Decoder(bodies.OpenAIChat),
    "/v1/completions": msgspec.json.Decoder(bodies.OpenAICompletion),
}
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
    may_substitute: bool = True,
    settings: LanguageModels = DEFAULT,
) -> Job:
    """The job that a request body asks for. Raises a ``RequestError`` and nothing else.

    ``clock`` gives epoch seconds and ``timer`` monotonic ones; both are read only where an answer must be translated.
    ``may_substitute``: the request's head does not forbid that another model stands in.
    """
    fields = bodies.fields_of(body)
    view = bodies.read(_READERS[endpoint], body)
    names = bodies.names_of(view)
    output = bodies.judge_numbers(view)
    native = endpoint.startswith("/api/")
    if not native:
        bodies.judge_links(view)
    prompt = context.prompt_tokens(*view.measure())
    dialect = ollama if native else openai
    stream = native if view.stream is None else view.stream
    need = Need(prompt, context.context_needed(prompt, output, settings.context_output), view.num_ctx)
    request = Request(endpoint, body, fields, view, need, settings, stream=stream, clock=clock, timer=timer)
    return Job(
        id=request_id,
        demand=Demand(
            modality="llm",
            operation="chat" if endpoint in ("/api/chat", "/v1/chat/completions") else "generate",
            models=names,
            prompt_tokens=prompt,
            context_needed=max(need.estimate, need.asked or override(settings, names[0]) or 0),
            resizes=native and (settings.context_protection == "strip" or need.asked is not None),
            needs=_needs(view),
            substitutes=settings.vram_fallback and may_substitute and view.fallback is not False and not view.bound,
        ),
        prepare=request.prepare,
        error_body=partial(error_body, endpoint),
        error_event=dialect.error_event,
        dialect="ollama" if native else "openai",
        endpoint=endpoint,
        stream=stream,
        tags=tags.collect(fields.get("metadata"), tag_header, fields.get("user")),
        client=client,
        user_agent=user_agent,
    )


def _needs(view: View) -> tuple[str, ...]:
    if view.pictured:
        return ("vision", "tools") if view.tools else ("vision",)
    return ("tools",) if view.tools else ()


class Request:
    """A body that was read, and what becomes of it at each node that is tried."""

    __slots__ = ("body", "clock", "endpoint", "fields", "native", "need", "settings", "stream", "timer", "view")

    def __init__(
        self,
        endpoint: str,
        body: bytes,
        fields: Fields,
        view: View,
        need: Need,
        settings: LanguageModels,
        *,
        stream: bool,
        clock: Callable[[], float],
        timer: Callable[[], float],
    ) -> None:
        self.endpoint = endpoint
        self.body = body
        self.fields = fields
        self.view = view
        self.need = need
        self.settings = settings
        self.native = endpoint.startswith("/api/")
        self.stream = stream
        self.clock = clock
        self.timer = timer

    def prepare(self, route: Route) -> Call:
        """The call for this route. Raises ``NotServed`` if its engine cannot be spoken to, or a ``RequestError``."""
        dialect = "ollama" if self.native else "openai"
        fitting = fit(self.fields, self.view, self.need, route, self.settings, ollama=self.native)
        call = self._spoken(route, dialect, fitting.changes)
        return msgspec.structs.replace(
            call,
            notes=(*call.notes, *fitting.notes),
            headers=tuple(fitting.headers),
            budget=fitting.budget,
            keeps=fitting.keeps,
        )

    def _spoken(self, route: Route, dialect: str, changes: Fields) -> Call:
        if dialect in route.dialects:
            return self._as_it_is(route, changes)
        if self.native and "openai" in route.dialects:
            return self._translated(route, changes)
        raise NotServed(f"{route.engine} on {route.node_id} does not speak the dialect of {self.endpoint}")

    def _translated(self, route: Route, changes: Fields) -> Call:
        """The request in OpenAI's words, and a meter that brings the answer back into Ollama's."""
        asked = translate_request.read(self.body)
        chat = self.endpoint == "/api/chat"
        named = (self.view.model or "") if route.how == "asked" else route.model.name
        if translate_request.is_load(asked, chat=chat):
            reason = "unload" if bodies.is_zero(self.fields.get("keep_alive")) else "load"
            shape = Shape(model=named, chat=chat, clock=self.clock)
            notes = ("dialect.translated", f"{reason}.answered")
            return Call(
                path="/v1/models", method="GET", body=b"", meter=LoadMeter(shape, reason), stream=False, notes=notes
            )
        fields = {**self.fields, **changes}
        out = translate_request.outgoing(asked, fields, chat=chat, model=route.model.name, stream=self.stream)
        shape = Shape(model=named, chat=chat, clock=self.clock, prefill=out.prefill)
        meter = StreamTranslator(shape, self.timer) if self.stream else WholeTranslator(shape, self.timer)
        told = (*out.notes, "model.substituted") if route.how == "substitute" else out.notes
        return Call(path=out.path, body=out.body, meter=meter, stream=self.stream, notes=told)

    def _as_it_is(self, route: Route, changes: Fields) -> Call:
        """The body with nothing changed but what must be; the very same bytes if nothing must."""
        notes: list[str] = []
        drop_usage = False
        name = route.model.name
        if _renamed(route, self.view.model or ""):
            changes["model"] = msgspec.Raw(_encode(name))
            notes.append("model.substituted" if route.how == "substitute" else "model.renamed")
        if not self.native and self.stream and not _asks_for_usage(self.view):
            changes["stream_options"] = _usage_asked(self.view)
            drop_usage = True
            notes.append("usage.asked")
        return Call(
            path=self.endpoint,
            body=patch(self.body, self.fields, changes),
            meter=self._meter(drop_usage),
            stream=self.stream,
            notes=tuple(notes),
        )

    def _meter(self, drop_usage: bool) -> Meter:
        if self.native:
            return ollama.StreamMeter() if self.stream else ollama.WholeMeter()
        return openai.StreamMeter(drop_usage=drop_usage) if self.stream else openai.WholeMeter()


def patch(body: bytes, fields: Fields, changes: Fields) -> bytes:
    """The body with these top-level keys set and the router's own removed; every other value as it was written."""
    if not changes and not any(key in fields for key in _OURS):
        return body
    patched = {**fields, **changes}
    for key in _OURS:
        patched.pop(key, None)
    return _encode(patched)


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
