"""Chapter cleaning, what it is worth: how good a repair is, and whether it helps a model.

Repairs are held against the truth of News Briefs (cleaning, "How good is a repair?"). Pipelines are
measured on the same rows with the same kind of linear model, each with its own `C`, so that what is
compared is the *difference* on each row (cleaning_study, "A fair comparison").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from math import sqrt

import numpy as np
import pandas as pd
from scipy import stats
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.svm import LinearSVC

from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, LOSSY_STEPS, Cleaner, clean_frame
from agnews_utils.cleaning.repairs import normalize_whitespace
from agnews_utils.data.duplicates import near_duplicate_groups
from agnews_utils.data.splitting import train_valid_split

# -------------------------------------------------------------- repairs against the truth

REPAIRS: dict[str, tuple[set[str], list[str]]] = {
    "entities": ({"entity_apostrophe", "entity_quote", "entity_dollar"}, ["entities"]),
    "tags and links": ({"tag", "link"}, ["entities", "tags and links"]),
    "backslashes": ({"backslash"}, ["backslashes"]),
    "datelines": ({"dateline", "title_source"}, ["datelines"]),
    "white space": ({"space"}, ["white space"]),
}
"""Name of a repair -> kinds of artifacts in the truth file, steps that should repair them.

Tags come escaped (`&lt;b&gt;`), so their repair takes two steps.
"""


def field_pairs(truth: Sequence[Mapping], kinds: set[str] | None) -> Iterator[tuple[str, str]]:
    """Yield (dirty, clean) for every title and description in the rows of `read_truth`.

    The dirty text holds artifacts of these `kinds` only (None: of all), and elsewhere the clean
    text that belongs there. The clean text keeps what a reader would *see* of a link or tag:
    `INTC.O` of `<A HREF=...>INTC.O</A>`, as Python's own HTML parser decides.
    """
    for row in truth:
        for field in ("title", "description"):
            clean = dirty = row[f"clean_{field}"]
            records = [record for record in row["artifacts"] if record["field"] == field]
            for record in _placed_in_clean_text(records):
                if kinds is not None and record["kind"] not in kinds:
                    continue
                start, end = record["place"], record["place"] + len(record["clean"])
                dirty = dirty[:start] + record["text"] + dirty[end:]
                if record["kind"] in ("tag", "link"):
                    clean = clean[:start] + visible_text(record["text"]) + clean[end:]
            yield dirty, clean


def _placed_in_clean_text(records: list[Mapping]) -> list[dict]:
    """Add the place of each artifact in the clean text; last one first, so that places hold."""
    placed, grown = [], 0
    for record in records:
        placed.append({**record, "place": record["start"] - grown})
        grown += len(record["text"]) - len(record["clean"])
    return placed[::-1]


class _TextOnly(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def visible_text(escaped: str) -> str:
    """Return what a browser shows of a piece of escaped HTML."""
    parser = _TextOnly()
    parser.feed(unescape(escaped))
    parser.close()
    return "".join(parser.parts)


def repair_quality(truth: Sequence[Mapping]) -> pd.DataFrame:
    """Compute precision and recall of each repair (cleaning, "How good is a repair?").

    The unit is a field, a title or a description. A field that holds dirt of the kind counts as
    found only if *all* of it was repaired, so that the text equals the clean one; entities to the
    letter, the others but for white space, which is a repair of its own. Every other field that
    was changed is a false alarm.

    Returns
    -------
    DataFrame
        One row a repair, and `all steps` for the whole pipeline on the text with all of its dirt.
        Columns: `dirty` fields, `changed` fields, `repaired` fields, `precision` (repaired /
        changed), `recall` (repaired / dirty).
    """
    steps = {step.name: step for step in DEFAULT_STEPS}
    rows = {}
    for name, (kinds, names) in REPAIRS.items():
        cleaner = Cleaner([steps[step] for step in names])
        exact = name in ("entities", "white space")
        rows[name] = _count(field_pairs(truth, kinds), cleaner, exact)
    rows["all steps"] = _count(field_pairs(truth, None), Cleaner(), exact=False)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["dirty", "changed", "repaired"])
    table["precision"] = table["repaired"] / table["changed"]
    table["recall"] = table["repaired"] / table["dirty"]
    return table.rename_axis("repair")


def _count(pairs: Iterable[tuple[str, str]], cleaner: Cleaner, exact: bool) -> list[int]:
    """Return how many fields were dirty, were changed, and were repaired."""
    dirty_fields = changed_fields = repaired_fields = 0
    for dirty, clean in pairs:
        cleaned = cleaner(dirty)
        if not exact:
            dirty, clean, cleaned = map(normalize_whitespace, (dirty, clean, cleaned))
        dirty_fields += dirty != clean
        changed_fields += cleaned != dirty
        repaired_fields += dirty != clean and cleaned == clean
    return [dirty_fields, changed_fields, repaired_fields]


# -------------------------------------------------------------- pipelines on the same splits

RAW, REPAIRED, TEXTBOOK = "raw text", "all repairs", "textbook"
_TEXTBOOK_STEPS = ("lower case", "punctuation", "numbers", "stop words", "stemming")
_RECIPE_STEPS = ("lower case", "A-Z, 0-9 only", "stop words")
_NOTHING_TO_DO = ("unicode", "white space")
# What a count of words cannot see, and what AG News (plain ASCII) does not have.
TOKEN = r"\w+|[^\w\s]"
"""Words *and* signs: the vectorizer must not clean behind our back."""
C_GRID = (0.2, 0.5, 1.2, 3.0)
"""Strengths among which each pipeline gets its own (cleaning_study, "A fair comparison")."""
MARGIN = 0.005
"""Half a point: a difference that is surely smaller is called none."""

Split = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Variant:
    """One pipeline to measure, and the one that it is compared with."""

    name: str
    cleaner: Cleaner
    against: str
    group: str


@dataclass(frozen=True)
class Measured:
    """What a pipeline reached: its own `C`, and which validated rows it got right, fold by fold."""

    c: float
    right: np.ndarray


def cleaning_variants() -> list[Variant]:
    """Return the pipelines that chapter cleaning_study, "The verdicts", compares.

    References come first. Unicode and white space have no variant: a model that counts words does
    not see white space, and AG News is plain ASCII.
    """
    raw, repaired = Cleaner([]), Cleaner()
    lossy = {step.name: step for step in LOSSY_STEPS}
    textbook = repaired.plus(*(lossy[name] for name in _TEXTBOOK_STEPS))
    recipe = raw.plus(*(lossy[name] for name in _RECIPE_STEPS))
    repairs = [step for step in DEFAULT_STEPS if step.name not in _NOTHING_TO_DO]
    both = repaired.plus(lossy["lower case"], lossy["stemming"])
    added = "added to the repairs"
    return [
        Variant(RAW, raw, RAW, "reference"),
        Variant(REPAIRED, repaired, RAW, "reference"),
        Variant(TEXTBOOK, textbook, REPAIRED, "reference"),
        Variant("tutorial recipe", recipe, RAW, "reference"),
        *(Variant(f"only {s.name}", raw.plus(s), RAW, "added to raw text") for s in repairs),
        *(
            Variant(f"without {s.name}", repaired.without(s.name), REPAIRED, "left out of repairs")
            for s in repairs
        ),
        *(Variant(f"+ {s.name}", repaired.plus(s), REPAIRED, added) for s in LOSSY_STEPS),
        Variant("+ lower case, stemming", both, REPAIRED, added),
        *(
            Variant(f"- {name}", textbook.without(name), TEXTBOOK, "left out of the textbook")
            for name in _TEXTBOOK_STEPS
        ),
    ]


def draw_folds(
    frame: pd.DataFrame, folds: int, tuning_fraction: float = 0.2, seed: int = 0
) -> tuple[Split, list[Split]]:
    """Set rows aside to choose `C` on, and cut the others into folds.

    Near duplicates stay together. Every other row is validated once, by a model fitted on the other
    folds. The tuning rows are validated in no fold, so that the choice of `C` sees none of the rows
    that decide the comparison.

    Parameters
    ----------
    frame : DataFrame
        News rows.
    folds : int
        How many, at least two.
    tuning_fraction : float
        Share of the rows to choose `C` on.

    Returns
    -------
    tuning : (fit, valid)
        Row positions, counted from 0; as many rows to fit on as in the first fold.
    folds : list of (fit, valid)
        The same for each fold.
    """
    rows = frame[["label", "text"]].reset_index(drop=True)
    groups = near_duplicate_groups(rows["text"])
    rest, tuning_rows = train_valid_split(rows, tuning_fraction, seed=seed, groups=groups)
    parts, left = [], rest
    for number in range(folds, 1, -1):
        own = groups[left.index.to_numpy()]
        left, part = train_valid_split(left, 1 / number, seed=seed + number, groups=own)
        parts.append(part.index.to_numpy())
    parts.append(left.index.to_numpy())
    everything = rest.index.to_numpy()
    drawn = [(np.setdiff1d(everything, part), part) for part in parts]
    return (drawn[0][0], tuning_rows.index.to_numpy()), drawn


def term_counts(texts: Sequence[str]) -> csr_matrix:
    """Count words, signs and pairs of them in each text, shape `(texts, terms)`."""
    vectorizer = CountVectorizer(
        lowercase=False, token_pattern=TOKEN, ngram_range=(1, 2), dtype=np.float32
    )
    if not any(re.search(TOKEN, text) for text in texts):  # a lossy step may leave nothing
        return csr_matrix((len(texts), 1), dtype=np.float32)
    return vectorizer.fit_transform(texts)


def split_answers(
    counts: csr_matrix, labels: np.ndarray, fit: np.ndarray, valid: np.ndarray, c: float
) -> np.ndarray:
    """Fit TF-IDF and a linear support vector machine on some rows; say which others it gets right.

    Nothing is learned from the rows `valid`: terms that fewer than two rows of `fit` hold are
    dropped, unless all are so rare, and the weights of the others come from `fit` alone.

    Returns
    -------
    array of bool, shape (len(valid),)
    """
    rows_with = counts[fit].getnnz(axis=0)
    known = np.flatnonzero(rows_with >= min(2, rows_with.max()))
    weights = TfidfTransformer(sublinear_tf=True)
    fit_matrix = weights.fit_transform(counts[fit][:, known])
    model = LinearSVC(C=c, random_state=0).fit(fit_matrix, labels[fit])
    return model.predict(weights.transform(counts[valid][:, known])) == labels[valid]


def split_accuracy(
    counts: csr_matrix, labels: np.ndarray, fit: np.ndarray, valid: np.ndarray, c: float
) -> float:
    """Return the share of the rows `valid` that `split_answers` gets right."""
    return float(split_answers(counts, labels, fit, valid, c).mean())


def choose_c(
    counts: csr_matrix, labels: np.ndarray, tuning: Split, grid: Sequence[float] = C_GRID
) -> float:
    """Return the strength with the best accuracy on the tuning rows; the smallest, if several."""
    return max(grid, key=lambda c: split_accuracy(counts, labels, *tuning, c))


def measure(
    frame: pd.DataFrame,
    variant: Variant,
    tuning: Split,
    folds: Sequence[Split],
    grid: Sequence[float] = C_GRID,
) -> Measured:
    """Choose `C` for a variant on the tuning rows, then validate it on each fold."""
    counts = term_counts(clean_frame(frame, variant.cleaner)["text"])
    labels = frame["label"].to_numpy()
    c = choose_c(counts, labels, tuning, grid)
    right = [split_answers(counts, labels, fit, valid, c) for fit, valid in folds]
    return Measured(c, np.concatenate(right))


def paired_interval(
    first: np.ndarray, second: np.ndarray, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (low, mean, high) of `second`'s accuracy minus `first`'s on the same rows.

    Each row counts 1 if only `second` has it right, -1 if only `first` has, else 0; the interval is
    that of their mean (cleaning_study, "A fair comparison"). It speaks of these two fitted models
    on other rows of the same kind, not of models that are fitted on other rows.

    Parameters
    ----------
    first, second : array of bool, shape (rows,)
        Which rows each of them has right, in the same order.

    Raises
    ------
    ValueError
        If the shapes differ, or there are fewer than two rows.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or len(first) < 2:
        raise ValueError(
            f"shapes {first.shape} and {second.shape}: give the same rows, at least two, for both."
        )
    gain = second.astype(int) - first.astype(int)
    half = float(stats.norm.ppf((1 + confidence) / 2) * gain.std(ddof=1) / sqrt(len(gain)))
    mean = float(gain.mean())
    return mean - half, mean, mean + half


def crossed_interval(
    gains: np.ndarray, confidence: float = 0.95, times: int = 2_000, seed: int = 0
) -> tuple[float, float, float]:
    """Return (low, mean, high) of the mean of a table whose rows *and* columns are samples.

    For several draws of training rows, all validated on the same rows: draws and rows are drawn
    with replacement, each for itself (the pigeonhole bootstrap: A. Owen 2007, "The pigeonhole
    bootstrap"). The interval is a little too wide rather than too narrow.

    Parameters
    ----------
    gains : array, shape (draws, rows)
        Difference on each validated row, -1, 0 or 1, for each draw of training rows.
    """
    gains = np.asarray(gains, dtype=float)
    rng = np.random.default_rng(seed)
    draws, rows = gains.shape
    by_draw = rng.multinomial(draws, np.full(draws, 1 / draws), size=times) / draws
    by_row = rng.multinomial(rows, np.full(rows, 1 / rows), size=times) / rows
    means = np.einsum("td,td->t", by_draw, by_row @ gains.T)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(gains.mean()), float(high)


def verdict(low: float, high: float, margin: float = MARGIN) -> str:
    """Say what the interval of a difference shows (cleaning_study, "The verdicts").

    "helps" or "hurts" if it lies on one side of zero; "no difference" if it holds zero and stays
    within `margin` of it; else "undecided": the difference may be large, but was not measured well
    enough to tell its sign.
    """
    if low > 0 or high < 0:
        return "helps" if low > 0 else "hurts"
    return "no difference" if -margin < low and high < margin else "undecided"


def simultaneous_confidence(comparisons: int, confidence: float = 0.95) -> float:
    """Return the confidence that each of several intervals needs (Bonferroni's rule).

    Then all of them hold together with probability `confidence`, whatever their dependence.

    Examples
    --------
    >>> round(simultaneous_confidence(20), 4)
    0.9975
    """
    return 1 - (1 - confidence) / comparisons


def compare(measured: Mapping[str, Measured]) -> dict[str, dict[str, object]]:
    """Compare each measured variant with its reference (cleaning_study, "The verdicts").

    The intervals hold together: each has the confidence of `simultaneous_confidence`.

    Returns
    -------
    dict
        Variant -> `group`, `against`, `c`, `accuracy`, `only_own` and `only_other` (rows that only
        the variant, and only its reference, has right), `low`, `mean`, `high` of the difference,
        and its `verdict`. A variant that is its own reference has the verdict "reference".
    """
    variants = [v for v in cleaning_variants() if v.name in measured and v.against in measured]
    confidence = simultaneous_confidence(sum(v.name != v.against for v in variants))
    table: dict[str, dict[str, object]] = {}
    for variant in variants:
        own, other = measured[variant.name].right, measured[variant.against].right
        row: dict[str, object] = {"group": variant.group, "against": variant.against}
        row |= {"c": measured[variant.name].c, "accuracy": float(own.mean())}
        row |= {"only_own": int((own & ~other).sum()), "only_other": int((other & ~own).sum())}
        low, mean, high = paired_interval(other, own, confidence)
        row |= {"low": low, "mean": mean, "high": high, "verdict": verdict(low, high)}
        if variant.name == variant.against:
            row["verdict"] = "reference"
        table[variant.name] = row
    return table
