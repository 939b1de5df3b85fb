"""Speaks as node/engines/whisper_child.py does, without a model: the "audio" is a text that says what happens.

Each line of the text is a segment of one second, but for these: ``refuse WHY``, ``fail WHY``, ``crash`` and ``hang``.
Everything it was asked is appended to the file named by ``ASKED`` in its environment.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--threads", required=True)
    parser.add_argument("--load", action="store_true")
    args = parser.parse_args()
    if (args.model / "broken").exists():
        sys.exit("no such luck")
    loaded = args.load
    facts = {"version": "1.2.1", "device": "cpu", "computes": "int8"}
    say(ready=True, loaded=loaded, **facts)
    for line in sys.stdin:
        request = json.loads(line)
        with Path(os.environ["ASKED"]).open("a") as asked:
            asked.write(line)
        if not loaded:
            loaded = True
            say(loaded=True, **facts)
        transcribe(Path(request["audio"]).read_text().splitlines())


def transcribe(lines: list[str]) -> None:
    say(duration=float(len(lines)))
    say(language="en")
    for number, line in enumerate(lines):
        match line.split(" ", 1):
            case ["refuse", why]:
                return say(refused=why)
            case ["fail", why]:
                return say(failed=why)
            case ["crash"]:
                print("it was the audio", file=sys.stderr, flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            case ["hang"]:
                threading.Thread(target=leave_with_parent, daemon=True).start()
                time.sleep(600)
            case _:
                say(segment={"id": number, "start": float(number), "end": number + 1.0, "text": f" {line}"})
    return say(done=True)


def leave_with_parent() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


def say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
