"""What a request for images asks for, checked, and the errors that answer it. Pure; knows no tool.

The request is OpenAI's ``POST /v1/images/generations`` with ``steps``, ``guidance``, ``seed``, ``negative_prompt`` and
``quantize`` besides.
"""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from node.engines.base import Answer

SIDE_LEAST, SIDE_MOST = 64, 2048
SIDE_STEP = 16
"""The tools work on tiles of so many pixels; they would round a size down, or fail late."""
PROMPT_MOST = 8000
"""Characters: no model reads more, and a command line on Windows holds two such prompts."""
BODY_MOST = 2**20


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """None: the tool's own choice, or the model's."""

    model: Annotated[str, Meta(min_length=1, max_length=200)]
    prompt: Annotated[str, Meta(min_length=1, max_length=PROMPT_MOST)]
    n: Annotated[int, Meta(ge=1, le=10)] = 1
    size: str = "1024x1024"
    response_format: str | None = None
    steps: Annotated[int, Meta(ge=1, le=100)] | None = None
    guidance: Annotated[float, Meta(ge=0, le=100)] | None = None
    seed: Annotated[int, Meta(ge=0, le=2**62)] | None = None
    negative_prompt: Annotated[str, Meta(max_length=PROMPT_MOST)] | None = None
    quantize: int | None = None

    @property
    def sides(self) -> tuple[int, int]:
        """Width and height."""
        width, _, height = self.size.partition("x")
        return int(width), int(height)


class Refused(Exception):
    """The order is answered with an error; the text is for the client."""

    def __init__(self, message: str, *, status: int = 400, code: str = "invalid_value", retry_s: float = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_s = retry_s

    def answer(self) -> Answer:
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"message": str(self), "type": kind, "code": self.code}
        retry = {"retry-after": f"{self.retry_s:.0f}"} if self.retry_s else {}
        return Answer(status=self.status, body=msgspec.json.encode({"error": error}), headers=retry)


def order_of(body: bytes) -> Order:
    """The order in a request's body. Raises ``Refused``."""
    try:
        order = msgspec.json.decode(body, type=Order)
    except msgspec.MsgspecError as error:
        raise Refused(f"This request for images makes no sense: {error}.") from None
    for name, told in (("prompt", order.prompt), ("negative_prompt", order.negative_prompt or "")):
        if "\0" in told:
            raise Refused(f"{name} holds a NUL character, which no program can be given.")
    if order.response_format not in (None, "b64_json"):
        raise Refused("response_format must be b64_json here.")
    if not re.fullmatch(r"\d{1,5}x\d{1,5}", order.size, re.ASCII):
        raise Refused("size must be WIDTHxHEIGHT in pixels, as in 1024x1024.")
    for name, side in zip(("width", "height"), order.sides, strict=True):
        if not SIDE_LEAST <= side <= SIDE_MOST:
            raise Refused(f"{name} must be {SIDE_LEAST} to {SIDE_MOST} pixels, not {side}.")
        if side % SIDE_STEP:
            lower = side - side % SIDE_STEP
            raise Refused(f"{name} must be a multiple of {SIDE_STEP} pixels: {lower} or {lower + SIDE_STEP}.")
    return order
