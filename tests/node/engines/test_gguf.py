"""The head of a model file is read within bounds, and a file's name becomes a model's name by one rule."""

import contextlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_reranker import tiny_reranker

from node.engines.gguf import Head, head_of, model_files, model_name_of, read_head


def _text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(**values: object) -> bytes:
    """A GGUF head with these keys (``__`` for a dot), and nothing behind it."""
    out = b"GGUF" + struct.pack("<IQQ", 3, 0, len(values))
    for key, value in values.items():
        out += _text(key.replace("__", "."))
        match value:
            case bool():
                out += struct.pack("<I?", 7, value)
            case int():
                out += struct.pack("<II", 4, value)
            case str():
                out += struct.pack("<I", 8) + _text(value)
            case list():
                out += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(_text, value))
    return out


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("smollm2--135m.gguf", "smollm2:135m"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct:q4_1"),
        ("Qwen3-4B-Q4_K_M.gguf", "qwen3-4b:q4_k_m"),
        ("all-minilm-l6-v2-f16.gguf", "all-minilm-l6-v2:f16"),
        ("gemma-3-270m.gguf", "gemma-3-270m"),
        ("Big-IQ2_XS-00001-of-00003.gguf", "big:iq2_xs"),
        ("--odd.gguf", "--odd"),
        ("model.GGUF", "model"),
    ],
)
def test_a_file_name_becomes_a_model_name(file, name):
    assert model_name_of(file) == name


def test_the_head_tells_kind_context_and_memory(tmp_path: Path):
    path = tmp_path / "m.gguf"
    path.write_bytes(
        gguf(
            general__architecture="llama",
            general__tags=["a", "b"],
            llama__context_length=8192,
            llama__block_count=30,
            llama__embedding_length=576,
            llama__attention__head_count=9,
            llama__attention__head_count_kv=3,
            tokenizer__ggml__tokens=["x"] * 5,
        )
    )
    head = read_head(path)
    assert head == Head(architecture="llama", context_max=8192, cache_bytes_per_token=2 * 2 * 30 * 3 * 64)
    assert head.need_bytes(100, 1000) > head.cache_bytes_per_token * 1000 + 100


def test_bert_and_whatever_pools_makes_vectors():
    assert head_of({"general.architecture": "nomic-bert"}).modality == "embed"
    assert head_of({"general.architecture": "qwen3", "qwen3.pooling_type": 3}).modality == "embed"
    assert head_of({"general.architecture": "llama"}).modality == "llm"


@pytest.mark.parametrize("architecture", ["bert", "qwen3", "jina-bert-v2"])
def test_what_pools_into_a_rank_gives_scores(architecture: str) -> None:
    assert head_of({"general.architecture": architecture, f"{architecture}.pooling_type": 4}).modality == "rerank"


def test_the_tiny_reranker_is_one(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(tiny_reranker())
    head = read_head(tmp_path / "m.gguf")
    assert (head.architecture, head.modality, head.context_max) == ("bert", "rerank", 128)


def test_what_cannot_be_known_is_reckoned_generously():
    assert Head().need_bytes(4_000_000_000, 8192) > 5_000_000_000


@given(junk=st.binary(max_size=200), cut=st.integers(0, 300))
def test_a_broken_file_is_a_value_error_and_nothing_else(tmp_path_factory, junk, cut):
    whole = gguf(general__architecture="llama", llama__context_length=8192)
    path = tmp_path_factory.getbasetemp() / "broken.gguf"
    for content in (junk, b"GGUF" + junk, whole[:cut] + junk):
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            assert isinstance(read_head(path), Head)


def test_a_folder_gives_its_models_without_later_parts_and_projectors(tmp_path: Path):
    for name in ("b.gguf", "a.GGUF", "big-00001-of-00002.gguf", "big-00002-of-00002.gguf", "mmproj-x.gguf", "note.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder.gguf").mkdir()
    assert [path.name for path in model_files(tmp_path)] == ["a.GGUF", "b.gguf", "big-00001-of-00002.gguf"]
    assert model_files(tmp_path / "absent") == []
