"""What is known of image models by their names: in how many steps they are made, what brings them. Knows no node."""

from pathlib import Path

from app import catalog

CATALOG = catalog.load((Path(__file__).parent / "catalog.toml").read_text("utf-8"))


def steps_of(name: str) -> int | None:
    """Steps for a request that names none; None: the engine's own number."""
    known = CATALOG.named(name)
    return known.steps if known is not None else None


def brought_by(name: str) -> str:
    """The command that brings the model to a node; empty: not known."""
    known = CATALOG.named(name)
    return known.install if known is not None else ""
