"""A command-line tool that makes images: its programs, its models, an order's command line. Pure; knows no process.

Each option is written as ``--option=value``, so that no value can be read as an option.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from node.engines.image_order import Order, Refused

OUTPUT = "image.png"
"""The file's name in the folder in which the tool runs."""
_BAR = re.compile(r"^(?P<title>[^|\n]*?)[ ]*(?P<percent>\d{1,3})%\|[^|\n]*\|[ ]*\d", re.MULTILINE)
"""A progress bar as tqdm draws it: ``title:  37%|###    | 3/8 [00:01<00:02]``."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """One model: which program makes it, the words that choose it, and how many steps it wants."""

    model: str
    program: str
    words: tuple[str, ...] = ()
    steps: int


class ImageTool(msgspec.Struct, frozen=True, kw_only=True):
    """``options`` are the tool's names of what an order may choose; ``package`` is the Python package it comes in.

    ``missing`` says of an executable what must be done once on this system before it works (empty: nothing); it blocks.
    """

    kind: str
    package: str
    recipes: tuple[Recipe, ...]
    options: Mapping[str, str]
    output_option: str
    quantize: int | None = None
    missing: Callable[[Path], str] = lambda _: ""

    @property
    def programs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(recipe.program for recipe in self.recipes))


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a program's help tells: its options, and the values of those that allow only some."""

    options: frozenset[str] = frozenset()
    choices: Mapping[str, frozenset[str]] = {}

    def allow(self, word: str) -> bool:
        """Whether ``--option=value`` can be said to it."""
        option, _, value = word.partition("=")
        return option in self.options and (option not in self.choices or value in self.choices[option])


def abilities_of(help_text: str) -> Abilities:
    """Read the help of a program that was written with argparse."""
    told = " ".join(help_text.split())
    listed = re.findall(r"(--[a-z][\w-]*)(?:,? -\w)?[ =]\{([^{}]*)\}", told)
    return Abilities(
        options=frozenset(re.findall(r"(?<![\w-])--[a-z][\w-]*", told)),
        choices={option: frozenset(value.strip() for value in values.split(",")) for option, values in listed},
    )


def words_of(tool: ImageTool, recipe: Recipe, order: Order, abilities: Abilities) -> list[str]:
    """The arguments that make one image of this order. Raises ``Refused`` for what the program does not know."""
    width, height = order.sides
    words = [*recipe.words, f"--prompt={_prompt(order.prompt)}", f"--width={width}", f"--height={height}"]
    words.append(f"--steps={order.steps or recipe.steps}")
    chosen = {
        "guidance": None if order.guidance is None else f"{order.guidance:g}",
        "seed": order.seed,
        "negative_prompt": order.negative_prompt or None,
        "quantize": order.quantize,
    }
    for name, value in chosen.items():
        if value is None:
            continue
        word = f"{tool.options.get(name, '')}={value}"
        if not abilities.allow(word):
            raise Refused(_unable(tool, recipe, name, abilities), code="unsupported_value")
        words.append(word)
    default = f"{tool.options.get('quantize', '')}={tool.quantize}"
    if order.quantize is None and tool.quantize is not None and abilities.allow(default):
        words.append(default)
    return [*words, f"{tool.output_option}={OUTPUT}"]


def progress_of(said: str) -> float | None:
    """How much of its steps is done, 0 to 1, by the last bar that it drew; None before the first step's."""
    bars = list(_BAR.finditer(_plain(said)))
    return min(int(bars[-1]["percent"]) / 100, 1.0) if bars and not _title(bars[-1]) else None


def downloading(said: str) -> str:
    """What it fetches now, by the last bar that it drew; empty: nothing. The bar of the steps has no title."""
    bars = list(_BAR.finditer(_plain(said)))
    return f"{_title(bars[-1])} {bars[-1]['percent']}%" if bars and _title(bars[-1]) else ""


def last_line(said: str) -> str:
    """The last thing it said that is no progress bar, as one short line."""
    told = [line.strip() for line in _plain(said).split("\n") if line.strip() and not _BAR.match(line)]
    return told[-1][:300] if told else ""


def png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a whole PNG image; None if it is none."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR" or b"IEND\xaeB`\x82" not in data[-4096:]:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _plain(said: str) -> str:
    """Its lines as printable text: a bar draws itself anew after a carriage return, and moves the cursor."""
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said))
    return "\n".join("".join(letter for letter in line if letter.isprintable()) for line in lines)


def _prompt(told: str) -> str:
    """mflux reads its stdin for a prompt that is a lone dash."""
    return "- " if told == "-" else told


def _title(bar: re.Match[str]) -> str:
    return bar["title"].strip().rstrip(":")[:80]


def _unable(tool: ImageTool, recipe: Recipe, name: str, abilities: Abilities) -> str:
    allowed = abilities.choices.get(tool.options.get(name, ""))
    which = f" takes only {', '.join(sorted(allowed))}" if allowed else " is not known"
    return f"{name}{which} to {recipe.program}, which makes {recipe.model}."
