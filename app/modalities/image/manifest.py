"""The manifest of image: pictures made of words. Knows its own folder only."""

from pathlib import Path

from app.fleet.snapshot import Activity
from app.modalities.base import Modality
from app.modalities.image.adapter import OPERATION
from app.modalities.image.benchmark import EXERCISE
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
    benchmark=EXERCISE,
    activity=Activity(
        vital="image_generations_24h",
        done="image_generation",
        spread="mflux_expansion",
        room_bytes=8 * 1024**3,
        install={
            "macos": "uv tool install mflux",
            "": "run stable-diffusion.cpp's server there, then: herd node --engine sdcpp=http://127.0.0.1:1234",
        },
    ),
)
