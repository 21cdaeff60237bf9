"""Chapter cleaning, what it is worth: how good a repair is, and whether it helps a model.

Repairs are held against the truth of News Briefs (cleaning, "How good is a repair?"). Pipelines are
measured on the same splits with the same linear model, so that what is compared is the *difference*
on each split (cleaning, "Does it help?").
"""

from __future__ import annotations

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
TOKEN = r"\w+|[^\w\s]"
"""Words *and* signs: the vectorizer must not clean behind our back."""


@dataclass(frozen=True)
class Variant:
    """One pipeline to measure, and the one that it is compared with."""

    name: str
    cleaner: Cleaner
    against: str
    group: str


def cleaning_variants() -> list[Variant]:
    """Return the pipelines that chapter cleaning, "Does it help?", compares; references first."""
    raw, repaired = Cleaner([]), Cleaner()
    lossy = {step.name: step for step in LOSSY_STEPS}
    textbook = repaired.plus(*(lossy[name] for name in _TEXTBOOK_STEPS))
    recipe = raw.plus(*(lossy[name] for name in _RECIPE_STEPS))
    variants = [
        Variant(RAW, raw, RAW, "reference"),
        Variant(REPAIRED, repaired, RAW, "reference"),
        Variant(TEXTBOOK, textbook, REPAIRED, "reference"),
        Variant("tutorial recipe", recipe, RAW, "reference"),
    ]
    for step in DEFAULT_STEPS:
        variants.append(Variant(f"only {step.name}", raw.plus(step), RAW, "added to raw text"))
    for step in DEFAULT_STEPS:
        name, without = f"without {step.name}", repaired.without(step.name)
        variants.append(Variant(name, without, REPAIRED, "left out of the repairs"))
    for step in LOSSY_STEPS:
        name, plus = f"+ {step.name}", repaired.plus(step)
        variants.append(Variant(name, plus, REPAIRED, "added to the repairs"))
    for name in _TEXTBOOK_STEPS:
        without = textbook.without(name)
        variants.append(Variant(f"- {name}", without, TEXTBOOK, "left out of the textbook"))
    return variants


def repeated_splits(
    frame: pd.DataFrame, splits: int, fit_rows: int, valid_fraction: float, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw several splits of the rows; near duplicates stay on one side.

    Parameters
    ----------
    frame : DataFrame
        News rows.
    splits : int
        How many; the first has the seed `seed`, the next one the next number.
    fit_rows : int
        At most so many rows to fit on, drawn from those that are left.
    valid_fraction : float
        Share of the rows to validate on.

    Returns
    -------
    list of (fit, valid)
        Row positions, counted from 0.
    """
    rows = frame[["label", "text"]].reset_index(drop=True)
    groups = near_duplicate_groups(rows["text"])
    drawn = []
    for number in range(seed, seed + splits):
        fit, valid = train_valid_split(rows, valid_fraction, seed=number, groups=groups)
        order = np.random.default_rng(number).permutation(len(fit))[:fit_rows]
        drawn.append((fit.index.to_numpy()[order], valid.index.to_numpy()))
    return drawn


def term_counts(texts: Sequence[str]) -> csr_matrix:
    """Count words, signs and pairs of them in each text, shape `(texts, terms)`."""
    vectorizer = CountVectorizer(
        lowercase=False, token_pattern=TOKEN, ngram_range=(1, 2), dtype=np.float32
    )
    return vectorizer.fit_transform(texts)


def split_accuracy(
    counts: csr_matrix, labels: np.ndarray, fit: np.ndarray, valid: np.ndarray, c: float = 0.3
) -> float:
    """Fit TF-IDF and a linear support vector machine on some rows, and score it on others.

    Nothing is learned from the rows `valid`: terms that fewer than two rows of `fit` hold are
    dropped, and the weights of the others come from `fit` alone.
    """
    known = np.flatnonzero(counts[fit].getnnz(axis=0) >= 2)
    weights = TfidfTransformer(sublinear_tf=True)
    fit_matrix = weights.fit_transform(counts[fit][:, known])
    model = LinearSVC(C=c, random_state=0).fit(fit_matrix, labels[fit])
    return float(model.score(weights.transform(counts[valid][:, known]), labels[valid]))


def variant_accuracies(
    frame: pd.DataFrame, variant: Variant, splits: Sequence[tuple[np.ndarray, np.ndarray]]
) -> list[float]:
    """Measure a variant on each split; accuracies between 0 and 1, one a split."""
    counts = term_counts(clean_frame(frame, variant.cleaner)["text"])
    labels = frame["label"].to_numpy()
    return [split_accuracy(counts, labels, fit, valid) for fit, valid in splits]


def paired_interval(
    differences: Sequence[float], fit_rows: int, valid_rows: int, confidence: float = 0.95
) -> tuple[float, float, float]:
    """Return (low, mean, high) of the mean difference over repeated splits.

    Splits of the same rows overlap, so their differences are not independent, and the usual
    t-interval is far too narrow. Nadeau and Bengio (2003), "Inference for the generalization
    error", correct the variance: `(1 / splits + valid_rows / fit_rows)` instead of `1 / splits`.
    For differences that *are* independent pass `valid_rows=0`, which gives the usual interval.

    Raises
    ------
    ValueError
        If there are fewer than two differences.
    """
    if len(differences) < 2:
        raise ValueError("one split has no spread: give the differences of at least two splits.")
    values = np.asarray(differences, dtype=float)
    error = values.std(ddof=1) * sqrt(1 / len(values) + valid_rows / fit_rows)
    half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1) * error)
    mean = float(values.mean())
    return mean - half, mean, mean + half


def verdict(low: float, high: float, margin: float = 0.003) -> str:
    """Say what the interval of a difference shows (cleaning, "Does it help?").

    "helps" or "hurts" if it lies on one side of zero; "no difference" if it holds zero and stays
    within `margin` of it; else "undecided": the difference may be large, but was not measured well
    enough to tell its sign.
    """
    if low > 0 or high < 0:
        return "helps" if low > 0 else "hurts"
    return "no difference" if -margin < low and high < margin else "undecided"


def compare(
    accuracies: dict[str, list[float]], fit_rows: int, valid_rows: int
) -> dict[str, dict[str, object]]:
    """Compare each measured variant with its reference (cleaning, "Does it help?").

    Returns
    -------
    dict
        Variant -> `group`, `against`, `accuracy` (mean over the splits), `low`, `mean`, `high` of
        the paired difference, and its `verdict`.
    """
    table: dict[str, dict[str, object]] = {}
    for variant in cleaning_variants():
        if variant.name not in accuracies or variant.against not in accuracies:
            continue
        own = np.array(accuracies[variant.name])
        differences = own - np.array(accuracies[variant.against])
        low, mean, high = paired_interval(differences, fit_rows, valid_rows)
        table[variant.name] = {
            "group": variant.group,
            "against": variant.against,
            "accuracy": float(own.mean()),
            **{"low": low, "mean": mean, "high": high, "verdict": verdict(low, high)},
        }
    return table
