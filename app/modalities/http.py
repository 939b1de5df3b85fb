"""Between the client and the dispatcher: body in, reply out, the client watched all the time. Knows no dialect.

A handler returns a ``Corridor``; the framework then calls it as an ASGI application, so it owns ``receive`` and
``send``. From the moment the body is read, a second task waits for the client to leave and ends the work when it
does: while the job waits for a slot, while the model loads, before the first byte and in the middle of a stream.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from app.asgi import ClientLeft, while_listening
from app.dialects import is_error
from app.errors import EngineRejected, HerdError, HoldTimeout, RequestError, TooLarge
from app.fleet.dispatcher import Dispatcher
from app.fleet.job import Job, SignOfLife
from app.fleet.reply import Reply
from app.modalities.encoding import encoding_of, plain
from app.modalities.incoming import DISCARDED_MOST, Incoming

MakeJob = Callable[[bytes], Job]
TakeJob = Callable[[Incoming], AbstractAsyncContextManager[Job]]
ErrorBody = Callable[[HerdError], bytes]


class Corridor(ASGIResponse):
    """One inference request from its body to the last byte of its answer.

    ``make_job`` reads the body and may raise a ``RequestError``; ``error_body`` renders an error in the caller's
    dialect for the time before there is a job.
    """

    __slots__ = ("_body_max", "_dispatcher", "_error_body", "_make_job")

    def __init__(self, dispatcher: Dispatcher, make_job: MakeJob, error_body: ErrorBody, *, body_max: int) -> None:
        # Not super().__init__(): it makes headers and a body of an answer that this one writes by itself.
        self._dispatcher = dispatcher
        self._make_job = make_job
        self._error_body = error_body
        self._body_max = body_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error_body = self._error_body
        try:
            job = self._make_job(await plain_body(scope, receive, self._body_max))
        except ClientLeft:
            return
        except HerdError as error:
            await send_error(send, error, error_body(error))
            return
        await while_listening(receive, self._relay(job, send))

    async def _relay(self, job: Job, send: Send) -> None:
        begun = False

        async def tell(word: str) -> None:
            """A stream whose client waits long begins before its answer does."""
            nonlocal begun
            if job.sign_of_life is None or not job.stream:
                return
            if not begun:
                await send(_start(200, early_headers(job, job.sign_of_life)))
                begun = True
            await send(_piece(job.sign_of_life.record(word)))

        try:
            reply = await self._dispatcher.dispatch(job, tell)
        except HerdError as error:
            if begun:
                await send(_piece(job.error_event(error), more=False))
            elif isinstance(error, EngineRejected) and _same_dialect(job, error):
                await send_error(send, error, error.body)
            else:
                await send_error(send, error, job.error_body(error))
            return
        try:
            if reply.whole and not begun:
                await send(_start(200, headers(reply, len(reply.first))))
                await send(_piece(reply.first, more=False))
                return
            if not begun:
                await send(_start(200, headers(reply)))
            await send(_piece(reply.first))
            while piece := await reply.next():
                await send(_piece(piece))
            await send(_piece(b"", more=False))
        finally:
            reply.client_left()


class StreamCorridor(Corridor):
    """The same for a request that is too large to be held: ``take_job`` reads its body as it comes.

    The job is the value of a context, at whose end what was kept of the body may go: the answer is over then.
    """

    __slots__ = ("_take_job",)

    def __init__(self, dispatcher: Dispatcher, take_job: TakeJob, error_body: ErrorBody) -> None:
        self._dispatcher = dispatcher
        self._take_job = take_job
        self._error_body = error_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = Incoming(scope, receive)
        async with AsyncExitStack() as kept:
            try:
                try:
                    body.judge()
                    job = await kept.enter_async_context(self._take_job(body))
                except HerdError:
                    await body.discard()
                    raise
            except ClientLeft:
                return
            except HerdError as error:
                await send_error(send, error, self._error_body(error), close=not body.over)
                return
            await while_listening(receive, self._relay(job, send))


class Entrance:
    """What every inference door needs, as one dependency: a handler with one is resolved without a task group.

    ``sections`` gives the settings of each modality as they are in force now; what is too large to be held may lie in
    ``folder``.
    """

    def __init__(
        self, dispatcher: Dispatcher, *, body_max: int, sections: Callable[[], Mapping[str, Any]], folder: Path
    ) -> None:
        self.folder = folder
        self._dispatcher = dispatcher
        self._body_max = body_max
        self._sections = sections
        self._random = Random()  # noqa: S311 - names requests and guards nothing; the system's would cost a call each

    def settings(self, modality: str) -> Any:
        return self._sections()[modality]

    def request_id(self) -> str:
        return f"{self._random.getrandbits(64):016x}"

    def corridor(self, make_job: MakeJob, error_body: ErrorBody) -> Corridor:
        return Corridor(self._dispatcher, make_job, error_body, body_max=self._body_max)

    def stream_corridor(self, take_job: TakeJob, error_body: ErrorBody) -> StreamCorridor:
        return StreamCorridor(self._dispatcher, take_job, error_body)

    async def body(self, scope: Scope, receive: Receive) -> bytes:
        """The body of a request that needs no corridor. Raises ``HerdError``."""
        try:
            return await plain_body(scope, receive, self._body_max)
        except ClientLeft:
            raise RequestError("the client left") from None


async def plain_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body, not compressed any more. An engine gets it like that."""
    encoding = encoding_of(scope["headers"])
    return await plain(await read_body(scope, receive, most), encoding, most)


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes:
    """The whole body. One that is too large is read to its end without being kept, so that the client hears why."""
    size = max(
        (int(value) for name, value in scope["headers"] if name == b"content-length" and value.isdigit()), default=0
    )
    if size > most + DISCARDED_MOST:
        raise TooLarge(f"the body is larger than {most} bytes")
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= most:
        return body
    pieces, size = [body], len(body)
    while message["type"] != "http.disconnect" and message.get("more_body", False):
        message = await receive()
        piece = message.get("body", b"")
        size += len(piece)
        if size > most + DISCARDED_MOST:
            break
        if size <= most:
            pieces.append(piece)
        else:
            pieces.clear()
    if message["type"] == "http.disconnect":
        raise ClientLeft
    if size > most:
        raise TooLarge(f"the body is larger than {most} bytes")
    return b"".join(pieces)


def headers(reply: Reply, length: int | None = None) -> list[tuple[bytes, bytes]]:
    """What is true by now: who served, with which score, after how many retries, with which model."""
    route = reply.route
    lines = [
        (b"content-type", reply.content_type.encode("latin-1", "replace")),
        (b"x-fleet-node", route.node_id.encode()),
        (b"x-fleet-score", str(int(route.score)).encode()),
        (b"x-request-id", reply.job.id.encode()),
    ]
    if length is not None:
        lines.append((b"content-length", str(length).encode()))
    else:
        lines.append((b"cache-control", b"no-cache"))
    lines.append((b"x-fleet-requested-model", header_value(reply.job.demand.models[0])))
    lines.append((b"x-fleet-served-model", header_value(route.model.name)))
    if reply.retries:
        lines.append((b"x-fleet-retries", str(reply.retries).encode()))
    if route.how != "asked":
        lines.append((b"x-fleet-fallback", header_value(route.model.name)))
    if route.points.get("context_fit", 0.0) < 0:
        overflow = f"estimated_tokens={reply.job.demand.prompt_tokens}; context_length={route.model.context_length}"
        lines.append((b"x-fleet-context-overflow", overflow.encode()))
    lines += [(name.encode(), header_value(value)) for name, value in reply.call.headers]
    if reply.call.timed_as:
        lines.append((reply.call.timed_as.encode(), str(round(reply.took_s * 1000)).encode()))
    return lines + _of_whole(reply) if reply.whole else lines


def _of_whole(reply: Reply) -> list[tuple[bytes, bytes]]:
    """What an answer that is there in full cost, and why it ended."""
    usage, budget = reply.meter.usage, reply.call.budget
    known = (
        (b"x-thinking-tokens", usage.thinking_tokens),
        (b"x-output-tokens", usage.visible_tokens),
        (b"x-done-reason", usage.finish_reason),
        (b"x-budget-used", f"{usage.completion_tokens}/{budget}" if budget and usage.completion_tokens else None),
    )
    return [(name, header_value(str(value))) for name, value in known if value]


def early_headers(job: Job, sign: SignOfLife) -> list[tuple[bytes, bytes]]:
    """What is true before there is a reply: nobody knows yet who will serve."""
    return [
        (b"content-type", sign.content_type.encode("latin-1")),
        (b"x-request-id", job.id.encode()),
        (b"cache-control", b"no-cache"),
    ]


def header_value(text: str) -> bytes:
    """Text as a header may carry it: printable ASCII as it is, everything else percent-encoded."""
    return quote(text, safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~").encode("ascii")


async def send_error(send: Send, error: HerdError, body: bytes, *, close: bool = False) -> None:
    """``close``: the request was not read to its end, so no other may follow it."""
    lines = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if error.retry_after_s is not None:
        lines.append((b"retry-after", str(max(1, int(error.retry_after_s))).encode()))
    elif isinstance(error, HoldTimeout):
        lines.append((b"retry-after", b"5"))
    if close or (isinstance(error, RequestError) and error.status == 413):
        lines.append((b"connection", b"close"))
    await send(_start(error.status, lines))
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _same_dialect(job: Job, error: EngineRejected) -> bool:
    """Whether the engine's own words may go on as they are: JSON of a body in the client's dialect."""
    return "json" in error.content_type and is_error(job.endpoint, error.body)


def _piece(body: bytes, *, more: bool = True) -> Any:
    return {"type": "http.response.body", "body": body, "more_body": more}


def _start(status: int, lines: list[tuple[bytes, bytes]]) -> Any:
    return {"type": "http.response.start", "status": status, "headers": lines}
