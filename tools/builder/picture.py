"""The pictures of README.md, drawn from recorded results (``make refresh`` keeps them up to date).

A picture carries a hash of the numbers that it shows in its own metadata, so a test can tell
whether it still shows what ``results/`` holds. Pixels are no help: they differ between versions
of matplotlib.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from agnews_utils.files import written_whole
from tools.builder.chapters import ROOT
from tools.builder.results import Results, fill, read_results

DOCS = ROOT / "docs"
HASH = "Numbers"
"""Key of the PNG's metadata under which the hash of the plotted numbers stands."""


@dataclass(frozen=True)
class Picture:
    """A picture and what it is made of.

    Attributes
    ----------
    name
        Its file is ``docs/<name>.png``.
    run, data, numbers
        The result file, and the metric in it that is plotted.
    helper
        ``module:function`` that takes the plotted metric and the title, and returns the Axes.
    title, alt, caption
        Texts; numbers are filled into the caption as into the prose of the chapter that
        recorded the run. A chapter goes by its run name, ``(chapter bert``.
    """

    name: str
    run: str
    data: str
    numbers: str
    helper: str
    title: str
    alt: str
    caption: str

    @property
    def path(self) -> Path:
        """Where the picture stands."""
        return DOCS / f"{self.name}.png"

    def metrics(self, results: Results) -> dict[str, Any] | None:
        """Return the metrics of the picture's run; None while it has not been recorded."""
        return results.metrics(self.run, self.data)

    def markdown(self, results: Results) -> str:
        """Return image and caption for README.md, the numbers filled in; empty without the run."""
        if self.metrics(results) is None:
            return ""
        image = f"![{self.alt}]({self.path.relative_to(ROOT).as_posix()})"
        return fill(f"{image}\n\n{self.caption}", results, self.run, "tools/builder/picture.py")


LEARNING_CURVES = Picture(
    name="what-pretraining-buys",
    run="few_labels",
    data="ag_news",
    numbers="picture",
    helper="agnews_utils.plots.bert:error_by_rows",
    title="AG News: the fewer labels, the more pre-training buys",
    alt="Wrong test rows of AG News against the number of labeled rows, for six ways to train",
    caption=(
        "What pre-training buys (chapter bert): with ten labeled rows a class, a linear model on "
        "words is right on {{ ag_news.few.words_linear | percent }} of the test rows of AG News, "
        "on the states of the encoder that was made here on "
        "{{ ag_news.few.bundled_frozen | percent }}, on those of all-MiniLM-L6-v2 on "
        "{{ ag_news.few.minilm_frozen | percent }}, and after tuning it with pairs on "
        "{{ ag_news.few.minilm_contrastive | percent }}."
    ),
)
PICTURES = (LEARNING_CURVES,)


def digest(picture: Picture, metrics: Mapping[str, Any]) -> str:
    """Return the hash of what a picture shows: its title and numbers, and who draws them."""
    shown = [picture.helper, picture.title, metrics[picture.numbers]]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def stored_digest(path: Path) -> str | None:
    """Return the hash that a stored picture carries; None if there is no picture, or no hash."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.info.get(HASH)
    except (FileNotFoundError, UnidentifiedImageError):
        return None


def problems(results: Results) -> list[str]:
    """Name the pictures that do not show what the results hold; an empty list means all do."""
    return [
        f"{picture.path.name} does not show {picture.run}.{picture.data}.json: run `make refresh`"
        for picture in PICTURES
        if (metrics := picture.metrics(results)) is not None
        and stored_digest(picture.path) != digest(picture, metrics)
    ]


def update(results: Results) -> list[Path]:
    """Draw the pictures whose numbers have changed; return their files."""
    drawn = []
    for picture in PICTURES:
        metrics = picture.metrics(results)
        if metrics is not None and stored_digest(picture.path) != digest(picture, metrics):
            draw(picture, metrics)
            drawn.append(picture.path)
    return drawn


def draw(picture: Picture, metrics: Mapping[str, Any]) -> None:
    """Draw a picture: a temporary file first, then a rename."""
    import matplotlib

    matplotlib.use("Agg")
    from agnews_utils import plots

    plots.use_course_style()
    module, _, function = picture.helper.partition(":")
    axes = getattr(import_module(module), function)(metrics[picture.numbers], picture.title)
    buffer = io.BytesIO()
    # No version of matplotlib in the file: it would change with the environment.
    metadata = {HASH: digest(picture, metrics), "Software": None}
    axes.figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", metadata=metadata)
    with written_whole(picture.path) as partial:
        partial.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    for path in update(read_results(ROOT / "results")):
        print("drew", path.relative_to(ROOT))
    sys.exit(0)
