"""The site that the tests of this folder look at. Knows no test."""

from collections.abc import Iterator

import pytest
from web_site import Site


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    site.start()
    yield site
    site.stop()
