"""mflux and DiffusionKit as a command line shows them: programs, options, bars, files. No product code.

    bench = Bench(folder)                       # a folder of programs, as an installer leaves it
    bench.install("mflux-generate", "mflux-generate-z-image-turbo", "diffusionkit-cli")
    bench.behave(step_s=0.5)                    # how the next runs go, see ``Behaviour``
    bench.calls                                 # the arguments of each run so far, without --help
    bench.alive                                 # the processes that runs were or started and that live still

An option that the real program does not know is refused, with exit code 2, as argparse does it. An image is a real PNG
whose colour comes of its prompt and seed. Only for systems with a shebang.
"""

import argparse
import json
import os
import shlex
import signal
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

STEPS_OF_DIFFUSIONKIT = 50
CHECKPOINTS = (
    "argmaxinc/mlx-stable-diffusion-3-medium",
    "argmaxinc/mlx-stable-diffusion-3.5-large",
    "argmaxinc/mlx-stable-diffusion-3.5-large-4bit-quantized",
    "argmaxinc/mlx-FLUX.1-schnell",
    "argmaxinc/mlx-FLUX.1-schnell-4bit-quantized",
    "argmaxinc/mlx-FLUX.1-dev",
)


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How runs go. ``said`` is a last word on stderr, ``code`` the exit code instead of an image."""

    step_s: float = 0.0
    code: int = 0
    said: str = ""
    no_image: bool = False
    garbage: bool = False
    size: tuple[int, int] | None = None
    download_s: float = 0.0
    """Seconds of fetching weights before the first step."""
    grandchild: bool = False
    """It starts a process that would live for long."""
    deaf: bool = False
    """SIGTERM does not end it, nor what it starts."""
    help_s: float = 0.0
    help_code: int = 0


class Bench:
    """The folder ``bin`` below ``root``; what runs did is written beside it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        self.behave()

    def install(self, *names: str) -> None:
        for name in names:
            program = self.bin / name
            words = shlex.join([sys.executable, "-I", "-S", __file__, name, str(self.root)])
            program.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            program.chmod(0o755)

    def remove(self, name: str) -> None:
        (self.bin / name).unlink()

    def behave(self, **how: object) -> None:
        (self.root / "behaviour.json").write_text(json.dumps(asdict(Behaviour(**how))))  # type: ignore[arg-type]

    @property
    def calls(self) -> list[list[str]]:
        """Each run's program and arguments."""
        return [json.loads(line) for line in self._lines("calls")]

    @property
    def alive(self) -> list[int]:
        return [pid for pid in map(int, self._lines("pids")) if _lives(pid)]

    @property
    def helped(self) -> int:
        """How often a program was asked for its help."""
        return len(self._lines("helped"))

    def _lines(self, name: str) -> list[str]:
        file = self.root / name
        return file.read_text().splitlines() if file.exists() else []


def _lives(pid: int) -> bool:
    import psutil  # not there for the programs themselves, which run without site-packages

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def mflux(program: str) -> argparse.ArgumentParser:
    """The options of mflux 0.18's ``mflux-generate`` and ``mflux-generate-z-image-turbo``, which are the same."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--battery-percentage-stop-limit", "-B", type=int, default=5)
    parser.add_argument("--low-ram", action="store_true")
    parser.add_argument("--mlx-cache-limit-gb", type=float)
    parser.add_argument("--model", "-m")
    parser.add_argument("--base-model", choices=["dev", "schnell", "z-image-turbo"])
    parser.add_argument("--quantize", "-q", type=int, choices=[3, 5, 4, 6, 8])
    parser.add_argument("--lora-style", choices=["couple", "identity", "storyboard"])
    parser.add_argument("--lora", action="append", nargs="+")
    parser.add_argument("--lora-paths", nargs="*")
    parser.add_argument("--lora-scales", type=float, nargs="*")
    prompt = parser.add_mutually_exclusive_group()
    prompt.add_argument("--prompt")
    prompt.add_argument("--prompt-file", type=Path)
    parser.add_argument("--negative-prompt", default="")
    parser.add_argument("--seed", type=int, nargs="+")
    parser.add_argument("--auto-seeds", type=int, default=-1)
    parser.add_argument("--scheduler", default="linear")
    parser.add_argument("--height", default="auto")
    parser.add_argument("--width", default="auto")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--config-from-metadata", "-C", type=Path)
    parser.add_argument("--image", nargs="+")
    parser.add_argument("--image-path", type=Path)
    parser.add_argument("--image-strength", type=float, default=0.4)
    parser.add_argument("--metadata", action="store_true")
    parser.add_argument("--output", default="image.png")
    parser.add_argument("--stepwise-image-output-dir")
    return parser


def diffusionkit(program: str) -> argparse.ArgumentParser:
    """The options of DiffusionKit 0.5.2's ``diffusionkit-cli``."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--image-path")
    parser.add_argument("--model-version", choices=CHECKPOINTS, default="argmaxinc/mlx-FLUX.1-schnell")
    parser.add_argument("--steps", type=int, default=STEPS_OF_DIFFUSIONKIT)
    parser.add_argument("--cfg", type=float, default=5.0)
    parser.add_argument("--negative_prompt", default="")
    parser.add_argument("--preload-models", action="store_true")
    parser.add_argument("--output-path", "-o", default="out.png")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--verbose", "-v", action="store_true")
    parser.add_argument("--shift", type=float)
    parser.add_argument("--t5", action="store_true")
    parser.add_argument("--height", type=int)
    parser.add_argument("--width", type=int)
    parser.add_argument("--no-low-memory-mode", action="store_false", dest="low_memory_mode")
    parser.add_argument("--benchmark-mode", action="store_true")
    parser.add_argument("--denoise", type=float, default=0.0)
    parser.add_argument("--local-ckpt")
    return parser


def png(width: int, height: int, colour: int) -> bytes:
    """An image of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + (colour & 0xFFFFFF).to_bytes(3, "big") * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * height, 1)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def bar(done: int, of: int, title: str = "") -> None:
    """A bar as tqdm draws it."""
    full = done * 10 // of
    drawn = "█" * full + " " * (10 - full)
    sys.stderr.write(f"\r{title}{100 * done // of:3d}%|{drawn}| {done}/{of} [00:00<00:00,  9.00it/s]")
    sys.stderr.flush()


def main() -> None:
    name, root = sys.argv[1], Path(sys.argv[2])
    arguments = sys.argv[3:]
    how = Behaviour(**json.loads((root / "behaviour.json").read_text()))
    parser = diffusionkit(name) if name == "diffusionkit-cli" else mflux(name)
    if arguments == ["--help"]:
        _append(root / "helped", name)
        time.sleep(how.help_s)
        if how.help_code:
            sys.stderr.write(how.said + "\n")
            sys.exit(how.help_code)
    _append(root / "calls", json.dumps([name, *arguments])) if arguments != ["--help"] else None
    args = parser.parse_args(arguments)
    _append(root / "pids", str(os.getpid()))
    if how.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if how.grandchild:
        _append(root / "pids", str(subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]).pid))
    began = time.monotonic()
    while (spent := time.monotonic() - began) < how.download_s:
        bar(int(100 * spent / how.download_s), 100, "model-00001-of-00002.safetensors: ")
        time.sleep(0.05)
    steps = args.steps or 25
    bar(0, steps)
    for step in range(steps):
        time.sleep(how.step_s)
        bar(step + 1, steps)
    sys.stderr.write("\n")
    if how.said:
        sys.stderr.write(how.said + "\n")
    if how.code:
        sys.exit(how.code)
    _save(name, root, args, how)


def _save(name: str, root: Path, args: argparse.Namespace, how: Behaviour) -> None:
    if name == "diffusionkit-cli":
        assert args.height % 16 == 0, f"Height must be divisible by 16 ({args.height}/16={args.height / 16})"
        for file in root.glob("lib/python*/site-packages/argmaxtools/test_utils.py"):
            exec(file.read_text(), {})  # as the real one does with each image
        seed, output = args.seed or 0, args.output_path
    else:
        seed, output = (args.seed or [0])[0], args.output
    width, height = how.size or (int(args.width) // 16 * 16, int(args.height) // 16 * 16)
    if not how.no_image:
        image = b"no image" if how.garbage else png(width, height, zlib.crc32(f"{args.prompt} {seed}".encode()))
        Path(output).write_bytes(image)


def _append(file: Path, line: str) -> None:
    with file.open("a") as out:
        out.write(line + "\n")


if __name__ == "__main__":
    main()
