"""The manifest of stt. Knows its doors only: nothing here serves yet."""

from app.modalities.base import Modality
from app.modalities.stt.controller import Speech

MODALITY = Modality(
    name="stt", title="Transcriptions", controllers=(Speech,), operation="transcribe", icon="mic", serves=False
)
