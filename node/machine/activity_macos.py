"""Whether camera or microphone are in use on a Mac, as CoreAudio and CoreMediaIO tell. Knows no node.

Only properties of devices are read: no device is opened, so nobody is asked for permission. Only the standard library,
and a call may hang: it runs in a process of its own.
"""

import ctypes
import struct
from typing import Any

AUDIO = "/System/Library/Frameworks/CoreAudio.framework/CoreAudio"
VIDEO = "/System/Library/Frameworks/CoreMediaIO.framework/CoreMediaIO"
SYSTEM = 1
GLOBAL, INPUT, OUTPUT = "glob", "inpt", "outp"
DEVICES, STREAMS, RUNNING = "dev#", "stm#", "gone"
PROCESSES, PROCESS_RECORDS = "prs#", "piri"


class Address(ctypes.Structure):
    """Which property: four letters for what, four for which side of the device."""

    _fields_ = (("selector", ctypes.c_uint32), ("scope", ctypes.c_uint32), ("element", ctypes.c_uint32))


class Properties:
    """Reads properties of audio objects. ``library`` has the two functions of CoreAudio or of CoreMediaIO.

    The two differ in how a value is asked for: one tells of the size in the place where it was told the room, the
    other in a place of its own.
    """

    def __init__(self, library: Any, *, video: bool = False) -> None:
        self._video = video
        prefix = "CMIO" if video else "Audio"
        self._size = getattr(library, f"{prefix}ObjectGetPropertyDataSize")
        self._value = getattr(library, f"{prefix}ObjectGetPropertyData")

    def read(self, thing: int, selector: str, scope: str = GLOBAL) -> bytes | None:
        """The property's bytes; None if the object has no such property."""
        address = Address(_letters(selector), _letters(scope), 0)
        room = ctypes.c_uint32(0)
        nothing = ctypes.c_void_p(None)
        size_of = ctypes.c_uint32(thing), ctypes.byref(address), ctypes.c_uint32(0), nothing
        if self._size(*size_of, ctypes.byref(room)) != 0:
            return None
        buffer = ctypes.create_string_buffer(max(room.value, 1))
        used = ctypes.c_uint32(room.value)
        told = (room, ctypes.byref(used)) if self._video else (ctypes.byref(used),)
        if self._value(*size_of, *told, ctypes.byref(buffer)) != 0:
            return None
        return buffer.raw[: min(used.value, room.value)]

    def numbers(self, thing: int, selector: str, scope: str = GLOBAL) -> list[int] | None:
        told = self.read(thing, selector, scope)
        return None if told is None else list(struct.unpack(f"={len(told) // 4}I", told[: len(told) // 4 * 4]))

    def is_set(self, thing: int, selector: str) -> bool:
        return any(self.numbers(thing, selector) or ())


def look() -> tuple[bool | None, bool | None, str]:
    try:
        audio, video = Properties(ctypes.CDLL(AUDIO)), Properties(ctypes.CDLL(VIDEO), video=True)
    except (OSError, AttributeError) as error:
        return None, None, f"CoreAudio cannot be asked: {error}"
    return camera_runs(video), microphone_runs(audio), ""


def camera_runs(video: Properties) -> bool | None:
    cameras = video.numbers(SYSTEM, DEVICES)
    return None if cameras is None else any(video.is_set(camera, RUNNING) for camera in cameras)


def microphone_runs(audio: Properties) -> bool | None:
    """By who records, where the system tells it (macOS 14); else by devices that can do nothing but record.

    A headset that plays music runs as well, and before macOS 14 nothing tells whether it also records.
    """
    processes = audio.numbers(SYSTEM, PROCESSES)
    if processes:
        return any(audio.is_set(process, PROCESS_RECORDS) for process in processes)
    devices = audio.numbers(SYSTEM, DEVICES)
    if devices is None:
        return None
    return any(
        audio.is_set(device, RUNNING)
        for device in devices
        if audio.numbers(device, STREAMS, INPUT) and not audio.numbers(device, STREAMS, OUTPUT)
    )


def _letters(four: str) -> int:
    return int.from_bytes(four.encode("ascii"), "big")
