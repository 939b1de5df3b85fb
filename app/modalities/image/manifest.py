"""The manifest of image. Knows its doors only: nothing here serves yet."""

from app.modalities.base import Modality
from app.modalities.image.controller import Images

MODALITY = Modality(name="image", title="Images", controllers=(Images,), operation="image", icon="image", serves=False)
