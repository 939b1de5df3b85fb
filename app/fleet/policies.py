"""The policies in force: a modality's own, or what was saved over it, with every change kept. Knows no page.

Saved ones are settings of the section ``policy.<modality>``: a stack of documents, of which the last is in force (null:
the modality's own), and a log of who did what. The settings ``score_*`` lie over whatever is in force.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog

from app.errors import NotFound, RequestError
from app.fleet.decisions import Decision, replay
from app.fleet.judge import Court
from app.scoring.chain import Chain
from app.scoring.policy import Policy, PolicyInvalid, build, tune
from app.store.records import SettingRecord
from app.store.store import Store

SECTION = "policy."
STACK_MOST = 50
"""Saved policies that can be gone back to, and changes that are listed, of each modality."""
REPLAYED = 200


class NothingToUndo(RequestError):
    status = 409


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """``what``: ``saved``, ``undone`` or ``reset``."""

    at: float
    by: str
    what: str


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for a modality. ``stack``: None stands for the modality's own policy."""

    stack: tuple[dict[str, Any] | None, ...] = ()
    log: tuple[Change, ...] = ()


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded request that would go elsewhere; an empty name: to nobody."""

    request_id: str
    model: str
    before: str
    after: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """``decisions`` were replayed under both policies; ``elsewhere`` of them would have gone to another node."""

    decisions: int
    elsewhere: int
    moved: tuple[Moved, ...]


class Policies:
    """``own`` are the policies that modalities bring; ``knobs`` what settings turn, asked at the moment of use."""

    def __init__(
        self,
        *,
        court: Court,
        store: Store,
        own: Mapping[str, Policy],
        knobs: Callable[[], Mapping[str, float]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._court = court
        self._store = store
        self._own = dict(own)
        self._knobs = knobs
        self._wall = wall
        self._saved: dict[str, Saved] = {}
        self._base = dict(own)
        self._log = structlog.get_logger("settings")
        self.problems: dict[str, str] = {}
        """Why what was saved for a modality could not be taken up; its own policy is in force."""

    async def load(self) -> None:
        """Take up what was saved. What this Herd no longer understands is said and passed over."""
        for record in await self._store.settings():
            modality = record.section.removeprefix(SECTION)
            if not record.section.startswith(SECTION) or modality not in self._own:
                continue
            try:
                self._saved[modality] = msgspec.convert(record.value, Saved)
                self._base[modality] = self._policy(modality)
            except (msgspec.ValidationError, PolicyInvalid) as error:
                self.problems[modality] = str(error)
                self._log.warning("policy.unusable", modality=modality, problem=str(error))
        self.retune()

    def retune(self) -> None:
        """Settings changed: lay them over what is in force."""
        for modality, policy in self._base.items():
            self._court.adopt(modality, Chain(tune(policy, self._knobs())))

    def try_knobs(self, knobs: Mapping[str, float]) -> None:
        """Whether such settings can lie over what is in force. Raises ``PolicyInvalid``."""
        for policy in self._base.values():
            tune(policy, knobs)

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self._own)

    def base(self, modality: str) -> Policy:
        """What is in force, before settings are laid over it. Raises ``NotFound``."""
        if modality not in self._base:
            raise NotFound(f"there is no policy for {modality}")
        return self._base[modality]

    def own(self, modality: str) -> Policy:
        self.base(modality)
        return self._own[modality]

    def overlaid(self) -> Mapping[str, float]:
        return self._knobs()

    def log(self, modality: str) -> Sequence[Change]:
        """The newest first."""
        return self._saved.get(modality, Saved()).log[::-1]

    def undoable(self, modality: str) -> bool:
        return bool(self._saved.get(modality, Saved()).stack)

    def changed(self, modality: str) -> bool:
        return self.base(modality) != self._own[modality]

    def preview(self, modality: str, document: Mapping[str, Any]) -> Preview:
        """How the last recorded decisions would have gone. Raises ``PolicyInvalid``. Pure, so a thread may do it."""
        now = Chain(tune(self.base(modality), self._knobs()))
        then = Chain(tune(build(document), self._knobs()))
        decisions = self._court.decisions.last(REPLAYED, modality)
        moved = [one for decision in decisions if (one := _moved(decision, now, then)) is not None]
        return Preview(decisions=len(decisions), elsewhere=len(moved), moved=tuple(moved))

    async def save(self, modality: str, document: Mapping[str, Any], by: str) -> None:
        """Raises ``PolicyInvalid``."""
        self.base(modality)
        kept: dict[str, Any] = msgspec.to_builtins(build(document))
        stack = self._saved.get(modality, Saved()).stack
        await self._put(modality, (*stack, kept), "saved", by)

    async def reset(self, modality: str, by: str) -> None:
        """Back to the modality's own; that can be undone too."""
        self.base(modality)
        stack = self._saved.get(modality, Saved()).stack
        await self._put(modality, (*stack, None), "reset", by)

    async def undo(self, modality: str, by: str) -> None:
        """Back to what was in force before the last change. Raises ``NothingToUndo``."""
        self.base(modality)
        stack = self._saved.get(modality, Saved()).stack
        if not stack:
            raise NothingToUndo(f"nothing was changed in the policy for {modality}")
        await self._put(modality, stack[:-1], "undone", by)

    async def _put(self, modality: str, stack: tuple[dict[str, Any] | None, ...], what: str, by: str) -> None:
        log = (*self._saved.get(modality, Saved()).log, Change(at=self._wall(), by=by, what=what))
        saved = self._saved[modality] = Saved(stack=stack[-STACK_MOST:], log=log[-STACK_MOST:])
        self._base[modality] = self._policy(modality)
        self.problems.pop(modality, None)
        self.retune()
        self._log.info("policy.changed", modality=modality, what=what, by=by)
        await self._store.put_setting(
            SettingRecord(
                section=SECTION + modality, key="saved", value=msgspec.to_builtins(saved), changed_at=self._wall(),
                changed_by=by,
            )
        )  # fmt: skip

    def _policy(self, modality: str) -> Policy:
        stack = self._saved[modality].stack
        top = stack[-1] if stack else None
        return self._own[modality] if top is None else build(top)


def _moved(decision: Decision, now: Chain, then: Chain) -> Moved | None:
    before, after = (replay(chain, decision) for chain in (now, then))
    names = [("" if one is None else one.candidate.node_id) for one in (before, after)]
    if names[0] == names[1]:
        return None
    return Moved(request_id=decision.request_id, model=decision.demand.models[0], before=names[0], after=names[1])
