"""Which models think before they answer, and the room that takes. Pure; knows no dialect, no engine and no policy.

A limit on the output counts the thoughts as well: a client that asks for 200 tokens of answer would get 200 tokens of
thinking and no answer.
"""

from collections.abc import Collection

BUDGET_MOST = 2**31 - 1
"""Engines count in 32 bits."""
_FAMILIES = ("deepseek-r1", "gpt-oss", "qwq", "magistral", "reasoning", "-thinking")
_BY_DEFAULT = ("qwen3", "qwen3.5")
"""Families of which most, not all, think."""
_BUT_NOT = ("coder", "instruct", "embed", "rerank")


def thinks(name: str, capabilities: Collection[str], *, tells: bool) -> bool:
    """By the engine's word; where it has none, by the family in the model's name.

    ``tells``: this engine says of a model that thinks that it does, so its silence means no for a family of both kinds.
    """
    if "thinking" in capabilities:
        return True
    model = name.lower().rpartition("/")[2]
    if any(word in model for word in _FAMILIES):
        return True
    if tells and capabilities:
        return False
    return model.partition(":")[0].partition("-")[0] in _BY_DEFAULT and not any(word in model for word in _BUT_NOT)


def budget(asked: float, overhead: float, least: int) -> int:
    """The limit that leaves room for thoughts. 0 and less mean something else than a number of tokens: untouched."""
    if asked <= 0:
        return int(asked)
    return min(BUDGET_MOST, max(int(asked * overhead), least))


def tokens(characters: int) -> int | None:
    """What so much text is in tokens, roughly; None for no text."""
    return max(1, characters // 4) if characters else None
