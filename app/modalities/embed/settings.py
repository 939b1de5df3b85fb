"""The settings of embed. Knows no file, command line or request; ``herd --help`` imports it, so it stays light."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedding:
    """How requests for embeddings are served."""

    embed_split_from: int = field(default=32, metadata={"range": (0, 2**31 - 1)})
    """Inputs from which on a list is divided over all nodes that hold the very same model; 0: never."""
    embed_inputs_max: int = field(default=20_000, metadata={"range": (1, 2**31 - 1)})
    """Largest number of inputs in one request."""
