"""Two fleets for the clients: two of llama.cpp's servers, or one real Ollama, each behind `herd run`. Knows no client.

The real Ollama is the program that OLLAMA_BIN names. It gets the demo's model under the name that llama.cpp has too.
"""

import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from e2e.fleet import MODEL, running_fleet
from programs import Program, demo_model, eventually

CONTEXT = 8192
"""Tokens for each chat: an agent's first words alone are thousands."""
JINJA = """\
{% if tools %}<|im_start|>system
Tools:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or "" }}{% for call in message.tool_calls or [] %}<tool_call>
{{ {"name": call.function.name, "arguments": call.function.arguments} | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
MODELFILE = """\
FROM {model}
TEMPLATE \"\"\"{template}\"\"\"
PARAMETER stop <|im_end|>
PARAMETER num_predict 512
"""
"""Ollama would let a model that comes to no end write ten times its context."""
GO = """\
{{ if .Tools }}<|im_start|>system
Tools:
{{ range .Tools }}{{ . }}
{{ end }}<|im_end|>
{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}{{ range .ToolCalls }}<tool_call>
{"name": "{{ .Function.Name }}", "arguments": {{ .Function.Arguments }}}
</tool_call>{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
"""The demo model's own template knows no tools, and what needs them would be refused."""
MANIFEST = re.compile(r"/v2/library/[\w.-]+/manifests/[\w.-]+")
BLOB = re.compile(r"/v2/library/[\w.-]+/blobs/sha256:([0-9a-f]{64})")


@contextmanager
def llama_fleet(home: Path) -> Iterator[dict[str, str]]:
    """What a program needs to know of a fleet of two nodes with a llama.cpp server each."""
    home.mkdir(parents=True)
    with running_fleet(home, "ash", "birch", context=CONTEXT, template=JINJA) as fleet:
        yield {"HERD_URL": fleet.url, "HERD_MODEL": MODEL}


@contextmanager
def ollama_fleet(home: Path, binary: str) -> Iterator[dict[str, str]]:
    """The same of a fleet of one node with a real Ollama, and of a registry from which that can pull."""
    home.mkdir(parents=True)
    os.environ["FLEET_OPEN_MODELS"] = "true"  # the programs shall make, copy and remove models
    with ExitStack() as stack:
        address = f"127.0.0.1:{free_port()}"
        own = {"OLLAMA_HOST": address, "OLLAMA_MODELS": str(home / "models"), "HOME": str(home)}
        own |= {"OLLAMA_CONTEXT_LENGTH": str(CONTEXT), "OLLAMA_NO_CLOUD": "1"}
        engine = stack.enter_context(Program([binary, "serve"], home / "ollama.txt", **own))
        engine.until_said("Listening on")
        recipe = home / "Modelfile"
        recipe.write_text(MODELFILE.format(model=demo_model(), template=GO), "utf-8")
        subprocess.run([binary, "create", MODEL, "-f", recipe], env=os.environ | own, check=True, capture_output=True)
        fleet = stack.enter_context(running_fleet(home))
        fleet.start_node("cedar", ollama=f"http://{address}")
        eventually(lambda: fleet.engine("cedar", "ollama").get("healthy"), within_s=120, what="the Ollama's node")
        registry = stack.enter_context(running_registry(home / "models"))
        yield {
            "HERD_URL": fleet.url,
            "HERD_MODEL": MODEL,
            "HERD_GGUF": str(demo_model()),
            "HERD_REGISTRY": registry,
        }


@contextmanager
def running_registry(store: Path) -> Iterator[str]:
    """A registry that has, under every name, the one model of an Ollama's store."""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            blob = BLOB.fullmatch(self.path)
            if MANIFEST.fullmatch(self.path):
                name, _, tag = MODEL.partition(":")
                self._answer(next(store.glob(f"manifests/*/library/{name}/{tag}")).read_bytes())
            elif blob and (file := store / "blobs" / f"sha256-{blob[1]}").exists():
                self._answer(file.read_bytes())
            else:
                self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, body: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            part = body[int(wanted[1]) : int(wanted[2]) + 1] if wanted else body
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(part)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
