"""A rich fleet and its history as plain structs, for tests of what shows them. Knows no page and no router."""

import msgspec

from app.fleet.snapshot import FleetSnapshot, LineView, NodeView, WaitingView
from app.modalities.plugin import discover
from app.store.records import AttemptRecord, TraceRecord
from node.wire import Capacity, EngineReport, Gpu, Machine, ModelReport

GIB = 1024**3
NOW = 1795485600.0
WEEK = "999999998554586665899999" * 5 + "999999999887789998899999" * 2
MARKUP = '<img src=x onerror="document.title=1">'


def llm(name: str, *, loaded: bool = False, gib: float = 4.6, **more: object) -> ModelReport:
    base = ModelReport(name=name, loaded=loaded, size_bytes=int(gib * GIB))
    return msgspec.structs.replace(base, **more)


def studio() -> NodeView:
    loaded = [
        llm(
            "llama3.3:70b",
            loaded=True,
            gib=39.6,
            context_length=32768,
            parameters="70.6B",
            quantization="Q4_K_M",
            slots=4,
        ),
        llm("qwen3:8b", loaded=True, gib=5.2, context_length=40960, parameters="8.2B", quantization="Q4_K_M", slots=8),
    ]
    embed = ModelReport(
        name="nomic-embed-text:latest", modality="embed", loaded=True, size_bytes=GIB // 4, context_length=2048, slots=8
    )
    disk = [llm("mistral-small:24b", gib=13.3), llm("gemma3:27b", gib=16.2), llm("phi4:14b", gib=8.4)]
    engine = EngineReport(name="ollama", kind="ollama", version="0.14.1", models=(*loaded, embed, *disk))
    image = ModelReport(name="z-image-turbo", modality="image", loaded=True, size_bytes=9 * GIB)
    return NodeView(
        node_id="mac-studio",
        status="online",
        address="192.168.1.20",
        version="0.1.0",
        machine=Machine(
            os="macOS",
            arch="arm64",
            chip="Apple M2 Ultra",
            cores=24,
            cpu_percent=37.4,
            memory_total_bytes=192 * GIB,
            memory_available_bytes=int(61.5 * GIB),
            pressure="normal",
        ),
        engines=(engine, EngineReport(name="mflux", kind="mflux", version="0.12", models=(image,))),
        capacity=Capacity(
            mode="full",
            availability=0.82,
            ceiling_bytes=153 * GIB,
            reason="high_availability",
            meeting="none",
            week=WEEK,
        ),
        running=5,
        waiting=2,
    )


def workstation() -> NodeView:
    model = llm(
        "qwen3:8b", loaded=True, gib=5.2, context_length=16384, parameters="8.2B", quantization="Q4_K_M", slots=4
    )
    down = EngineReport(
        name="vllm",
        kind="vllm",
        version="0.13",
        healthy=False,
        stale=True,
        error="connection refused",
        models=(llm("deepseek-r1:14b", loaded=True, gib=9.0, parameters="14.8B", quantization="AWQ"),),
    )
    return NodeView(
        node_id="workstation",
        status="online",
        address="192.168.1.31",
        version="0.1.0",
        machine=Machine(
            os="Linux",
            arch="x86_64",
            chip="AMD Ryzen 9 7950X",
            cores=32,
            cpu_percent=12,
            memory_total_bytes=64 * GIB,
            memory_available_bytes=3 * GIB,
            pressure="warn",
            gpus=(Gpu(name="NVIDIA RTX 4090", memory_total_bytes=24 * GIB, memory_free_bytes=11 * GIB),),
        ),
        engines=(EngineReport(name="ollama", kind="ollama", version="0.14.1", models=(model,)), down),
        running=4,
        waiting=1,
    )


def fleet() -> FleetSnapshot:
    old = NodeView(node_id="old-laptop", status="offline", address="192.168.1.44", version="0.1.0", seen_s_ago=4000)
    new = NodeView(node_id="kitchen-mini", status="offline", address="192.168.1.52", waiting_approval=True)
    line = LineView(node_id="mac-studio", model="llama3.3:70b", running=3, waiting=2, slots=4, completed=412, failed=3)
    return FleetSnapshot(
        taken_at=NOW,
        nodes=(studio(), workstation(), old, new),
        modalities=tuple(modality.view for modality in discover()),
        lines=(
            msgspec.structs.replace(line, p75_s=14.2, estimated_wait_s=14.2),
            LineView(
                node_id="mac-studio",
                model="qwen3:8b",
                running=2,
                slots=8,
                completed=2210,
                p75_s=2.1,
                estimated_wait_s=0.0,
            ),
            LineView(
                node_id="mac-studio", model="nomic-embed-text", modality="embed", slots=8, completed=9120, p75_s=0.04
            ),
            LineView(
                node_id="workstation",
                model="qwen3:8b",
                running=4,
                waiting=1,
                slots=4,
                completed=1804,
                failed=1,
                p75_s=1.7,
            ),
        ),
        waiting=(
            WaitingView(
                request_id="w1",
                model="llama3.3:70b",
                position=1,
                waited_s=4.4,
                why="busy",
                node_id="mac-studio",
                estimated_wait_s=9.8,
            ),
            WaitingView(
                request_id="w2",
                model="qwen3:8b",
                position=2,
                waited_s=1.2,
                why="busy",
                node_id="workstation",
                estimated_wait_s=1.7,
            ),
            WaitingView(request_id="w3", model="deepseek-r1:14b", position=3, waited_s=0.4, why="held"),
        ),
        completed=13546,
        failed=4,
        retried=7,
    )


def trace(number: int, **changes: object) -> TraceRecord:
    base = TraceRecord(
        request_id=f"req-{number:04}",
        model="qwen3:8b",
        original_model="qwen3:8b",
        node_id="mac-studio" if number % 3 else "workstation",
        status="completed",
        timestamp=NOW - number * 47,
        engine="ollama",
        endpoint="/v1/chat/completions",
        policy="llm/default",
        score=71.5,
        scores_breakdown={
            "thermal": 50.0,
            "memory_fit": 14.0,
            "queue_depth": -6.0,
            "latency": -2.5,
            "role_affinity": 0.0,
            "availability": 6.0,
            "context_fit": 10.0,
            "total": 71.5,
        },
        latency_ms=2100.0 + number * 13,
        time_to_first_token_ms=180.0 + number,
        queue_wait_ms=2.0,
        prefill_ms=160.0,
        decode_ms=1900.0,
        prompt_tokens=900 + number * 17,
        completion_tokens=140 + number,
        finish_reason="stop",
        attempts=[
            AttemptRecord(
                node_id="mac-studio",
                engine="ollama",
                model="qwen3:8b",
                score=71.5,
                outcome="completed",
                latency_ms=2100,
            )
        ],
        client_ip="192.168.1.9",
        user_agent="openai-python/3.1",
        original_format="openai",
        streamed=True,
        tags=["notes-app"] if number % 4 == 0 else None,
    )
    return msgspec.structs.replace(base, **changes)


def history() -> list[TraceRecord]:
    retried = [
        AttemptRecord(
            node_id="workstation",
            engine="vllm",
            model="deepseek-r1:14b",
            score=64.0,
            outcome="failed",
            error="connection refused",
            latency_ms=12,
        ),
        AttemptRecord(
            node_id="mac-studio",
            engine="ollama",
            model="llama3.3:70b",
            score=58.5,
            outcome="completed",
            latency_ms=16200,
        ),
    ]
    special = {
        1: trace(
            1,
            model="llama3.3:70b",
            original_model="deepseek-r1:14b",
            how="fallback",
            retry_count=1,
            attempts=retried,
            node_id="mac-studio",
            tags=["agents", "nightly"],
            load_ms=4200.0,
            queue_wait_ms=3800.0,
            time_to_first_token_ms=9100.0,
            notes=["context_protected", "num_ctx raised to 32768"],
        ),
        4: trace(
            4,
            status="failed",
            error_message="the engine answered 500: out of memory",
            completion_tokens=None,
            time_to_first_token_ms=None,
            decode_ms=None,
        ),
        7: trace(7, status="client_disconnected", completion_tokens=31),
        9: trace(
            9,
            status="expired",
            node_id="",
            engine="",
            scores_breakdown=None,
            score=None,
            attempts=[],
            queue_wait_ms=600000.0,
            time_to_first_token_ms=None,
            completion_tokens=None,
            prefill_ms=None,
            decode_ms=None,
        ),
        11: trace(
            11,
            model="nomic-embed-text:latest",
            original_model="nomic-embed-text",
            modality="embed",
            endpoint="/v1/embeddings",
            time_to_first_token_ms=None,
            completion_tokens=None,
            decode_ms=None,
        ),
    }
    return [special.get(number) or trace(number) for number in range(30)]


def marked_up() -> tuple[FleetSnapshot, list[TraceRecord]]:
    """Markup wherever a name, a tag or an error can come from outside."""
    model = llm(MARKUP, loaded=True, parameters=MARKUP, quantization=MARKUP)
    engine = EngineReport(name=MARKUP, kind=MARKUP, version=MARKUP, models=(model, llm(MARKUP + "2")))
    down = EngineReport(name="x", kind="x", healthy=False, stale=True, error=MARKUP, models=(model,))
    node = NodeView(
        node_id=MARKUP,
        status="online",
        address=MARKUP,
        version=MARKUP,
        machine=Machine(os=MARKUP, arch=MARKUP, chip=MARKUP, memory_total_bytes=GIB, gpus=(Gpu(name=MARKUP),)),
        engines=(engine, down),
        capacity=Capacity(reason=MARKUP),
    )
    snapshot = FleetSnapshot(
        taken_at=NOW,
        nodes=(node, NodeView(node_id=MARKUP + "w", status="offline", waiting_approval=True)),
        lines=(LineView(node_id=MARKUP, model=MARKUP, modality=MARKUP),),
        waiting=(WaitingView(request_id=MARKUP, model=MARKUP, position=1, waited_s=1, why="busy", node_id=MARKUP),),
    )
    attempt = AttemptRecord(node_id=MARKUP, engine=MARKUP, model=MARKUP, score=1, outcome=MARKUP, error=MARKUP)
    record = trace(
        1,
        request_id=MARKUP,
        model=MARKUP,
        original_model=MARKUP + "!",
        node_id=MARKUP,
        status=MARKUP,
        engine=MARKUP,
        endpoint=MARKUP,
        policy=MARKUP,
        how=MARKUP,
        scores_breakdown={MARKUP: 1.0},
        finish_reason=MARKUP,
        excluded_nodes=[MARKUP],
        attempts=[attempt],
        client_ip=MARKUP,
        user_agent=MARKUP,
        error_message=MARKUP,
        tags=[MARKUP],
        notes=[MARKUP],
    )
    return snapshot, [record]
