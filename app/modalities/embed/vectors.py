"""Vectors as JSON: lists of numbers or base64 of their 32-bit floats, one turned into the other. Pure; knows no API."""

import base64
import binascii
import math
import sys
from array import array

import msgspec

_decode = msgspec.json.Decoder(list[float] | str).decode
_encode = msgspec.json.Encoder().encode


class NoVector(ValueError):
    """It is neither a list of numbers nor base64 of some."""


class Form(msgspec.Struct, frozen=True):
    """How a client wants its vectors. ``dimensions``: cut to so many, as Matryoshka models allow; None: as they are."""

    base64: bool = False
    dimensions: int | None = None

    def has(self, raw: msgspec.Raw) -> bool:
        """Whether a vector has this form already."""
        if (bytes(memoryview(raw)[:1]) == b'"') != self.base64:
            return False
        return self.dimensions is None or len(numbers(raw)) <= self.dimensions

    def of(self, raw: msgspec.Raw) -> msgspec.Raw:
        """The vector in this form; one that was cut has length 1 again. Raises ``NoVector``."""
        if self.has(raw):
            return raw
        vector = numbers(raw)
        if self.dimensions is not None and len(vector) > self.dimensions:
            kept = vector[: self.dimensions]
            length = math.sqrt(math.fsum(x * x for x in kept)) or 1.0
            vector = array("d", (x / length for x in kept))
        return msgspec.Raw(_encode(_packed(vector) if self.base64 else list(vector)))


def numbers(raw: msgspec.Raw) -> "array[float]":
    """The numbers of a vector. Raises ``NoVector``."""
    try:
        told = _decode(raw)
        if not isinstance(told, str):
            return array("d", told)
        vector = array("f", base64.b64decode(told, validate=True))
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise NoVector(str(error)) from error
    if sys.byteorder == "big":
        vector.byteswap()
    return vector


def _packed(vector: "array[float]") -> str:
    """Little-endian, on every machine."""
    small = array("f", vector)
    if sys.byteorder == "big":
        small.byteswap()
    return base64.b64encode(small.tobytes()).decode()
