"""``mlx-qwen3-asr serve`` as version 0.4.4 is asked and answers, without a model and on any system.

The "audio" is text below a first line that looks like an audio file's beginning; it says what happens: ``hang``,
``crash``, ``fail WHY``; else each line is a chunk of five seconds. Each start is noted in ``ASR_STARTS``, each job in
``ASR_JOBS``; if ``ASR_BROKEN`` names a file that exists, the server ends at its start.
"""

import argparse
import json
import os
import secrets
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from multipart import MultipartParser, parse_options_header

MODEL = "Qwen/Qwen3-ASR-0.6B"


def main() -> None:
    if sys.argv[1:2] != ["serve"]:
        sys.exit("the stand-in knows `serve` only")
    parser = argparse.ArgumentParser(prog="mlx-qwen3-asr serve")
    parser.add_argument("--host", default=os.environ.get("MLX_ASR_HOST", "0.0.0.0"))
    parser.add_argument("--port", type=int, default=int(os.environ.get("MLX_ASR_PORT", "8765")))
    parser.add_argument("--api-key", default=os.environ.get("MLX_ASR_API_KEY", ""))
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--dtype", default="float16", choices=["float16", "float32", "bfloat16"])
    for name, most in (("rate-limit", 60), ("max-file-size", 2048), ("max-duration", 28800), ("max-queue-depth", 10)):
        parser.add_argument(f"--{name}", type=int, default=most)
    parser.add_argument("--job-ttl", type=int, default=3600)
    args = parser.parse_args(sys.argv[2:])
    keys = [key.strip() for key in args.api_key.split(",") if key.strip()]
    if not keys:
        sys.exit("Error: at least one API key is required (--api-key or MLX_ASR_API_KEY)")
    note("ASR_STARTS", {"words": sys.argv[1:], "keys": keys, "pid": os.getpid(), "folder": os.getcwd()})
    if Path(os.environ.get("ASR_BROKEN", "-")).exists():
        sys.exit('Server dependencies not installed. Install with: pip install "mlx-qwen3-asr[serve]"')
    Server((args.host, args.port), set(keys)).serve_forever()


def note(where: str, what: object) -> None:
    if where in os.environ:
        with Path(os.environ[where]).open("a") as file:
            file.write(json.dumps(what) + "\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], keys: set[str]) -> None:
        super().__init__(address, Handler)
        self.keys = keys
        self.jobs: dict[str, dict[str, Any]] = {}

    def work(self, job_id: str, file: Path) -> None:
        job = self.jobs[job_id]
        job["status"] = "processing"
        texts = file.read_text("utf-8", "replace").splitlines()[1:]
        time.sleep(0.05)
        chunks = []
        for number, line in enumerate(texts):
            if line == "hang":
                time.sleep(600)
            elif line == "crash":
                os.abort()
            elif line.startswith("fail "):
                job.update(status="failed", completed_at="2026-09-01T12:00:00Z", error=line[5:])
                break
            chunks.append(chunk(number, line))
        else:
            result = {"text": " ".join(texts), "language": "English", "chunks": chunks, "finish_reason": "eos",
                      "truncated": False}  # fmt: skip
            job.update(status="completed", completed_at="2026-09-01T12:00:00Z", result=result)
        file.unlink()


def chunk(number: int, line: str) -> dict[str, Any]:
    return {
        "text": line, "start": number * 5.0, "end": number * 5.0 + 5.0, "chunk_index": number, "language": "English",
        "finish_reason": "eos", "truncated": False, "generated_tokens": 7, "max_new_tokens": 128,
    }  # fmt: skip


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.say(200, {"status": "ok", "model": MODEL, "dtype": "float16", "uptime_seconds": 1, "queued_jobs": 0,
                           "processing_jobs": 0, "max_queue_depth": 10})  # fmt: skip
        elif self.allowed():
            job = self.server.jobs.get(self.path.removeprefix("/jobs/"))
            self.say(200, job) if job else self.say(404, {"detail": "Job not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path != "/transcribe":
            self.say(404, {"detail": "Not Found"})
        elif self.allowed():
            self.submit(body)

    def submit(self, body: bytes) -> None:
        _, options = parse_options_header(self.headers.get("content-type", ""))
        with tempfile.TemporaryFile() as spool:
            spool.write(body)
            spool.seek(0)
            parts = {part.name: part for part in MultipartParser(spool, options["boundary"])}
            if "audio" not in parts:
                self.say(400, {"detail": [{"loc": ["body", "audio"], "msg": "Field required", "type": "missing"}]})
                return
            audio = parts.pop("audio")
            with tempfile.NamedTemporaryFile(prefix="mlx_asr_", delete=False) as file:
                file.write(audio.raw)
        job_id = f"j_{secrets.token_hex(16)}"
        note("ASR_JOBS", {"file": audio.filename, **{name: part.value for name, part in parts.items()}})
        job = {"job_id": job_id, "status": "queued", "created_at": "2026-09-01T12:00:00Z"}
        self.server.jobs[job_id] = job
        threading.Thread(target=self.server.work, args=(job_id, Path(file.name)), daemon=True).start()
        self.say(202, job)

    def allowed(self) -> bool:
        kind, _, key = self.headers.get("authorization", "").partition(" ")
        if not key or kind.lower() != "bearer":
            self.say(401, {"detail": "Missing Authorization header"})
        elif key not in self.server.keys:
            self.say(403, {"detail": "Invalid API key"})
        return kind.lower() == "bearer" and key in self.server.keys

    def say(self, status: int, what: object) -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    main()
