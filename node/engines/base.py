"""What an engine is to its node: a name, an address or an answer, and a report. Knows no HTTP and no system."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

import msgspec

from node.wire import EngineReport

Kind = str
"""What software it is, in a word that the router repeats: "ollama", "openai", "embedded", "mflux"."""


class EngineError(Exception):
    """The engine could not be asked, or what it said makes no sense; the text is one sentence for people."""


class EngineAway(EngineError):
    """Nothing listens there."""


class EngineSilent(EngineError):
    """It was asked and did not answer in time."""


class EngineRefused(EngineError):
    """It answered with an HTTP status other than 200."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Engine(Protocol):
    """``url`` is the base URL, without a slash at its end, to which the node's door relays ``/engines/<name>/<path>``.

    ``report`` leaves ``port`` and ``reach`` to its caller and raises ``EngineError`` when the engine cannot be asked.
    ``start`` does not wait for the engine to be ready. ``aclose`` may be called more than once.
    """

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def url(self) -> str: ...

    async def start(self) -> None: ...
    async def report(self) -> EngineReport: ...
    async def aclose(self) -> None: ...


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A request of the router's to an engine without a server. ``headers`` have names in lower case; ``body`` is read
    once, as it comes."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What it says to that, whole."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = {}


@runtime_checkable
class Hosted(Protocol):
    """An engine without a server of its own, besides being an ``Engine``: the door asks it instead of relaying.

    ``answer`` is cancelled when the router leaves; what it started must then end at once.
    """

    async def answer(self, question: Question) -> Answer: ...
