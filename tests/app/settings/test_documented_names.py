"""Each variable that documents of earlier fleet managers name takes effect, or the page says why it does not yet."""

import re
from pathlib import Path

import pytest

from app.modalities.sections import found
from app.settings.describe import knobs_of
from app.settings.resolve import sections
from app.settings.schema import Settings
from node.settings import NodeSettings

_ROUTER = """
HOST PORT DATA_DIR HEARTBEAT_INTERVAL HEARTBEAT_TIMEOUT HEARTBEAT_OFFLINE MDNS_SERVICE_TYPE MDNS_SERVICE_NAME
SCORE_MODEL_HOT SCORE_MODEL_WARM SCORE_MODEL_COLD SCORE_MEMORY_FIT_MAX SCORE_QUEUE_DEPTH_MAX_PENALTY
SCORE_QUEUE_DEPTH_PENALTY_PER SCORE_WAIT_TIME_MAX_PENALTY SCORE_ROLE_AFFINITY_MAX SCORE_ROLE_LARGE_THRESHOLD_GB
SCORE_ROLE_SMALL_THRESHOLD_GB SCORE_AVAILABILITY_TREND_MAX SCORE_CONTEXT_FIT_MAX REBALANCE_INTERVAL REBALANCE_THRESHOLD
REBALANCE_MAX_PER_CYCLE PRE_WARM_THRESHOLD PRE_WARM_MIN_AVAILABILITY AUTO_PULL AUTO_PULL_TIMEOUT VRAM_FALLBACK
CONTEXT_PROTECTION STALE_TIMEOUT MAX_RETRIES IMAGE_GENERATION IMAGE_TIMEOUT TRANSCRIPTION TRANSCRIPTION_TIMEOUT
THINKING_OVERHEAD THINKING_MIN_PREDICT DYNAMIC_NUM_CTX NUM_CTX_OVERRIDES NUM_CTX_AUTO_CALCULATE FLEET_INTELLIGENCE
FLEET_INTELLIGENCE_MODEL LOG_LEVEL CONSOLE_LOG_LEVEL
"""
_NODE = """
NODE_ID OLLAMA_HOST ROUTER_URL HEARTBEAT_INTERVAL POLL_INTERVAL MDNS_SERVICE_TYPE ENABLE_CAPACITY_LEARNING DATA_DIR
"""
NAMES = [f"FLEET_{name}" for name in _ROUTER.split()] + [f"FLEET_NODE_{name}" for name in _NODE.split()]
PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text("utf-8")
WITHOUT_EFFECT = set(re.findall(r"`(FLEET_\w+)`", PAGE.partition("## Names that have no effect")[2]))
KNOWN = {knob.variable for _, values in sections(Settings(modalities=found())) for knob in knobs_of(type(values))} | {
    knob.variable for knob in knobs_of(NodeSettings, prefix="FLEET_NODE_")
}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_setting_or_the_page_says_why_not_and_never_both(name: str) -> None:
    assert (name in KNOWN) != (name in WITHOUT_EFFECT)


def test_the_page_names_nothing_else_there() -> None:
    assert set(NAMES) >= WITHOUT_EFFECT
