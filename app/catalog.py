"""What is known of models by their names alone: category, size, context. Pure; knows no node and no file.

A catalogue is a guess about models that nobody has measured yet: what an engine reports always goes before it.
"""

import tomllib
from collections.abc import Iterable

import msgspec

from node.wire import model_key

_BY_WORD = (
    ("coding", ("coder", "codestral", "devstral", "starcoder")),
    ("reasoning", ("deepseek-r1", "phi-4", "reasoning")),
    ("creative", ("creative", "mistral-nemo", "story")),
)


class CatalogInvalid(ValueError):
    """A catalogue cannot be read; the message names the place, such as ``$.models[3].size_bytes``."""


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known model. ``parameters_b`` and ``active_b`` are in 10^9 (active: those used for one token).

    ``size_bytes`` is the download of the tag's usual quantisation, ``context`` the tokens it was made for. ``also`` are
    further categories it serves well. ``steps`` is in how many a picture is made. ``install`` is the command that
    brings it to a node, where no engine pulls it. None, 0 and empty mean: not known.
    """

    name: str
    family: str
    category: str
    parameters_b: float = 0.0
    active_b: float | None = None
    size_bytes: int | None = None
    context: int | None = None
    also: tuple[str, ...] = ()
    dimensions: int | None = None
    steps: int | None = None
    install: str = ""
    about: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    models: tuple[ModelSpec, ...] = ()
    as_of: str = ""
    about: str = ""


class Catalog:
    """Known models in the order of their file: within a family the first is the one meant without a tag."""

    __slots__ = ("_by_key", "_by_stem", "models")

    def __init__(self, models: Iterable[ModelSpec] = ()) -> None:
        self._by_key: dict[str, ModelSpec] = {}
        self._by_stem: dict[str, ModelSpec] = {}
        for spec in models:
            key = model_key(spec.name)
            self._by_key.setdefault(key, spec)
            self._by_stem.setdefault(_stem(key), spec)
        self.models = tuple(self._by_key.values())

    @classmethod
    def empty(cls) -> "Catalog":
        return cls()

    @classmethod
    def joined(cls, catalogs: Iterable["Catalog"]) -> "Catalog":
        """All their models; of two with the same name the first counts."""
        return cls(spec for catalog in catalogs for spec in catalog.models)

    def named(self, name: str) -> ModelSpec | None:
        """The model of exactly this name; a name without a tag means the first of its family."""
        key = model_key(name)
        stem, _, tag = key.rpartition(":")
        return self._by_key.get(key) or (self._by_stem.get(stem) if tag == "latest" else None)

    def lookup(self, name: str) -> ModelSpec | None:
        """The model of this name, or the one of which it is a variant (``gemma3:27b-it-q8_0`` of ``gemma3:27b``).

        Another tag of a known family is another model: None.
        """
        found = self.named(name)
        stem, _, tag = model_key(name).rpartition(":")
        while found is None and "-" in tag:
            tag = tag.rpartition("-")[0]
            found = self._by_key.get(f"{stem}:{tag}")
        return found

    def category(self, name: str) -> str:
        """What the model is good at: by the catalogue, else by its family, else by words in its name, else general."""
        key = model_key(name)
        found = self.lookup(key) or self._by_stem.get(_stem(key))
        if found is not None:
            return found.category
        if key.startswith("x/"):
            return "image"
        tail = key.rpartition("/")[2]
        for category, words in _BY_WORD:
            if any(word in tail for word in words):
                return category
        return "general"


def load(text: str) -> Catalog:
    """The catalogue that a TOML text describes; raises ``CatalogInvalid``."""
    try:
        return Catalog(msgspec.convert(tomllib.loads(text), _File).models)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise CatalogInvalid(str(error)) from error


def _stem(key: str) -> str:
    return key.rpartition(":")[0]
