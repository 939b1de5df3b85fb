"""The live stream over a real socket: one look for all, only what changed, and an end for every stream."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from shown_fleet import trace
from web_site import Site


class Stream:
    """One open event stream, read line by line."""

    def __init__(self, site: Site, last_id: str = "") -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=10)
        self.connection.request("GET", "/dashboard/events", headers={"last-event-id": last_id} if last_id else {})
        self.answer = self.connection.getresponse()
        self.lines: list[str] = []
        self.id = ""

    def event(self) -> dict[str, Any]:
        """The next event that carries regions."""
        fields: dict[str, str] = {}
        while True:
            line = self.answer.readline().decode()
            assert line, "the stream ended"
            self.lines.append(line)
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "id" in fields:
                self.id = fields["id"]
                return dict(json.loads(fields["data"]))
            else:
                fields = {}

    def until(self, region: str) -> dict[str, Any]:
        while True:
            event = self.event()
            if region in event:
                return event

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


@contextmanager
def stream(site: Site, last_id: str = "") -> Iterator[Stream]:
    opened = Stream(site, last_id)
    try:
        yield opened
    finally:
        opened.close()


def until(holds: Any) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_first_event_is_the_whole_page_and_says_when_to_come_back(site: Site) -> None:
    with stream(site) as opened:
        first = opened.event()
        assert opened.answer.headers["content-type"].startswith("text/event-stream")
        assert opened.answer.headers["content-security-policy"]
        assert opened.lines[0] == "retry: 2000\n"
        assert set(first) == {"totals", "nodes", "pulls", "queues", "waiting", "requests"}
        assert len(first["requests"]["parts"]) == len(first["requests"]["order"]) == 30


def test_afterwards_only_the_parts_that_changed_are_sent(site: Site) -> None:
    with stream(site) as opened:
        opened.event()
        site.traces = [trace(100), *site.traces]
        event = opened.until("requests")
        assert set(event) == {"requests"}
        assert len(event["requests"]["parts"]) == 1
        assert event["requests"]["order"][0] in event["requests"]["parts"]


def test_who_comes_back_hears_only_what_was_missed(site: Site) -> None:
    with stream(site) as opened:
        opened.event()
    site.snapshot = msgspec.structs.replace(site.snapshot, completed=99999)
    with stream(site, opened.id) as again:
        assert set(again.event()) == {"totals"}


@pytest.mark.parametrize("last_id", ["another.3", "x", "." * 300, "9" * 400, "abc.-1", "\u00b2.\u00b2"])
def test_an_id_that_means_nothing_here_gets_the_whole_page(site: Site, last_id: str) -> None:
    with stream(site, last_id.encode("latin-1").decode("latin-1")) as opened:
        assert "requests" in opened.event()


def test_many_listeners_cost_one_look_per_tick_and_none_costs_none(site: Site) -> None:
    opened = [Stream(site) for _ in range(10)]
    for one in opened:
        one.event()
    looks = site.looks
    for number in range(5):
        site.snapshot = msgspec.structs.replace(site.snapshot, completed=number)
        for one in opened:
            assert one.until("totals")
    spent = site.looks - looks
    for one in opened:
        one.close()
    until(lambda: site.live.listeners == 0)
    assert spent < 20


def test_a_stream_that_its_client_left_is_given_back(site: Site) -> None:
    with stream(site) as opened:
        opened.event()
        assert site.live.listeners == 1
    until(lambda: site.live.listeners == 0)


def test_stopping_ends_every_stream_at_once(site: Site) -> None:
    with stream(site) as one, stream(site) as other:
        one.event()
        other.event()
        site.stop_live()
        assert one.answer.read() == other.answer.read() == b""
    until(lambda: site.live.listeners == 0)


def test_after_the_stop_no_new_stream_is_opened(site: Site) -> None:
    site.stop_live()
    until(lambda: site.live.full)
    with stream(site) as opened:
        assert opened.answer.status == 503


def test_a_look_that_fails_is_not_the_end_of_the_stream(site: Site) -> None:
    with stream(site) as opened:
        opened.event()
        site.broken = True
        looks = site.looks
        until(lambda: site.looks > looks + 1)
        site.snapshot = msgspec.structs.replace(site.snapshot, completed=5)
        site.broken = False
        assert "totals" in opened.event()


def test_a_quiet_stream_is_kept_alive_by_a_comment_and_a_beat() -> None:
    site = Site(keepalive_s=0.05)
    site.start()
    try:
        with stream(site) as opened:
            opened.event()
            lines = [opened.answer.readline() for _ in range(3)]
            assert lines == [b": still here\n", b"event: beat\n", b"data: 1\n"]
    finally:
        site.stop()


def test_a_client_that_does_not_read_loses_its_stream_and_costs_no_memory() -> None:
    site = Site(interval_s=0.02, backlog=2)
    site.start()
    try:
        deaf = socket.create_connection(("127.0.0.1", site.port))
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /dashboard/events HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
        until(lambda: site.live.listeners == 1)
        number = 0
        deadline = time.monotonic() + 20
        while site.live.listeners and time.monotonic() < deadline:
            number += 1
            site.traces = [trace(number * 1000 + row, error_message="x" * 20000) for row in range(50)]
            time.sleep(0.01)
        assert site.live.listeners == 0
        deaf.close()
    finally:
        site.stop()
