"""The digest of a model file: told once it is known, read once, and anew for another file."""

import asyncio
import hashlib
import os
import sys
from pathlib import Path

import pytest

from node.engines import digest
from node.engines.digest import FileDigest
from node.engines.embedded import EmbeddedEngine, ModelFile
from node.engines.gguf import Head


async def until(told: FileDigest) -> str:
    async with asyncio.timeout(10):
        while not told.told:
            await asyncio.sleep(0.005)
    return told.told


async def test_a_file_is_read_once_and_anew_when_it_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"one" * digest.PIECE)
    read: list[str] = []
    summed = digest._sha256
    monkeypatch.setattr(digest, "_sha256", lambda path, ended: (read.append("once"), summed(path, ended))[1])
    told = FileDigest(file)
    assert told.told == ""
    told.look()
    assert await until(told) == hashlib.sha256(b"one" * digest.PIECE).hexdigest()
    told.look()
    assert told._reading is not None
    await told._reading
    assert len(read) == 1
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    told.look()
    await told._reading
    assert told.told == hashlib.sha256(b"two").hexdigest()


async def test_a_file_that_cannot_be_read_has_none(tmp_path: Path) -> None:
    told = FileDigest(tmp_path / "absent.gguf")
    told.look()
    assert told._reading is not None
    await told._reading
    assert told.told == ""


async def test_who_closes_does_not_wait_for_a_large_file(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(b"x" * 3 * digest.PIECE)
    told = FileDigest(file)
    told.close()
    told.look()
    assert told._reading is not None
    await told._reading
    assert told.told == ""


@pytest.mark.parametrize(
    ("name", "modality", "provable"),
    [("minilm.gguf", "embed", True), ("chat.gguf", "llm", False), ("large-00001-of-00002.gguf", "embed", False)],
)
def test_only_whole_embedding_models_are_read_for_it(name: str, modality, provable: bool) -> None:
    file = ModelFile(name="m", path=Path(name), size_bytes=1, modified_at="", head=Head(modality=modality))
    assert file.is_provable == provable


async def test_an_engine_looks_at_its_file_whenever_it_starts(tmp_path: Path, http, monkeypatch) -> None:
    file = tmp_path / "minilm.gguf"
    file.write_bytes(b"weights")
    sleeper = [sys.executable, "-c", "import time; time.sleep(30)"]
    monkeypatch.setattr("node.engines.embedded._command", lambda file: sleeper)
    told = ModelFile(name="m", path=file, size_bytes=7, modified_at="", head=Head(modality="embed"))
    engine = EmbeddedEngine("embedded", told, http)
    await engine.start()
    assert await until(engine._digest) == hashlib.sha256(b"weights").hexdigest()
    await engine.aclose()
