"""The scorer adapter of stt: a form becomes a job, a route becomes a call. Pure; knows no node, clock or HTTP.

Engines are asked for all they can tell (``verbose_json``), and every shape is made of that here: a client gets
subtitles of an engine that has never heard of them.
"""

from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from app.dialects import error_body, ollama_error, openai_error
from app.errors import BodyInvalid, Disabled, EngineRejected, ModelAbsent, NotServed
from app.fleet.job import Call, Job, Route, Usage
from app.modalities import tags
from app.modalities.body import model_of
from app.modalities.caller import Caller
from app.modalities.form import Form, Outgoing
from app.modalities.stt import schema, transcript, writing
from app.modalities.stt.schema import Asked
from app.modalities.stt.settings import Speech
from app.scoring.types import Demand

OLLAMA_PATH = "/api/transcribe"
OPENAI_PATH = "/v1/audio/transcriptions"
WHISPER_PATH = "/inference"
"""Of whisper.cpp's own server."""
DEFAULT = Speech()
Fields = list[tuple[str, str]]


def judge(settings: Speech) -> None:
    """Raises ``Disabled`` when transcriptions are switched off."""
    if not settings.transcription:
        raise Disabled("transcriptions are switched off", hint="FLEET_TRANSCRIPTION=true switches them on")


def job(
    endpoint: str,
    form: Form,
    *,
    request_id: str,
    caller: Caller,
    settings: Speech = DEFAULT,
    known: Callable[[], Iterable[str]] = tuple,
) -> Job:
    """The job that a form asks for. Raises a ``RequestError`` or ``ModelAbsent``.

    ``known`` tells the fleet's speech models: at Ollama's door a form may leave it to the router if there is only one.
    """
    own = endpoint == OLLAMA_PATH
    model = (form.last("model") or "").strip()
    asked = schema.read(form, model=model_of(model or (_only(known()) if own else "")), chunks=own)
    return Job(
        id=request_id,
        demand=Demand(modality="stt", operation="transcribe", models=(asked.model,)),
        prepare=Request(request_id, asked, settings).prepare,
        error_body=partial(error_body, endpoint),
        error_event=ollama_error if own else openai_error,
        dialect="ollama" if own else "openai",
        endpoint=endpoint,
        stream=False,
        tags=tags.collect(schema.raw(form, "metadata"), f"{caller.tags},{schema.labels(form)}", schema.user(form)),
        client=caller.address,
        user_agent=caller.user_agent,
    )


def _only(known: Iterable[str]) -> str:
    """The one speech model there is."""
    match sorted(known):
        case [one]:
            return one
        case []:
            raise ModelAbsent("no node has a speech model")
        case several:
            raise BodyInvalid("no model was named, and there are several", hint=f"one of {', '.join(several[:20])}")


class Request(msgspec.Struct, frozen=True):
    """A form that was read, and what becomes of it at each node that is tried."""

    id: str
    asked: Asked
    settings: Speech

    def prepare(self, route: Route) -> Call:
        """The call for this route. Raises ``NotServed`` if its engine cannot be asked such a thing."""
        asked = self.asked
        if "whisper.cpp" in route.dialects:
            return self._call(route, WHISPER_PATH, _for_whisper(asked))
        if "openai" not in route.dialects:
            raise NotServed(f"{route.engine} on {route.node_id} has no way to be asked for a transcript")
        if route.engine_kind == "ollama":
            return self._plainly(route)
        fields = [*_for_openai(asked, route), ("response_format", "verbose_json")]
        if asked.words:
            fields.append(("timestamp_granularities[]", "word"))
        return self._call(route, OPENAI_PATH, fields, partial(self._plainer, route))

    def _plainer(self, route: Route, refused: EngineRejected) -> Call | None:
        """Some servers know no ``verbose_json``."""
        about = f"{refused.message} {refused.body[:2000].decode('utf-8', 'replace')}"
        if refused.status not in (400, 422) or not any(word in about for word in ("response_format", "verbose")):
            return None
        return self._plainly(route)

    def _plainly(self, route: Route) -> Call:
        """For engines that tell the text and nothing more. Raises ``NotServed`` where that is not enough."""
        if writing.needs_times(self.asked.shape):
            raise _untimed(self.asked, route)
        return self._call(route, OPENAI_PATH, [*_for_openai(self.asked, route), ("response_format", "json")])

    def _call(
        self, route: Route, path: str, fields: Fields, plainer: Callable[[EngineRejected], Call | None] | None = None
    ) -> Call:
        form = Outgoing(f"herd-{self.id}", fields, "file", self.asked.file)
        renamed = ("model.renamed",) if route.model.name != self.asked.model else ()
        ignored = (f"fields.dropped {', '.join(self.asked.ignored)}",) if self.asked.ignored else ()
        return Call(
            path=path,
            upload=form,
            content_type=form.content_type,
            meter=Listener(self.asked, route),
            stream=False,
            notes=renamed + ignored,
            headers=(("x-fleet-model", route.model.name),),
            patience_s=self.settings.transcription_timeout,
            timed_as="x-transcription-time",
            plainer=plainer,
        )


def _for_openai(asked: Asked, route: Route) -> Fields:
    told = [("language", asked.language), ("prompt", asked.prompt), ("temperature", asked.temperature)]
    return [("model", route.model.name), *(pair for pair in told if pair[1])]


def _for_whisper(asked: Asked) -> Fields:
    """All of them, always: after a request that failed, that server goes on with what the failed one had asked for."""
    return [
        ("response_format", "verbose_json"),
        ("language", asked.language or "auto"),
        ("temperature", asked.temperature or "0"),
        ("prompt", asked.prompt),
    ]


def _untimed(asked: Asked, route: Route) -> NotServed:
    return NotServed(f"{route.engine} on {route.node_id} does not tell when what was said: no {asked.shape} of it")


class Listener:
    """Reads what an engine heard and writes it in the client's shape. Raises ``NotServed`` where that cannot be done,
    and ``EngineRejected`` for a refusal in the clothes of a success."""

    __slots__ = ("_asked", "_pieces", "_route", "complete", "content_type", "failed", "refusal", "usage")

    def __init__(self, asked: Asked, route: Route) -> None:
        self._asked = asked
        self._route = route
        self._pieces: list[bytes] = []
        self.complete = False
        self.content_type = ""
        self.failed: str | None = None
        self.refusal: str | None = None
        self.usage = Usage()

    def feed(self, piece: bytes) -> bytes:
        self._pieces.append(piece)
        return b""

    def finish(self) -> bytes:
        body = b"".join(self._pieces)
        if words := transcript.refusal(body):
            if "process" not in words:  # the audio could be read: what failed then was the engine
                raise EngineRejected(400, words)
            self.refusal = words
            return b""
        try:
            heard = transcript.heard(body)
        except transcript.Unheard as error:
            self.refusal = str(error)
            return b""
        if writing.needs_times(self._asked.shape) and not heard.is_timed:
            raise _untimed(self._asked, self._route)
        self.complete = True
        if heard.duration is not None:
            self.usage.notes = (f"audio.heard {heard.duration:.1f} s",)
        out, self.content_type = writing.written(self._asked.shape, heard)
        return out
