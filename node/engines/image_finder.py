"""Finds an image tool by its programs, wherever they lie, and makes its engine. Knows no tool by name."""

from node.engines.executables import find, mark, package_version
from node.engines.found import Finder, Found, Tools
from node.engines.image_engine import ImageEngine
from node.engines.image_tool import ImageTool


def makers_of_images(tool: ImageTool) -> Finder:
    """A finder of that tool. One that is installed anew, or of which one more program appears, is a new engine."""

    def look(tools: Tools) -> tuple[Found, ...]:
        paths = {name: path for name in tool.programs if (path := find(name))}

        def make() -> ImageEngine:
            version = package_version(next(iter(paths.values())), tool.package)
            return ImageEngine(tool, paths, tools.image_lane, version=version, timeout_s=tools.image_timeout_s)

        return (Found(name=tool.kind, key=tuple(map(mark, paths.values())), make=make),) if paths else ()

    return look
