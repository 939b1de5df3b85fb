"""Which tags a request carries, of all the places where a client may put them. Pure; knows no HTTP and no store."""

from collections.abc import Iterable

import msgspec

TAGS_MOST = 16
TAG_LENGTH_MOST = 64

_decode_metadata = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_word = msgspec.json.Decoder(str | int | float | bool | None).decode


def collect(metadata: msgspec.Raw | None, header: str, user: msgspec.Raw | None) -> tuple[str, ...]:
    """The union of ``metadata.tags``, the header's comma-separated list and the user (as ``user:<value>``), in order.

    Anthropic's clients name the user in ``metadata.user_id``.
    At most 16 tags of at most 64 characters; control characters are dropped; what is no tag is passed over.
    """
    if metadata is None and not header and user is None:
        return ()
    told = {} if metadata is None else _of_metadata(metadata)
    words = _tags(told)
    words += header.split(",")
    user = told.get("user_id") if user is None else user
    name = "" if user is None else _word(user).strip()
    if name:
        words.append(f"user:{name}")
    return _clean(words)


def _of_metadata(metadata: msgspec.Raw) -> dict[str, msgspec.Raw]:
    try:
        return _decode_metadata(metadata)
    except msgspec.ValidationError:
        return {}


def _tags(told: dict[str, msgspec.Raw]) -> list[str]:
    try:
        return [_word(tag) for tag in _decode_list(told["tags"])[: 4 * TAGS_MOST]] if "tags" in told else []
    except msgspec.ValidationError:
        return []


def _word(raw: msgspec.Raw) -> str:
    """A JSON word as text; empty for null, false, 0 and for whatever is no word."""
    try:
        word = _decode_word(raw)
    except msgspec.ValidationError:
        return ""
    return str(word) if word else ""


def _clean(words: Iterable[str]) -> tuple[str, ...]:
    tags: dict[str, None] = {}
    for word in words:
        tag = "".join(c for c in word[: 4 * TAG_LENGTH_MOST] if c.isprintable()).strip()[:TAG_LENGTH_MOST]
        if tag:
            tags[tag] = None
        if len(tags) == TAGS_MOST:
            break
    return tuple(tags)
