"""Codex, told once to do something: as a provider of its own configuration speaking Responses, and by its own --oss."""

import json
import os
from pathlib import Path

from steps import MODEL, URL, command, run

CONFIGURATION = f"""
model = "{MODEL}"
model_provider = "herd"
[model_providers.herd]
name = "Herd"
base_url = "{URL}/v1"
wire_api = "responses"
"""
WORDS = ("--json", "--skip-git-repo-check", "--sandbox", "read-only", "Hi")


def is_answered(events: str) -> None:
    told = [json.loads(line) for line in events.splitlines() if line.startswith("{")]
    kinds = [event["type"] for event in told]
    assert "turn.failed" not in kinds, told[-1]
    assert kinds[-1] == "turn.completed"
    assert told[-1]["usage"]["input_tokens"] > 1000
    assert [event for event in told if event["type"] == "item.completed" and event["item"]["type"] == "agent_message"]


def wire_api_responses() -> None:
    folder = Path(os.environ["HOME"], ".codex")
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(CONFIGURATION, "utf-8")
    is_answered(command("codex", "exec", *WORDS, tries=3))


def oss() -> None:
    words = ("--oss", "--local-provider", "ollama", "--model", MODEL)
    is_answered(command("codex", "exec", *words, *WORDS, tries=3, CODEX_OSS_BASE_URL=f"{URL}/v1"))


run(wire_api_responses, oss)
