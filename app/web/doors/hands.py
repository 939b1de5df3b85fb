"""Whose hand changes something: the administrator, by the address he came from. Knows no page."""

from dataclasses import dataclass
from typing import Any

from litestar import Request
from litestar.datastructures import State
from litestar.di import NamedDependency


@dataclass(frozen=True, slots=True)
class Hand:
    """``name`` is written beside every change."""

    name: str


def hand_of(request: Request[None, None, State], admin: NamedDependency[Any]) -> Hand:
    """To ask for it is to ask for the administrator: nobody else has a hand."""
    client = request.client
    return Hand(f"admin from {client.host}" if client is not None else "admin")
