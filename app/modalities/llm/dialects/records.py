"""Answers as bytes: whole records out of pieces, fields out of a record. Pure; knows no dialect's words."""

import msgspec

from app.errors import StreamBroken

RECORD_MOST = 4 * 1024 * 1024
"""Largest record of a stream, in bytes."""

Fields = dict[str, msgspec.Raw]
_decode_fields = msgspec.json.Decoder(Fields).decode
_decode_int = msgspec.json.Decoder(int).decode
_decode_float = msgspec.json.Decoder(float).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
WRONG = (msgspec.DecodeError, UnicodeError, RecursionError)


def fields(record: bytes | msgspec.Raw | None) -> Fields | None:
    """The top level of a record, values as written; None if it is no JSON object."""
    if record is None:
        return None
    try:
        return _decode_fields(record)
    except WRONG:
        return None


def within(record: Fields, key: str) -> Fields:
    """The object under a key; empty if there is none."""
    return fields(record.get(key)) or {}


def items(record: Fields, key: str) -> list[msgspec.Raw]:
    """The list under a key; empty if there is none."""
    try:
        return _decode_list(record[key]) if key in record else []
    except WRONG:
        return []


def integer(record: Fields, key: str) -> int | None:
    """A counter; None if it is missing, negative or no integer."""
    try:
        value = _decode_int(record[key]) if key in record else -1
    except WRONG:
        return None
    return value if value >= 0 else None


def seconds(record: Fields, key: str, per_second: float) -> float | None:
    """A duration, given in units of which ``per_second`` make a second; None if it is missing or no number."""
    try:
        value = _decode_float(record[key]) if key in record else -1.0
    except WRONG:
        return None
    return value / per_second if value >= 0 else None


def text(record: Fields, key: str) -> str | None:
    """A string; None if it is missing or none."""
    try:
        return _decode_text(record[key]) if key in record else None
    except WRONG:
        return None


def length(record: Fields, key: str) -> int:
    """How many characters a string has; 0 if it is missing or none."""
    return len(text(record, key) or "")


def error_of(record: Fields) -> str | None:
    """An error record's message, in any dialect; None if the record is none."""
    raw = record.get("error")
    if raw is None or bytes(raw) in (b"null", b'""', b"{}", b"false"):
        return None
    message = text(record, "error") or text(within(record, "error"), "message") or "the engine reports an error"
    return "".join(c if c.isprintable() else " " for c in message)[:500]


class Cutter:
    """Gives bytes on in whole records, each ended by one of ``ends``; the rest waits for its end."""

    __slots__ = ("_ends", "_parts", "_size")

    def __init__(self, *ends: bytes) -> None:
        self._ends = ends
        self._parts: list[bytes] = []
        self._size = 0

    def whole(self, piece: bytes) -> bytes:
        """Whole records, as many as are complete now. Raises ``StreamBroken`` for one without end."""
        if self._parts:
            self._size += len(piece)
            self._parts.append(piece)
            if b"\n" not in piece:
                self._judge()
                return b""
            piece = b"".join(self._parts)
        cut = 0
        for end in self._ends:
            if piece.endswith(end):
                self._parts = []
                self._size = 0
                return piece
            cut = max(cut, piece.rfind(end) + len(end)) if end in piece else cut
        self._parts = [piece[cut:]] if cut else [piece]
        self._size = len(piece) - cut
        self._judge()
        return piece[:cut]

    def rest(self) -> bytes:
        """What waits for an end that will not come."""
        left = b"".join(self._parts)
        self._parts = []
        self._size = 0
        return left

    def keep(self, piece: bytes) -> None:
        """Put back what is not to go on yet, ahead of what waits."""
        self._parts.insert(0, piece)
        self._size += len(piece)
        self._judge()

    def _judge(self) -> None:
        if self._size > RECORD_MOST:
            self._parts = []
            raise StreamBroken(f"a record of the engine's answer is larger than {RECORD_MOST} bytes")


def one_line(raw: bytes) -> bytes:
    """JSON as a record may hold it: a client or a model may have written it over several lines."""
    return raw.replace(b"\n", b" ").replace(b"\r", b" ")


def refusal_of(first: bytes) -> str | None:
    """Why an answer that starts with this record is none; None if it is one."""
    record = fields(first)
    if record is not None:
        return error_of(record)
    return "the engine's answer is not what its dialect says" if first.strip() else "the engine's answer is empty"
