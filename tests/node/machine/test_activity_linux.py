"""Who uses camera and microphone on Linux: as the tools said it on real machines, and with a file really open."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.machine.activity_linux import camera_open, look, of_alsa, of_pipewire, of_pulseaudio

HOLDS = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"

SHORT_SOURCES = """\
0\talsa_output.pci-0000_00_1f.3.analog-stereo.monitor\tmodule-alsa-card.c\ts16le 2ch 44100Hz\tIDLE
1\talsa_input.pci-0000_00_1f.3.analog-stereo\tmodule-alsa-card.c\ts16le 2ch 44100Hz\tRUNNING
"""
OUTPUT = """\
Source Output #12
\tDriver: protocol-native.c
\tOwner Module: 9
\tClient: 41
\tSource: {source}
\tSample Specification: float32le 1ch 48000Hz
\tCorked: {corked}
\tMute: no
\tVolume: mono: 65536 / 100% / 0.00 dB
\t        balance 0.00
\tResample method: {method}
\tProperties:
\t\tmedia.name = "RecordStream"
\t\tapplication.process.id = "4242"
"""


GOLDEN = Path(__file__).parents[2] / "golden" / "activity"


def recorded(name: str) -> str:
    return (GOLDEN / name).read_text()


def test_what_pipewire_0_3_65_said_of_a_recording_and_of_one_of_a_monitor() -> None:
    assert of_pipewire(recorded("pipewire-recording.json")) == (False, True)
    assert of_pipewire(recorded("pipewire-monitor.json")) == (False, False)


def test_what_pulseaudio_16_said_of_a_recording_and_would_have_said_of_one_of_a_monitor() -> None:
    outputs, sources = recorded("pulseaudio-recording.txt"), recorded("pulseaudio-sources.txt")
    assert of_pulseaudio(outputs, sources)
    assert not of_pulseaudio(outputs.replace("Source: 1", "Source: 0"), sources)


def node(number: int, kind: str, state: str = "running", **properties: object) -> dict[str, object]:
    return {
        "id": number, "type": "PipeWire:Interface:Node", "version": 3,
        "info": {"state": state, "props": {"media.class": kind, "object.serial": number, **properties}},
    }  # fmt: skip


def link(out: int, into: int) -> dict[str, object]:
    info = {"output-node-id": out, "input-node-id": into, "state": "active"}
    return {"id": 900 + out, "type": "PipeWire:Interface:Link", "info": info}


CORE = {"id": 0, "type": "PipeWire:Interface:Core", "info": {"name": "pipewire-0"}}
MIC, SPEAKER, CAMERA = node(46, "Audio/Source"), node(45, "Audio/Sink"), node(60, "Video/Source", "suspended")


@pytest.mark.parametrize(
    ("graph", "camera", "microphone"),
    [
        ([MIC, SPEAKER, CAMERA], False, False),
        ([MIC, SPEAKER, node(70, "Stream/Output/Audio"), link(70, 45)], False, False),
        ([MIC, SPEAKER, node(71, "Stream/Input/Audio"), link(46, 71)], False, True),
        ([MIC, SPEAKER, node(71, "Stream/Input/Audio", "idle"), link(46, 71)], False, False),
        ([MIC, SPEAKER, node(71, "Stream/Input/Audio"), link(45, 71)], False, False),
        ([MIC, SPEAKER, node(71, "Stream/Input/Audio", **{"stream.monitor": "true"}), link(46, 71)], False, False),
        ([MIC, SPEAKER, node(71, "Stream/Input/Audio", **{"stream.capture.sink": True}), link(45, 71)], False, False),
        ([node(47, "Audio/Source/Virtual"), node(71, "Stream/Input/Audio"), link(47, 71)], False, True),
        ([MIC, node(60, "Video/Source")], True, False),
        ([MIC, node(71, "Stream/Input/Audio")], False, False),
    ],
)
def test_pipewires_graph_tells_who_records_and_from_what(graph: list, camera: bool, microphone: bool) -> None:
    assert of_pipewire(json.dumps([CORE, *graph])) == (camera, microphone)


@pytest.mark.parametrize("dump", ["", "{", "{}", "[]", "[1, null]", json.dumps([CORE])])
def test_what_is_no_graph_tells_nothing(dump: str) -> None:
    assert of_pipewire(dump) == (None, None)


@pytest.mark.parametrize(
    ("outputs", "records"),
    [
        ("", False),
        (OUTPUT.format(source=1, corked="no", method="speex-float-1"), True),
        (OUTPUT.format(source=1, corked="yes", method="speex-float-1"), False),
        (OUTPUT.format(source=0, corked="no", method="copy"), False),
        (OUTPUT.format(source=1, corked="no", method="peaks"), False),
        (OUTPUT.format(source=0, corked="no", method="x") + OUTPUT.format(source=1, corked="no", method="x"), True),
    ],
)
def test_pulseaudio_tells_who_records_from_what_is_no_monitor(outputs: str, records: bool) -> None:
    assert of_pulseaudio(outputs, SHORT_SOURCES) is records


def test_alsa_tells_whether_recording_hardware_runs(tmp_path: Path) -> None:
    assert of_alsa(tmp_path) is None
    for name, status in (("pcm0c", "closed\n"), ("pcm0p", "state: RUNNING\nowner_pid   : 900\n")):
        folder = tmp_path / "asound" / "card0" / name / "sub0"
        folder.mkdir(parents=True)
        (folder / "status").write_text(status)
    assert of_alsa(tmp_path) is False, "what plays does not record"
    (tmp_path / "asound" / "card0" / "pcm0c" / "sub0" / "status").write_text("state: RUNNING\n")
    assert of_alsa(tmp_path) is True


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_a_camera_that_a_program_has_open_is_seen_and_one_that_it_closed_is_not(tmp_path: Path) -> None:
    camera = tmp_path / "video0"
    assert not camera_open(Path("/proc"), tmp_path)
    camera.write_bytes(b"")
    assert not camera_open(Path("/proc"), tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(camera)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    assert camera_open(Path("/proc"), tmp_path)
    assert look(devices=tmp_path)[0] is True
    holder.communicate()
    assert not camera_open(Path("/proc"), tmp_path)


def test_media_servers_that_hold_a_camera_are_no_meeting(tmp_path: Path) -> None:
    (tmp_path / "video0").write_bytes(b"")
    for pid, name in ((10, "wireplumber"), (11, "pipewire"), (12, "browser")):
        (tmp_path / "proc" / str(pid) / "fd").mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "comm").write_text(name + "\n")
    os.symlink(tmp_path / "video0", tmp_path / "proc" / "10" / "fd" / "5")
    assert not camera_open(tmp_path / "proc", tmp_path)
    os.symlink(tmp_path / "video0", tmp_path / "proc" / "12" / "fd" / "5")
    assert camera_open(tmp_path / "proc", tmp_path)


def test_tools_are_asked_in_their_plain_language_and_the_first_that_answers_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tool(name: str, words: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{words}\n")
        (tmp_path / name).chmod(0o700)

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    nowhere = tmp_path / "nothing"
    nowhere.mkdir()
    camera, microphone, why = look(nowhere, nowhere)
    assert (camera, microphone) == (False, None)
    assert "pactl" in why
    (tmp_path / "outputs").write_text(OUTPUT.format(source=1, corked="no", method="x"))
    (tmp_path / "sources").write_text(SHORT_SOURCES)
    tool("pactl", f'[ "$LC_ALL" = C ] && case "$2" in short) cat {tmp_path}/sources;; *) cat {tmp_path}/outputs;; esac')
    assert look(nowhere, nowhere) == (False, True, "")
    (tmp_path / "graph").write_text(json.dumps([CORE, MIC, SPEAKER]))
    tool("pw-dump", f"cat {tmp_path}/graph")
    assert look(nowhere, nowhere) == (False, False, "")
    tool("pw-dump", "exit 1")
    assert look(nowhere, nowhere) == (False, True, "")
