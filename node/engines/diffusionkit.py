"""DiffusionKit: Stable Diffusion 3 by MLX, and what it needs once on a new macOS. Knows no process of ours.

At the end of each image it reads what ``sw_vers`` prints, and takes for granted that those are three lines with two
tabs. Newer systems print a fourth: then the work is done and the image is lost.
"""

import shutil
import subprocess
from pathlib import Path

from node.engines.executables import site_packages
from node.engines.image_tool import ImageTool, Recipe

NARROW = 'for line in sw_vers.rsplit("\\n")'
"""How the line ends that cannot bear a fourth one."""
WIDE = NARROW + ' if line.startswith(("ProductName:", "ProductVersion:", "BuildVersion:"))'
ASK_S = 2.0


def missing(executable: Path) -> str:
    """What must be done before DiffusionKit can finish an image on this system; empty: nothing. Blocks."""
    files = (folder / "argmaxtools" / "test_utils.py" for folder in site_packages(executable))
    for file in files:
        if _has_line(file, NARROW) and not three_lines(system_version()):
            return (
                "DiffusionKit cannot finish an image on this macOS, because its package argmaxtools does not "
                f"understand what sw_vers prints here. In {file} change the line that ends in {NARROW} "
                f"to end in {WIDE.removeprefix('for line in ')} (docs/image-engines.md)."
            )
    return ""


def system_version() -> str:
    """What ``sw_vers`` prints; empty where there is none, for then nothing reads it."""
    program = shutil.which("sw_vers")
    if program is None:
        return ""
    try:
        said = subprocess.run(  # noqa: S603 - the system's own
            [program], stdin=subprocess.DEVNULL, capture_output=True, timeout=ASK_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.stdout.decode("utf-8", "replace").strip()


def three_lines(said: str) -> bool:
    """Whether argmaxtools as it is can read this."""
    lines = said.split("\n")
    return not said or (len(lines) == 3 and all("\t\t" in line for line in lines))


def _has_line(file: Path, ending: str) -> bool:
    try:
        return any(line.rstrip().endswith(ending) for line in file.read_text("utf-8", "replace").splitlines())
    except OSError:
        return False


DIFFUSIONKIT = ImageTool(
    kind="diffusionkit",
    package="diffusionkit",
    recipes=(
        Recipe(
            model="sd3-medium",
            program="diffusionkit-cli",
            words=("--model-version=argmaxinc/mlx-stable-diffusion-3-medium",),
            steps=50,
        ),
        Recipe(
            model="sd3.5-large",
            program="diffusionkit-cli",
            words=("--model-version=argmaxinc/mlx-stable-diffusion-3.5-large", "--t5"),
            steps=50,
        ),
    ),
    options={"guidance": "--cfg", "seed": "--seed", "negative_prompt": "--negative_prompt"},
    output_option="--output-path",
    missing=missing,
)
