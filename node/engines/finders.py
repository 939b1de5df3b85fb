"""Which engines can be found on this machine by looking, without a server to ask: one line each. Knows no router.

A finder is called in a thread every now and then while the node runs: what was installed meanwhile appears, what was
removed disappears.
"""

from node.engines.found import Finder

FINDERS: tuple[Finder, ...] = ()
