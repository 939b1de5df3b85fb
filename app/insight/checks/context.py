"""Checks of context: too small for what was asked, or far larger than anybody needs. Pure; knows no engine."""

from collections.abc import Iterator
from shlex import quote

import msgspec

from app.fleet.usage import ContextUse
from app.insight import fixes
from app.insight.types import Check, Facts, Finding, listed, often, per_cent

REQUESTS_LEAST = 10
WASTE, WASTE_LARGE = 4, 8


def context_protection_insufficient(facts: Facts) -> Iterator[Finding]:
    short = {model: span.day.context_short for model, span in sorted(facts.by_model.items()) if span.day.context_short}
    if short:
        total = sum(short.values())
        yield Finding(
            severity="warning", title="Prompts are longer than the context",
            description=f"{often(total, 'request')} in 24 hours asked more than fits: {listed(short)}. The engine "
            "cuts the beginning of such a prompt off.",
            fix="# a model with more context, or in the request: \"options\": {\"num_ctx\": 32768}\n"
            + "\n".join(f"herd explain {quote(model)} --tokens 32768" for model in list(short)[:3]),
            query=fixes.requests(model=min(short)),
            data={"warning_count": total, "affected_models": list(short)},
        )  # fmt: skip


def context_protection_active(facts: Facts) -> Iterator[Finding]:
    day = facts.whole.day
    changed = day.context_stripped + day.context_reloaded
    if changed:
        yield Finding(
            severity="info", title="Models were spared a reload",
            description=f"{often(changed, 'request')} in 24 hours named another context than was loaded, and were "
            "answered with the right one. Nothing has to be done.",
            fix="# none needed; clients may leave num_ctx out",
            data={
                "stripped": day.context_stripped, "upgraded": day.context_reloaded,
                "warnings": day.context_short, "total": changed + day.context_short,
            },
        )  # fmt: skip


def context_waste(facts: Facts) -> Iterator[Finding]:
    wasteful = [use for use in facts.contexts if _wastes(use)]
    if wasteful:
        wasteful.sort(key=lambda use: -use.context / use.p99_tokens)
        overrides = msgspec.json.encode({use.model: use.recommended for use in wasteful}).decode()
        yield Finding(
            severity="warning" if any(use.context > WASTE_LARGE * use.p99_tokens for use in wasteful) else "info",
            title="Far more context is loaded than is used",
            description=f"{listed(use.model for use in wasteful)}: of what was used in 7 days, 99 of 100 requests "
            "fit into a quarter of what takes memory, or less.",
            fix=f"FLEET_NUM_CTX_OVERRIDES={quote(overrides)} FLEET_DYNAMIC_NUM_CTX=true herd run",
            data={
                "wasteful_models": [
                    {
                        "model": use.model, "allocated": use.context, "total_p99": use.p99_tokens,
                        "ratio": round(use.context / use.p99_tokens, 1), "recommended": use.recommended,
                        "savings_pct": per_cent(use.context - use.recommended, use.context), "requests": use.requests,
                    }
                    for use in wasteful
                ]
            },
        )  # fmt: skip


def _wastes(use: ContextUse) -> bool:
    """More than is used, and more than would be advised."""
    known = use.requests >= REQUESTS_LEAST and use.p99_tokens > 0
    return known and use.context > WASTE * use.p99_tokens and use.context > use.recommended


CHECKS = (
    Check(
        id="context_protection_insufficient", worst="warning", cost="sums",
        docs="A prompt was longer than the context that was in force.", look=context_protection_insufficient,
    ),
    Check(
        id="context_protection_active", worst="info", cost="sums",
        docs="The router named another context than the client's.", look=context_protection_active,
    ),
    Check(
        id="context_waste", worst="warning", cost="traces",
        docs="A loaded context is more than 4 times what 99 of 100 requests of a week took, of 10 at least; a "
        "warning from 8 times on.",
        look=context_waste,
    ),
)  # fmt: skip
