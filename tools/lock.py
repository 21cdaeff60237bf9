"""Write the two tested locks: ``requirements/classroom.txt`` and ``requirements/modern.txt``.

Run ``python -m tools.lock`` after a change of the dependencies in ``pyproject.toml``; it needs
``uv`` (``pip install uv``). The locks hold for Linux, macOS and Windows. The CUDA libraries that
torch brings on Linux are left out: torch pins them itself, and a CPU build of the same version
does without them.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
LANES = ("classroom", "modern")
CUDA_PACKAGE = re.compile(r"^(nvidia-|triton|cuda-)")
HEADER = """\
# The {lane} environment, every package with its tested version.
# Written by `python -m tools.lock` from pyproject.toml; do not edit by hand.
# torch's CUDA libraries are not listed: torch itself asks for the ones that its build needs.
"""


def lock(lane: str) -> Path:
    """Resolve ``pyproject.toml`` with the extras of one lane and write its lock."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11",
               "--extra", "notebook", "--extra", "develop", "--extra", lane,
               "--no-header", "--no-annotate", "--quiet"]  # fmt: skip
    resolved = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    pins = [line for line in resolved.splitlines() if line and not CUDA_PACKAGE.match(line)]
    target = ROOT / "requirements" / f"{lane}.txt"
    target.write_text(HEADER.format(lane=lane) + "\n".join(pins) + "\n", encoding="utf-8")
    return target


if __name__ == "__main__":
    for lane in sys.argv[1:] or LANES:
        print("wrote", lock(lane).relative_to(ROOT))
