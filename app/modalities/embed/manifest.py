"""The manifest of embed: models that turn text into vectors. Knows its own folder only."""

from pathlib import Path

from app import catalog
from app.fleet.snapshot import Activity
from app.modalities.base import Modality
from app.modalities.embed.benchmark import EXERCISE
from app.modalities.embed.controller import Embeddings
from app.scoring import policy

HERE = Path(__file__).parent

MODALITY = Modality(
    name="embed",
    title="Embeddings",
    controllers=(Embeddings,),
    operation="embed",
    icon="braces",
    policy=policy.load((HERE / "policy.toml").read_text("utf-8")),
    catalog=catalog.load((HERE / "catalog.toml").read_text("utf-8")),
    activity=Activity(broken="embed_error_rate"),
    benchmark=EXERCISE,
)
