"""The manifest of image: pictures made of words. Knows its own folder only."""

from pathlib import Path

from app.modalities.base import Modality
from app.modalities.image.adapter import OPERATION
from app.modalities.image.catalogue import CATALOG
from app.modalities.image.controller import Images
from app.scoring import policy

HERE = Path(__file__).parent

MODALITY = Modality(
    name="image",
    title="Images",
    controllers=(Images,),
    operation=OPERATION,
    icon="image",
    policy=policy.load((HERE / "policy.toml").read_text("utf-8")),
    catalog=CATALOG,
)
