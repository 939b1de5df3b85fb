"""A child that is asked in lines answers in lines, on every event loop that a node may run on."""

import asyncio
import os
import sys
from collections.abc import Callable

import pytest

from node.engines import talk
from node.engines.talk import Talker

ECHO = "import sys\nfor line in sys.stdin: print(line.upper(), end='', flush=True)"


def loops() -> list[Callable[[], asyncio.AbstractEventLoop] | None]:
    try:
        import uvloop
    except ImportError:
        return [None]
    return [None, uvloop.new_event_loop]


@pytest.mark.parametrize("loop", loops(), ids=lambda loop: "asyncio" if loop is None else "uvloop")
def test_what_is_said_is_heard_and_answered_line_by_line(loop: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
    async def conversation() -> list[bytes | None]:
        child = await Talker.spawn([sys.executable, "-c", ECHO], os.environ)
        child.say(b"one")
        child.say(b"two " * 20_000)
        heard = [await child.hear(), await child.hear()]
        child.kill()
        heard += [await child.hear(), await child.hear()]
        child.say(b"nobody hears this")
        await child.stop()
        return heard

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(asyncio.wait_for(conversation(), 20)) == [b"ONE", b"TWO " * 20_000, None, None]


async def test_a_child_that_never_ends_its_line_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "SENTENCE_LIMIT", 1000)
    endless = "import time; print('x' * 5000, end='', flush=True); time.sleep(60)"
    child = await Talker.spawn([sys.executable, "-c", endless], os.environ)
    assert await asyncio.wait_for(child.hear(), 20) is None
    await child.stop()
