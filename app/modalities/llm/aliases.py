"""Which model of the fleet a foreign name stands for. Pure; knows no request and no node."""

from collections.abc import Callable, Mapping

DEFAULT = "default"


def meant(name: str, aliases: Mapping[str, str], known: Callable[[str], bool]) -> str:
    """The model that is meant by a name:

    1. the alias of exactly this name;
    2. the name itself, if the fleet knows it;
    3. the alias of the longest part of the name: ``haiku``, ``claude-opus-``;
    4. the alias ``default``;
    5. the name itself, which nobody has.
    """
    if name in aliases:
        return aliases[name]
    if known(name):
        return name
    parts = [part for part in aliases if part != DEFAULT and part in name]
    return aliases.get(max(parts, key=len, default=DEFAULT), name)
