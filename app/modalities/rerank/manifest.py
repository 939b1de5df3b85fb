"""The manifest of rerank: documents put in order of how well they answer a query. Knows its own folder only."""

from pathlib import Path

from app.modalities.base import Modality
from app.modalities.rerank.controller import Rerank
from app.scoring import policy

HERE = Path(__file__).parent

MODALITY = Modality(
    name="rerank",
    title="Reranking",
    controllers=(Rerank,),
    operation="rerank",
    icon="layers",
    policy=policy.load((HERE / "policy.toml").read_text("utf-8")),
)
