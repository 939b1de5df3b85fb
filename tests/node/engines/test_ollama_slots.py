"""How many requests Ollama serves at once is asked from whoever knows it, and never guessed too high."""

import pytest
from fakes.scripted import ScriptedServer, failing, replying

from node.engines import ollama_slots
from node.engines.ollama_slots import OllamaSlots, matched
from node.machine.processes import OllamaProcesses, Runner

A, B = "a" * 64, "b" * 64


def _seen(monkeypatch, *runners: Runner, num_parallel: int | None = None) -> list[int]:
    looks: list[int] = []

    def look(port: int) -> OllamaProcesses:
        looks.append(port)
        return OllamaProcesses(runners=runners, num_parallel=num_parallel)

    monkeypatch.setattr(ollama_slots, "ollama_processes", look)
    monkeypatch.delenv("OLLAMA_NUM_PARALLEL", raising=False)
    return looks


async def test_the_owners_word_is_final(http, monkeypatch):
    looks = _seen(monkeypatch, Runner(pid=1, parallel=4, blob=A))
    slots = await OllamaSlots(http, 11434, local=True, told=7).read({"m": A})
    assert (slots.of("m"), slots.of("other"), looks) == (7, 7, [])


async def test_an_ollama_on_another_machine_is_not_looked_for_here(http, monkeypatch):
    looks = _seen(monkeypatch, Runner(pid=1, parallel=4, blob=A), num_parallel=4)
    slots = await OllamaSlots(http, 11434, local=False, told=None).read({"m": A})
    assert (slots.of("m"), looks) == (1, [])


async def test_each_runners_own_command_line_tells_for_its_model(http, monkeypatch):
    _seen(monkeypatch, Runner(pid=1, parallel=4, blob=A), Runner(pid=2, parallel=1, blob=B), num_parallel=4)
    slots = await OllamaSlots(http, 11434, local=True, told=None).read({"wide": A, "narrow": B})
    assert (slots.of("wide"), slots.of("narrow"), slots.of("not loaded")) == (4, 1, 4)


async def test_a_runner_that_does_not_tell_is_asked_for_its_slots(http, monkeypatch):
    async with ScriptedServer() as runner:
        runner.script("/slots", replying([{"id": 0}, {"id": 1}, {"id": 2}]))
        _seen(monkeypatch, Runner(pid=1, port=runner.port, blob=A))
        slots = await OllamaSlots(http, 11434, local=True, told=None).read({"m": A})
    assert slots.of("m") == 3


async def test_a_runner_that_refuses_leaves_the_word_to_the_environment(http, monkeypatch):
    async with ScriptedServer() as runner:
        runner.script("/slots", failing(501))
        _seen(monkeypatch, Runner(pid=1, port=runner.port, blob=A), num_parallel=2)
        slots = await OllamaSlots(http, 11434, local=True, told=None).read({"m": A})
    assert slots.of("m") == 2


async def test_our_own_environment_counts_when_ollamas_cannot_be_read(http, monkeypatch):
    _seen(monkeypatch)
    monkeypatch.setenv("OLLAMA_NUM_PARALLEL", "3")
    assert (await OllamaSlots(http, 11434, local=True, told=None).read({})).of("m") == 3


async def test_nobody_knows_means_one(http, monkeypatch):
    _seen(monkeypatch)
    assert (await OllamaSlots(http, 11434, local=True, told=None).read({"m": ""})).of("m") == 1


async def test_processes_are_looked_at_only_when_the_loaded_models_changed(http, monkeypatch):
    looks = _seen(monkeypatch, Runner(pid=1, parallel=4, blob=A))
    slots = OllamaSlots(http, 11434, local=True, told=None)
    for loaded in ({"m": A}, {"m": A}, {"m": A}, {}, {}):
        await slots.read(loaded)
    assert len(looks) == 2


async def test_a_look_that_fails_is_no_reason_to_fail(http, monkeypatch):
    def look(port: int) -> OllamaProcesses:
        raise PermissionError

    monkeypatch.setattr(ollama_slots, "ollama_processes", look)
    monkeypatch.delenv("OLLAMA_NUM_PARALLEL", raising=False)
    assert (await OllamaSlots(http, 11434, local=True, told=None).read({"m": A})).of("m") == 1


@pytest.mark.parametrize(
    ("loaded", "runners", "found"),
    [
        ({"m": A}, [Runner(pid=1, blob=A)], {"m": 1}),
        ({"m": ""}, [Runner(pid=1, blob=A)], {"m": 1}),
        ({"m": A}, [Runner(pid=1, blob=B)], {}),
        ({"m": "", "n": ""}, [Runner(pid=1, blob=A), Runner(pid=2, blob=B)], {}),
        ({"m": A, "n": ""}, [Runner(pid=1, blob=A), Runner(pid=2, blob=B)], {"m": 1, "n": 2}),
        ({"m": A, "same": A}, [Runner(pid=1, blob=A)], {"m": 1, "same": 1}),
        ({}, [Runner(pid=1, blob=A)], {}),
    ],
)
def test_runner_and_model_belong_together_only_when_that_is_certain(loaded, runners, found):
    assert {name: runner.pid for name, runner in matched(loaded, tuple(runners)).items()} == found
