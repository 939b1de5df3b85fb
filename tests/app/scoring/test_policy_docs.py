"""The pages about policies tell the truth: every name and knob is there, and the tutorial's own tests pass."""

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import fields

from app.scoring.filters import FILTERS
from app.scoring.pickers import PICKERS
from app.scoring.policy import load
from app.scoring.scorers import SCORERS

ROOT = Path(__file__).parents[3]
POLICIES = (ROOT / "docs" / "policies.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "add-a-scorer.md").read_text("utf-8")


@pytest.mark.parametrize("kind", [*FILTERS, *SCORERS, *PICKERS], ids=lambda kind: kind.__struct_config__.tag)
def test_every_filter_scorer_and_picker_is_explained_with_all_its_knobs(kind: Any) -> None:
    for name in (str(kind.__struct_config__.tag), *(field.name for field in fields(kind))):
        assert f"`{name}`" in POLICIES or re.search(rf"^{name}\s+=", POLICIES, re.MULTILINE), name


def test_the_policy_shown_on_the_page_reads() -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", POLICIES, re.DOTALL)
    assert load(shown).name == "llm"


def test_the_tutorials_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in re.findall(r"```toml\n(.*?)```", TUTORIAL, re.DOTALL):
        name = re.search(r'^name\s+= "(.+)"', text, re.MULTILINE)
        assert name is not None
        (tmp_path / f"{name[1]}.toml").write_text(text)
    monkeypatch.chdir(tmp_path)
    world: dict[str, Any] = {"__name__": "tutorial"}
    exec("\n".join(re.findall(r"```python\n(.*?)```", TUTORIAL, re.DOTALL)), world)
    tests = [world[name] for name in world if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()
