"""Chapter 1, dataset exploration: load the news, and everything else that the chapter teaches.

The longer parts live next to this module, and are imported from here all the same: `corpus`,
`download`, `duplicates`, `exploration`, `reading` and `splitting`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from agnews_utils.corpus import (
    AG_NEWS_MD5,
    AG_NEWS_ROWS,
    CLASS_NAMES,
    NEWS_FILES,
    ag_news_folder,
    bundled_folder,
    missing_files,
)
from agnews_utils.download import DownloadError, download_ag_news
from agnews_utils.duplicates import (
    NEAR_DUPLICATE_THRESHOLD,
    exact_duplicate_groups,
    jaccard,
    minhash_signatures,
    near_duplicate_groups,
    near_duplicate_pairs,
    shingles,
)
from agnews_utils.exploration import (
    ARTIFACTS,
    NEWS_SOURCES,
    accuracy_interval,
    artifact_counts,
    class_log_odds,
    log_odds,
    news_source,
)
from agnews_utils.files import file_hash, shown_path
from agnews_utils.reading import NewsFormatError, read_news_csv
from agnews_utils.splitting import train_valid_split

__all__ = [
    "AG_NEWS_MD5",
    "AG_NEWS_ROWS",
    "ARTIFACTS",
    "CLASS_NAMES",
    "NEAR_DUPLICATE_THRESHOLD",
    "NEWS_SOURCES",
    "DownloadError",
    "News",
    "NewsFormatError",
    "accuracy_interval",
    "ag_news_folder",
    "artifact_counts",
    "bundled_folder",
    "class_log_odds",
    "download_ag_news",
    "exact_duplicate_groups",
    "jaccard",
    "load_news",
    "log_odds",
    "minhash_signatures",
    "near_duplicate_groups",
    "near_duplicate_pairs",
    "news_source",
    "read_news_csv",
    "shingles",
    "train_valid_split",
]


@dataclass(frozen=True, eq=False, repr=False)
class News:
    """A data set with its two splits: `train, test = load_news()` unpacks it.

    Attributes
    ----------
    name : str
        "ag_news" if the test file is the official one, "newsbriefs" for the bundled corpus, else
        the name of the folder.
    folder : Path
        Where the files lie.
    train, test : DataFrame
        The rows as `read_news_csv` gives them.
    md5 : dict of str to str
        MD5 of each file, by file name.
    """

    name: str
    folder: Path
    train: pd.DataFrame
    test: pd.DataFrame
    md5: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether both files are the official AG News files, all 120,000 and 7,600 rows."""
        return self.name == "ag_news" and self.md5 == AG_NEWS_MD5

    @property
    def description(self) -> str:
        """What was loaded, in the words that a result measured on it should carry."""
        titles = {"ag_news": "AG News", "newsbriefs": "News Briefs"}
        train, official = len(self.train), AG_NEWS_ROWS["train.csv"]
        rows = f"{train:,} training rows"
        if self.name == "ag_news" and train < official:
            rows = f"{train:,} of {official:,} training rows"
        elif self.name == "ag_news" and not self.complete:
            rows = f"{train:,} training rows from a changed file"
        return f"{titles.get(self.name, self.name)} ({rows}, {len(self.test):,} test rows)"

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter((self.train, self.test))

    def __repr__(self) -> str:
        return f"News({self.description})"


def load_news(source: str | os.PathLike[str] | None = None) -> News:
    """Load the training and test rows, and print one line about them (chapter 1, "Get the data").

    Nothing is ever downloaded here: `download_ag_news()` or `make data` does that.

    Parameters
    ----------
    source : str or path, optional
        "ag_news", "newsbriefs", or a folder that holds `train.csv` and `test.csv`. Without it the
        environment variable `AGNEWS_DATA` decides; without that, AG News if it has been
        downloaded, else the bundled News Briefs.

    Returns
    -------
    News
        The two splits; `train, test = load_news()` unpacks it.

    Raises
    ------
    FileNotFoundError
        If the data set asked for is not there; the message says how to get it.
    NewsFormatError
        If a file is not in the format of AG News; see `read_news_csv`.
    """
    folder, remark = _chosen_folder(source)
    md5 = {name: file_hash(folder / name, "md5") for name in NEWS_FILES}
    train, test = (read_news_csv(folder / name) for name in NEWS_FILES)
    news = News(_data_set_name(folder, md5), folder, train, test, md5)
    place = "bundled with the course" if news.name == "newsbriefs" else f"from {shown_path(folder)}"
    missing = [frame.attrs["missing_descriptions"] for frame in news]
    gaps = f"; no description in {missing[0]:,} training and {missing[1]:,} test rows"
    print(f"Loaded {news.description}, {place}{gaps if any(missing) else ''}{remark}.")
    return news


def _chosen_folder(source: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the folder to read, and a remark about the choice for the printed line."""
    origin = "the argument of load_news"
    if source is None and os.environ.get("AGNEWS_DATA", "").strip():
        source, origin = os.environ["AGNEWS_DATA"].strip(), "the environment variable AGNEWS_DATA"
    if source is None:
        folder = ag_news_folder()
        missing = missing_files(folder)
        if not missing:
            return folder, ""
        remark = ""
        if len(missing) < len(NEWS_FILES):
            remark = f" ({shown_path(folder)} lacks {missing[0]}: `make data` completes it)"
        return bundled_folder(), remark
    if source == "newsbriefs":
        return bundled_folder(), ""
    if source == "ag_news":
        folder = ag_news_folder()
        if missing := missing_files(folder):
            raise FileNotFoundError(
                f"AG News is not there yet: no {' and '.join(missing)} in {shown_path(folder)}. "
                "Run `make data`, or download_ag_news() from agnews_utils.data in a notebook."
            )
        return folder, ""
    return _named_folder(source, origin), ""


def _named_folder(source: str | os.PathLike[str], origin: str) -> Path:
    folder = Path(source).expanduser()
    wanted = f"{os.fspath(source)!r}, from {origin},"
    if folder.is_dir():
        if missing := missing_files(folder):
            raise FileNotFoundError(
                f"The folder {wanted} holds no {' and no '.join(missing)}: name a folder that "
                "holds train.csv and test.csv."
            )
        return folder
    problem = "is a file" if folder.exists() else "does not exist"
    raise FileNotFoundError(
        f'{wanted} {problem}: expected "ag_news", "newsbriefs", or a folder that holds '
        "train.csv and test.csv."
    )


def _data_set_name(folder: Path, md5: dict[str, str]) -> str:
    """Name a data set by what its files are, since a folder may be called anything."""
    if md5["test.csv"] == AG_NEWS_MD5["test.csv"]:
        return "ag_news"
    try:
        if folder.resolve() == bundled_folder().resolve():
            return "newsbriefs"
    except FileNotFoundError:
        pass
    name = folder.resolve().name
    return f"{name} (own files)" if name in ("ag_news", "newsbriefs") else name
