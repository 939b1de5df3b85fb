"""How much of the machine is used and by whom, on real processes."""

import os
import socket
import subprocess
import sys
import time

from node.machine.usage import Meter

BURNS = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
held, until = bytearray(80_000_000), time.process_time() + 0.4
while time.process_time() < until:
    pass
print("burnt", flush=True)
sys.stdin.read()
"""


def burn() -> tuple[subprocess.Popen[str], int]:
    program = subprocess.Popen([sys.executable, "-c", BURNS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    return program, int(program.stdout.readline())


def test_what_children_and_whoever_listens_on_an_engines_port_take_is_the_engines() -> None:
    program, port = burn()
    assert program.stdout is not None
    nobody = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    by_port, as_child = Meter(nobody.pid), Meter(os.getpid())
    assert by_port.read([("openai", port)]) is None, "there is nothing to compare the first reading with"
    as_child.read([])
    assert program.stdout.readline() == "burnt\n"
    seen, child = by_port.read([("openai", port)]), as_child.read([])
    for usage in (seen, child):
        assert usage is not None
        assert usage.engines_cpu is not None
        assert 0 < usage.engines_cpu <= usage.cpu <= 100
        assert usage.engines_bytes > 70_000_000
        assert 0 < usage.memory_used_bytes < usage.memory_total_bytes
    program.communicate()
    nobody.communicate()


def test_an_engine_whose_process_nobody_finds_leaves_it_open_how_much_is_its() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    meter = Meter(os.getpid())
    meter.read([("vllm", free)])
    time.sleep(0.05)
    usage = meter.read([("vllm", free)])
    assert usage is not None
    assert usage.engines_cpu is None
    assert usage.cpu >= 0


def test_a_process_that_ended_between_two_readings_takes_nothing_back() -> None:
    program, port = burn()
    meter = Meter(os.getpid())
    meter.read([("openai", port)])
    program.communicate()
    time.sleep(0.05)
    usage = meter.read([])
    assert usage is not None
    assert usage.engines_cpu is not None
    assert usage.engines_cpu >= 0
