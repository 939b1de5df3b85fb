"""Log events reach the file whole and the console safely, from the levels that were asked for."""

import io
import json
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from node.log import Log, clean, configure, flush_log
from node.log_file import DAY_S, LogFile

Open = Callable[..., Log]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "herd.jsonl"


@pytest.fixture
def open_log(file: Path) -> Iterator[Open]:
    opened: list[Log] = []

    def open_it(**wanted: Any) -> Log:
        wanted = {"file": file, "file_level": "DEBUG", "console_level": "ERROR", "console": io.StringIO(), **wanted}
        opened.append(configure(**wanted))
        return opened[-1]

    yield open_it
    for log in opened:
        log.close()
    structlog.reset_defaults()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_an_event_is_one_json_object_with_time_level_event_and_keys(open_log: Open, file: Path) -> None:
    log = open_log()
    structlog.get_logger("fleet").info("request.finished", node="mac", ttft_s=0.41, tags=["a"])
    log.flush()
    (line,) = lines(file)
    assert line.pop("ts").endswith("Z")
    assert line == {"level": "info", "event": "request.finished", "node": "mac", "ttft_s": 0.41, "tags": ["a"]}


def test_keys_called_like_the_frame_do_not_replace_it(open_log: Open, file: Path) -> None:
    log = open_log()
    structlog.get_logger().info("node.joined", level="critical", ts="never")
    log.flush()
    (line,) = lines(file)
    assert (line["level"], line["level_"], line["ts_"]) == ("info", "critical", "never")


@pytest.mark.parametrize(
    ("file_level", "console_level", "in_file", "on_console"),
    [("DEBUG", "WARNING", 3, 1), ("WARNING", "DEBUG", 1, 3), ("ERROR", "ERROR", 0, 0), ("info", "info", 2, 2)],
)
def test_both_levels_take_effect(
    open_log: Open, file: Path, file_level: str, console_level: str, in_file: int, on_console: int
) -> None:
    console = io.StringIO()
    log = open_log(file_level=file_level, console_level=console_level, console=console)
    logger = structlog.get_logger()
    logger.debug("a.b")
    logger.info("a.b")
    logger.warning("a.b")
    log.flush()
    assert (len(lines(file)), len(console.getvalue().splitlines())) == (in_file, on_console)


def test_a_debug_event_waits_in_the_buffer_and_a_warning_takes_it_along(open_log: Open, file: Path) -> None:
    open_log()
    logger = structlog.get_logger()
    logger.debug("first.one")  # the first ever is written at once
    logger.debug("a.b")
    before = len(lines(file))
    logger.warning("c.d")
    assert (before, len(lines(file))) == (1, 3)


def test_the_loops_may_flush_whatever_log_is_configured(open_log: Open, file: Path) -> None:
    open_log()
    structlog.get_logger().debug("first.one")
    structlog.get_logger().debug("a.b")
    flush_log()
    assert len(lines(file)) == 2


def test_closing_writes_what_waits_and_later_events_harm_nothing(open_log: Open, file: Path) -> None:
    log = open_log()
    logger = structlog.get_logger()
    logger.debug("first.one")
    logger.debug("a.b")
    log.close()
    logger.error("too.late")
    assert [line["event"] for line in lines(file)] == ["first.one", "a.b"]


def test_values_that_no_json_can_hold_are_told_in_words(open_log: Open, file: Path) -> None:
    log = open_log()
    structlog.get_logger().info(
        "a.b", broken="\ud800", huge=2**90, thing=Path("/x"), nested={"k": {1, 2}}, nan=float("nan")
    )
    structlog.get_logger().info("a.b", key={"\udfff": 1})
    log.flush()
    first, second = lines(file)
    assert (first["broken"], first["huge"], first["thing"]) == ("\\ud800", str(2**90), repr(Path("/x")))
    assert second["event"] == "a.b"


def test_an_exception_is_text_in_the_file_and_its_last_line_on_the_console(open_log: Open, file: Path) -> None:
    console = io.StringIO()
    log = open_log(console=console)
    try:
        raise ValueError("no such thing")
    except ValueError:
        structlog.get_logger().exception("loop.failed")
    log.flush()
    (line,) = lines(file)
    assert line["level"] == "error"
    assert line["exception"].startswith("Traceback")
    assert console.getvalue().rstrip().endswith('loop.failed  exception="ValueError: no such thing"')


def test_no_value_forges_a_line_or_a_colour_on_the_console(open_log: Open, file: Path) -> None:
    console = Terminal()
    open_log(console=console, console_level="INFO")
    structlog.get_logger().info("node.joined", node="x\n12:00:00 ERROR forged\x1b[31m\x9b2J\u202e", other="a b=c")
    shown = console.getvalue()
    assert shown.count("\n") == 1
    assert shown.count("\x1b") == 2  # our own colour, on and off
    assert not {"\x9b", "\u202e"} & set(shown)
    assert 'other="a b=c"' in shown


def test_a_long_field_is_cut_on_the_console_only(open_log: Open, file: Path) -> None:
    console = io.StringIO()
    log = open_log(console=console, console_level="INFO")
    structlog.get_logger().info("a.b", long="x" * 5000)
    log.flush()
    assert len(console.getvalue()) < 300
    assert len(lines(file)[0]["long"]) == 5000


@given(st.text())
def test_clean_text_holds_nothing_that_moves_a_cursor(text: str) -> None:
    cleaned = clean(text)
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in cleaned)
    assert not {"\u2028", "\u202e"} & set(cleaned)


def test_libraries_are_heard_from_warnings_on(open_log: Open, file: Path) -> None:
    log = open_log()
    logging.getLogger("httpx").info("HTTP Request: GET ...")
    logging.getLogger("aiosqlite").debug("executing ...")
    logging.getLogger("uvicorn.error").warning("a %s of %d", "thing", 3)
    log.flush()
    assert [(line["event"], line["logger"], line["message"]) for line in lines(file)] == [
        ("library.warned", "uvicorn.error", "a thing of 3")
    ]


def test_a_library_with_a_broken_message_breaks_nothing(
    open_log: Open, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log()
    ours = logging.getLogger().handlers[-1]  # pytest's own handler would raise
    ours.handle(logging.makeLogRecord({"name": "broken", "levelno": 30, "msg": "%d", "args": ("no number",)}))
    structlog.get_logger().info("a.b")
    log.flush()
    assert [line["event"] for line in lines(file)] == ["a.b"]


def test_closing_gives_the_standard_librarys_logging_back(open_log: Open) -> None:
    before = list(logging.getLogger().handlers)
    open_log().close()
    assert logging.getLogger().handlers == before


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_the_file_and_its_folder_are_their_owners_alone(open_log: Open, file: Path) -> None:
    open_log()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)]
    assert modes == [0o600, 0o700]


def test_at_midnight_a_new_file_begins_and_the_old_one_gets_its_date(file: Path) -> None:
    log = LogFile(file, days=30)
    noon = 20_000.5 * DAY_S
    log.write([b"1\n"], noon)
    log.write([b"2\n"], noon + DAY_S / 2 - 1)
    log.write([b"3\n"], noon + DAY_S / 2)
    log.close()
    aside = file.with_name("herd.jsonl." + time.strftime("%Y-%m-%d", time.gmtime(noon)))
    assert (aside.read_bytes(), file.read_bytes()) == (b"1\n2\n", b"3\n")


def test_yesterdays_file_is_put_aside_at_the_start(file: Path) -> None:
    file.parent.mkdir()
    file.write_bytes(b"old\n")
    then = 20_000 * DAY_S
    os.utime(file, (then, then))
    LogFile(file, days=30).write([b"new\n"], then + DAY_S)
    assert file.read_bytes() == b"new\n"
    assert file.with_name("herd.jsonl." + time.strftime("%Y-%m-%d", time.gmtime(then))).read_bytes() == b"old\n"


def test_only_so_many_old_files_are_kept(file: Path) -> None:
    log = LogFile(file, days=3)
    for day in range(20_000, 20_010):
        log.write([b"%d\n" % day], day * DAY_S + 5)
    log.close()
    (file.parent / "herd.jsonl.bak").touch()
    assert len([path for path in file.parent.iterdir() if path.name.startswith("herd.jsonl.2")]) == 3


def test_a_clock_set_back_and_forth_loses_no_line(file: Path) -> None:
    log = LogFile(file, days=30)
    noon = 20_000.5 * DAY_S
    for number, now in enumerate([noon, noon + DAY_S, noon - DAY_S, noon, noon + DAY_S, noon + 2 * DAY_S]):
        log.write([b"%d\n" % number], now)
    log.close()
    written = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert sorted(written.split()) == [b"0", b"1", b"2", b"3", b"4", b"5"]


def test_two_processes_on_one_file_lose_no_line_at_midnight(file: Path) -> None:
    one, two = LogFile(file, days=30), LogFile(file, days=30)
    noon = 20_000.5 * DAY_S
    for day in range(3):
        one.write([b"one\n"], noon + day * DAY_S)
        two.write([b"two\n"], noon + day * DAY_S)
    written = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert sorted(written.split()) == [b"one"] * 3 + [b"two"] * 3


def test_a_disk_that_takes_nothing_costs_lines_but_never_a_request(tmp_path: Path) -> None:
    blocked = tmp_path / "in the way"
    blocked.touch()
    console = io.StringIO()
    log = configure(file=blocked / "herd.jsonl", file_level="DEBUG", console_level="WARNING", console=console)
    structlog.get_logger().warning("still.here")
    structlog.get_logger().info("much.said", what="x" * 2_000_000)
    log.flush()
    lost = log.lost
    log.close()
    structlog.reset_defaults()
    assert "log.unwritable" in console.getvalue()
    assert lost >= 2


def test_a_line_that_waited_for_the_disk_is_written_when_it_is_back(tmp_path: Path) -> None:
    blocked = tmp_path / "logs"
    blocked.touch()
    log = LogFile(blocked / "herd.jsonl", days=3)
    log.write([b"1\n"], 1e9)
    blocked.unlink()
    log.write([b"2\n"], 1e9)
    log.close()
    assert (blocked / "herd.jsonl").read_bytes() == b"1\n2\n"
