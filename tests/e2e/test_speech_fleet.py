"""A real Whisper model behind `herd node` and `herd run`, asked by curl: what it prints, and what its leaving ends."""

import json
import shutil
import subprocess
import wave
from pathlib import Path
from typing import Any

import psutil
import pytest
from e2e.fleet import running_fleet
from programs import eventually, speech_model

pytestmark = [
    pytest.mark.real_engine,
    pytest.mark.skipif(shutil.which("curl") is None, reason="asks with curl"),
]

RECORDING = Path(__file__).with_name("quarterly-report.wav")
SENTENCE = "Please send the quarterly report to the whole team before Friday afternoon."
MODEL = "faster-whisper-tiny.en"


def test_curl_gets_the_sentence_and_ends_the_process_at_work_when_it_leaves(tmp_path: Path) -> None:
    models, long = tmp_path / "models", tmp_path / "long.wav"
    models.mkdir()
    (models / MODEL).symlink_to(speech_model())
    with wave.open(str(RECORDING)) as one, wave.open(str(long), "wb") as many:
        many.setparams(one.getparams())
        many.writeframes(one.readframes(one.getnframes()) * 20)
    with running_fleet(tmp_path) as fleet:
        node = psutil.Process(fleet.start_node("cedar", "--models-dir", models).process.pid)
        asking = ["curl", "-s", f"{fleet.url}/api/transcribe", "-F"]

        def engine() -> dict[str, Any]:
            return fleet.engine("cedar", f"stt-{MODEL}")

        eventually(lambda: engine().get("operations"), within_s=60, what="the engine")
        told = json.loads(subprocess.run([*asking, f"file=@{RECORDING}"], check=True, capture_output=True).stdout)
        assert (told["text"], told["language"], len(told["chunks"])) == (SENTENCE, "en", 1)
        eventually(lambda: engine()["progress"] is None, what="an end of that work")

        leaving = subprocess.Popen([*asking, f"file=@{long}"], stdout=subprocess.DEVNULL)
        eventually(lambda: engine()["progress"] is not None, what="work")
        [child] = [one for one in node.children(recursive=True) if "node.engines.whisper_child" in one.cmdline()]
        leaving.kill()
        leaving.wait()
        eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="its end")
        eventually(lambda: fleet.http.get("/fleet/queue").json()["in_flight"] == 0, what="a free slot")
