"""The overview as data: what the page says about a fleet and its past."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_fleet import GIB, MARKUP, NOW, fleet, history, llm, marked_up, studio, trace, workstation

from app.fleet.snapshot import FleetSnapshot, LineView, NodeView, PullView
from app.store.records import AttemptRecord
from app.web.nodes import NodeCard, node_card
from app.web.overview import sketches, view
from app.web.requests import points, request_row
from app.web.view import count, dom_key, seconds, size, tokens, whole_seconds
from node.wire import Capacity, DirectClient, EngineReport, Gpu, Machine, ModelReport, Traffic


def test_totals_count_who_serves_and_leave_out_who_waits_or_is_gone() -> None:
    totals = view(fleet(), history(), NOW).totals
    assert (totals.online, totals.nodes) == (2, 3)
    assert totals.models == 5
    assert (totals.running, totals.slots, totals.waiting) == (9, 25, 3)
    assert (totals.completed, totals.failed, totals.retried) == (13546, 4, 7)


def test_a_waiting_node_comes_first_with_the_exact_command_that_lets_it_in() -> None:
    first = view(fleet(), [], NOW).nodes[0]
    assert (first.name, first.state, first.approve) == ("kitchen-mini", "waiting", "herd approve kitchen-mini")


def test_a_command_to_paste_cannot_smuggle_a_second_one() -> None:
    node = NodeView(node_id="a; rm -rf ~", status="offline", waiting_approval=True)
    assert node_card(node, ()).approve == "herd approve 'a; rm -rf ~'"
    model = llm("x'$(reboot)", loaded=True)
    engine = EngineReport(name="ollama", kind="ollama", models=(model,))
    shown = view(
        FleetSnapshot(taken_at=NOW, nodes=(NodeView(node_id="n", status="online", engines=(engine,)),)), [], NOW
    )
    assert "reboot" not in msgspec.json.encode(sketches(shown)["requests"][0].item).decode()


def test_a_full_memory_alone_is_no_alarm() -> None:
    machine = Machine(memory_total_bytes=64 * GIB, memory_available_bytes=0, pressure="normal", cores=8)
    card = node_card(NodeView(node_id="n", status="online", machine=machine), ())
    assert card.alarm == ""
    assert card.gauges[1].share == 1.0


@pytest.mark.parametrize(("pressure", "word"), [("warn", "Memory pressure"), ("critical", "Critical memory pressure")])
def test_real_pressure_is_an_alarm_in_words(pressure: str, word: str) -> None:
    node = msgspec.structs.replace(studio(), machine=msgspec.structs.replace(studio().machine, pressure=pressure))
    assert node_card(node, ()).alarm_word == word


def test_a_card_says_how_the_machine_feels_as_far_as_it_tells() -> None:
    def card(**told: object) -> NodeCard:
        machine = Machine(memory_total_bytes=64 * GIB, **told)  # type: ignore[arg-type]
        return node_card(NodeView(node_id="n", status="online", machine=machine), ())

    assert card().feels == ()
    gpus = (Gpu(name="a", busy_percent=37.0), Gpu(name="b"))
    laptop = card(temperature_c=61.25, power="battery", battery_percent=64.0, gpus=gpus)
    assert laptop.feels == ("61 °C", "on battery 64 %", "GPU 37 % busy")
    assert laptop.alarm == ""
    hot = card(thermal="warning", pressure="critical")
    assert (hot.alarm, hot.alarm_word) == ("critical", "Critical memory pressure · Running hot")
    assert card(thermal="warning").alarm == "warn"


def test_a_card_says_who_uses_an_engine_past_the_router() -> None:
    clients = tuple(DirectClient(peer=f"10.0.0.{number}") for number in range(9))
    traffic = (Traffic(engine="ollama", direct_clients=clients),)
    node = NodeView(node_id="n", status="online", engines=(EngineReport(name="ollama", kind="ollama"),))
    assert node_card(node, ()).engines[0].bypassed == ""
    shown = node_card(msgspec.structs.replace(node, traffic=traffic), ()).engines[0].bypassed
    assert shown == "10.0.0.0, 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4"


def test_an_engine_that_is_down_shows_its_last_inventory_as_stale_and_counts_for_nothing() -> None:
    down = node_card(workstation(), ()).engines[1]
    assert (down.healthy, down.stale, down.error) == (False, True, "connection refused")
    assert [chip.name for chip in down.loaded] == ["deepseek-r1:14b"]


def test_a_chip_tells_size_quantisation_context_and_the_slots_that_are_busy() -> None:
    chip = node_card(studio(), fleet().lines).engines[0].loaded[0]
    assert chip.facts == ("70.6B", "Q4_K_M", "39.6 GiB", "32K context")
    assert chip.slots.pips == (True, True, True, False)


def test_a_line_is_found_by_the_models_key_and_not_by_its_spelling() -> None:
    line = LineView(node_id="mac-studio", model="NOMIC-embed-text", running=2, slots=3)
    chips = node_card(studio(), (line,)).engines[0].loaded
    assert [chip.slots.busy for chip in chips] == [0, 0, 2]


def test_a_program_that_keeps_no_model_in_memory_shows_the_one_it_works_with_and_how_far_it_is() -> None:
    models = tuple(ModelReport(name=name, modality="image") for name in ("flux-dev", "flux-schnell"))
    mflux = EngineReport(name="mflux", kind="mflux", models=models, lane="image", progress=0.418)
    node = NodeView(node_id="easel", status="online", engines=(mflux,))
    line = LineView(node_id="easel", model="flux-dev", running=1)
    [card] = node_card(node, (line,)).engines
    assert (card.progress, [chip.name for chip in card.loaded], card.stored) == (
        "42 % done", ["flux-dev"], ("flux-schnell",),
    )  # fmt: skip


def test_two_similar_node_names_never_share_a_card() -> None:
    nodes = tuple(NodeView(node_id=name, status="online") for name in ("a.b", "a-b", "a_b", "A-B"))
    cards = view(FleetSnapshot(taken_at=NOW, nodes=nodes), [], NOW).nodes
    assert len({card.key for card in cards}) == 4


def test_a_machine_with_an_owner_shows_his_week_and_what_he_does() -> None:
    capacity = node_card(studio(), ()).capacity
    assert capacity is not None
    assert (capacity.word, capacity.owner) == ("Full", "owner's load: idle")
    assert [(day.name, len(day.hours)) for day in capacity.week][::6] == [("Mon", 24), ("Sun", 24)]
    assert capacity.week[0].hours[8:11] == (8, 5, 5)


@pytest.mark.parametrize("week", ["", "-" * 168, "9" * 167, MARKUP])
def test_what_is_no_week_is_not_drawn(week: str) -> None:
    capacity = Capacity(mode="paused", availability=0, reason="meeting_detected", until=NOW, week=week)
    shown = node_card(msgspec.structs.replace(studio(), capacity=capacity), ()).capacity
    assert shown is not None
    assert (shown.week, shown.reason, shown.until) == ((), "camera or microphone in use", NOW)


@pytest.mark.parametrize(("trend", "words"), [(0.5, "heavy, rising"), (-0.5, "heavy, falling"), (0.1, "heavy")])
def test_where_an_owners_load_goes_is_said_in_a_word(trend: float, words: str) -> None:
    capacity = Capacity(workload="heavy", trend=trend, week="5" * 168)
    shown = node_card(msgspec.structs.replace(studio(), capacity=capacity), ()).capacity
    assert shown is not None
    assert shown.owner == f"owner's load: {words}, meetings cannot be seen"


def test_an_offline_node_says_how_long_it_has_been_silent_and_an_online_one_does_not() -> None:
    assert node_card(NodeView(node_id="n", status="offline", seen_s_ago=130), ()).note == "last heartbeat 2 min ago"
    assert node_card(NodeView(node_id="n", status="online", seen_s_ago=3), ()).note == ""


def test_a_request_row_says_why_this_node_with_points_phases_and_attempts() -> None:
    row = request_row(history()[1])
    assert row.asked == "deepseek-r1:14b"
    assert row.why.sentence.startswith("mac-studio came first with 71.5 points under the policy llm/default.")
    assert "a fallback that the client named" in row.why.sentence
    assert [attempt.word for attempt in row.why.attempts] == ["Failed", "Completed"]
    assert [phase.name for phase in row.why.phases] == ["wait", "load", "prefill", "decode"]
    assert [bar.text for bar in row.why.points] == ["+50.0", "+14.0", "-6.0", "-2.5", "0", "+6.0", "+10.0"]
    assert row.why.total == "+71.5"


def test_a_request_that_nobody_took_says_so() -> None:
    row = request_row(trace(1, node_id="", status="expired", score=None, scores_breakdown=None))
    assert (row.word, row.why.sentence) == (
        "Expired waiting",
        "No node was chosen: none could take the request in time.",
    )


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"completion_tokens": 100, "decode_ms": 2000.0}, "50.0"),
        ({"completion_tokens": 400, "decode_ms": 2000.0}, "200"),
        (
            {"completion_tokens": 10, "decode_ms": None, "latency_ms": 1100.0, "time_to_first_token_ms": 100.0},
            "10.0",
        ),
        ({"completion_tokens": None}, "–"),
        ({"completion_tokens": 10, "decode_ms": None, "streamed": False}, "–"),
    ],
)
def test_tokens_per_second_come_from_the_engines_clock_else_from_the_stream_else_not_at_all(
    changes: dict[str, object], shown: str
) -> None:
    assert request_row(trace(1, **changes)).rate == shown


def test_an_empty_fleet_teaches_the_next_step_in_every_region() -> None:
    parts = sketches(view(FleetSnapshot(taken_at=NOW), [], NOW))
    assert parts["nodes"][0].template == "_fragments/no_nodes.html"
    assert "llama3.2" in parts["requests"][0].item.body  # type: ignore[attr-defined]


def test_the_first_request_names_a_model_that_the_fleet_really_has() -> None:
    parts = sketches(view(fleet(), [], NOW))
    assert "llama3.3:70b" in parts["requests"][0].item.body  # type: ignore[attr-defined]


def test_one_request_id_seen_twice_makes_one_row() -> None:
    assert len(sketches(view(fleet(), [trace(1), trace(1)], NOW))["requests"]) == 1


def test_the_struct_is_json_whatever_names_it_carries() -> None:
    snapshot, traces = marked_up()
    assert b"<img" in msgspec.json.encode(view(snapshot, traces, NOW))


@given(st.dictionaries(st.text(max_size=8), st.floats(-1e9, 1e9), max_size=9))
def test_every_bar_stays_on_its_scale(scores: dict[str, float]) -> None:
    for bar in points(scores):
        assert 0 <= bar.left <= 100
        assert bar.left + bar.width <= 100.0001
        assert 0 <= bar.width <= 50


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.lists(st.floats(0, 1e12) | st.none(), min_size=5, max_size=5),
)
def test_any_trace_makes_a_row(at: float, words: str, times: list[float | None]) -> None:
    attempt = AttemptRecord(node_id=words, engine=words, model=words, score=1.0, outcome=words)
    record = trace(
        1, timestamp=at, status=words, model=words, node_id=words, how=words, load_ms=times[0], prefill_ms=times[1],
        decode_ms=times[2], time_to_first_token_ms=times[3], queue_wait_ms=times[4] or 0.0, attempts=[attempt],
    )  # fmt: skip
    row = request_row(record)
    assert sum(phase.width for phase in row.why.phases) <= 100.1


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0, "0 s"), (0.0004, "< 1 ms"), (0.41, "410 ms"), (0.9999, "1.0 s"), (1.44, "1.4 s"), (12.4, "12 s"),
     (200, "3 min 20 s"), (120, "2 min"), (7500, "2 h 5 min"), (-1, "–")],
)  # fmt: skip
def test_durations_carry_their_unit(value: float | None, shown: str) -> None:
    assert seconds(value) == shown


def test_sizes_counts_and_contexts_carry_their_unit() -> None:
    assert [size(None), size(512), size(5 * GIB), size(192 * GIB)] == ["–", "512 B", "5.0 GiB", "192 GiB"]
    assert [tokens(None), tokens(512), tokens(32768)] == ["–", "512", "32K"]
    assert count(12480) == "12\N{NARROW NO-BREAK SPACE}480"
    assert [whole_seconds(4.7), whole_seconds(80.2)] == ["4 s", "1 min 20 s"]


@given(st.text(max_size=60))
def test_any_name_makes_a_plain_element_id(name: str) -> None:
    assert dom_key(name).isalnum()
    assert dom_key(name).isascii()


def test_a_node_offers_what_makes_sense_for_it_as_it_is() -> None:
    verbs = {card.name: [one.verb for one in card.actions] for card in view(fleet(), [], NOW).nodes}
    assert verbs["mac-studio"] == ["drain", "pause", "pause", "pause"]
    assert verbs["old-laptop"] == verbs["kitchen-mini"] == ["forget"]


def test_a_drained_node_and_a_paused_one_offer_to_resume() -> None:
    drained, paused = (
        msgspec.structs.replace(studio(), draining=True),
        msgspec.structs.replace(studio(), capacity=Capacity(mode="paused", availability=0)),
    )
    for node in (drained, paused):
        [card] = view(FleetSnapshot(taken_at=NOW, nodes=(node,)), [], NOW).nodes
        assert [one.verb for one in card.actions] == ["resume"]


def test_pulls_and_resting_engines_are_shown() -> None:
    pull = PullView(
        node_id="mac", model="qwen3:8b", status="pulling", completed_bytes=GIB, total_bytes=4 * GIB, wanted=1
    )
    node = msgspec.structs.replace(studio(), resting=("mflux",))
    page = view(FleetSnapshot(taken_at=NOW, nodes=(node,), pulls=(pull,), rebalanced=3, prewarmed=1), [], NOW)
    assert [(row.model, row.share, row.text) for row in page.pulls] == [("qwen3:8b", 0.25, "1.0 / 4.0 GiB")]
    assert [(engine.name, engine.resting) for engine in page.nodes[0].engines] == [("ollama", False), ("mflux", True)]
    assert [(lines.item.moved, lines.item.prewarmed) for lines in sketches(page)["queues"]] == [(3, 1)]
