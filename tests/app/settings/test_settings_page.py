"""The page about settings says what the classes say."""

import re

from docs_settings import PAGE, current, tables

from app.modalities.sections import found
from app.settings.describe import knobs_of
from app.settings.resolve import sections
from app.settings.schema import Settings


def test_the_page_is_current() -> None:
    page = PAGE.read_text("utf-8")
    assert page == current(page), "run: python tests/docs_settings.py"


def test_every_table_has_its_place_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    for name, table in tables().items():
        assert f"<!-- begin {name} -->\n{table}\n<!-- end {name} -->" in page


def test_no_setting_that_exists_is_said_to_have_no_effect() -> None:
    page, without = PAGE.read_text("utf-8").split("## Names that have no effect yet")
    names = set(re.findall(r"`(FLEET_\w+)`", without))
    assert names
    assert names.isdisjoint(re.findall(r"`(FLEET_\w+)`", page))


def test_every_setting_has_a_meaning() -> None:
    for _, values in sections(Settings(modalities=found())):
        for knob in knobs_of(type(values)):
            assert knob.meaning.endswith("."), knob.name
            assert f"| `{knob.flag}` | `{knob.variable}` |" in PAGE.read_text("utf-8")
