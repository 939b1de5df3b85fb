"""tiny-digits behind mflux's command line: a real diffusion process that any machine can run. Knows no router.

    python tests/tiny_digits/program.py --model=schnell --prompt="a handwritten 7" --steps=8 --output=seven.png

It takes the arguments of ``mflux-generate``, refuses what that refuses, draws the same kind of progress bar and writes
one PNG. ``installed`` puts it into a folder under mflux's own names.
"""

import argparse
import re
import stat
import struct
import sys
import time
import zlib
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tiny_digits.model import NOBODY, SIDE, Digits, Matrix

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAMES = ("mflux-generate", "mflux-generate-z-image-turbo")


def digit_of(prompt: str) -> int:
    """The digit that a prompt speaks of, in figures or in words: the first one; ``NOBODY`` if there is none."""
    found = re.search(rf"\d|\b(?:{'|'.join(WORDS)})\b", prompt.lower())
    if found is None:
        return NOBODY
    return WORDS.index(found[0]) if found[0] in WORDS else int(found[0])


def png(rows: Matrix, width: int, height: int) -> bytes:
    """The greys enlarged to that size, as a PNG file."""
    lines = []
    for row in rows:
        shades = bytes(round(value * 255) for value in row)
        lines.append(b"\0" + bytes(shades[x * SIDE // width] for x in range(width)))
    body = b"".join(lines[y * SIDE // height] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(body)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def parser() -> argparse.ArgumentParser:
    """mflux's arguments, as far as one of its programs has them for text to image."""
    found = argparse.ArgumentParser(prog=Path(sys.argv[0]).name, description="Generate an image based on a prompt.")
    found.add_argument("--model", "-m", type=str, default="schnell")
    found.add_argument("--prompt", type=str, required=True)
    found.add_argument("--negative-prompt", type=str, default="")
    found.add_argument("--width", type=int, default=1024)
    found.add_argument("--height", type=int, default=1024)
    found.add_argument("--steps", type=int, default=8)
    found.add_argument("--guidance", type=float, default=2.0)
    found.add_argument("--seed", type=int, nargs="+", default=None)
    found.add_argument("--quantize", "-q", type=int, choices=[3, 4, 5, 6, 8], default=None)
    found.add_argument("--output", type=str, default="image.png")
    return found


def main() -> None:
    asked = parser().parse_args()
    seed = asked.seed[0] if asked.seed else int(time.time())
    shown: Matrix = []
    began = time.monotonic()
    away = digit_of(asked.negative_prompt)
    picture = Digits().draw(digit_of(asked.prompt), steps=asked.steps, guidance=asked.guidance, seed=seed, away=away)
    for step, shown in enumerate(picture, 1):  # noqa: B007 - the last one is the picture
        done = f"{step}/{asked.steps} [00:{time.monotonic() - began:02.0f}<00:00]"
        bar = "█" * (10 * step // asked.steps)
        print(f"\r{100 * step // asked.steps:3d}%|{bar:<10}| {done}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    Path(asked.output).write_bytes(png(shown, asked.width, asked.height))


def installed(folder: Path) -> Path:
    """The folder, with this program in it under mflux's names."""
    for name in NAMES:
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -B "{Path(__file__).resolve()}" "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder


if __name__ == "__main__":
    main()
