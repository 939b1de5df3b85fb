"""Installs each client into a folder of its own, the newest that goes; says its version. Drives nothing.

HOME/installed/NAME/     a virtual environment, or a folder of npm with its program in it
"""

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path

from clients.table import PROGRAMS, Client

NPM = ("--no-audit", "--no-fund", "--loglevel=error")


class Installed:
    """What is installed below ``home``. A client that cannot be installed is not there, and nothing else suffers."""

    def __init__(self, home: Path, ollama: str) -> None:
        self._home = home / "installed"
        self._ollama = ollama

    def install(self, client: Client) -> None:
        folder = self._folder(client)
        folder.mkdir(parents=True, exist_ok=True)
        if client.python:
            self._say(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
            self._say(*pip_for(folder / "bin" / "python"), "--quiet", "--upgrade", *client.python)
        elif client.npm and (npm := shutil.which("npm")):
            self._say(npm, "install", "--prefix", folder, *NPM, *client.npm)

    def command(self, client: Client) -> list[str]:
        """What runs its program."""
        folder = self._folder(client)
        if client.python:
            return [str(folder / "bin" / "python"), str(client.source)]
        if client.program.endswith(".py"):
            return [sys.executable, str(client.source)]
        for program in PROGRAMS.glob("*.mjs"):  # what a program imports is looked for beside it
            shutil.copy(program, folder)
        return [shutil.which("node") or "node", str(folder / client.program)]

    def path(self, client: Client) -> list[str]:
        """Where its commands are."""
        node = shutil.which("node")
        return [str(self._folder(client) / "node_modules" / ".bin"), *([str(Path(node).parent)] if node else [])]

    def version(self, client: Client) -> str | None:
        """None: it is not there."""
        folder = self._folder(client)
        if client.python:
            found = folder.glob(f"lib/python*/site-packages/{client.python[0].replace('-', '_')}-*.dist-info")
            return next((importlib.metadata.Distribution.at(each).version for each in found), None)
        if client.npm:
            packages = [folder / "node_modules" / name / "package.json" for name in client.npm if name != "zod"]
            if not all(package.exists() for package in packages):
                return None
            return " with ".join(json.loads(package.read_text("utf-8"))["version"] for package in packages)
        return ollama_version(self._ollama) if self._ollama else None

    def _folder(self, client: Client) -> Path:
        return self._home / client.key

    def _say(self, *command: object) -> None:
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"  {' '.join(map(str, command[-3:]))}: {done.stderr.strip()[-400:]}")


def pip_for(python: Path) -> list[object]:
    """What installs into another environment than our own; uv, where it is, is much faster."""
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--python", python]
    return [sys.executable, "-m", "pip", "--python", python, "install"]


def ollama_version(binary: str) -> str:
    words = [binary, "--version"]
    done = subprocess.run(words, env={"HOME": "/nowhere", "OLLAMA_HOST": "127.0.0.1:9"}, capture_output=True, text=True)
    return done.stdout.split()[-1]
