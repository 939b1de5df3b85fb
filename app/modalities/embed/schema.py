"""What a request for embeddings may say: inputs in every form, a vector's wanted form. Pure; knows no engine."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from app.errors import BodyInvalid
from app.modalities.body import NOTHING, given, read

TokenId = Annotated[int, msgspec.Meta(ge=0)]
Input = str | list[str | TokenId | list[TokenId]]


class Body(msgspec.Struct):
    """The fields that the router reads of both dialects. Any other one is the engine's affair."""

    model: str | None = None
    input: msgspec.Raw = NOTHING
    prompt: msgspec.Raw = NOTHING
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None


class Inputs(msgspec.Struct, frozen=True):
    """``items`` are as the client wrote them. ``single``: it sent one by itself. ``tokens``: numbers, not text."""

    items: Sequence[msgspec.Raw]
    single: bool
    tokens: bool


def inputs_of(field: str, raw: msgspec.Raw, most: int) -> Inputs:
    """The inputs under a field. Raises ``BodyInvalid``."""
    if not given(raw):
        raise BodyInvalid('there is nothing to embed: the field "input" is missing')
    value = read(_INPUT, raw, field)
    if not value:
        raise BodyInvalid(f'there is nothing to embed: the field "{field}" is empty')
    if isinstance(value, str):
        return Inputs([raw], single=True, tokens=False)
    kinds = {type(item) for item in value}
    if len(kinds) > 1:
        raise BodyInvalid(f'the field "{field}" holds inputs of several kinds')
    if kinds == {int}:
        return Inputs([raw], single=True, tokens=True)
    if len(value) > most:
        raise BodyInvalid(
            f'the field "{field}" holds {len(value)} inputs, {most} are taken at once',
            hint="send them in several requests, or raise embed_inputs_max",
        )
    if not all(value) and kinds == {list}:
        raise BodyInvalid(f'the field "{field}" holds an empty list of tokens')
    return Inputs(_ITEMS.decode(raw), single=False, tokens=kinds == {list})


_INPUT: msgspec.json.Decoder[Input] = msgspec.json.Decoder(Input)
_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
BODY = msgspec.json.Decoder(Body)
