"""The context that a model's requests show to be enough, and where far more is allocated. Pure; knows no engine."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.fleet.usage import ContextUse, Revise
from app.modalities.llm.settings import LanguageModels
from node.wire import model_key

REQUESTS_LEAST = 20
"""Requests of a week that say enough about a model."""
WASTE = 4
"""A context so many times the recommended one is worth a word."""
STALE = 2
"""So is an override."""


def said(settings: LanguageModels) -> Mapping[str, int]:
    """The context that the settings say for each model of which a request names none."""
    return settings.num_ctx_overrides if settings.dynamic_num_ctx else {}


def revision(settings: LanguageModels) -> Revise | None:
    """None: switched off. It writes overrides and nothing else: they count when a model is loaded the next time."""
    if not settings.num_ctx_auto_calculate:
        return None

    def revise(uses: Sequence[ContextUse]) -> Mapping[str, Any]:
        set_already = {model_key(name): tokens for name, tokens in settings.num_ctx_overrides.items()}
        due = {}
        for use in uses:
            wanted = use.recommended
            now = set_already.get(use.model)
            wasteful = use.requests >= REQUESTS_LEAST and use.context > WASTE * wanted
            if wasteful and (now is None or now > STALE * wanted):
                due[use.model] = wanted
        return {"num_ctx_overrides": due} if due else {}

    return revise
