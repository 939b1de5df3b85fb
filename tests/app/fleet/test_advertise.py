"""mDNS that cannot work is a word in the log and nothing more."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.fleet.advertise import Advertiser

GOOD: dict[str, Any] = {"service_type": "_herd-test._tcp.local.", "name": "Test", "interfaces": ["127.0.0.1"]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"service_type": "nonsense"},
        {"service_type": "_a-name-of-a-service-that-is-too-long._tcp.local."},
        {"name": "n" * 80},
        {"interfaces": ["192.0.2.1"]},
        {"interfaces": ["no address"]},
    ],
)
async def test_a_record_that_cannot_be_is_said_and_harms_nobody(wrong: dict[str, Any]) -> None:
    with capture_logs() as said:
        advertiser = Advertiser(**{**GOOD, **wrong}, port=1, fleet_id="f", version="0", addresses=lambda: ["127.0.0.1"])
        task = asyncio.create_task(advertiser.run())
        async with asyncio.timeout(10):
            while not said:
                assert not task.done(), task.exception()
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    assert [line["event"] for line in said] == ["mdns.unavailable"]
