"""What travels: a job, its route, the call to the node, the meter that reads the answer. Knows no HTTP library.

The life of a job: ``Job`` -> ``Ticket`` (waiting) -> ``Lease`` (a slot, closed once) -> ``Reply`` -> ``Outcome``.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from app.errors import EngineRejected, HerdError
from app.scoring.types import Demand, How
from node.wire import ModelReport

Key = tuple[str, str, str]
"""(node, engine, model key): whose slots are counted."""
Where = tuple[str, str]
"""(node, its address): a node that moved may be asked again."""
Lane = tuple[str, str]
"""(node, lane): slots that several models share."""

WHOLE_MOST = 64 * 1024 * 1024
"""Largest answer that is not streamed, in bytes, where nobody says more."""

Outcome = Literal["completed", "failed", "retried", "incomplete", "client_disconnected", "expired"]


class Usage(msgspec.Struct, kw_only=True):
    """Counters as the engine itself gave them; durations in seconds. None: the engine did not say.

    ``thinking_tokens`` and ``visible_tokens`` are estimates by the length of the text, of whole answers only.
    ``notes`` are what else the answer tells of itself, for the trace.
    """

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    load_s: float | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    finish_reason: str | None = None
    thinking_tokens: int | None = None
    visible_tokens: int | None = None
    notes: tuple[str, ...] = ()


def total(usages: Iterable[Usage]) -> Usage:
    """What parts of one answer cost together: their tokens, and the longest of the loads that ran side by side."""
    whole = Usage()
    for usage in usages:
        if usage.prompt_tokens is not None:
            whole.prompt_tokens = (whole.prompt_tokens or 0) + usage.prompt_tokens
        if usage.load_s is not None:
            whole.load_s = max(whole.load_s or 0.0, usage.load_s)
    return whole


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Where one attempt goes. ``url`` is the engine's base URL as the router reaches it, without a trailing slash.

    ``headers`` are what that way needs (the door's secret). ``how`` tells whether the model is the one asked for.
    """

    node_id: str
    url: str
    engine: str
    engine_kind: str
    dialects: tuple[str, ...]
    model: ModelReport
    headers: tuple[tuple[str, str], ...] = ()
    how: How = "asked"
    asked: str = ""
    score: float = 0.0
    points: Mapping[str, float] = {}
    policy: str = ""
    attempt: int = 1


class Meter(Protocol):
    """Reads one answer as it passes, and says what goes on to the client. One meter serves one attempt.

    ``feed`` gets the engine's bytes in whatever pieces they came and returns the bytes for the client (the same, unless
    it translates). ``finish`` is called once at the engine's end of answer and returns what is left to send.
    ``complete`` is true once the terminal record was seen; ``usage`` holds the engine's counters.
    ``refusal`` is set when the very first record is an error or is no record at all: the attempt may go elsewhere.
    ``failed`` is set when the engine itself ended a started answer with an error record, which went on to the client.
    ``content_type`` is what the client is told; empty: what the engine said.
    Pieces go on in whole records only, so that an error record may follow at any time. ``feed`` raises ``StreamBroken``
    when a record grows past all bounds.
    """

    complete: bool
    usage: Usage
    refusal: str | None
    failed: str | None
    content_type: str

    def feed(self, piece: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


class Upload(Protocol):
    """A request's body that is too large to be held in memory. Each attempt needs it anew, so it can be read again."""

    @property
    def length(self) -> int: ...
    def pieces(self) -> AsyncGenerator[bytes, None]: ...


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """What goes to the engine. ``stream``: whether the *engine* is asked to stream. ``notes`` say what was changed.

    ``upload`` takes the place of a ``body`` that is too large. ``method`` is "GET" for a question without a body.
    ``headers`` are for the client's answer; ``budget`` is the limit on the output as the engine gets it.
    ``keeps``: the model shall stay in memory, and the call cannot say so.
    ``error_event`` takes the place of the job's where the end of a broken stream depends on what it said so far.
    ``unloads``: it will leave memory with this call. ``patience_s`` is how long the engine may be silent over a whole
    answer (None: as the queue's settings say), ``timed_as`` the header that tells the client how long it took.
    ``plainer`` gives for a refusal the call that asks the same engine for less, if that was what it refused.
    ``most_bytes`` is how large a whole answer may be.
    """

    path: str
    body: bytes = b""
    upload: Upload | None = None
    meter: Meter
    stream: bool
    method: str = "POST"
    content_type: str = "application/json"
    notes: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    budget: int | None = None
    keeps: bool = False
    error_event: Callable[[HerdError], bytes] | None = None
    unloads: bool = False
    patience_s: float | None = None
    timed_as: str = ""
    plainer: "Callable[[EngineRejected], Call | None] | None" = None
    most_bytes: int = WHOLE_MOST


class SignOfLife(msgspec.Struct, frozen=True):
    """What a client that waits for a stream is sent meanwhile: a record that changes nothing in what it shows.

    ``record`` makes it of a word for people; ``content_type`` is what the stream will be.
    """

    content_type: str
    record: Callable[[str], bytes]


class Parts(Protocol):
    """A list whose inputs may be served apart, by several nodes that hold the very same model, and answered as one.

    ``weights`` is what each input costs, in any unit. ``call`` asks for some of them: what its meter lets out is a
    fragment of the answer. ``join`` makes the answer of all fragments, in order.
    """

    @property
    def weights(self) -> Sequence[int]: ...
    def call(self, route: Route, part: range) -> Call: ...
    def join(self, fragments: Iterable[bytes], usage: Usage) -> bytes: ...


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One inference request as the house carries it.

    ``prepare`` is called once per attempt, when the node is known; it is pure and may raise a ``RequestError``.
    ``error_body`` renders an error as a whole answer and ``error_event`` as the last record of a stream, both in the
    client's dialect. ``stream`` says whether the *client* gets a stream; ``sign_of_life`` is for the time before it.
    ``parts`` is set where the job is a list that is worth to be divided. ``loads_by`` is the path by which an Ollama is
    asked, with nothing to work on, to load such a model or to keep it.
    """

    id: str
    demand: Demand
    prepare: Callable[[Route], Call]
    error_body: Callable[[HerdError], bytes]
    error_event: Callable[[HerdError], bytes]
    dialect: str
    endpoint: str
    stream: bool
    sign_of_life: SignOfLife | None = None
    parts: Parts | None = None
    loads_by: str = ""
    tags: tuple[str, ...] = ()
    client: str = ""
    user_agent: str = ""
