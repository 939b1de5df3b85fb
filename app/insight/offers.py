"""Models that may be recommended: what they need, what they are good at, how they were rated. Pure; knows no node.

The ratings are the makers' published figures; ``offers.toml`` says from where and when. A rating is the mean of those
that are known, which compares models of one category fairly and models of two hardly.
"""

import tomllib
from collections.abc import Sequence

import msgspec

GB = 1024**3


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. ``ram_gb`` is what it takes in memory at four bits, ``disk_gb`` its download (None: as much).

    ``also`` are further categories it serves well; ``mmlu`` and ``humaneval`` are percent.
    """

    name: str
    title: str
    family: str
    category: str
    ram_gb: float
    params_b: float
    active_b: float | None = None
    also: tuple[str, ...] = ()
    mmlu: float | None = None
    humaneval: float | None = None
    disk_gb: float | None = None
    context: int = 0
    note: str = ""

    @property
    def quality(self) -> float:
        known = [figure for figure in (self.mmlu, self.humaneval) if figure is not None]
        return sum(known) / len(known) if known else 0.0

    @property
    def needs_disk_gb(self) -> float:
        return self.ram_gb if self.disk_gb is None else self.disk_gb

    def serves(self, category: str) -> bool:
        return category == self.category or category in self.also


class OffersInvalid(ValueError):
    """The list of offers cannot be read; the message names the place."""


class Offers(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The offers in the order of their file: of two that are equal the first is taken. ``as_of`` is their date."""

    as_of: str
    sources: tuple[str, ...]
    models: tuple[Offer, ...]

    def best(
        self, category: str, most_gb: float, *, without: Sequence[str] = (), primary: bool = False
    ) -> Offer | None:
        """The best rated that serves the category and needs no more memory; families in ``without`` are left out."""
        fitting = [
            offer
            for offer in self.models
            if (offer.category == category if primary else offer.serves(category))
            and offer.ram_gb <= most_gb
            and offer.family not in without
        ]
        return max(fitting, key=lambda offer: offer.quality, default=None)


def load(text: str) -> Offers:
    """The offers that a TOML text describes; raises ``OffersInvalid``."""
    try:
        return msgspec.convert(tomllib.loads(text), Offers)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise OffersInvalid(str(error)) from error
