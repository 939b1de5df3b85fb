"""Gathers the facts about a demand and asks the policy: what is known in, a verdict out. Pure; knows no HTTP."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from app.catalog import Catalog
from app.fleet.breaker import Breaker
from app.fleet.decisions import SUBSTITUTES, Decisions, Known
from app.fleet.job import Key, Where
from app.fleet.latency import Latency
from app.fleet.pause import Pauses
from app.fleet.queue import Counts, Queue, Ticket
from app.fleet.registry import Holding, Registry
from app.scoring.chain import Chain
from app.scoring.selection import choose
from app.scoring.speeds import UNKNOWN, Speeds
from app.scoring.types import Candidate, Demand, Load, Verdict
from node.wire import model_key


class Court:
    """Judges tickets and bare demands by the policy of their modality. ``now`` is told before each pass.

    ``chains`` are by modality, in the order in which a bare question tries them; ``operations`` say what is then asked.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        latency: Latency,
        chains: Mapping[str, Chain],
        operations: Mapping[str, str],
        catalog: Catalog,
        speeds: Speeds | None = None,
    ) -> None:
        self._registry = registry
        self._latency = latency
        self._chains = dict(chains)
        self._operations = dict(operations)
        self._catalog = catalog
        self._speeds = speeds or Speeds()
        self._categories: dict[str, str] = {}
        self.breaker = Breaker()
        self.pauses = Pauses()
        self.decisions = Decisions()
        self.queue = Queue(self._judge_ticket)
        self.now = 0.0

    def policy(self, demand: Demand) -> str:
        """The name of the policy that judges the demand."""
        return self._chains[demand.modality].policy.name

    def chain(self, modality: str) -> Chain | None:
        return self._chains.get(modality)

    def adopt(self, modality: str, chain: Chain) -> None:
        """Judge by this one from the next judgement on."""
        self._chains[modality] = chain

    def usual(self, model: str, tokens: int) -> Demand:
        """What a client of this model would demand: of the kind its nodes say it is, else of the first that serves."""
        reported = (holding.model.modality for holding in self._registry.holdings(model_key(model)))
        modality = next((kind for kind in reported if kind in self._chains), next(iter(self._chains)))
        return Demand(
            modality=modality,
            operation=self._operations[modality],
            models=(model,),
            prompt_tokens=tokens,
            context_needed=tokens,
            resizes=True,
        )

    def judge(self, demand: Demand, now: float) -> Verdict:
        """What would become of this demand now, were it to arrive behind all who wait."""
        self.now = now
        return self._choose(demand, self._everybody(), ())[0]

    def candidates(self, model: str) -> list[Candidate]:
        return self._candidates(self._registry.holdings(model_key(model)), self._everybody())

    def _judge_ticket(self, ticket: Ticket, counts: Counts) -> Verdict:
        verdict, ticket.known = self._choose(ticket.job.demand, counts, ticket.excluded)
        return verdict

    def _choose(self, demand: Demand, counts: Counts, excluded: Collection[Where]) -> tuple[Verdict, Known]:
        """Nodes are left out where they are ``excluded``: they failed this job there already."""

        def judged(holdings: Iterable[Holding]) -> list[Candidate]:
            return self._candidates(
                [one for one in holdings if (one.node.node_id, one.node.peer) not in excluded], counts
            )

        def substitutes() -> list[Candidate]:
            category = self._category(model_key(demand.models[0]))
            found = by_model[SUBSTITUTES] = judged(
                one for one in self._registry.loaded() if self._category(one.key) == category
            )
            return found

        by_model = {name: judged(self._registry.holdings(model_key(name))) for name in demand.models}
        return choose(self._chains[demand.modality], demand, by_model, substitutes), by_model

    def _everybody(self) -> Counts:
        queue = self.queue
        counts = Counts()
        for lease in queue.leases():
            counts.run(lease)
        for ticket in queue.tickets():
            if ticket.planned is not None:
                counts.plan(ticket.planned)
        return counts

    def _candidates(self, holdings: Sequence[Holding], counts: Counts) -> list[Candidate]:
        loading = self._loading(holdings)
        return [self._candidate(holding, counts, loading) for holding in holdings]

    def _loading(self, holdings: Sequence[Holding]) -> dict[Key, float]:
        """For how long these models have been being loaded, where that may still come to something."""
        found: dict[Key, float] = {}
        for holding in holdings:
            node, key = holding.node, (holding.node.node_id, holding.engine.name, holding.key)
            lasts_s = self.queue.loads.lasts_s(key, self.now)
            alive = node.status != "offline" and not node.draining and holding.engine.healthy
            if lasts_s is not None and alive and not holding.model.loaded:
                found[key] = lasts_s
        return found

    def _candidate(self, holding: Holding, counts: Counts, loading: Mapping[Key, float]) -> Candidate:
        node, engine, model = holding.node, holding.engine, holding.model
        node_id = node.node_id
        key = (node_id, engine.name, holding.key)
        unloaded_at = node.unloaded.get(holding.key)
        p75_s, size_bytes = self._latency.p75(node_id, holding.key), self._registry.size_bytes(holding)
        return Candidate(
            node_id=node_id,
            engine=engine.name,
            model=model,
            address=node.peer,
            status=node.status,
            draining=node.draining,
            healthy=engine.healthy,
            operations=engine.operations,
            dialects=engine.dialects,
            machine=node.heartbeat.machine,
            capacity=node.heartbeat.capacity,
            category=self._category(holding.key),
            size_bytes=size_bytes,
            usable_bytes=self._registry.usable_bytes(node),
            evictable_bytes=0 if model.loaded else self._evictable(holding, counts.running),
            load=Load(
                running=counts.running.get(key, 0),
                waiting=counts.ahead.get(key, 0),
                slots=self.pauses.slots(key, model.slots, self.now),
                node_running=counts.node_running.get(node_id, 0),
                node_waiting=counts.node_ahead.get(node_id, 0),
                lane_slots=node.lane_slots(engine.lane) if engine.lane else None,
                lane_running=counts.lane_running.get((node_id, engine.lane), 0) if engine.lane else 0,
            ),
            p75_s=p75_s,
            outlook=UNKNOWN if p75_s is not None else self._speeds.outlook(node.heartbeat.machine, size_bytes),
            unloaded_s_ago=None if unloaded_at is None else self.now - unloaded_at,
            loading_s=loading.get(key),
            loads_elsewhere_s=min(
                (lasts_s for other, lasts_s in loading.items() if other != key and other[2] == key[2]), default=None
            )
            if loading
            else None,
            resizes=engine.kind == "ollama",
            lane=engine.lane,
            last_granted=self.queue.last_granted.get(node_id, 0),
            rest=self.breaker.rest((node_id, engine.name), self.now),
            pause=self.pauses.pause(key, self.now),
        )

    def _category(self, key: str) -> str:
        category = self._categories.get(key)
        if category is None:
            if len(self._categories) > 10_000:
                self._categories.clear()
            category = self._categories[key] = self._catalog.category(key)
        return category

    def _evictable(self, holding: Holding, running: Mapping[Key, int]) -> int:
        """What idle models of this node's engines that swap models by themselves would give back."""
        node = holding.node
        return sum(
            model.resident_bytes or 0
            for engine in node.heartbeat.engines
            if engine.kind == "ollama"
            for model in engine.models
            if model.loaded and not running.get((node.node_id, engine.name, model_key(model.name)))
        )
