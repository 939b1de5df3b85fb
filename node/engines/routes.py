"""What a server's routes are for, by questions that no server can begin to work on. Knows no maker and no model.

A request that is cut off after its first character shows whether somebody listens: a route that is there complains of
it, one that is not is not found. So it goes for every route; where a maker has all routes and answers on some of them
that they do not serve, it must be asked something that it reads (``openai.py`` does).
"""

import asyncio
import re
from collections.abc import Collection, Iterable

import httpx

from node.engines.base import EngineError
from node.engines.http import Said, ask

PATHS = {
    "chat": "/v1/chat/completions",
    "generate": "/v1/completions",
    "embed": "/v1/embeddings",
    "image": "/v1/images/generations",
    "transcribe": "/v1/audio/transcriptions",
    "rerank": "/v1/rerank",
}
"""Where OpenAI's dialect has each operation (Jina's for the last)."""
KIND_OF = {
    "chat": "llm", "generate": "llm", "embed": "embed", "image": "image", "transcribe": "stt", "rerank": "rerank",
}  # fmt: skip
ABSENT = (401, 403, 404, 405, 410, 501, 502, 503, 504)
"""What a route answers that is not there, or not for us."""
NO_JSON = b"{"
NO_FORM = b"--nothing--\r\n"
FORM = "multipart/form-data; boundary=nothing"
_UNABLE = re.compile(r"\bdoes not support\b|\bnot OAI compatible\b")
"""How servers that have a route for every kind of work say that their model is not for this one."""


async def operations_of(http: httpx.AsyncClient, url: str, wanted: Iterable[str] = PATHS) -> tuple[str, ...]:
    """Which of these operations the server has a route for. Raises ``EngineError``: then nothing is known of any."""
    wanted = tuple(wanted)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_answers(http, url + PATHS[operation], operation)) for operation in wanted]
    found = []
    for operation, task in zip(wanted, tasks, strict=True):
        told = task.result()
        if isinstance(told, EngineError):
            raise told
        found += [operation] if told else []
    return tuple(found)


def serves(said: Said) -> bool:
    """Whether an answer to such a question is that of a route that does its work. A page for everything is none."""
    if said.status < 400:
        return isinstance(said.value, dict)
    return said.status not in ABSENT and not _UNABLE.search(said.body[:2000].decode("utf-8", "replace"))


def kinds_of(operations: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(KIND_OF[operation] for operation in operations))


def chosen(url: str, operations: Collection[str], kind: str) -> tuple[str, tuple[str, ...]]:
    """What the server is taken to be for, and its operations of that kind.

    ``kind`` is its owner's word, "": none. A server with routes for several kinds and no such word is taken for what
    it is most likely: one for language models. Raises ``EngineError`` if it can be taken for nothing.
    """
    kinds = kinds_of(operations)
    if kind and kind not in kinds:
        needed = " or ".join(PATHS[operation] for operation, of in KIND_OF.items() if of == kind)
        raise EngineError(f"{url} does not serve {needed}: it is no engine for {kind}.")
    if not kinds:
        raise EngineError(f"{url} serves nothing that Herd knows: none of {', '.join(PATHS.values())} is there.")
    if not kind and len(kinds) > 1 and "llm" not in kinds:
        example = f"--engine {kinds[0]}:NAME={url}"
        raise EngineError(f"{url} serves {' and '.join(kinds)}: say which is meant, as in {example}.")
    kind = kind or ("llm" if "llm" in kinds else kinds[0])
    return kind, tuple(operation for operation in operations if KIND_OF[operation] == kind)


async def _answers(http: httpx.AsyncClient, url: str, operation: str) -> bool | EngineError:
    form = operation == "transcribe"
    body, kind = (NO_FORM, FORM) if form else (NO_JSON, "application/json")
    try:
        return serves(await ask(http, url, method="POST", body=body, content_type=kind))
    except EngineError as exc:
        return exc
