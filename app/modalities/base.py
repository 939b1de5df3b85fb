"""What a modality must provide: data, not a base class. Knows no request and no node."""

from dataclasses import dataclass, field

from litestar import Controller

from app.catalog import Catalog
from app.scoring.policy import Policy


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of work. ``name`` equals the folder's and the word that models carry on the wire.

    ``serves`` false: its doors answer 501 in the caller's dialect until an engine and an adapter exist.
    """

    name: str
    title: str
    controllers: tuple[type[Controller], ...]
    policy: Policy | None = None
    catalog: Catalog = field(default_factory=Catalog.empty)
    serves: bool = True
