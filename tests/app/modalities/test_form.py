"""Multipart forms: cut anywhere they read the same, what is broken is told, and nothing is left of a file."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BodyInvalid, NoRoom, RequestError, TooLarge
from app.modalities.form import FIELD_MOST, PARTS_MOST, File, Form, Outgoing, boundary_of, received
from app.modalities.spool import HELD_MOST, Spool

BOUNDARY = "xyz"
KIND = f"multipart/form-data; boundary={BOUNDARY}"


def part(head: str, value: bytes) -> bytes:
    return b"--xyz\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + value + b"\r\n"


def whole(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--xyz--\r\n"


SPEECH = part('name="file"; filename="a.wav"', b"RIFF\r\n--xy")
MODEL = part('name="model"', b"whisper")


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        await asyncio.sleep(0)
        yield body[at : at + size]


async def content(spool: Spool) -> bytes:
    return b"".join([piece async for piece in spool.pieces()])


async def read(
    body: bytes, folder: Path = Path(), size: int = 65536, most: int = 10**7, kind: str = KIND
) -> tuple[Form, bytes]:
    async with received(cut(body, size), kind, files=("file", "audio"), most=most, folder=folder) as form:
        return form, await content(form.file.content) if form.file else b""


@given(
    fields=st.lists(st.tuples(st.sampled_from(["model", "prompt", "x[]"]), st.text(max_size=40)), max_size=5),
    name=st.text(max_size=20),
    sound=st.binary(max_size=400),
    size=st.integers(1, 200),
)
def test_a_form_that_is_written_reads_as_it_was_wherever_it_is_cut(
    fields: list[tuple[str, str]], name: str, sound: bytes, size: int
) -> None:
    async def there_and_back() -> None:
        spool = Spool(Path())
        await spool.write(sound)
        out = Outgoing("herd-0123456789", fields, "file", File(name, "audio/wav", spool))
        body = b"".join([piece async for piece in out.pieces()])
        assert len(body) == out.length
        form, back = await read(body, size=size, kind=out.content_type)
        assert form.fields == [(key, value.encode("utf-8", "replace").decode()) for key, value in fields]
        assert back == sound
        assert form.file is not None
        assert form.file.kind == "audio/wav"

    asyncio.run(there_and_back())


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_the_file_may_come_before_or_after_the_fields_under_either_name(size: int) -> None:
    for body in (whole(SPEECH, MODEL), whole(MODEL, SPEECH.replace(b'"file"', b'"audio"'))):
        form, sound = await read(body, size=size)
        assert (form.last("model"), sound) == ("whisper", b"RIFF\r\n--xy")
        assert form.file is not None
        assert form.file.name == "a.wav"


@pytest.mark.parametrize(
    ("name", "shown"), [("../../etc/passwd", "passwd"), ("a\tb.wav", "ab.wav"), ("грамота.mp3", "грамота.mp3")]
)
async def test_of_a_files_name_only_what_a_header_can_carry_is_kept(name: str, shown: str) -> None:
    form, _ = await read(whole(part(f'name="file"; filename="{name}"', b"x")))
    assert form.file is not None
    assert form.file.name == shown


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "broken", id="empty"),
        pytest.param(b"no form at all", "broken", id="no form"),
        pytest.param(whole(SPEECH)[:-9], "broken", id="cut off"),
        pytest.param(b"--other\r\n\r\n--other--\r\n", "broken", id="another boundary"),
        pytest.param(b"--xyz\r\nno header\r\n\r\nx\r\n--xyz--", "broken", id="no header"),
        pytest.param(b"--xyz\r\nContent-Type: a/b\r\n\r\nx\r\n--xyz--", "broken", id="no disposition"),
        pytest.param(whole(*[MODEL] * (PARTS_MOST + 1)), "broken", id="too many parts"),
        pytest.param(whole(part('name="prompt"', b"x" * (FIELD_MOST + 1))), 'the field "prompt" is larger', id="huge"),
        pytest.param(whole(part('name="prompt"', b"\xff\xfe")), 'the field "prompt" is not valid', id="no text"),
        pytest.param(whole(SPEECH, SPEECH), "more than one file", id="two files"),
        pytest.param(b"--xyz\r\nX: " + b"y" * 10000, "broken", id="an endless header"),
    ],
)
async def test_a_form_that_is_none_is_told_why(body: bytes, words: str) -> None:
    with pytest.raises(BodyInvalid, match=words):
        await read(body)


@pytest.mark.parametrize(
    "kind",
    ["", "application/json", "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a",
     "multipart/form-data; boundary=é", "multipart/form-data; boundary=" + "a" * 300],
)  # fmt: skip
def test_a_content_type_that_names_no_form_with_a_boundary_is_refused(kind: str) -> None:
    with pytest.raises(BodyInvalid):
        boundary_of(kind)


async def test_a_file_over_the_limit_is_too_large_and_one_at_the_limit_is_not() -> None:
    body = whole(part('name="file"', b"x" * 1000))
    assert (await read(body, most=1000))[1] == b"x" * 1000
    with pytest.raises(TooLarge, match="999 bytes"):
        await read(body, most=999)


@given(body=st.binary(max_size=300), size=st.integers(1, 100))
def test_whatever_comes_is_a_form_or_the_clients_fault(body: bytes, size: int) -> None:
    with suppress(RequestError):
        asyncio.run(read(b"--xyz\r\n" + body, size=size))


def files_open() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0


async def test_a_large_file_lies_on_disk_without_a_name_can_be_read_twice_and_leaves_nothing(tmp_path: Path) -> None:
    sound = os.urandom(5 * HELD_MOST + 17)
    before = files_open()
    body = whole(SPEECH.replace(b"RIFF", sound))
    async with received(cut(body, 50_000), KIND, files=("file",), most=10**8, folder=tmp_path) as form:
        assert form.file is not None
        for _ in range(2):
            assert (await content(form.file.content)).startswith(sound)
        assert form.file.content.size == len(sound) + len(b"\r\n--xy")
        assert sum(map(len, form.file.content._held)) <= HELD_MOST
        assert list(tmp_path.iterdir()) == []
        assert files_open() >= before
    assert files_open() == before


async def test_a_small_file_never_touches_the_disk(tmp_path: Path) -> None:
    _, sound = await read(whole(part('name="file"', b"x" * 1000)), folder=tmp_path / "nowhere")
    assert len(sound) == 1000


async def test_a_disk_that_takes_no_more_is_told_as_no_room(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="disk"):
        await read(whole(part('name="file"', b"x" * 2 * HELD_MOST)), folder=tmp_path / "nowhere")


async def test_a_spool_that_is_closed_while_it_is_written_leaves_no_file(tmp_path: Path) -> None:
    before = files_open()
    for delay in range(40):
        spool = Spool(tmp_path)
        writing = asyncio.ensure_future(spool.write(b"x" * 2 * HELD_MOST))
        for _ in range(delay % 4):
            await asyncio.sleep(0)
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing
        await spool.close()
        await spool.close()
    assert files_open() == before
