"""Ollama's command line, its host being Herd: what there is, and one model from its first word to its end."""

import os

from steps import MODEL, NOBODY, URL, command, refusal, run


def ollama(*words: str) -> str:
    return command(os.environ["OLLAMA_BIN"], *words, OLLAMA_HOST=URL)


def version() -> None:
    assert "Warning: could not connect" not in ollama("--version")


def list_() -> None:
    assert MODEL in ollama("list")


def show() -> None:
    said = ollama("show", MODEL)
    assert "architecture" in said
    assert "completion" in said


def run_() -> None:
    assert command(os.environ["OLLAMA_BIN"], "run", MODEL, "Hi", tries=5, within_s=60, OLLAMA_HOST=URL).strip()


def ps() -> None:
    assert MODEL in ollama("ps")


def stop() -> None:
    ollama("stop", MODEL)


def unknown_model() -> None:
    assert "not found" in str(refusal(AssertionError, lambda: ollama("show", NOBODY)))


run(version, list_, show, run_, ps, stop, unknown_model)
