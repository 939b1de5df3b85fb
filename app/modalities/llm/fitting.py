"""What of a request is changed for one route, and what the client is told of it. Pure; knows no clock and no answer.

Top-level fields only, each with a note on the trace. The dialect's own words for one thing are in ``View``.
"""

import msgspec

from app.fleet.job import Route
from app.modalities.llm import body as bodies
from app.modalities.llm import thinking
from app.modalities.llm.body import Fields, View
from app.modalities.llm.settings import LanguageModels

_FOREVER = msgspec.Raw(b"-1")
_OPTIONS: msgspec.json.Decoder[Fields | None] = msgspec.json.Decoder(Fields | None)
_NUMBER: msgspec.json.Decoder[int | float | None] = msgspec.json.Decoder(int | float | None)
_encode = msgspec.json.Encoder().encode


class Fitting(msgspec.Struct):
    """``changes`` are fields with their new values. ``budget`` is the output's limit as the engine gets it.

    ``headers`` are for the answer.
    """

    changes: Fields = {}
    notes: list[str] = []
    headers: list[tuple[str, str]] = []
    budget: int | None = None


def fit(fields: Fields, view: View, route: Route, settings: LanguageModels, *, ollama: bool) -> Fitting:
    """``ollama``: the body is in Ollama's dialect."""
    fitting = Fitting()
    _limit_output(fitting, fields, view, route, settings)
    if ollama and route.engine_kind == "ollama":
        _keep_alive(fitting, fields, view, settings)
    return fitting


def _limit_output(fitting: Fitting, fields: Fields, view: View, route: Route, settings: LanguageModels) -> None:
    """Room for thoughts, where the client limits the output of a model that thinks."""
    model = route.model
    tells = route.engine_kind == "ollama"
    raises = not view.thinks_not and thinking.thinks(model.name, model.capabilities, tells=tells)
    options = _options(fields, view)
    for key in view.limits:
        told = options if key == "num_predict" else fields
        asked = bodies.read(_NUMBER, told[key], key) if key in told else None
        if asked is None or asked <= 0:
            continue
        budget = fitting.budget = (
            thinking.budget(asked, settings.thinking_overhead, settings.thinking_min_predict) if raises else int(asked)
        )
        if budget != asked:
            fitting.notes.append(f"budget.raised {int(asked)} -> {budget}")
            raised = msgspec.Raw(b"%d" % budget)
            if told is options:
                _set_option(fitting, options, key, raised)
            else:
                fitting.changes[key] = raised


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


def _set_option(fitting: Fitting, options: Fields, key: str, value: msgspec.Raw) -> None:
    options[key] = value
    fitting.changes["options"] = msgspec.Raw(_encode(options))
