"""The settings of stt. Knows no file, command line or request; ``herd --help`` imports it, so it stays light."""

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """How recordings are turned into text."""

    transcription: bool = True
    """Serve transcriptions; otherwise they get 503."""
    transcription_timeout: float = field(default=300.0, metadata={"range": (0.001, 86400)})
    """Seconds an engine may work on one recording, from when it has all of it."""
    transcription_max_bytes: int = field(default=512 * 1024 * 1024, metadata={"range": (1, 2**50)})
    """Largest recording; a larger one gets 413."""
