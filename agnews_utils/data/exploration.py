"""Describe the news: artifacts, sources, telling words, intervals (chapter exploration)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from agnews_utils.data.corpus import CLASS_NAMES

#: Traces of the web in the texts of AG News, by name (exploration, "Dirt in the texts"). Entities
#: have lost their ampersand ("#39;" for an apostrophe), and a backslash stands for a line break.
ARTIFACTS: dict[str, re.Pattern[str]] = {
    "#39;": re.compile(r"(?<!&)#39;"),
    "any #NN;": re.compile(r"(?<!&)#\d+;"),
    "quot;": re.compile(r"(?<!&)quot;"),
    "&lt;": re.compile(r"&lt;"),
    "&lt;b&gt;": re.compile(r"&lt;b&gt;"),
    "backslash": re.compile(r"\\"),
    "href": re.compile(r"href", re.IGNORECASE),
    "fullquote": re.compile(r"fullquote"),
    "(Reuters)": re.compile(r"\(Reuters\)"),
    "AP -": re.compile(r"\bAP -"),
    "AFP -": re.compile(r"\bAFP -"),
}

#: News agencies and papers that sign their articles in AG News, as they are written there.
NEWS_SOURCES = (
    *("Reuters", "AP", "AFP", "Canadian Press", "CP", "UPI", "AFX", "Bloomberg", "Xinhuanet"),
    *("Sports Network", "Ticker", "NewsFactor", "SPACE.com", "PC World", "InfoWorld", "TechWeb"),
    *("MacCentral", "Ziff Davis", "IDG NEWS SERVICE", "COMPUTERWORLD", "SiliconValley.com"),
    *("CBS.MW", "Forbes.com", "FT.com", "TheDeal.com", "The Motley Fool", "BusinessWeek Online"),
    *("Investor's Business Daily", "USATODAY.com", "washingtonpost.com", "AdWeek.com"),
    *("Los Angeles Times", "Chicago Tribune", "Editor and Publisher"),
)
_NAMES = "|".join(re.escape(name) for name in NEWS_SOURCES)
_SOURCE = re.compile(rf"\((?P<credit>{_NAMES})\)|(?<!\S)(?P<dateline>{_NAMES}) --? ")


def class_names(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the names of the classes of rows that `load_news` gave; else those of AG News."""
    return tuple(frame.attrs.get("classes", CLASS_NAMES))


def artifact_counts(frame: pd.DataFrame, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Count the rows that hold each artifact, by class, too (exploration, "Dirt in the texts").

    Parameters
    ----------
    frame : DataFrame
        Rows with the columns `text` and `label`.
    classes : sequence of str, optional
        Names of the classes; by default those that `load_news` found in the data.

    Returns
    -------
    DataFrame
        One row per entry of `ARTIFACTS`, indexed by its name, with the columns `total` (rows),
        `percent` (of all rows) and one column of row counts per class.
    """
    require_columns(frame, "text", "label")
    labels = frame["label"].to_numpy()
    texts = frame["text"].tolist()
    names = class_names(frame) if classes is None else classes
    rows = {}
    for name, pattern in ARTIFACTS.items():
        found = np.fromiter((pattern.search(text) is not None for text in texts), bool, len(texts))
        by_class = np.bincount(labels[found], minlength=len(names))
        percent = 100 * found.mean() if len(found) else 0.0
        rows[name] = [int(found.sum()), percent, *by_class]
    counts = pd.DataFrame.from_dict(rows, orient="index", columns=["total", "percent", *names])
    return counts.rename_axis("artifact")


def news_source(rows: pd.DataFrame | pd.Series) -> pd.Series:
    """Find the agency or paper of each text (exploration, "Does the source give it away?").

    A source is a name of `NEWS_SOURCES` in parentheses, as in a title's suffix "(AP)" or in a
    dateline "LONDON (Reuters) -", or followed by a dash, as in "SPACE.com - TORONTO". The first
    one counts.

    Parameters
    ----------
    rows : DataFrame or Series
        News rows with the column `text`, or any texts: titles alone show what a title gives away.

    Returns
    -------
    Series
        The source of each row with the index of `rows`; "" where none is named.
    """
    if isinstance(rows, str):
        raise TypeError("rows is one string: give a frame or a column of texts.")
    if isinstance(rows, pd.DataFrame):
        require_columns(rows, "text")
        rows = rows["text"]
    matches = (_SOURCE.search(text) for text in rows)
    sources = [match["credit"] or match["dateline"] if match else "" for match in matches]
    return pd.Series(sources, index=rows.index, name="source", dtype=object)


def log_odds(counts_a: ArrayLike, counts_b: ArrayLike, prior: ArrayLike) -> np.ndarray:
    """Score how much each term marks group a against group b (exploration, "Telling words").

    The z-score of the log-odds ratio with an informative Dirichlet prior of Monroe, Colaresi and
    Quinn (2008), "Fightin' Words". Its variance has all four terms, so that it is right for a word
    as frequent as "the", too; the paper leaves out two of them, which are small for rare words.

    One term that was picked beforehand, with occurrences independent of one another, exceeds 1.96
    by chance once in 40 times. Among many terms some exceed any such bar, and words come in
    bursts: shuffle the labels to see how far chance goes.

    Parameters
    ----------
    counts_a, counts_b : array (..., terms)
        How often each term occurs in either group; leading axes are handled side by side.
    prior : array (terms,) or float
        Pseudo-counts that are added to both groups, greater than 0. Proportional to the terms'
        general frequency, they pull rare terms to the middle; a float adds the same to each term.

    Returns
    -------
    ndarray (..., terms)
        The z-scores, positive where a uses the term more.

    Raises
    ------
    ValueError
        If a count is negative, a prior is not positive, or there are fewer than two terms.
    """
    counts_a, counts_b = _dense(counts_a), _dense(counts_b)
    prior = np.broadcast_to(np.asarray(prior, dtype=float), counts_a.shape[-1:])
    if counts_a.ndim == 0 or counts_a.shape[-1] < 2:
        raise ValueError("log_odds compares terms with one another: give counts of at least two.")
    if (counts_a < 0).any() or (counts_b < 0).any():
        raise ValueError("counts_a and counts_b are numbers of occurrences: none may be negative.")
    if not (prior > 0).all():
        raise ValueError(
            "prior holds pseudo-counts: each must be greater than 0, for example 0.01."
        )
    seen_a, seen_b = counts_a + prior, counts_b + prior
    other_a = seen_a.sum(axis=-1, keepdims=True) - seen_a
    other_b = seen_b.sum(axis=-1, keepdims=True) - seen_b
    ratio = np.log(seen_a / other_a) - np.log(seen_b / other_b)
    return ratio / np.sqrt(1 / seen_a + 1 / seen_b + 1 / other_a + 1 / other_b)


def class_log_odds(counts: ArrayLike, strength: float = 1000.0) -> np.ndarray:
    """Score how much each term marks each class against all others (exploration, "Telling words").

    Parameters
    ----------
    counts : array or sparse matrix (classes, terms)
        How often each term occurs in each class.
    strength : float
        Sum of the pseudo-counts, shared among the terms in proportion to their frequency in all
        classes together: the informative prior of Monroe, Colaresi and Quinn (2008).

    Returns
    -------
    ndarray (classes, terms)
        The z-scores of `log_odds`; a term that occurs nowhere scores 0.
    """
    counts = _dense(counts)
    if counts.ndim != 2:
        raise ValueError(f"counts has {counts.ndim} axes: expected two, (classes, terms).")
    pooled = counts.sum(axis=0)
    if pooled.sum() <= 0:
        raise ValueError("counts holds no occurrence of any term: nothing can be compared.")
    # A term that never occurs still needs a positive prior; its score is set to 0 below.
    prior = strength * np.maximum(pooled, 1e-9) / pooled.sum()
    scores = log_odds(counts, pooled - counts, prior)
    return np.where(pooled > 0, scores, 0.0)


def accuracy_interval(accuracy: float, rows: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval that a measured accuracy is compatible with (exploration, "How sure can we be?").

    Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001). Unlike
    accuracy +- 1.96 standard errors it stays inside 0 to 1, and is right for few rows too.

    Parameters
    ----------
    accuracy : float
        Share of right answers, 0 to 1.
    rows : int
        Number of rows that it was measured on.
    confidence : float
        Share of such intervals that hold the true value.

    Returns
    -------
    tuple of float
        Lower and upper end, as shares between 0 and 1.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    """
    if not 0 <= accuracy <= 1:
        raise ValueError(f"accuracy is {accuracy}: expected a share from 0 to 1, not percent.")
    if rows < 1:
        raise ValueError(f"rows is {rows}: an accuracy is measured on at least one row.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}: expected a share between 0 and 1.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    shrink = 1 + z**2 / rows
    center = (accuracy + z**2 / (2 * rows)) / shrink
    half = z / shrink * sqrt(accuracy * (1 - accuracy) / rows + z**2 / (4 * rows**2))
    return max(0.0, center - half), min(1.0, center + half)


def require_columns(frame: pd.DataFrame, *columns: str) -> None:
    """Raise a ValueError that names the columns which `frame` lacks."""
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(
            f"The frame has no column {' and no column '.join(map(repr, missing))}: "
            "give rows as read_news_csv or load_news returns them."
        )


def _dense(counts: ArrayLike) -> np.ndarray:
    """Convert counts to a floating-point array, also from CountVectorizer's sparse matrix."""
    return np.asarray(counts.toarray() if hasattr(counts, "toarray") else counts, dtype=float)
