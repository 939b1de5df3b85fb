"""A real Whisper model behind `herd node` and `herd run`, each a process: curl and OpenAI's client in front."""

import io
import json
import shutil
import subprocess
import wave
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import httpx2
import openai
import psutil
import pytest
from programs import Program, eventually, herd, speech_model

pytestmark = [
    pytest.mark.real_engine,
    pytest.mark.skipif(shutil.which("curl") is None, reason="asks with curl"),
]

RECORDING = Path(__file__).with_name("quarterly-report.wav")
SENTENCE = "Please send the quarterly report to the whole team before Friday afternoon."
MODEL = "faster-whisper-tiny.en"


@dataclass
class Listeners:
    url: str
    http: httpx.Client
    node: Program

    def children(self) -> list[psutil.Process]:
        """The node's processes that hold a model."""
        everybody = psutil.Process(self.node.process.pid).children(recursive=True)
        return [one for one in everybody if "node.engines.whisper_child" in one.cmdline()]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    home = tmp_path_factory.mktemp("ears")
    (home / "models").mkdir()
    (home / "models" / MODEL).symlink_to(speech_model())
    router_words = ["run", "--host", "127.0.0.1", "--port", "0", "--no-mdns", "--data-dir", home / "router"]
    with ExitStack() as stack:
        router = stack.enter_context(Program(herd(*router_words), home / "router.txt"))
        url = router.until_said(r"Ollama host\s+(http://\S+)", within_s=120)
        http = stack.enter_context(httpx.Client(base_url=url, trust_env=False, timeout=60))
        words = ["node", "--node-id", "ear", "--router-url", url, "--data-dir", home / "node", "--poll-interval", "0.5"]
        words += ["--ollama-host", "http://127.0.0.1:9", "--models-dir", home / "models", "--door-host", "127.0.0.1"]
        node = stack.enter_context(Program(herd(*words, "--door-port", "18970"), home / "node.txt"))

        def serves() -> bool:
            nodes = http.get("/fleet/status").json()["nodes"]
            return any("transcribe" in engine["operations"] for node in nodes for engine in node.get("engines", []))

        eventually(serves, within_s=120, what="a node that listens")
        yield Listeners(url, http, node)


def test_curl_and_openais_client_get_the_sentence_word_by_word(fleet: Listeners) -> None:
    asking = ["curl", "-s", f"{fleet.url}/api/transcribe", "-F", f"file=@{RECORDING}", "-F", f"model={MODEL}"]
    told = json.loads(subprocess.run(asking, check=True, capture_output=True).stdout)
    assert (told["text"], told["language"]) == (SENTENCE, "en")
    [chunk] = told["chunks"]
    assert 0 <= chunk["start"] < chunk["end"] < 5
    with openai.OpenAI(
        base_url=f"{fleet.url}/v1", api_key="any", http_client=httpx2.Client(trust_env=False), max_retries=0
    ) as client:
        heard = client.audio.transcriptions.create(model=MODEL, file=RECORDING, response_format="srt")
        assert str(heard).splitlines()[2] == SENTENCE
        with pytest.raises(openai.BadRequestError, match="cannot be decoded"):
            client.audio.transcriptions.create(model=MODEL, file=("a.wav", b"Dear all, the report is attached. " * 99))


def test_a_client_that_leaves_ends_the_process_that_was_at_work_for_it(fleet: Listeners) -> None:
    into = io.BytesIO()
    with wave.open(str(RECORDING)) as one, wave.open(into, "wb") as many:
        many.setparams(one.getparams())
        many.writeframes(one.readframes(one.getnframes()) * 20)

    def at_work() -> list[psutil.Process]:
        status = fleet.http.get("/fleet/status").json()["nodes"][0]["engines"]
        return fleet.children() if any(engine.get("progress") for engine in status) else []

    form = ["-F", "file=@-;filename=long.wav", "-F", f"model={MODEL}"]
    form += ["-F", "temperature=0.1"]  # of its own: a repetition is then not tried again at others
    asking = subprocess.Popen(
        ["curl", "-s", f"{fleet.url}/v1/audio/transcriptions", *form],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    assert asking.stdin is not None
    asking.stdin.write(into.getvalue())
    asking.stdin.close()
    [child] = eventually(at_work, within_s=60, what="a transcript under way")
    asking.kill()
    asking.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="its end")
    eventually(lambda: fleet.http.get("/fleet/queue").json()["in_flight"] == 0, what="an empty queue")
