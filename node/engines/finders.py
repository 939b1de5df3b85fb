"""Which engines can be found on this machine by looking, without a server to ask: one line each. Knows no router.

A finder is called in a thread every now and then while the node runs: what was installed meanwhile appears, what was
removed disappears.
"""

from node.engines import qwen_asr, whisper
from node.engines.diffusionkit import DIFFUSIONKIT
from node.engines.found import Finder
from node.engines.image_finder import makers_of_images
from node.engines.mflux import MFLUX

FINDERS: tuple[Finder, ...] = (
    makers_of_images(MFLUX),
    makers_of_images(DIFFUSIONKIT),
    whisper.find,
    qwen_asr.find,
)
