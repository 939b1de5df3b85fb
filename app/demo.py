"""The command `herd demo`: a real router, a real node and a real model on this machine, and one answer. Knows no room.

Router and node are the processes that `herd run` and `herd node` start, on the loopback only, with a folder of their
own. The model is an Ollama's, where one runs here and has any; else the demo's small one on the embedded engine.
"""

import importlib.util
import os
import shlex
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import httpx
import msgspec
from cyclopts import Parameter

from app import demo_model
from app.processes import READY_S, Failed, answers, free_port, process, until
from node.engines.addresses import OLLAMA_PORT, address_of
from node.log import clean

HOME = Path("~/.fleet-manager/demo")
QUESTION = "Write two short sentences about a herd of sheep that shares its work."
TOKENS_MOST = 80


@dataclass(frozen=True, slots=True)
class Engine:
    """Who answers: the model to ask for, and what its owner calls it."""

    model: str
    about: str


def demo(
    *,
    question: Annotated[str, Parameter(help="What the model is asked.")] = QUESTION,
    model: Annotated[Path | None, Parameter(help="A GGUF file to serve instead of the demo's.")] = None,
    port: Annotated[int, Parameter(help="Port of the router; when it is taken, the next free one.")] = 11435,
    data_dir: Annotated[Path, Parameter(help="Folder for the demo's state, logs and model.")] = HOME,
    once: Annotated[bool, Parameter(negative="", help="End after the answer.")] = False,
    yes: Annotated[bool, Parameter(negative="", help="Download the demo's model without asking.")] = False,
) -> None:
    """Show the main job on this machine: one real answer, through a real router."""
    home = data_dir.expanduser().resolve()
    signal.signal(signal.SIGTERM, _stop)
    try:
        home.mkdir(parents=True, exist_ok=True)
        engine = _engine(home / "models", model, yes=yes)
        _show(home, engine, free_port(port), question, once=once)
    except OSError as error:
        _fail(f"cannot use the folder {home}: {error.strerror or error}")
    except (Failed, demo_model.NoModel) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _say("\nStopped.")


def _show(home: Path, engine: Engine, port: int, question: str, *, once: bool) -> None:
    base = f"http://127.0.0.1:{port}"
    _say(f"\nherd run   a router at {base}")
    with ExitStack() as stack:
        router = stack.enter_context(
            process(home, "run", "--host", "127.0.0.1", "--port", str(port), "--no-mdns", "--data-dir", str(home))
        )
        http = stack.enter_context(httpx.Client(base_url=base, trust_env=False, timeout=READY_S))
        until(lambda: answers(http), router)
        _say("herd node  this machine, with " + engine.about)
        node = stack.enter_context(
            process(home, "node", "--router-url", base, "--node-id", "demo", "--no-mdns", "--data-dir", str(home))
        )
        until(lambda: _holds(http, engine.model), router, node)
        _ask(http, engine.model, question)
        _say(
            f"\n  OpenAI base URL  {base}/v1\n  Ollama host      {base}\n  Dashboard        {base}/dashboard\n"
            f"  Why this node    herd explain {engine.model} --router {base}\n\n"
            "On your own machines: `herd run` on one, `herd node` on each of the others."
        )
        if not once:
            _say("Ctrl+C stops the demo.")
            while router.poll() is None and node.poll() is None:
                time.sleep(0.2)
            raise Failed("a process of the demo has ended by itself")


def _engine(folder: Path, file: Path | None, *, yes: bool) -> Engine:
    """The model to show. Raises ``Failed`` or ``NoModel``."""
    if file is None:
        found = _ollama_model()
        if found:
            return Engine(found, f"the Ollama that runs here and its {clean(found)}")
    if importlib.util.find_spec("xllamacpp") is None:
        raise Failed(
            "no Ollama with a model runs here, and the embedded engine is not installed: "
            "pip install 'herd-router[engine]'"
        )
    if file is not None:
        return _own_file(folder, file.expanduser())
    if not demo_model.present(folder):
        _say(f"The demo brings its model with it: {demo_model.ABOUT}.")
        if not (yes or _agreed()):
            raise Failed(
                "without a model there is nothing to show: --yes downloads it, --model FILE.gguf takes another"
            )
        demo_model.fetch(folder)
    return Engine(demo_model.MODEL, f"llama.cpp's server and {demo_model.MODEL}")


def _own_file(folder: Path, file: Path) -> Engine:
    from node.engines.gguf import model_name_of  # only here: the other ways need no engine's code

    if not file.is_file():
        raise Failed(f"there is no file {file}")
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / file.name
    if link.resolve() != file.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())
    return Engine(model_name_of(file.name), f"llama.cpp's server and {clean(file.name)}")


def _ollama_model() -> str:
    """The smallest model that can chat of the Ollama on this machine; empty if there is none."""
    try:
        url = address_of(os.environ.get("OLLAMA_HOST") or "http://127.0.0.1", default_port=OLLAMA_PORT).url
        with httpx.Client(base_url=url, trust_env=False, timeout=2) as http:
            models = http.get("/api/tags").json()["models"]
            for model in sorted(models, key=lambda model: int(model["size"])):
                shown = http.post("/api/show", json={"model": model["name"]}).json()
                if "completion" in shown.get("capabilities", ()):
                    return str(model["name"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return ""


def _agreed() -> bool:
    return sys.stdin.isatty() and input("Download it? [Y/n] ").strip().lower() in ("", "y", "yes")


def _holds(http: httpx.Client, model: str) -> bool:
    listed = http.get("/v1/models").json()["data"]
    return any(row["id"] == model for row in listed)


def _ask(http: httpx.Client, model: str, question: str) -> None:
    """One streamed answer, shown as it comes."""
    body = {
        "model": model, "stream": True, "max_tokens": TOKENS_MOST, "temperature": 0.2,
        "messages": [{"role": "user", "content": question}],
    }  # fmt: skip
    short = {"model": model, "stream": True, "messages": body["messages"]}
    asked = shlex.quote(msgspec.json.encode(short).decode())
    _say(f"\n$ curl {str(http.base_url).rstrip('/')}/v1/chat/completions -d {asked}\n")
    began = time.monotonic()
    first, pieces = 0.0, 0
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            raise Failed(f"the router answered {answer.status_code}: {clean(answer.read().decode(), 500)}")
        for line in answer.iter_lines():
            text = _text(line)
            if text:
                first = first or time.monotonic()
                pieces += 1
                sys.stdout.write(text)
                sys.stdout.flush()
    if not pieces:
        raise Failed("the answer was empty")
    rate = pieces / max(time.monotonic() - first, 0.001)
    headers = answer.headers
    _say(
        f"\n\nanswered by node {headers['x-fleet-node']} (score {headers['x-fleet-score']}), "
        f"first token after {first - began:.2f} s, {rate:.0f} tokens/s"
    )


def _text(line: str) -> str:
    """The words of one event. Raises ``Failed`` for an error event."""
    data = line.removeprefix("data:").strip()
    if not line.startswith("data:") or data == "[DONE]":
        return ""
    event = msgspec.json.decode(data)
    if "error" in event:
        raise Failed(f"the answer broke: {clean(str(event['error']), 500)}")
    choices = event["choices"]
    return str(choices[0]["delta"].get("content") or "") if choices else ""


def _stop(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - a command's answer


def _fail(why: str) -> NoReturn:
    sys.exit(f"herd demo: {why}")
