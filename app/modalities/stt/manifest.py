"""The manifest of stt: recordings of speech turned into text. Knows its own folder only."""

from pathlib import Path

from app.fleet.snapshot import Activity
from app.modalities.base import Modality
from app.modalities.stt.controller import Transcriptions
from app.scoring import policy

HERE = Path(__file__).parent

MODALITY = Modality(
    name="stt",
    title="Transcriptions",
    controllers=(Transcriptions,),
    operation="transcribe",
    icon="mic",
    policy=policy.load((HERE / "policy.toml").read_text("utf-8")),
    activity=Activity(
        vital="transcriptions_24h",
        done="transcription_activity",
        spread="stt_expansion",
        room_bytes=4 * 1024**3,
        install={"": "uv tool install '.[stt]'"},
    ),
)
