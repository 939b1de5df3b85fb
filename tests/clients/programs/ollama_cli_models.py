"""Ollama's command line, its host being Herd: models made from a file, copied, removed, pulled."""

import os
import time
from pathlib import Path

from steps import MODEL, URL, command, run

MADE, COPY = "herd-made:latest", "herd-copy:latest"


def ollama(*words: str) -> str:
    return command(os.environ["OLLAMA_BIN"], *words, OLLAMA_HOST=URL)


def create() -> None:
    recipe = Path(os.environ["HOME"], "Modelfile")
    recipe.write_text(f"FROM {os.environ['HERD_GGUF']}\n", "utf-8")
    ollama("create", MADE, "-f", str(recipe))
    assert MADE in ollama("list")


def cp() -> None:
    ollama("cp", MODEL, COPY)
    assert COPY in ollama("list")


def rm() -> None:
    ollama("rm", COPY)
    assert COPY not in ollama("list")


def pull() -> None:
    """From a registry on loopback, as there is no other network."""
    ollama("pull", "--insecure", f"{os.environ['HERD_REGISTRY']}/library/herd-pulled:latest")
    for _ in range(20):  # its name has no scheme any more: the node's next report tells it
        if "herd-pulled" in ollama("list"):
            return
        time.sleep(0.5)
    raise AssertionError("what was pulled is not in the list")


run(create, cp, rm, pull)
