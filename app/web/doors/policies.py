"""The doors of policies: a page for each modality, and what changes them. Knows no filter and no scorer."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Template

from app.errors import BodyInvalid
from app.fleet.policies import Policies, Preview
from app.scoring.policy import PolicyInvalid
from app.web.doors.hands import Hand
from app.web.policies import edited, place_of, policy_form
from app.web.view import NavItem, page

POLICIES = NavItem(name="policies", title="Policies", path="/dashboard/settings")
Told = Response[dict[str, Any]]


class PoliciesPage(Controller):
    path = "/dashboard/policies"
    include_in_schema = False

    @get("/")
    async def first(self, policies: NamedDependency[Policies], nav: NamedDependency[tuple[NavItem, ...]]) -> Template:
        return _page(policies, nav, policies.modalities[0])

    @get("/{modality:str}")
    async def show(
        self,
        policies: NamedDependency[Policies],
        nav: NamedDependency[tuple[NavItem, ...]],
        modality: FromPath[str],
    ) -> Template:
        return _page(policies, nav, modality)


class PoliciesApi(Controller):
    """A body is ``{"changes": {"score.thermal.weight": 60}}``, over what is in force, or ``{"policy": {...}}``."""

    path = "/dashboard/api/policies/{modality:str}"

    @get("/", summary="The policy in force, the settings that lie over it, and its changes")
    async def look(self, policies: NamedDependency[Policies], modality: FromPath[str]) -> dict[str, Any]:
        return {
            "modality": modality,
            "policy": msgspec.to_builtins(policies.base(modality)),
            "settings": dict(policies.overlaid()),
            "changed": policies.changed(modality),
            "problem": policies.problems.get(modality, ""),
            "log": msgspec.to_builtins(policies.log(modality)),
        }

    @post("/preview", status_code=200, summary="How the last 200 recorded decisions would have gone")
    async def preview(
        self, request: Request[None, None, State], policies: NamedDependency[Policies], modality: FromPath[str]
    ) -> Response[Preview] | Told:
        document = await _document(request, policies, modality)
        try:
            return Response(await asyncio.to_thread(policies.preview, modality, document))
        except PolicyInvalid as error:
            return _refused(document, error)

    @post("/save", status_code=200, summary="Judge by this policy from now on (admin)")
    async def save(
        self,
        request: Request[None, None, State],
        policies: NamedDependency[Policies],
        modality: FromPath[str],
        hand: NamedDependency[Hand],
    ) -> Told:
        document = await _document(request, policies, modality)
        try:
            await policies.save(modality, document, by=hand.name)
        except PolicyInvalid as error:
            return _refused(document, error)
        return Response({"status": "saved", "modality": modality})

    @post("/undo", status_code=200, summary="Back to the policy before the last change (admin)")
    async def undo(
        self, policies: NamedDependency[Policies], modality: FromPath[str], hand: NamedDependency[Hand]
    ) -> dict[str, str]:
        await policies.undo(modality, by=hand.name)
        return {"status": "undone", "modality": modality}

    @post("/reset", status_code=200, summary="Back to the policy that the modality brings (admin)")
    async def reset(
        self, policies: NamedDependency[Policies], modality: FromPath[str], hand: NamedDependency[Hand]
    ) -> dict[str, str]:
        await policies.reset(modality, by=hand.name)
        return {"status": "reset", "modality": modality}


def _page(policies: Policies, nav: tuple[NavItem, ...], modality: str) -> Template:
    return page(
        POLICIES, nav, modality=modality, modalities=policies.modalities,
        it=policy_form(policies.base(modality), policies.overlaid()), changed=policies.changed(modality),
        undoable=policies.undoable(modality), log=policies.log(modality), problem=policies.problems.get(modality, ""),
    )  # fmt: skip


async def _document(request: Request[None, None, State], policies: Policies, modality: str) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(await request.body())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BodyInvalid('send {"changes": {"score.thermal.weight": 60}}') from None
    if not isinstance(body, dict):
        raise BodyInvalid('send {"changes": {"score.thermal.weight": 60}}')
    if isinstance(whole := body.get("policy"), dict):
        return whole
    return edited(policies.base(modality), body.get("changes"))


def _refused(document: Mapping[str, Any], error: PolicyInvalid) -> Told:
    """``place`` is the path of the field that is wrong."""
    return Response({"error": str(error), "place": place_of(document, error)}, status_code=400)
