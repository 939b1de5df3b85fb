"""The scorer adapter of image: a body becomes a job, a route becomes a call. Pure; knows no node, clock or HTTP."""

from collections.abc import Callable, Iterable
from functools import partial

from app.dialects import error_body, ollama_error, openai_error
from app.errors import Disabled, ModelAbsent
from app.fleet.job import Call, Job, Route
from app.modalities import tags
from app.modalities.caller import Caller
from app.modalities.image import asking, catalogue, schema
from app.modalities.image.answer import Pictures
from app.modalities.image.schema import Wanted
from app.modalities.image.settings import Painting
from app.scoring.types import Demand

OWN_PATH = "/api/generate-image"
OPENAI_PATH = "/v1/images/generations"
OPERATION = "image"
TOLD_MOST = 20
"""Models that the answer to a request for an unknown one lists."""
DEFAULT = Painting()


def job(
    endpoint: str,
    body: bytes,
    *,
    request_id: str,
    caller: Caller,
    clock: Callable[[], float],
    settings: Painting = DEFAULT,
    know: Callable[[str], bool] = bool,
    known: Callable[[], Iterable[str]] = tuple,
) -> Job:
    """The job that a body asks for. Raises ``Disabled``, a ``RequestError`` or ``ModelAbsent``.

    ``clock`` gives epoch seconds. ``know`` tells whether somebody makes pictures with a model, be it away; ``known``
    tells the models there are.
    """
    if not settings.image_generation:
        raise Disabled("making pictures is switched off", hint="FLEET_IMAGE_GENERATION=true switches it on")
    own = endpoint == OWN_PATH
    wanted, fields = schema.wanted(body, png=own)
    if not any(map(know, wanted.models)):
        raise _absent(wanted.models, known())
    return Job(
        id=request_id,
        demand=Demand(modality="image", operation=OPERATION, models=wanted.models),
        prepare=partial(_call, wanted, settings, clock),
        error_body=partial(error_body, endpoint),
        error_event=ollama_error if own else openai_error,
        dialect="ollama" if own else "openai",
        endpoint=endpoint,
        stream=False,
        tags=tags.collect(fields.get("metadata"), caller.tags, fields.get("user")),
        client=caller.address,
        user_agent=caller.user_agent,
    )


def _call(wanted: Wanted, settings: Painting, clock: Callable[[], float], route: Route) -> Call:
    """The call for this route. Raises ``NotServed`` if its engine cannot be asked for such a thing."""
    name, notes = route.model.name, []
    usual = catalogue.steps_of(name) if wanted.steps is None else None
    out = asking.outgoing(wanted, route, usual or wanted.steps)
    if name != wanted.models[0]:
        notes.append("model.renamed")
    if usual:
        notes.append(f"steps.set {usual}")
    if dropped := (*wanted.ignored, *out.dropped):
        notes.append(f"fields.dropped {', '.join(dropped)}")
    return Call(
        path=out.path,
        body=out.body,
        meter=Pictures(wanted, out.read, f"{route.engine} on {route.node_id}", clock),
        stream=False,
        notes=tuple(notes),
        headers=(("x-fleet-model", name), ("x-image-model", name), ("x-image-size", wanted.size)),
        # A program that is run for each picture has nothing in memory afterwards; a server shows what it has.
        unloads=not route.model.loaded and "ollama" not in route.dialects,
        patience_s=settings.image_timeout * wanted.n,
        timed_as="x-generation-time",
        most_bytes=_most_bytes(wanted),
    )


def _most_bytes(wanted: Wanted) -> int:
    """Pixels that cannot be compressed at all, with transparency, in base64; and what stands around them."""
    return wanted.n * (wanted.width * wanted.height * 4 * 4 // 3 + 1024 * 1024)


def _absent(models: tuple[str, ...], known: Iterable[str]) -> ModelAbsent:
    here = sorted(known)
    told = f"no node has an image model called {' or '.join(models)}; "
    told += f"there are {', '.join(here[:TOLD_MOST])}" if here else "there is none in the fleet"
    command = catalogue.brought_by(models[0])
    return ModelAbsent(told, hint=f"`{command}` on a node brings it" if command else "")
