"""What changed on a page since a listener last heard: regions, their parts, and messages about them. Knows no HTML.

A page has regions, a region has parts in an order, a part is one element drawn from one struct. Each build of the page
has a number; a part remembers the build that last changed it, so a message for any listener is a comparison of numbers.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec


class Sketch(msgspec.Struct, frozen=True):
    """A part before it is drawn: its element id, its template and the struct it shows."""

    id: str
    template: str
    item: object


class Part(msgspec.Struct, frozen=True):
    sketch: Sketch
    html: str
    build: int


class Region(msgspec.Struct, frozen=True):
    """``build`` is when the order last changed (a part came, went or moved)."""

    parts: tuple[Part, ...] = ()
    build: int = 0

    @property
    def order(self) -> tuple[str, ...]:
        return tuple(part.sketch.id for part in self.parts)


class Picture(msgspec.Struct, frozen=True):
    """All regions of a page as of ``build``. Build 0 is the empty picture before the first."""

    regions: Mapping[str, Region] = {}
    build: int = 0


Draw = Callable[[Sketch], str]


def advance(old: Picture, sketches: Mapping[str, Sequence[Sketch]], draw: Draw) -> Picture:
    """The next picture. Only what differs is drawn; if nothing does, ``old`` itself is returned."""
    build = old.build + 1
    regions = {name: _region(old.regions.get(name, Region()), parts, draw, build) for name, parts in sketches.items()}
    same = regions.keys() == old.regions.keys() and all(regions[name] is old.regions[name] for name in regions)
    return old if same and old.build else Picture(regions, build)


def _region(old: Region, sketches: Sequence[Sketch], draw: Draw, build: int) -> Region:
    before = {part.sketch.id: part for part in old.parts}
    parts = tuple(_part(before.get(sketch.id), sketch, draw, build) for sketch in sketches)
    moved = tuple(part.sketch.id for part in parts) != old.order
    if not moved and old.build and all(a is b for a, b in zip(parts, old.parts, strict=True)):
        return old
    return Region(parts, build if moved or not old.build else old.build)


def _part(old: Part | None, sketch: Sketch, draw: Draw, build: int) -> Part:
    if old is not None and old.sketch == sketch:
        return old
    html = draw(sketch)
    if old is not None and old.html == html:
        return Part(sketch, html, old.build)
    return Part(sketch, html, build)


def changes(picture: Picture, after: int) -> dict[str, dict[str, object]]:
    """By region: ``parts`` changed after build ``after`` (id -> HTML), and ``order`` if parts came, went or moved."""
    message: dict[str, dict[str, object]] = {}
    for name, region in picture.regions.items():
        parts = {part.sketch.id: part.html for part in region.parts if part.build > after}
        entry: dict[str, object] = {"parts": parts} if parts else {}
        if region.build > after:
            entry["order"] = list(region.order)
        if entry:
            message[name] = entry
    return message
