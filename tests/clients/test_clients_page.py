"""The table of clients is the one that the script writes, and has a row for each program. Nothing is run here."""

import re

import pytest
from clients.table import ABSENT, CLIENTS, PAGE, PROGRAMS, Client, Row, block, generated, parsed, result, updated

SHARED = {"steps.py", "steps.mjs"}


def test_the_page_is_as_the_script_writes_it() -> None:
    page = PAGE.read_text("utf-8")
    made, rows = parsed(page)
    assert generated(page) == block(made, rows), "run `make clients`"
    assert made.startswith("Made with ")


def test_every_program_has_its_client_and_its_row() -> None:
    programs = {file.name for file in PROGRAMS.iterdir() if file.suffix in (".py", ".mjs")} - SHARED
    assert programs == {client.program for client in CLIENTS}
    _, rows = parsed(PAGE.read_text("utf-8"))
    assert [row.client for row in rows] == list(CLIENTS)


def test_every_result_is_one_of_three_words() -> None:
    for row in parsed(PAGE.read_text("utf-8"))[1]:
        assert row.version == ABSENT or re.search(r"\d+\.\d+", row.version)
        assert row.results.keys() <= set(row.client.over)
        assert all(said == "passed" or said.startswith("failed: ") for said in row.results.values())


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.key)
def test_a_program_says_its_steps_without_being_run(client: Client) -> None:
    assert len(client.steps) > 1
    assert len(set(client.steps)) == len(client.steps)


def test_a_row_is_read_as_it_was_written() -> None:
    row = Row(CLIENTS[0], "1.2.3", {"llama.cpp": result(["chat", "models"], {"chat": "a | b"}, "it ended with 1")})
    assert row.results == {"llama.cpp": "failed: chat: a / b; models: it ended with 1"}
    assert parsed(block("Made with care.", [row])) == ("Made with care.", [row])
    assert str(row).count(" | ") == 4


def test_a_run_of_some_clients_changes_their_rows_and_no_other() -> None:
    page = block("Made with care.", [Row(CLIENTS[0], "1.0", {"Ollama": "passed"}), Row(CLIENTS[1], "1.0")])
    again = Row(CLIENTS[0], "1.1", {"llama.cpp": "failed: chat: no"})
    both = Row(CLIENTS[0], "1.1", {"Ollama": "passed", "llama.cpp": "failed: chat: no"})
    assert parsed(updated(page, "Made with care.", [again]))[1] == [both, Row(CLIENTS[1], "1.0")]
    assert updated(page, "Made with other things.", [again]) == page
