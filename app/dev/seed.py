"""A week of plausible traces, the same for the same seed. Knows no database and no page. Pure."""

import math
from collections.abc import Iterator
from random import Random

from app.dev.profiles import Profile, book
from app.store.records import AttemptRecord, TraceRecord

DAY_S = 86400.0
APPS = (
    ("code-assistant", 0.34, ("qwen2.5-coder:14b", "qwen2.5-coder:32b", "qwen3:8b"), "/v1/chat/completions", "openai"),
    ("chat-ui", 0.26, ("qwen3:8b", "llama3.3:70b", "gemma3:27b"), "/api/chat", "ollama"),
    ("nightly-reports", 0.14, ("llama3.3:70b", "phi4:14b"), "/api/generate", "ollama"),
    ("search-index", 0.18, ("nomic-embed-text:latest",), "/api/embed", "ollama"),
    ("agents", 0.08, ("qwen3:8b", "llama3.2:3b"), "/v1/messages", "anthropic"),
)
"""Name (also its tag), share of the requests, models, endpoint, dialect."""
USER_AGENTS = {
    "openai": "OpenAI/Python 3.54.0",
    "ollama": "ollama-python/0.6.3",
    "anthropic": "Anthropic/Python 2.12.0",
}


def traces(now: float, *, days: float = 7.0, count: int = 20_000, seed: int = 7) -> Iterator[TraceRecord]:
    """``count`` traces of the last ``days``, oldest first: busy by day, quiet by night, now and then a bad hour."""
    random = Random(seed)  # noqa: S311 - it seeds a picture
    start = now - days * DAY_S
    moments = sorted(_moments(random, start, now, count))
    for number, moment in enumerate(moments):
        yield _trace(random, number, moment, now)


def _moments(random: Random, start: float, end: float, count: int) -> Iterator[float]:
    """Times of arrival by a day's curve: most in the afternoon (UTC), a tenth of that at night."""
    made = 0
    while made < count:
        moment = random.uniform(start, end)
        hour = moment % DAY_S / 3600
        if random.random() < 0.1 + 0.9 * max(0.0, math.sin((hour - 7) / 12 * math.pi)) ** 1.5:
            made += 1
            yield moment


def _trace(random: Random, number: int, moment: float, now: float) -> TraceRecord:
    app, _, models, endpoint, dialect = random.choices(APPS, [share for _, share, *_ in APPS])[0]
    model = random.choice(models)
    holders = [profile for profile in book().node if model in (*profile.loaded, *profile.stored)]
    hot = [profile for profile in holders if model in profile.loaded] or holders
    node = random.choice(hot)
    weights = book().model[model]
    prompt = int(random.lognormvariate(6.4 if app != "search-index" else 5.0, 0.9)) + 8
    output = min(4000, int(random.lognormvariate(5.2, 0.8)) + 4) if weights.writes else 0
    cold = model not in node.loaded and random.random() < 0.3
    load = weights.size_gb * random.uniform(180, 320) if cold else 0.0
    read_s = prompt / (node.read_rate * weights.pace)
    write_s = output / (node.write_rate * weights.pace * random.uniform(0.85, 1.05))
    wait = max(0.0, random.expovariate(1 / 900) - 500)
    # A bad hour two days ago: the closet server's disk was full.
    bad = node.name == "closet-server" and 47 < (now - moment) / 3600 < 48
    status, error = _outcome(random, bad)
    latency = wait + load + (read_s + write_s) * 1000
    first = wait + load + read_s * 1000
    points = _points(random, cold)
    attempts = [_attempt(node, model, points, status, error, latency - wait)]
    retried = status == "completed" and len(holders) > 1 and random.random() < 0.015
    if retried:
        other = next(profile for profile in holders if profile is not node)
        refused = f"{other.name}: connection refused"
        attempts.insert(0, _attempt(other, model, points, "retried", refused, 12.0))
    whole = status == "completed"
    return TraceRecord(
        request_id=f"dev{number:013x}",
        model=model,
        original_model=model,
        node_id=node.name,
        status=status,
        timestamp=moment,
        modality=weights.modality,
        engine="ollama",
        endpoint=endpoint,
        policy=weights.modality,
        how="asked",
        score=points["total"],
        scores_breakdown=points,
        latency_ms=latency,
        time_to_first_token_ms=first if status != "failed" else None,
        queue_wait_ms=wait,
        load_ms=load or None,
        prefill_ms=read_s * 1000,
        decode_ms=write_s * 1000 if output else None,
        prompt_tokens=prompt if whole else None,
        completion_tokens=output if whole and output else None,
        cached_tokens=prompt // 2 if whole and random.random() < 0.3 else None,
        finish_reason="stop" if whole and output else None,
        retry_count=len(attempts) - 1,
        excluded_nodes=[attempts[0].node_id] if retried else None,
        attempts=attempts,
        client_ip=f"192.168.1.{random.randint(20, 60)}",
        user_agent=USER_AGENTS[dialect],
        original_format=dialect,
        streamed=weights.writes,
        error_message=error or None,
        tags=[app] if random.random() < 0.92 else None,
        notes=["context.stripped"] if dialect == "ollama" and random.random() < 0.1 else None,
    )


def _outcome(random: Random, bad: bool) -> tuple[str, str]:
    draw = random.random()
    if bad and draw < 0.4:
        return "failed", "closet-server: no space left on device"
    if draw < 0.006:
        return "client_disconnected", ""
    if draw < 0.009:
        return "incomplete", "the engine closed the connection before its answer was complete"
    if draw < 0.012:
        return "failed", "every node that serves it was busy for too long"
    return "completed", ""


def _points(random: Random, cold: bool) -> dict[str, float]:
    points = {
        "thermal": 10.0 if cold else 50.0,
        "memory_fit": random.choice((3.0, 8.0, 15.0, 20.0)),
        "queue_depth": -6.0 * random.choice((0, 0, 0, 1, 2)),
        "latency": -round(random.uniform(0, 8), 1),
        "role_affinity": random.choice((0.0, 7.5, 15.0)),
        "availability": 0.0,
        "context_fit": random.choice((3.0, 7.5, 12.0, 15.0)),
    }
    return {**points, "total": round(sum(points.values()), 1)}


def _attempt(
    node: Profile, model: str, points: dict[str, float], outcome: str, error: str, took_ms: float
) -> AttemptRecord:
    return AttemptRecord(
        node_id=node.name, engine="ollama", model=model, score=points["total"], outcome=outcome, error=error,
        latency_ms=took_ms,
    )  # fmt: skip
