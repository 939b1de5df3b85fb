"""Two hundred megabytes through the router as a process of its own: what it costs in memory, and what arrives."""

import hashlib
import re
import socketserver
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import httpx
import msgspec
import psutil
import pytest
from programs import Program, eventually, herd

from node.wire import EngineReport, Heartbeat, ModelReport

PIECE = bytes(range(256)) * 4096
PIECES = 200
GROWN_MOST = 40 * 1024**2


class Engine(socketserver.ThreadingTCPServer):
    """Reads a form, and tells the digest of what stands between its last two boundaries as if it had heard it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Listening)
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Listening(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.rfile.readline()
            if not line:
                return
            head += line
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        form = b""
        while b"Content-Type: audio/wav\r\n\r\n" not in form:
            form += self.rfile.readline()
        digest, left = hashlib.sha256(), length - len(form)
        tail = b""
        while left:
            data = tail + self.rfile.read(min(1024 * 1024, left))
            left -= len(data) - len(tail)
            digest.update(data[:-100])
            tail = data[-100:]
        digest.update(tail.rpartition(b"\r\n--")[0])
        body = msgspec.json.encode({"text": digest.hexdigest()})
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body))
        self.wfile.write(body)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running
        running.shutdown()


class Memory:
    """By how many bytes a process grew, at the most, while this was open."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._before = process.memory_info().rss
        self._over = Event()
        self._looking = Thread(target=self._look, daemon=True)
        self.grown = 0

    def __enter__(self) -> "Memory":
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._looking.join()

    def _look(self) -> None:
        while not self._over.wait(0.01):
            self.grown = max(self.grown, self._process.memory_info().rss - self._before)


def report(engine: Engine) -> bytes:
    speech = EngineReport(
        name="whisper", kind="faster-whisper", operations=("transcribe",), dialects=("openai",), port=engine.port,
        reach="loopback", models=(ModelReport(name="tiny", modality="stt", loaded=True, slots=4),),
    )  # fmt: skip
    return msgspec.json.encode(Heartbeat(node_id="a", engines=(speech,)))


def form() -> Iterator[bytes]:
    yield b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    for _ in range(PIECES):
        yield PIECE
    yield b'\r\n--xyz\r\nContent-Disposition: form-data; name="model"\r\n\r\ntiny\r\n--xyz--\r\n'


def test_two_hundred_megabytes_cost_the_router_no_memory_and_arrive_whole(engine: Engine, tmp_path: Path) -> None:
    words = ["run", "--host", "127.0.0.1", "--port", "0", "--no-mdns", "--data-dir", tmp_path / "router"]
    with Program(herd(*words), tmp_path / "router.txt") as router:
        url = router.until_said(r"Ollama host\s+(http://\S+)", within_s=120)
        with httpx.Client(base_url=url, trust_env=False, timeout=120) as http:
            eventually(lambda: http.get("/readyz").status_code == 200, what="the router")
            assert http.post("/heartbeat", content=report(engine)).status_code == 200
            process = psutil.Process(router.process.pid)
            kind = {"Content-Type": "multipart/form-data; boundary=xyz"}
            http.post("/api/transcribe", headers=kind, content=b"".join([*form()][:2]) + b"\r\n--xyz--\r\n")
            with Memory(process) as memory:
                answer = http.post("/v1/audio/transcriptions", headers=kind, content=form())
            expected = hashlib.sha256(PIECE * PIECES).hexdigest()
            assert answer.json() == {"text": expected}
            assert memory.grown < GROWN_MOST, f"{memory.grown / 1024**2:.1f} MiB"
