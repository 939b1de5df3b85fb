"""What other programs' command lines and environments tell about engines, on real processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.machine.processes import Runner, available_bytes, num_parallel, ollama_processes, physical_cores, runner_of

BLOB = "c" * 64
SERVE = """
import socket, subprocess, sys
server = socket.create_server(("127.0.0.1", 0))
child = subprocess.Popen([sys.argv[1], "-c", "import sys; sys.stdin.read()", "--model", sys.argv[2], "--port", "41000",
                          "-np", "3", "-c", "12288"], stdin=sys.stdin)
print(server.getsockname()[1], flush=True)
child.wait()
"""


@pytest.mark.parametrize(
    ("line", "runner"),
    [
        (
            f"llama-server -m /b/sha256-{BLOB} -np 4 -c 8192 --port 4000",
            Runner(parallel=4, context=8192, port=4000, blob=BLOB),
        ),
        (f"ollama runner --model C:\\b\\sha256-{BLOB} --parallel=2", Runner(parallel=2, blob=BLOB)),
        ("llama-server --model /b/x.gguf --parallel -1 --port nonsense", Runner()),
        ("llama-server --model /b/x.gguf -np", Runner()),
        ("ollama serve", None),
        ("", None),
    ],
)
def test_a_runners_command_line_is_read_as_far_as_it_makes_sense(line, runner):
    assert runner_of(line.split()) == runner


@pytest.mark.parametrize(
    ("value", "number"), [("4", 4), ("0", None), ("-1", None), ("x", None), ("", None), ("9" * 9, None)]
)
def test_num_parallel_is_a_number_from_one(value, number):
    assert num_parallel({"OLLAMA_NUM_PARALLEL": value}) == number


@pytest.mark.skipif(sys.platform == "win32", reason="a program is renamed by a symbolic link")
def test_the_children_of_the_ollama_on_this_port_are_found_and_no_others(tmp_path: Path):
    programs = [tmp_path / "ollama", tmp_path / "llama-server"]
    for program in programs:
        program.symlink_to(os.path.realpath(sys.executable))
    command = [str(programs[0]), "-c", SERVE, str(programs[1]), f"/models/blobs/sha256-{BLOB}"]
    environment = {**os.environ, "OLLAMA_NUM_PARALLEL": "5"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as ollama:
        try:
            port = int(ollama.stdout.readline())
            deadline = time.monotonic() + 10
            while not (seen := ollama_processes(port)).runners and time.monotonic() < deadline:
                time.sleep(0.02)  # the child has not become its program yet
            assert seen.num_parallel == 5
            (runner,) = seen.runners
            assert (runner.parallel, runner.context, runner.port, runner.blob) == (3, 12288, 41000, BLOB)
            assert ollama_processes(port + 1).runners == ()
        finally:
            ollama.stdin.close()
            ollama.wait(10)


def test_the_machine_has_some_memory_and_a_core():
    assert available_bytes() > 0
    assert physical_cores() >= 1
