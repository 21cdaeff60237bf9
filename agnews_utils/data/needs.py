"""What the chapters need of somebody's own data, checked once: by the setup cell."""

from __future__ import annotations

import contextlib
import io
import os

import numpy as np

from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.loading import News, load_news
from agnews_utils.runtime import say

LEAST_ROWS = 80
"""Training rows that the chapters need: they set rows aside for validation and for choices."""
LEAST_OF_A_CLASS = 12
"""Training rows of each class: the smallest validation split takes one in twenty."""


def check_needs() -> None:
    """Check the data that `AGNEWS_DATA` names, and say what prose and figures are about.

    The data sets of the course need no check, and nothing is said about them.

    Raises
    ------
    FileNotFoundError, NewsFormatError
        If the data cannot be read, or are too few for the chapters; in one sentence.
    """
    if os.environ.get("AGNEWS_DATA", "").strip() in ("", "ag_news", "newsbriefs"):
        return
    with contextlib.redirect_stdout(io.StringIO()):  # load_news says its line in the chapter
        news = load_news()
    if news.measured:
        return
    if problem := missing_needs(news):
        raise NewsFormatError(problem)
    remarks = ["Prose and titles of figures speak of AG News and News Briefs: read the figures."]
    if news.train["text"].str.split().str.len().median() <= 1:
        remarks.append("Few of your texts have spaces: what counts words finds one word in them.")
    say(f"Your own data, {len(news.classes)} classes. {' '.join(remarks)}")


def missing_needs(news: News) -> str:
    """Return a sentence about what a data set lacks for the chapters; an empty one if nothing."""
    needs = (
        f"the chapters need {LEAST_ROWS} training rows, {LEAST_OF_A_CLASS} of each class, and a "
        "test row of each; `python -m agnews_utils.train` takes fewer."
    )
    of_class = np.bincount(news.train["label"], minlength=len(news.classes))
    tested = np.bincount(news.test["label"], minlength=len(news.classes))
    fewest = int(of_class.argmin())
    if len(news.train) < LEAST_ROWS:
        return f"{news.name} has {len(news.train)} training rows: {needs}"
    if of_class[fewest] < LEAST_OF_A_CLASS:
        rows = of_class[fewest]
        return f"{news.name} has {rows} training rows of {news.classes[fewest]!r}: {needs}"
    if not tested.all():
        return f"{news.name} has no test row of {news.classes[int(tested.argmin())]!r}: {needs}"
    return ""
