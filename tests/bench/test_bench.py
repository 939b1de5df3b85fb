"""The benchmark's parts keep their word: a figure is worth nothing where a wrong answer counts as a right one."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from bench.bench import Row, ratio, verdicts
from bench.engine import Engine, Spec
from bench.load import Load, Result, drive, leave


@asynccontextmanager
async def engine(*, skip: int = 0):
    fake = Engine("mock:t32", skip=skip)
    try:
        yield fake, await fake.listen()
    finally:
        fake.close()


async def cut_short(reader, writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n tok \r\n")
    writer.close()


async def refuse(reader, writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


def test_a_models_name_says_how_many_tokens_and_how_fast():
    assert Spec.of("mock:t64") == Spec(64, 0.0)
    assert Spec.of("mock:t50d20000") == Spec(50, 0.02)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("tokens", [1, 64, 5000])
async def test_every_answer_and_every_token_is_counted(stream, tokens):
    async with engine() as (fake, port):
        result = await drive(port, Load(f"mock:t{tokens}", stream, connections=3, seconds=0.1))
    assert result.errors == 0, result.wrong
    assert result.answers == fake.stats.requests >= 3
    assert result.tokens == result.answers * tokens
    assert len(result.latency_s) == len(result.first_s) == result.answers


@pytest.mark.parametrize("stream", [False, True])
async def test_a_missing_token_is_an_error(stream):
    async with engine(skip=1) as (_, port):
        result = await drive(port, Load("mock:t64", stream, connections=2, seconds=0.05))
    assert result.answers == 0
    assert result.errors >= 2
    assert "63 of 64 tokens" in result.wrong


@pytest.mark.parametrize(("answer", "word"), [(cut_short, "cut short"), (refuse, "status 503")])
async def test_an_answer_cut_short_and_a_refusal_are_errors(answer, word):
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    result = await drive(server.sockets[0].getsockname()[1], Load("mock:t1", True, connections=1, seconds=0.05))
    server.close()
    assert (result.answers, result.errors) == (0, 1)
    assert word in result.wrong


def test_an_answer_without_its_last_record_is_an_error():
    result = Result()
    result.judge(200, b'{"message":{"content":" tok"},"done":false}', 1, whole=True)
    assert (result.answers, result.errors) == (0, 1)


async def test_a_stream_comes_token_by_token_and_who_leaves_is_counted():
    async with engine() as (fake, port):
        async with httpx.AsyncClient(trust_env=False) as http:
            url = f"http://127.0.0.1:{port}/api/chat"
            async with http.stream("POST", url, json={"model": "mock:t3d1000"}) as answer:
                said = [json.loads(line) async for line in answer.aiter_lines()]
        assert [line["message"]["content"] for line in said] == [" tok", " tok", " tok", ""]
        assert said[-1]["eval_count"] == 3

        async def aborted() -> int:
            return fake.stats.aborted

        await leave(port, Load("mock:t500d20000", True, connections=4, seconds=1), aborted)
        assert (fake.stats.finished, fake.stats.aborted) == (1, 4)


def test_a_ratio_is_the_median_of_what_one_round_says():
    def rows(*figures: float) -> list[Row]:
        return [Row("x", figure, 1, 1, 1, 1, 0, 0) for figure in figures]

    herd, nginx = rows(30, 5, 80), rows(100, 10, 100)
    assert ratio(herd, nginx, lambda row: row.figure) == 0.5
    assert "reached: 0.50" in verdicts("unary-16", {"herd": herd, "nginx": nginx})[0]
    assert "MISSED: 0.50" in verdicts("firehose-1", {"herd": herd, "nginx": nginx})[0]
