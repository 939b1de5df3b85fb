"""The head of a GGUF file: what kind of model it is and what memory it will want. Knows no engine and no process."""

import re
import struct
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

HEAD_LIMIT = 4 * 1024 * 1024
OVERHEAD_BYTES = 256 * 1024 * 1024
"""What a server takes besides weights and cache: its program, its compute buffers."""
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9
_RANK = 4
"""The pooling type of a model with a head that gives one score."""
_QUANTIZATION = re.compile(r"[.-]((?:i?q\d\w*|[bf]+p?(?:8|16|32)|mxfp4\w*))$", re.IGNORECASE)
_PART = re.compile(r"-(\d{5})-of-\d{5}$")
Value = str | int | float | bool


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the file's head. 0: not told. ``modality``: whether the model gives words, vectors or scores."""

    architecture: str = ""
    context_max: int = 0
    cache_bytes_per_token: int = 0
    modality: Literal["llm", "embed", "rerank"] = "llm"

    def need_bytes(self, size_bytes: int, context: int) -> int:
        """An estimate, rather too large, of the memory the model takes once it is served with this context."""
        cache = self.cache_bytes_per_token * context
        return size_bytes + (cache or size_bytes // 4) + OVERHEAD_BYTES


def read_head(path: Path) -> Head:
    """Read a file's head; raises ``ValueError`` if it is no GGUF file, ``OSError`` if it cannot be read. Blocks."""
    with path.open("rb") as file:
        try:
            return head_of(_values(file))
        except (struct.error, UnicodeDecodeError, EOFError) as exc:
            raise ValueError(f"{path.name} is no complete GGUF file.") from exc


def head_of(values: dict[str, Value]) -> Head:
    architecture = str(values.get("general.architecture", ""))

    def number(key: str) -> int:
        value = values.get(f"{architecture}.{key}", 0)
        return value if isinstance(value, int) and value > 0 else 0

    heads = number("attention.head_count")
    key_length = number("attention.key_length") or (number("embedding_length") // heads if heads else 0)
    cache = 4 * number("block_count") * (number("attention.head_count_kv") or heads) * key_length
    pooling = values.get(f"{architecture}.pooling_type")
    vectors = pooling is not None or architecture.endswith("bert") or "-bert" in architecture
    return Head(
        architecture=architecture,
        context_max=number("context_length"),
        cache_bytes_per_token=cache,
        modality="rerank" if pooling == _RANK else "embed" if vectors else "llm",
    )


def model_name_of(file_name: str) -> str:
    """The one rule of names. In lower case and without ``.gguf``:

    - ``--`` stands for the colon: ``smollm2--135m.gguf`` is ``smollm2:135m``;
    - else a quantization at the end becomes the tag: ``SmolLM2-135M-Instruct.Q4_1.gguf`` is
      ``smollm2-135m-instruct:q4_1``;
    - else the name stays as it is.
    """
    stem = _PART.sub("", file_name.removesuffix(".gguf").removesuffix(".GGUF")).lower()
    if "--" in stem:
        name, _, tag = stem.partition("--")
        return f"{name}:{tag}" if name and tag else stem
    found = _QUANTIZATION.search(stem)
    return f"{stem[: found.start()]}:{found.group(1)}" if found and found.start() else stem


def model_files(folder: Path) -> list[Path]:
    """The model files of a folder by name: of a split model its first part, and no projector files. Blocks."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".gguf" and path.is_file())
    except OSError:
        return []
    parts = {path: _PART.search(path.stem) for path in files}
    first = [path for path, part in parts.items() if part is None or int(part.group(1)) == 1]
    return [path for path in first if not path.name.lower().startswith("mmproj")]


def is_part(path: Path) -> bool:
    """Whether the model lies in several files."""
    return _PART.search(path.stem) is not None


def _values(file: BinaryIO) -> dict[str, Value]:
    if file.read(4) != b"GGUF":
        raise EOFError
    version, _, count = struct.unpack("<IQQ", _exactly(file, 20))
    if not 2 <= version <= 3:
        raise EOFError
    values: dict[str, Value] = {}
    for _ in range(min(count, 10_000)):
        key = _text(file)
        if key.startswith("tokenizer."):
            break  # the vocabulary: megabytes that tell nothing here
        value = _value(file, *struct.unpack("<I", _exactly(file, 4)))
        if value is not None:
            values[key] = value
    return values


def _value(file: BinaryIO, kind: int) -> Value | None:
    if kind == _STRING:
        return _text(file)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", _exactly(file, 12))
        for _ in range(min(count, 1_000_000)):
            _value(file, inner)
        return None
    if kind not in _SCALARS:
        raise EOFError
    value: Value = struct.unpack(_SCALARS[kind], _exactly(file, struct.calcsize(_SCALARS[kind])))[0]
    return value


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _exactly(file, 8))
    return _exactly(file, length).decode()


def _exactly(file: BinaryIO, count: int) -> bytes:
    if count > HEAD_LIMIT or file.tell() > HEAD_LIMIT:
        raise EOFError
    read = file.read(count)
    if len(read) != count:
        raise EOFError
    return read
