"""What of a request is changed for one route, and what the client is told of it. Pure; knows no clock and no answer.

Top-level fields only, each with a note on the trace. The dialect's own words for one thing are in ``View``.
"""

import msgspec

from app.fleet.job import Route
from app.modalities import body as bodies
from app.modalities.body import Fields
from app.modalities.llm import context, thinking
from app.modalities.llm.body import View
from app.modalities.llm.settings import LanguageModels, Protection
from node.wire import model_key

_FOREVER = msgspec.Raw(b"-1")
_OPTIONS: msgspec.json.Decoder[Fields | None] = msgspec.json.Decoder(Fields | None)
_NUMBER: msgspec.json.Decoder[int | float | None] = msgspec.json.Decoder(int | float | None)
_encode = msgspec.json.Encoder().encode


class Need(msgspec.Struct, frozen=True):
    """Tokens of context: the prompt's, an estimate of prompt and output, and what the client asked for."""

    prompt: int
    estimate: int
    asked: int | None = None


class Fitting(msgspec.Struct):
    """``changes`` are fields with their new values. ``budget`` is the output's limit as the engine gets it.

    ``headers`` are for the answer. ``keeps``: the model shall stay, and this dialect has no word for it.
    """

    changes: Fields = {}
    notes: list[str] = []
    headers: list[tuple[str, str]] = []
    budget: int | None = None
    keeps: bool = False


def fit(fields: Fields, view: View, need: Need, route: Route, settings: LanguageModels, *, ollama: bool) -> Fitting:
    """``ollama``: the body is in Ollama's dialect."""
    fitting = Fitting()
    options = _options(fields, view)
    told = dict(options)
    _limit_output(fitting, fields, told, view, route, settings)
    sizes = ollama and route.engine_kind == "ollama"
    said = override(settings, route.model.name) if sizes and need.asked is None else None
    mode = settings.context_protection if sizes else "passthrough"
    _size_context(fitting, told, view, need, route, mode, said)
    if sizes:
        _keep_alive(fitting, fields, view, settings)
    fitting.keeps = not ollama and route.engine_kind == "ollama" and settings.keep_alive != "leave"
    if told != options:
        fitting.changes["options"] = msgspec.Raw(_encode(told))
    return fitting


def _limit_output(
    fitting: Fitting, fields: Fields, options: Fields, view: View, route: Route, settings: LanguageModels
) -> None:
    """Room for thoughts, where the client limits the output of a model that thinks."""
    for key in view.limits:
        told = options if view.has_options else fields
        asked = bodies.read(_NUMBER, told[key], key) if key in told else None
        if asked is None or asked <= 0:
            continue
        fitting.budget = int(asked)
        if _thinks(view, route):
            fitting.budget = thinking.budget(asked, settings.thinking_overhead, settings.thinking_min_predict)
        if fitting.budget != asked:
            fitting.notes.append(f"budget.raised {int(asked)} -> {fitting.budget}")
            changed = options if view.has_options else fitting.changes
            changed[key] = _number(fitting.budget)


def _thinks(view: View, route: Route) -> bool:
    model, tells = route.model, route.engine_kind == "ollama"
    return not view.thinks_not and thinking.thinks(model.name, model.capabilities, tells=tells)


def override(settings: LanguageModels, name: str) -> int | None:
    """The context that the settings say for a model of which a request names none."""
    if not settings.dynamic_num_ctx:
        return None
    key = model_key(name)
    return next((tokens for model, tokens in settings.num_ctx_overrides.items() if model_key(model) == key), None)


def _size_context(
    fitting: Fitting, options: Fields, view: View, need: Need, route: Route, mode: Protection, said: int | None
) -> None:
    """The context that Ollama is told, and what the client is told of it. ``said``: what the settings say."""
    model = route.model
    loaded = model.context_length if model.loaded else 0
    asked = need.asked or said
    sizing = context.NONE
    if mode != "passthrough" and not (view.loads and need.asked):
        sizing = context.size(asked=asked, estimate=need.estimate, loaded=loaded, most=model.context_max)
    action = "kept" if sizing.action == "stripped" and need.asked is None else sizing.action
    if mode == "warn":
        action, sizing = "none" if action in ("none", "kept") else "warned", context.NONE
    if sizing.num_ctx is None and said is not None:
        action, sizing = "override", context.Sizing(said, "override")
    if sizing.num_ctx is not None:
        options["num_ctx"] = _number(sizing.num_ctx)
    in_force = sizing.num_ctx or asked or loaded
    if in_force and need.prompt > in_force:
        action = "overflow"
    if action != "none":
        fitting.notes.append(f"context.{action} {in_force or ''}".strip())
    shown = "unknown" if loaded is None else loaded or "no"
    told = f"needed={max(need.estimate, asked or 0)}; loaded={shown}; action={action}"
    fitting.headers.append(("x-fleet-context", f"{told}; num_ctx={sizing.num_ctx}" if sizing.num_ctx else told))


def _keep_alive(fitting: Fitting, fields: Fields, view: View, settings: LanguageModels) -> None:
    """The router, not Ollama's idle timer, says how long a model stays; what loads or unloads it says so itself."""
    given = "keep_alive" in fields
    if settings.keep_alive == "leave" or (given and (settings.keep_alive == "fill" or view.loads)):
        return
    fitting.changes["keep_alive"] = _FOREVER
    fitting.notes.append("keep_alive.set")


def _options(fields: Fields, view: View) -> Fields:
    if not view.has_options or "options" not in fields:
        return {}
    return bodies.read(_OPTIONS, fields["options"], "options") or {}


def _number(value: int) -> msgspec.Raw:
    return msgspec.Raw(b"%d" % value)
