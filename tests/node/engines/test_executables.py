"""Programs are found where people's installers put them, also by a daemon with a short PATH."""

import os
import sys
from pathlib import Path

import pytest

from node.engines import executables
from node.engines.executables import find, mark, package_version, usual_folders

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="makes executables by their mode")


def program(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "home"


def test_path_goes_before_the_usual_folders(tmp_path: Path, home: Path):
    assert find("a-herd-tool") is None
    usual = program(home / ".local" / "bin" / "a-herd-tool")
    assert find("a-herd-tool") == usual
    named = program(tmp_path / "path" / "a-herd-tool")
    assert find("a-herd-tool") == named


def test_what_cannot_be_executed_is_no_program(tmp_path: Path):
    program(tmp_path / "path" / "a-herd-tool", 0o644)
    (tmp_path / "path" / "another").mkdir()
    assert find("a-herd-tool") is None
    assert find("another") is None


def test_homebrew_and_what_is_installed_for_everybody_count():
    assert {Path("/opt/homebrew/bin"), Path("/usr/local/bin")} <= set(usual_folders())


def test_on_windows_the_folders_of_python_and_winget_count(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    for folder in ("local/Programs/Python/Python312/Scripts", "roaming/Python/Python311/Scripts"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setattr(executables, "WINDOWS", True)
    assert [folder.relative_to(tmp_path).as_posix() for folder in usual_folders()] == [
        "home/.local/bin", "local/Programs/Python/Python312/Scripts", "roaming/Python/Python311/Scripts",
        "local/Microsoft/WinGet/Links",
    ]  # fmt: skip


def test_the_mark_of_a_program_changes_when_it_is_installed_anew(tmp_path: Path):
    tool = program(tmp_path / "path" / "a-herd-tool")
    before = mark(tool)
    assert before == mark(tool)
    os.utime(tool, ns=(1, 1))
    assert mark(tool) != before
    tool.unlink()
    assert mark(tool) == ""


def test_the_version_of_a_tool_is_that_of_the_package_beside_it(tmp_path: Path, home: Path):
    environment = tmp_path / "tools" / "mflux"
    script = program(environment / "bin" / "mflux-generate")
    (environment / "lib" / "python3.12" / "site-packages" / "mflux-0.18.0.dist-info").mkdir(parents=True)
    (environment / "lib" / "python3.12" / "site-packages" / "mflux_extra-9.dist-info").mkdir()
    link = home / ".local" / "bin" / "mflux-generate"
    link.parent.mkdir(parents=True)
    link.symlink_to(script)
    assert package_version(link, "mflux") == "0.18.0"
    assert package_version(link, "diffusionkit") == ""
