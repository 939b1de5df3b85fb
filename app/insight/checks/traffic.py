"""Checks of how requests ended and how fast, and whether that is written down. Pure; knows no machine."""

from collections.abc import Callable, Iterator
from shlex import quote

from app.insight import fixes
from app.insight.types import ROWS_LEAST, Check, Facts, Finding, listed, often, per_cent
from app.store.usage import Use

ERROR_SHARE = 0.05
RETRIES, RETRIES_MANY = 0.3, 0.5
DISCONNECTS_LEAST, DISCONNECT_SHARE = 3, 0.01
INCOMPLETE_LEAST, INCOMPLETE_SHARE = 2, 0.005
STUCK_GRAVE = 10
SLOWER = 2.0
WRITES_GRAVE = 50
MODELS_SHOWN = 10


def high_error_rate(facts: Facts) -> Iterator[Finding]:
    systems = {node.node_id: node.machine.os for node in facts.nodes}
    for node_id, span in sorted(facts.by_node.items()):
        day, hour = span.day, span.hour
        if not node_id or day.requests < ROWS_LEAST or day.failed < ERROR_SHARE * day.requests:
            continue
        active = hour.failed > 0 and hour.failed >= ERROR_SHARE * hour.requests
        yield Finding(
            severity="warning" if active else "info", resolved=not active, node_id=node_id,
            title=f"Many requests fail on {node_id}",
            description=f"{day.failed} of {often(day.requests, 'request')} failed in 24 hours "
            f"({per_cent(day.failed, day.requests)} %); {hour.failed} of {hour.requests} in the last hour.",
            fix=fixes.engine_log(systems.get(node_id, "")), query=fixes.requests(status="failed", node_id=node_id),
            data={
                "error_rate_pct": per_cent(day.failed, day.requests), "failed": day.failed, "total": day.requests,
                "recent_error_rate_pct": per_cent(hour.failed, hour.requests),
            },
        )  # fmt: skip


def high_retry_rate(facts: Facts) -> Iterator[Finding]:
    day = facts.whole.day
    if day.requests >= ROWS_LEAST and day.retries >= RETRIES * day.requests:
        rate = round(day.retries / day.requests, 2)
        yield Finding(
            severity="warning" if day.retries >= RETRIES_MANY * day.requests else "info",
            title="Requests often need a second node",
            description=f"{rate} retries for each request in 24 hours. The first node that was chosen refuses or "
            "does not answer.",
            fix="herd status  # which engine is down?", query=fixes.requests(),
            data={"avg_retries_per_request": rate, "total_retries": day.retries, "total_requests": day.requests},
        )  # fmt: skip


def client_disconnects(facts: Facts) -> Iterator[Finding]:
    yield from _breaks(
        facts, lambda use: use.disconnected, least=DISCONNECTS_LEAST, share=DISCONNECT_SHARE, word="disconnects",
        title="Clients leave before their answer is complete",
        why="Their own time limit is shorter than the answer takes.",
        fix='# give the client a longer timeout, as:\nOpenAI(base_url="http://ROUTER:11435/v1", timeout=600)',
        query=fixes.requests(status="client_disconnected"),
    )  # fmt: skip


def incomplete_streams(facts: Facts) -> Iterator[Finding]:
    broke = {node_id for node_id, span in facts.by_node.items() if span.day.incomplete}
    logs = dict.fromkeys(fixes.engine_log(node.machine.os) for node in facts.nodes if node.node_id in broke)
    yield from _breaks(
        facts, lambda use: use.incomplete, least=INCOMPLETE_LEAST, share=INCOMPLETE_SHARE, word="incomplete",
        title="Answers break off",
        why="The engine ended in the midst of them: mostly it crashed, or the system took its memory.",
        fix="\n".join(logs) or "herd status", query=fixes.requests(status="incomplete"),
    )  # fmt: skip


def _breaks(
    facts: Facts,
    of: Callable[[Use], int],
    *,
    least: int,
    share: float,
    word: str,
    title: str,
    why: str,
    fix: str,
    query: str,
) -> Iterator[Finding]:
    whole = facts.whole
    day, hour, rows = of(whole.day), of(whole.hour), whole.day.requests
    if day < least:
        return
    many = rows >= ROWS_LEAST and day > share * rows
    by_model = {model: of(span.day) for model, span in facts.by_model.items() if of(span.day)}
    most = dict(sorted(by_model.items(), key=lambda pair: (-pair[1], pair[0]))[:MODELS_SHOWN])
    yield Finding(
        severity="warning" if hour and many else "info", resolved=not hour, title=title,
        description=f"{day} of {often(rows, 'request')} in 24 hours, {hour} in the last hour. {why} Most of them: "
        f"{listed(most, 3)}.",
        fix=fix, query=query,
        data={
            f"{word}_24h": day, f"{word}_1h": hour, "rate_pct": per_cent(day, rows) if rows >= ROWS_LEAST else None,
            "by_model": most,
        },
    )  # fmt: skip


def zombie_reaper_active(facts: Facts) -> Iterator[Finding]:
    day, systems = facts.whole.day, {node.node_id: node.machine.os for node in facts.nodes}
    if day.expired:
        queues = [f"{pair.node_id}:{pair.model}" for pair in facts.stuck]
        yield Finding(
            severity="critical" if day.expired > STUCK_GRAVE else "warning",
            title="Requests stood still until they were ended",
            description=f"{often(day.expired, 'request')} made no progress for minutes in 24 "
            f"hours{', on ' + listed(queues, 3) if queues else ''}.",
            fix="\n".join(dict.fromkeys(fixes.ollama_restart(systems.get(pair.node_id, "")) for pair in facts.stuck))
            or "# start the engine that hangs anew",
            query=fixes.requests(status="expired"),
            data={
                "total_reaped": day.expired, "avg_stuck_seconds": round(day.expired_ms / day.expired / 1000, 1),
                "queues_affected": queues,
            },
        )  # fmt: skip


def empty_generations(facts: Facts) -> Iterator[Finding]:
    empty = {model: span for model, span in facts.by_model.items() if span.day.empty}
    if empty:
        day, hour = (sum(getattr(span, when).empty for span in empty.values()) for when in ("day", "hour"))
        yield Finding(
            severity="warning" if hour else "info", resolved=not hour, title="Answers without a word",
            description=f"{often(day, 'answer')} in 24 hours completed without a token: {listed(sorted(empty))}. A "
            "wrong template, or a limit that thoughts used up.",
            fix="# ask it yourself, and give it more room for its answer:\nOLLAMA_HOST=http://ROUTER:11435 ollama "
            f"run {quote(min(empty))}",
            query=fixes.requests(model=min(empty)),
            data={
                "empty_24h": day, "empty_1h": hour,
                "by_model": {model: span.day.empty for model, span in sorted(empty.items())},
            },
        )  # fmt: skip


def decode_degraded(facts: Facts) -> Iterator[Finding]:
    systems = {node.node_id: node.machine.os for node in facts.nodes}
    for recent, usual in facts.paces:
        if recent.token_ms >= SLOWER * usual.token_ms > 0:
            node_id, times = recent.node_id, round(recent.token_ms / usual.token_ms, 1)
            yield Finding(
                severity="warning", node_id=node_id, title=f"{recent.model} writes slowly on {node_id}",
                description=f"{round(recent.token_ms, 1)} ms for a token in the last hour, {times} times what it "
                f"took in "
                "the day before. Something else uses that machine, or the model no longer fits its graphics memory.",
                fix="ollama ps  # there: does it run on the GPU "
                "alone?\n" + fixes.memory_users(systems.get(node_id, "")),
                query=fixes.requests(node_id=node_id, model=recent.model),
                data={
                    "model": recent.model, "recent_ms_per_token": round(recent.token_ms, 2),
                    "usual_ms_per_token": round(usual.token_ms, 2), "requests_1h": recent.requests,
                },
            )  # fmt: skip


def trace_store_write_failures(facts: Facts) -> Iterator[Finding]:
    failed, lost = facts.write_failures, facts.snapshot.traces_dropped
    if failed or lost:
        yield Finding(
            severity="critical" if failed >= WRITES_GRAVE else "warning" if failed else "info", resolved=not failed,
            title="Requests are missing from the history",
            description=f"{often(failed, 'write')} failed in the last five minutes, and {often(lost, 'trace')} "
            "could not be kept since the router started. Requests themselves are served.",
            fix="df -h ~/.fleet-manager  # on the router: is its disk full?\nls -l ~/.fleet-manager/herd.db",
            data={"failures_5m": failed, "traces_dropped": lost},
        )  # fmt: skip


CHECKS = (
    Check(
        id="high_error_rate", worst="warning", cost="sums",
        docs="5 % of a node's requests failed in 24 hours, of 21 at least. A warning while it is so in the last "
        "hour, else resolved.",
        look=high_error_rate,
    ),
    Check(
        id="high_retry_rate", worst="warning", cost="sums",
        docs="0.3 retries for each request, of 21 at least; a warning from 0.5 on.", look=high_retry_rate,
    ),
    Check(
        id="client_disconnects", worst="warning", cost="sums",
        docs="Three clients left early. While one did in the last hour, a warning if it is more than 1 % of 21 "
        "requests or more; else resolved.",
        look=client_disconnects,
    ),
    Check(
        id="incomplete_streams", worst="warning", cost="sums",
        docs="Two answers broke off. While one did in the last hour, a warning if it is more than 0.5 % of 21 "
        "requests or more; else resolved.",
        look=incomplete_streams,
    ),
    Check(
        id="zombie_reaper_active", worst="critical", cost="sums",
        docs="A request was ended because it made no progress; critical if more than ten "
        "were.", look=zombie_reaper_active,
    ),
    Check(
        id="empty_generations", worst="warning", cost="sums",
        docs="An answer completed without a token; a warning while it is so in the last hour.", look=empty_generations,
    ),
    Check(
        id="decode_degraded", worst="warning", cost="sums",
        docs="A model takes twice as long for a token as in the day before, by the mean of 21 requests at least on "
        "each side.",
        look=decode_degraded,
    ),
    Check(
        id="trace_store_write_failures", worst="critical", cost="present",
        docs="A write of the history failed in the last five minutes; critical from 50 on. Resolved: traces were "
        "lost before.",
        look=trace_store_write_failures,
    ),
)  # fmt: skip
