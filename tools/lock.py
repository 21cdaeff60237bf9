"""Write the two tested locks: ``requirements/classroom.txt`` and ``requirements/modern.txt``.

Run ``python -m tools.lock`` after a change of the dependencies in ``pyproject.toml``; it needs
``uv`` (``pip install uv``). Versions that are locked stay; delete a line to have it resolved anew.
The locks hold for Linux, macOS and Windows. The CUDA libraries that torch brings on Linux are left
out: torch pins them itself, and a CPU build of the same version does without them.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from agnews_utils.files import written_whole

ROOT = Path(__file__).parent.parent
LANES = ("classroom", "modern")
CUDA_PACKAGE = re.compile(r"^(nvidia-|triton|cuda-)")
HEADER = """\
# The {lane} environment, every package with its tested version.
# Written by `python -m tools.lock` from pyproject.toml; do not edit by hand.
# torch's CUDA libraries are not listed: torch itself asks for the ones that its build needs.
"""


def locked_versions(path: Path) -> dict[str, str]:
    """Return package -> version of a lock (the first line of a package, if markers split it)."""
    versions: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"^([A-Za-z0-9._-]+)==([^\s;]+)", line):
            versions.setdefault(match[1].lower(), match[2])
    return versions


def lock(lane: str) -> Path:
    """Resolve ``pyproject.toml`` with the extras of one lane and write its lock."""
    command = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11",
               "--extra", "notebook", "--extra", "formats", "--extra", "develop", "--extra", lane,
               "--no-header", "--no-annotate", "--quiet"]  # fmt: skip
    target = ROOT / "requirements" / f"{lane}.txt"
    with written_whole(target) as partial:
        shutil.copy(target, partial)  # uv keeps the versions that it finds there
        subprocess.run([*command, "--output-file", str(partial)], cwd=ROOT, check=True)
        resolved = partial.read_text(encoding="utf-8")
        lines = [line for line in resolved.splitlines() if line and not line.startswith("#")]
        pins = [line for line in lines if not CUDA_PACKAGE.match(line)]
        partial.write_text(HEADER.format(lane=lane) + "\n".join(pins) + "\n", encoding="utf-8")
    return target


if __name__ == "__main__":
    for lane in sys.argv[1:] or LANES:
        print("wrote", lock(lane).relative_to(ROOT))
