"""What changed since a listener last heard: whoever applies the messages has the whole picture."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.web.delta import Picture, Sketch, advance, changes

parts = st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 2)), max_size=5, unique_by=lambda pair: pair[0])
scenes = st.lists(st.fixed_dictionaries({"one": parts, "two": parts}), min_size=1, max_size=8)


def sketched(scene: dict[str, list[tuple[str, int]]]) -> dict[str, list[Sketch]]:
    return {name: [Sketch(key, "t", item) for key, item in found] for name, found in scene.items()}


def draw(sketch: Sketch) -> str:
    return f"<p>{sketch.item}</p>"


def apply(seen: dict[str, dict[str, str]], message: dict[str, dict[str, Any]]) -> None:
    """What live.js does, without a page."""
    for name, change in message.items():
        region = seen.setdefault(name, {}) | change.get("parts", {})
        seen[name] = {key: region[key] for key in change["order"]} if "order" in change else region


@given(scenes, st.lists(st.booleans(), min_size=8, max_size=8))
def test_a_listener_that_misses_any_builds_ends_with_the_same_page(scenes: list[Any], hears: list[bool]) -> None:
    picture, seen, known = Picture(), dict[str, dict[str, str]](), 0
    for scene, heard in zip(scenes, hears, strict=False):
        picture = advance(picture, sketched(scene), draw)
        if heard:
            apply(seen, changes(picture, known))
            known = picture.build
    apply(seen, changes(picture, known))
    shown = {name: {key: f"<p>{item}</p>" for key, item in found} for name, found in scenes[-1].items()}
    assert {name: list(region.items()) for name, region in seen.items()} == {
        name: list(region.items()) for name, region in shown.items()
    }


def test_nothing_changed_is_the_same_picture_and_an_empty_message() -> None:
    scene = sketched({"one": [("a", 1), ("b", 2)]})
    picture = advance(Picture(), scene, draw)
    assert advance(picture, scene, draw) is picture
    assert changes(picture, picture.build) == {}


def test_only_what_differs_is_drawn_and_sent() -> None:
    drawn = []

    def noted(sketch: Sketch) -> str:
        drawn.append(sketch.id)
        return draw(sketch)

    picture = advance(Picture(), sketched({"one": [("a", 1), ("b", 2)], "two": [("c", 3)]}), noted)
    drawn.clear()
    following = advance(picture, sketched({"one": [("a", 1), ("b", 9)], "two": [("c", 3)]}), noted)
    assert drawn == ["b"]
    assert changes(following, picture.build) == {"one": {"parts": {"b": "<p>9</p>"}}}


def test_an_item_that_looks_the_same_is_not_sent_again() -> None:
    picture = advance(Picture(), sketched({"one": [("a", 1)]}), lambda _: "same")
    following = advance(picture, sketched({"one": [("a", 2)]}), lambda _: "same")
    assert changes(following, picture.build) == {}
