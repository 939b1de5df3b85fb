"""How long a prompt is, estimated without a tokeniser. Pure; knows no dialect, no engine and no policy."""

CHARACTERS_PER_TOKEN = 4
CHARACTERS_PER_MESSAGE = 16
"""What a chat template adds around each message."""


def prompt_tokens(characters: int, messages: int) -> int:
    """Tokens of this many characters of text in this many messages; at least 1."""
    return max(1, (characters + CHARACTERS_PER_MESSAGE * messages) // CHARACTERS_PER_TOKEN)


def context_needed(prompt: int, output: int | None) -> int:
    """Tokens of context for a prompt and the output asked for; None and numbers below 1 ask for nothing certain."""
    return prompt + max(0, output or 0)
