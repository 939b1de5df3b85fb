"""Who uses camera and microphone on macOS and Windows: real calls through ctypes, and a registry, over tables."""

import ctypes
import struct
from typing import Any

import pytest

from node.machine import activity_windows
from node.machine.activity_macos import Address, Properties, camera_runs, microphone_runs
from node.machine.activity_windows import STORE, in_use

Objects = dict[tuple[int, str, str], list[int]]
BUILT_IN_MICROPHONE, SPEAKERS, HEADSET = 80, 73, 91
IDLE_MAC: Objects = {
    (1, "dev#", "glob"): [BUILT_IN_MICROPHONE, SPEAKERS, HEADSET],
    (BUILT_IN_MICROPHONE, "gone", "glob"): [0],
    (BUILT_IN_MICROPHONE, "stm#", "inpt"): [81],
    (BUILT_IN_MICROPHONE, "stm#", "outp"): [],
    (SPEAKERS, "gone", "glob"): [0],
    (SPEAKERS, "stm#", "inpt"): [],
    (SPEAKERS, "stm#", "outp"): [74],
    (HEADSET, "gone", "glob"): [0],
    (HEADSET, "stm#", "inpt"): [92],
    (HEADSET, "stm#", "outp"): [93],
}
PROCESSES: Objects = {(1, "prs#", "glob"): [120, 121], (120, "piri", "glob"): [0], (121, "piri", "glob"): [0]}


class Mac:
    """The two functions of CoreAudio, or of CoreMediaIO, as C calls them."""

    def __init__(self, objects: Objects, *, video: bool = False) -> None:
        uint, pointer = ctypes.c_uint32, ctypes.POINTER
        head = (uint, pointer(Address), uint, ctypes.c_void_p)

        def found(thing: int, address: Any) -> bytes | None:
            told = address.contents
            letters = (told.selector.to_bytes(4, "big").decode(), told.scope.to_bytes(4, "big").decode())
            values = objects.get((thing, *letters))
            return None if values is None else struct.pack(f"={len(values)}I", *values)

        def size(thing: int, address: Any, _: int, __: Any, room: Any) -> int:
            value = found(thing, address)
            if value is None:
                return 0x77686F3F  # 'who?'
            room[0] = len(value)
            return 0

        def fill(thing: int, address: Any, room: int, used: Any, buffer: Any) -> int:
            value = found(thing, address)
            assert value is not None
            assert room >= len(value)
            used[0] = len(value)
            ctypes.memmove(buffer, value, len(value))
            return 0

        get_size = ctypes.CFUNCTYPE(ctypes.c_int32, *head, pointer(uint))(size)
        if video:
            kind = ctypes.CFUNCTYPE(ctypes.c_int32, *head, uint, pointer(uint), ctypes.c_void_p)
            value = kind(lambda thing, address, _, __, room, used, buffer: fill(thing, address, room, used, buffer))
            self.CMIOObjectGetPropertyDataSize, self.CMIOObjectGetPropertyData = get_size, value
        else:
            kind = ctypes.CFUNCTYPE(ctypes.c_int32, *head, pointer(uint), ctypes.c_void_p)
            value = kind(lambda thing, address, _, __, used, buffer: fill(thing, address, used[0], used, buffer))
            self.AudioObjectGetPropertyDataSize, self.AudioObjectGetPropertyData = get_size, value


@pytest.mark.parametrize(
    ("more", "records"),
    [
        ({}, False),
        (PROCESSES, False),
        (PROCESSES | {(121, "piri", "glob"): [1]}, True),
        (PROCESSES | {(HEADSET, "gone", "glob"): [1]}, False),
        ({(BUILT_IN_MICROPHONE, "gone", "glob"): [1]}, True),
        ({(SPEAKERS, "gone", "glob"): [1]}, False),
        ({(HEADSET, "gone", "glob"): [1]}, False),
    ],
    ids=["old, idle", "idle", "a call", "music in a headset", "old, a call", "old, music", "old, music in a headset"],
)
def test_a_mac_tells_who_records_and_that_music_is_no_call(more: Objects, records: bool) -> None:
    assert microphone_runs(Properties(Mac(IDLE_MAC | more))) is records


def test_a_mac_tells_whether_a_camera_runs() -> None:
    cameras: Objects = {(1, "dev#", "glob"): [34, 35], (34, "gone", "glob"): [0], (35, "gone", "glob"): [0]}
    assert camera_runs(Properties(Mac(cameras, video=True), video=True)) is False
    assert camera_runs(Properties(Mac(cameras | {(35, "gone", "glob"): [1]}, video=True), video=True)) is True
    assert camera_runs(Properties(Mac({(1, "dev#", "glob"): []}, video=True), video=True)) is False


def test_a_mac_that_does_not_answer_tells_nothing() -> None:
    assert camera_runs(Properties(Mac({}, video=True), video=True)) is None
    assert microphone_runs(Properties(Mac({}))) is None


NOW = 1_795_000_000.0


def filetime(epoch: float) -> int:
    return int((epoch + 11_644_473_600) * 10_000_000)


class Key(dict[str, Any]):
    def __enter__(self) -> "Key":
        return self

    def __exit__(self, *_: object) -> None:
        return


class Registry:
    """Stands in for ``winreg``: keys are tables, values are numbers."""

    HKEY_CURRENT_USER = Key()

    def __init__(self, store: dict[str, Any]) -> None:
        self._store = store

    def OpenKey(self, key: Key, name: str) -> Key:  # noqa: N802 - winreg's own name
        table: Any = self._store if key is self.HKEY_CURRENT_USER else key
        for part in (name.removeprefix(STORE + "\\") if key is self.HKEY_CURRENT_USER else name,):
            if part not in table:
                raise FileNotFoundError(part)
            table = table[part]
        return Key(table)

    def EnumKey(self, key: Key, place: int) -> str:  # noqa: N802
        return [name for name, value in key.items() if isinstance(value, dict)][place]

    def QueryInfoKey(self, key: Key) -> tuple[int, int, int]:  # noqa: N802
        return sum(isinstance(value, dict) for value in key.values()), 0, 0

    def QueryValueEx(self, key: Key, name: str) -> tuple[int, int]:  # noqa: N802
        if name not in key:
            raise FileNotFoundError(name)
        return key[name], 11


def used(began: float, stopped: float) -> dict[str, int]:
    return {"LastUsedTimeStart": filetime(began), "LastUsedTimeStop": filetime(stopped) if stopped else 0}


@pytest.mark.parametrize(
    ("store", "uses"),
    [
        ({}, None),
        ({"microphone": {"Value": 1}}, False),
        ({"microphone": {"Calls_8wekyb3d8bbwe": used(NOW - 900, NOW - 60)}}, False),
        ({"microphone": {"Calls_8wekyb3d8bbwe": used(NOW - 900, 0)}}, True),
        ({"microphone": {"NonPackaged": {"C:#Program Files#Calls#calls.exe": used(NOW - 5, 0)}}}, True),
        ({"microphone": {"NonPackaged": {"C:#a.exe": used(NOW - 90, NOW - 5), "C:#b.exe": {"Value": 1}}}}, False),
        ({"microphone": {"Crashed_1": used(NOW - 3 * 86400, 0)}}, False),
        ({"microphone": {"Never_1": {"LastUsedTimeStart": 0, "LastUsedTimeStop": 0}}}, False),
    ],
)
def test_windows_tells_who_has_not_stopped_yet(store: dict[str, Any], uses: bool | None) -> None:
    assert in_use(Registry(store), "microphone", NOW) is uses


def test_a_windows_is_asked_for_both_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    began = activity_windows.time.time() - 60
    registry = Registry({"webcam": {"A": used(began, 0)}, "microphone": {"A": used(began - 9, began)}})
    monkeypatch.setitem(activity_windows.importlib.sys.modules, "winreg", registry)  # type: ignore[attr-defined]
    assert activity_windows.look() == (True, False, "")
