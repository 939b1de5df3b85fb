"""The models of the fleet as Codex's model picker wants to read them. Pure; knows no request and no node."""

from typing import Any

from app.fleet.inventory import FleetModel

CONTEXT = 131_072
"""Tokens of context of a model that does not tell."""
OUTPUT_MOST = 32_768


def chats(model: FleetModel) -> bool:
    """Whether the model may answer in words; one that tells no capability may."""
    return not model.best.capabilities or "completion" in model.best.capabilities


def picked(model: FleetModel) -> dict[str, Any]:
    """One entry. Words such as ``list`` and ``default`` are out of closed lists: another one hides all models."""
    best = model.best
    window = best.context_length or best.context_max or CONTEXT
    return {
        "id": best.name,
        "slug": best.name,
        "display_name": best.name,
        "description": " ".join(filter(None, (best.family, best.parameters, best.quantization))),
        "context_window": window,
        "max_output_tokens": min(OUTPUT_MOST, window),
        "supported_reasoning_levels": [],
        "shell_type": "default",
        "supports_vision": "vision" in best.capabilities,
        "visibility": "list",
        "supported_in_api": True,
        "priority": 0,
        "base_instructions": "",
        "support_verbosity": False,
        "supports_parallel_tool_calls": True,
        "supports_reasoning_summaries": False,
        "experimental_supported_tools": [],
        "truncation_policy": {"mode": "tokens", "limit": OUTPUT_MOST},
    }
