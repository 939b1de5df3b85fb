"""What a modality must provide: data, not a base class. Knows no request and no node."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from litestar import Controller

from app.bench.exercise import Exercise
from app.catalog import Catalog
from app.fleet.snapshot import Activity, ModalityView
from app.fleet.usage import Revise
from app.scoring.policy import Policy


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of work. ``name`` equals the folder's and the word that models carry on the wire.

    ``operation`` is what its engines are asked for when nobody says more. ``word`` is its name in ``/fleet/status``
    (empty: ``name``), ``icon`` the symbol of its models on pages.
    ``revision`` is told the modality's settings in force, and says how it would revise them by what was used.
    ``contexts`` gives the context that such settings say for models, by their names.
    ``activity`` is what health says of it by itself.
    ``benchmark`` is the question by which its models are measured; None: they are not.
    ``serves`` false: its doors answer 501 in the caller's dialect until an engine and an adapter exist.
    """

    name: str
    title: str
    controllers: tuple[type[Controller], ...]
    operation: str
    word: str = ""
    icon: str = "box"
    policy: Policy | None = None
    catalog: Catalog = field(default_factory=Catalog.empty)
    revision: Callable[[Any], Revise | None] | None = None
    contexts: Callable[[Any], Mapping[str, int]] | None = None
    serves: bool = True
    benchmark: Exercise | None = None
    activity: Activity = field(default_factory=Activity)

    @property
    def view(self) -> ModalityView:
        """What status answers and pages need of it."""
        return ModalityView(
            name=self.name,
            title=self.title,
            word=self.word or self.name,
            icon=self.icon,
            operation=self.operation,
            activity=self.activity,
        )
