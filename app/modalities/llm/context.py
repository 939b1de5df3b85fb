"""How much context a request takes, and how much an Ollama shall have loaded for it. Pure; knows no dialect.

Ollama loads a model anew whenever a request names another context than it has, and a request that names none asks for
Ollama's default: so the context a model has is named in each request, and a larger one only where it is needed.
"""

import msgspec

CHARACTERS_PER_TOKEN = 4
CHARACTERS_PER_MESSAGE = 16
"""What a chat template adds around each message."""
LEAST = 4096
"""What every Ollama allocates, at the least, when it is told nothing."""


def prompt_tokens(characters: int, messages: int) -> int:
    """Tokens of this many characters of text in this many messages, estimated without a tokeniser; at least 1."""
    return max(1, (characters + CHARACTERS_PER_MESSAGE * messages) // CHARACTERS_PER_TOKEN)


def context_needed(prompt: int, output: int | None, most: int | None = None) -> int:
    """Tokens of context for a prompt and the output asked for, of which at most ``most`` count.

    None and numbers below 1 ask for nothing certain.
    """
    wanted = max(0, output or 0)
    return prompt + (wanted if most is None else min(wanted, most))


class Sizing(msgspec.Struct, frozen=True):
    """``num_ctx`` is what the engine is told (None: what the client said). ``action`` is the word for what was done:

    none      nothing to do, or nothing known
    kept      the context that is loaded is named, where the client named none
    stripped  it is named in place of the client's
    reloaded  a larger one is named, so the model is loaded anew
    sized     a context large enough is named for a model that is to be loaded
    override  the context that the settings say is named for such a model
    """

    num_ctx: int | None = None
    action: str = "none"


NONE = Sizing()


def size(*, asked: int | None, estimate: int, loaded: int | None, most: int | None) -> Sizing:
    """``asked`` by the client, ``estimate`` of what the request takes, ``most`` that the model was made for.

    ``loaded`` is the model's context in memory; 0: it is not in memory, None: not known.
    """
    if loaded is None:
        return NONE
    needed = max(estimate, asked or 0)
    if most is not None:
        needed = min(needed, most)
    if loaded >= needed:
        if asked == loaded:
            return NONE
        return Sizing(loaded, "kept" if asked is None else "stripped")
    if not loaded and (estimate <= asked if asked is not None else estimate <= LEAST):
        return NONE
    wanted = asked if asked is not None and asked >= estimate else roomy(estimate)
    return Sizing(wanted if most is None else min(wanted, most), "reloaded" if loaded else "sized")


def roomy(tokens: int) -> int:
    """A context with room to grow, so that a conversation does not load its model anew with each turn."""
    return max(LEAST, power_of_two(tokens))


def power_of_two(tokens: int) -> int:
    """The smallest power of two that is not less; 2048 for nothing."""
    return 1 << (tokens - 1).bit_length() if tokens > 0 else 2048
