"""What an engine is to its node: a name, an address on this machine, and a report. Knows no HTTP and no system."""

from typing import Literal, Protocol

from node.wire import EngineReport

Kind = Literal["ollama", "openai", "embedded"]


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
