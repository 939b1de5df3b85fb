"""What a file's first bytes tell of it as audio, before an engine is bothered with it. Knows no engine and no codec."""

import struct
from pathlib import Path

HEAD = 4096
OPEN_ENDED = 0x7FFF0000
"""From here on a WAV file's length is what programs write that do not know it: they stream."""
_MARKS = (
    (0, b"RIFF"), (0, b"RF64"), (0, b"fLaC"), (0, b"OggS"), (0, b"ID3"), (4, b"ftyp"), (0, b"\x1aE\xdf\xa3"),
    (0, b"FORM"), (0, b"caff"), (0, b"#!AMR"), (0, b".snd"), (0, b"0&\xb2u"), (0, b"MAC "), (0, b"wvpk"),
)  # fmt: skip
"""How the usual containers begin, and where; MPEG audio without one begins with eleven set bits."""


def complaint(path: Path, known_only: bool = False) -> str:
    """Why nobody could transcribe this file, as a sentence; empty: nothing speaks against it. Blocks.

    ``known_only`` also complains of what begins as no usual audio file does.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        return "The file is empty."
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and (missing := _missing(head, size)):
        return f"The file is cut short: {missing} bytes of its sound are missing."
    if known_only and not _looks_like_audio(head):
        return "The file is not audio of a kind that is known here."
    return ""


def _looks_like_audio(head: bytes) -> bool:
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] >= 0xE0
    return mpeg or any(head[at : at + len(mark)] == mark for at, mark in _MARKS)


def _missing(head: bytes, size: int) -> int:
    """Bytes that a WAV file's sound lacks of what its head says."""
    at = 12
    while at + 8 <= len(head):
        name, length = struct.unpack_from("<4sI", head, at)
        at += 8
        if name == b"data":
            return max(0, at + length - size) if length < OPEN_ENDED else 0
        at += length + length % 2
    return 0
