"""What the ``score_*`` settings mean for a policy's knobs. Pure; knows no policy and no candidate."""

from dataclasses import fields

from app.settings.schema import Score

_POINTS_PER_10_S = 10.0
"""A point of the latency signal is ten seconds of depth x p75, whatever the most it may cost."""


def knobs(score: Score) -> dict[str, float]:
    """Knobs for ``app.scoring.policy.tune``, only for what differs from the default: a policy file keeps the rest.

    The settings are points, a policy is weights and opinions in [-1, 1]; the points come out as the settings say.
    """
    default = Score()
    changed = {f.name for f in fields(Score) if getattr(score, f.name) != getattr(default, f.name)}
    turned: dict[str, float] = {}
    if changed & {"score_model_hot", "score_model_warm", "score_model_cold"}:
        turned |= _thermal(score.score_model_hot, score.score_model_warm, score.score_model_cold)
    if changed & {"score_queue_depth_max_penalty", "score_queue_depth_penalty_per"}:
        turned |= _queue_depth(score.score_queue_depth_max_penalty, score.score_queue_depth_penalty_per)
    if "score_wait_time_max_penalty" in changed:
        most = score.score_wait_time_max_penalty
        turned["latency.weight"] = most
        if most > 0:
            turned["latency.worst_s"] = most * _POINTS_PER_10_S
    for name, knob in _ALIKE:
        if name in changed:
            turned[knob] = getattr(score, name)
    return turned


_ALIKE = (
    ("score_memory_fit_max", "memory_fit.weight"),
    ("score_role_affinity_max", "role_affinity.weight"),
    ("score_role_large_threshold_gb", "role_affinity.large_gb"),
    ("score_role_small_threshold_gb", "role_affinity.small_gb"),
    ("score_availability_trend_max", "availability.weight"),
    ("score_context_fit_max", "context_fit.weight"),
)


def _thermal(loaded: float, warm: float, cold: float) -> dict[str, float]:
    weight = max(abs(loaded), abs(warm), abs(cold))
    if not weight:
        return {"thermal.weight": 0.0}
    return {
        "thermal.weight": weight,
        "thermal.loaded": loaded / weight,
        "thermal.warm": warm / weight,
        "thermal.cold": cold / weight,
    }


def _queue_depth(most: float, each: float) -> dict[str, float]:
    if most <= 0:
        return {"queue_depth.weight": most}
    # From one request on all is lost when each costs the most; the cap keeps the quotient a number.
    return {"queue_depth.weight": most, "queue_depth.per_request": min(1.0, each / most)}
