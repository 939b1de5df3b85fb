"""The settings of image. Knows no file, command line or request; ``herd --help`` imports it, so it stays light."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Painting:
    """How pictures are made."""

    image_generation: bool = True
    """Make pictures; otherwise requests for them get 503."""
    image_timeout: float = field(default=600.0, metadata={"range": (0.001, 86400)})
    """Seconds an engine may work on one picture; the first one of a model may include the download of its weights."""
