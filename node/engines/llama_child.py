"""The program of an embedded engine's child: llama.cpp's server for one model file. Knows nothing of its parent.

Run as ``python -m node.engines.llama_child``. Once it serves it prints one line of JSON,
``{"address": "http://127.0.0.1:PORT"}``; it exits when its stdin ends. A crash of native
code ends this process and not the node.
"""

import argparse
import json
import os
import threading
from typing import Any

RANK = 4
"""llama.cpp's number of the pooling that ends in one score."""


def main() -> None:
    args = _arguments()
    speech = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints must not be taken for our one line
    threading.Thread(target=_exit_with_parent, daemon=True).start()

    import xllamacpp

    server = xllamacpp.Server(_params(xllamacpp.CommonParams(), args))
    speech.write(json.dumps({"address": server.listening_address}) + "\n")
    speech.flush()
    threading.Event().wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="llama.cpp's server for one model file, until stdin ends.")
    parser.add_argument("--model", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--context", type=int, required=True, help="tokens, for all slots together")
    parser.add_argument("--parallel", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--embedding", action="store_true", help="give vectors")
    parser.add_argument("--reranking", action="store_true", help="give scores of documents")
    parser.add_argument("--chat-template", default="", help="in Jinja; empty: the model's own")
    return parser.parse_args()


def _params(p: Any, args: argparse.Namespace) -> Any:
    p.model.path = args.model
    p.model_alias = {args.name}  # a set: a plain text would become a set of letters
    p.hostnames = ["127.0.0.1"]
    p.port = 0
    p.n_ctx = args.context
    p.n_parallel = args.parallel
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = args.threads
    p.endpoint_metrics = p.endpoint_slots = p.endpoint_props = True
    p.ui = False
    p.chat_template = args.chat_template
    if args.embedding or args.reranking:
        p.embedding = True
        p.n_batch = p.n_ubatch = max(512, args.context // args.parallel)  # a vector or a score is made in one batch
    if args.reranking:
        p.pooling_type = RANK
    return p


def _exit_with_parent() -> None:
    while os.read(0, 4096):  # sys.stdin has a lock that a process which ends by itself would trip over
        pass
    os._exit(0)


if __name__ == "__main__":
    main()
