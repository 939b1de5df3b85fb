"""The manifest of llm: language models that chat and complete. Knows its own folder only."""

from pathlib import Path

from app import catalog
from app.modalities.base import Modality
from app.modalities.llm.benchmark import EXERCISE
from app.modalities.llm.controller import Chat, Messages
from app.modalities.llm.sizing import revision, said
from app.scoring import policy

HERE = Path(__file__).parent

MODALITY = Modality(
    name="llm",
    title="Language models",
    controllers=(Chat, Messages),
    operation="chat",
    word="text",
    icon="message-square",
    policy=policy.load((HERE / "policy.toml").read_text("utf-8")),
    catalog=catalog.load((HERE / "catalog.toml").read_text("utf-8")),
    revision=revision,
    contexts=said,
    benchmark=EXERCISE,
)
