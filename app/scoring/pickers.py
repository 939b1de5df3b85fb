"""Pickers: put the scored in the order in which they are tried. Knows no scorer and no clock; chance comes as a seed.

Registration order never decides. Between equals the less busy node is first, then the one that was chosen longest ago,
then the name.
"""

import random
from typing import Annotated, ClassVar

from msgspec import Meta, Struct

from app.scoring.types import Scored


class Picker(Struct, frozen=True, kw_only=True, tag_field="use", forbid_unknown_fields=True):
    """What every picker is. ``seconds``: the scorers answer in seconds, so less is better and nothing is clamped."""

    seconds: ClassVar[bool] = False

    def order(self, scored: list[Scored], seed: int) -> tuple[Scored, ...]:
        """The same scored in the order of choice; the order in which they came has no influence."""
        raise NotImplementedError


class Highest(Picker, frozen=True, kw_only=True, tag="highest"):
    """The most points first."""

    def order(self, scored: list[Scored], seed: int) -> tuple[Scored, ...]:
        if len(scored) > 1:
            scored = sorted(scored, key=_best_first)
        return tuple(scored)


class Cheapest(Picker, frozen=True, kw_only=True, tag="cheapest"):
    """The fewest seconds first: for policies whose scorers answer with what a choice would cost."""

    seconds: ClassVar[bool] = True

    def order(self, scored: list[Scored], seed: int) -> tuple[Scored, ...]:
        if len(scored) > 1:
            scored = sorted(scored, key=_cheapest_first)
        return tuple(scored)


class Spread(Picker, frozen=True, kw_only=True, tag="spread"):
    """Chance among those within ``within`` points of the best, the better the likelier; then the others by points."""

    within: Annotated[float, Meta(ge=0)] = 5.0

    def order(self, scored: list[Scored], seed: int) -> tuple[Scored, ...]:
        ranked = sorted(scored, key=_best_first)
        if len(ranked) < 2:
            return tuple(ranked)
        floor = ranked[0].total - self.within
        near = [s for s in ranked if s.total >= floor]
        chance = random.Random(seed)  # noqa: S311  balance, not secrecy
        # A draw to the power of 1/weight, largest first, is a weighted shuffle; the + 1 leaves the last one a chance.
        draws = [(chance.random() ** (1.0 / (1.0 + s.total - floor)), i) for i, s in enumerate(near)]
        return (*(near[i] for _, i in sorted(draws, reverse=True)), *ranked[len(near) :])


_Key = tuple[float, int, int, str, str, str]


def _best_first(scored: Scored) -> _Key:
    c = scored.candidate
    return (-scored.total, c.load.node_depth, c.last_granted, c.node_id, c.engine, c.model.name)


def _cheapest_first(scored: Scored) -> _Key:
    c = scored.candidate
    return (scored.total, c.load.node_depth, c.last_granted, c.node_id, c.engine, c.model.name)


AnyPicker = Highest | Spread | Cheapest
PICKERS: tuple[type[Picker], ...] = (Highest, Spread, Cheapest)
