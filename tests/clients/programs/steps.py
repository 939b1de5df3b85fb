"""What the programs share: where Herd is, and how each says what came of its steps. Knows no client, no engine.

A step is a function without arguments: it returns, or raises why not. What came of it is one line of JSON.
"""

import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import TypeVar

E = TypeVar("E", bound=Exception)

URL = os.environ["HERD_URL"]
MODEL = os.environ["HERD_MODEL"]
NOBODY = "nobody-has:1b"
"""The name of a model that no node has."""
QUESTION = "Tell me a story about a fox."
TOKENS = 16
"""So many are asked for at most: the model is small and never comes to an end by itself."""
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 8}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
"""The parameters of a tool."""


def is_city(text: str) -> bool:
    """Whether an answer keeps to the schema."""
    said = json.loads(text)
    return list(said) == ["city"] and isinstance(said["city"], str)


def refusal(kind: type[E], ask: Callable[[], object]) -> E:
    """The error with which a question ends that nobody can answer."""
    try:
        ask()
    except kind as error:
        return error
    raise ValueError("an answer of a model that nobody has")


def run(*steps: Callable[[], object]) -> None:
    for step in steps:
        try:
            step()
        except Exception as why:
            traceback.print_exc()
            said, where = str(why), traceback.extract_tb(why.__traceback__)[-1]
            tell(step.__name__, f"{type(why).__name__}: {said or where.line}")
        else:
            tell(step.__name__)


def tell(step: str, why: str | None = None) -> None:
    print(json.dumps({"step": step.strip("_").replace("_", " "), "failed": why}), flush=True)
    sys.stderr.flush()


def command(*words: str, tries: int = 1, within_s: float = 600, **environment: str) -> str:
    """What a command says that ended well; it has an environment of its own, and the empty home of this program.

    ``tries``: a small model often comes to no end of its own, which agents take for a fault.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "HTTPS_PROXY", "NO_PROXY") if name in os.environ}
    for left in reversed(range(tries)):
        try:
            done = subprocess.run(
                words, env=kept | environment, cwd=kept["HOME"], stdin=subprocess.DEVNULL, capture_output=True,
                text=True, timeout=within_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            if not left:
                raise
            continue
        print(done.stderr, file=sys.stderr)
        if not done.returncode or not left:
            break
    said = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", " ", f"{done.stdout} {done.stderr}")  # without the colours of a terminal
    assert done.returncode == 0, f"it ended with {done.returncode}: {' '.join(said.split())[-200:]}"
    return done.stdout
