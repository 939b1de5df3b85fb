"""What there is to set: each field with its flag, variable, default and meaning. Knows no value in force."""

import ast
import inspect
from dataclasses import MISSING, Field, dataclass, fields
from pathlib import Path
from textwrap import dedent
from typing import Any


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting. ``default`` is as a person would write it; ``meaning`` is the docstring under the field."""

    name: str
    flag: str
    variable: str
    default: str
    meaning: str


def knobs_of(section: type, *, prefix: str = "FLEET_") -> list[Knob]:
    """Every field of a settings dataclass, in order. Reads the class's own source for the docstrings."""
    meanings = _docstrings(section)
    return [
        Knob(
            name=known.name,
            flag="--" + known.name.replace("_", "-"),
            variable=prefix + known.name.upper(),
            default=_written(_default(known)),
            meaning=meanings.get(known.name, ""),
        )
        for known in fields(section)
    ]


def page_table(section: type, *, prefix: str = "FLEET_") -> str:
    """The section's table for the settings page, in Markdown."""
    lines = ["| flag | variable | default | meaning |", "| --- | --- | --- | --- |"]
    for knob in knobs_of(section, prefix=prefix):
        default = f"`{knob.default}`" if knob.default else "(empty)"
        lines.append(f"| `{knob.flag}` | `{knob.variable}` | {default} | {knob.meaning.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _docstrings(section: type) -> dict[str, str]:
    body = ast.parse(dedent(inspect.getsource(section))).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
            and isinstance(after.value.value, str)
        ):
            found[before.target.id] = " ".join(after.value.value.split())
    return found


def _default(known: Field[Any]) -> Any:
    if known.default_factory is not MISSING:
        return known.default_factory()
    return known.default if known.default is not MISSING else None


def _written(default: Any) -> str:
    if default is None or default == ():
        return ""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, float) and default.is_integer():
        return str(int(default))
    return default.as_posix() if isinstance(default, Path) else str(default)
