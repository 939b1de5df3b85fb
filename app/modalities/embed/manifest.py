"""The manifest of embed. Knows its doors only: nothing here serves yet."""

from app.modalities.base import Modality
from app.modalities.embed.controller import Embeddings

MODALITY = Modality(
    name="embed", title="Embeddings", controllers=(Embeddings,), operation="embed", icon="braces", serves=False
)
