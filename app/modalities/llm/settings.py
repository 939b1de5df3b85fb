"""The settings of llm. Knows no file, command line or request; ``herd --help`` imports it, so it stays light."""

from dataclasses import dataclass, field
from typing import Literal

Protection = Literal["strip", "warn", "passthrough"]
KeepAlive = Literal["fill", "hold", "leave"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModels:
    """How requests to language models are served."""

    anthropic_model_map: dict[str, str] = field(default_factory=dict, metadata={"merges": True})
    """Models for the names of Anthropic's clients, as a JSON object: a name or a part of one, or `default` for all that
    the fleet does not know: `{"haiku": "llama3.2:3b", "default": "qwen3-coder:30b"}`."""
    vram_fallback: bool = True
    """A model that would have to be loaded first may be stood in for by a loaded one of its category and size."""
    context_protection: Protection = "strip"
    """`strip` keeps Ollama from loading a model anew for another context than it has, unless the request needs a larger
    one; `warn` only notes it; `passthrough` does nothing."""
    context_output: int = field(default=2048, metadata={"range": (0, 2**31 - 1)})
    """Tokens of the output a request asks for that must find room in the context, at the most."""
    keep_alive: KeepAlive = "fill"
    """Keep Ollama's models in memory: `fill` where the client does not say, `hold` whatever it says, `leave` never."""
    thinking_overhead: float = field(default=4.0, metadata={"range": (1, 1000)})
    """What the output limit of a request to a thinking model is multiplied by."""
    thinking_min_predict: int = field(default=1024, metadata={"range": (0, 2**31 - 1)})
    """Least output limit of a request to a thinking model, where it sets one."""
    dynamic_num_ctx: bool = False
    """Ask Ollama for the context in `num_ctx_overrides` where a request names none."""
    num_ctx_overrides: dict[str, int] = field(default_factory=dict, metadata={"range": (1, 2**31 - 1), "merges": True})
    """Context of each model, as a JSON object: `{"llama3.3:70b": 16384}`."""
    num_ctx_auto_calculate: bool = False
    """Write such overrides from what requests really used, for models whose context is over four times that."""
