"""The program of a speech model's child: it transcribes one file after the other. Knows nothing of its parent.

Run as ``python -m node.engines.whisper_child``. Requests come as lines of JSON on stdin, ``{"audio": PATH, "language",
"prompt", "temperature", "words"}``; to each it says lines of JSON: what it has learned, ``{"segment": {...}}`` as they
come, and at the end one of ``{"done": true}``, ``{"refused": WHY}`` (the request's fault) and ``{"failed": WHY}``. It
exits when its stdin ends, also in the middle of its work. A crash of native code ends this process and not the node.
"""

import argparse
import json
import os
import queue
import threading
from collections.abc import Iterator
from typing import Any, TextIO


def main() -> None:
    parser = argparse.ArgumentParser(description="Transcribes the files named on stdin, until stdin ends.")
    parser.add_argument("--model", required=True, help="folder of a Whisper model for CTranslate2")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--load", action="store_true", help="load the weights before the first request")
    args = parser.parse_args()
    voice = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints must not be taken for our lines
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()

    from node.engines import whisper_model

    model = whisper_model.Whisper(args.model, args.threads)
    if args.load:
        model.load()
    _say(voice, ready=True, **model.facts)
    while True:
        _say_all(voice, model.answers(requests.get()))


def _listen(requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    begun = b""
    while piece := os.read(0, 65536):  # sys.stdin has a lock that a process which exits by itself would wait for
        *lines, begun = (begun + piece).split(b"\n")
        for line in lines:
            requests.put(json.loads(line))
    os._exit(0)


def _say_all(voice: TextIO, answers: Iterator[dict[str, Any]]) -> None:
    for answer in answers:
        _say(voice, **answer)


def _say(voice: TextIO, **what: Any) -> None:
    voice.write(json.dumps(what) + "\n")
    voice.flush()


if __name__ == "__main__":
    main()
