"""What the learner keeps: whole after a kill at any moment, set aside when it makes no sense; and people's wishes."""

import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from node.capacity.learner import Week
from node.capacity.memory import WeekFile, WishFiles
from node.capacity.wish import Wish

WRITER = """
import sys
from pathlib import Path
import msgspec
from node.capacity.learner import Week
from node.capacity.memory import WeekFile

file, number = WeekFile(Path(sys.argv[1])), 0
while True:
    number += 1
    week = Week.new()
    week.days = number
    for hour in week.hours:
        hour.seconds = number
    file.save(msgspec.json.encode(week))
    print(number, flush=True)
"""


def test_a_week_survives_kill_9_at_any_write(tmp_path: Path) -> None:
    path, chance = tmp_path / "capacity-learner-n.json", random.Random(7)
    for _ in range(12):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(chance.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        told = [first, *map(int, writer.stdout.read().split())]
        writer.wait()
        file = WeekFile(path)
        week = file.load()
        assert file.damaged is None
        assert {hour.seconds for hour in week.hours} == {float(week.days)}, "one week, not halves of two"
        assert week.days in (told[-1], told[-1] + 1)
    assert len(list(tmp_path.iterdir())) <= 2, "it leaves no litter but one draft"


def test_what_is_kept_is_its_owners_alone(tmp_path: Path) -> None:
    file = WeekFile(tmp_path / "deep" / "w.json")
    file.save(msgspec.json.encode(Week.new()))
    if sys.platform != "win32":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.load() == Week.new()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"hours":[]}',
        b'{"hours":[[1,2]]}',
        b"\xff\xfe",
        msgspec.json.encode({"hours": [[-1]] * 168}),
    ],
)
def test_a_file_that_makes_no_sense_is_set_aside_and_a_new_week_begins(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(content)
    file = WeekFile(path)
    assert file.load() == Week.new()
    assert file.damaged is not None
    assert file.damaged.read_bytes() == content
    assert not path.exists()


def test_a_week_that_is_not_there_is_new(tmp_path: Path) -> None:
    file = WeekFile(tmp_path / "w.json")
    assert file.load() == Week.new()
    assert file.damaged is None


def test_each_wish_is_kept_by_itself_and_every_change_shows(tmp_path: Path) -> None:
    files, seen = WishFiles(tmp_path / "nodes" / "n.json"), set()
    seen.add(files.signature())
    files.write("owner", Wish(mode="paused", until=5.0))
    seen.add(files.signature())
    files.write("operator", Wish(mode="paused"))
    seen.add(files.signature())
    assert files.read() == {"owner": Wish(mode="paused", until=5.0), "operator": Wish(mode="paused")}
    files.write("owner", Wish(mode="paused", until=6.0))
    seen.add(files.signature())
    assert len(seen) == 4
    files.write("owner", None)
    files.write("owner", None)
    files.write("operator", None)
    assert files.read() == {"owner": None, "operator": None}


def test_a_wish_that_cannot_be_read_is_a_pause(tmp_path: Path) -> None:
    files = WishFiles(tmp_path / "n.json")
    files.write("owner", Wish(mode="full"))
    (tmp_path / "n.wishes" / "owner.json").write_bytes(b"{half")
    assert files.read()["owner"] == Wish(mode="paused")
    assert os.listdir(tmp_path / "n.wishes") == ["owner.json"]
