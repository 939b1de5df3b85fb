"""The tests that stand in the tutorials pass, so that no tutorial grows stale. Scorers have a test of their own."""

import inspect
import re
from typing import Any

import pytest
from architecture_rules import ROOT


def defined_by(page: str) -> dict[str, Any]:
    """The tests that the Python of a page defines, by name."""
    text = (ROOT / "docs" / page).read_text("utf-8")
    world: dict[str, Any] = {"__name__": page}
    exec("\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), world)
    return {name: thing for name, thing in world.items() if name.startswith("test_")}


def test_the_excerpts_of_a_tutorial_stand_in_the_files_they_are_from() -> None:
    text = (ROOT / "docs" / "add-a-modality.md").read_text("utf-8")
    excerpts = re.findall(r"```py\n# (\S+)\n(.*?)```", text, re.DOTALL)
    assert len(excerpts) > 5
    for path, excerpt in excerpts:
        assert excerpt in (ROOT / path).read_text("utf-8"), f"{path} has changed"


@pytest.mark.parametrize("page", ["add-an-engine.md", "add-a-modality.md"])
async def test_the_tutorials_test_passes(page: str) -> None:
    [test] = defined_by(page).values()
    if inspect.iscoroutinefunction(test):
        await test()
    else:
        test()
