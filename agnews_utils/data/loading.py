"""Load a data set: AG News, News Briefs, or somebody's own labelled texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from agnews_utils.data.ag_news_csv import (
    ForeignClassError,
    foreign_share,
    looks_like_ag_news,
    read_news_csv,
)
from agnews_utils.data.columns import Options
from agnews_utils.data.corpus import (
    AG_NEWS_MD5,
    AG_NEWS_ROWS,
    BUNDLED,
    CLASS_NAMES,
    DOWNLOADED,
    NEWS_FILES,
    ag_news_folder,
    bundled_folder,
    downloaded_folder,
    missing_files,
)
from agnews_utils.data.formats import NewsFormatError
from agnews_utils.data.own_data import classes_in_words, read_own_data, relabelled, settings
from agnews_utils.files import file_hash, shown_path
from agnews_utils.runtime import say


@dataclass(frozen=True, eq=False, repr=False)
class News:
    """A data set with its two splits: `train, test = load_news()` unpacks it.

    Attributes
    ----------
    name : str
        "ag_news" if the test file is the official one, "newsbriefs" or "messages" for what comes
        with the course, else the name of the folder.
    folder : Path
        Where the files lie.
    train, test : DataFrame
        The rows as `read_news_csv` gives them.
    md5 : dict of str to str
        MD5 of each file, by file name; of all texts of a split, where each is a file.
    classes : tuple of str
        Names of the classes: `classes[label]`.
    rows_there : int, optional
        Training rows of the data set, where `train` holds a part of them only.
    carved : bool
        Whether the test rows were set aside from the training rows, since no file held any.
    as_ag_news : bool
        Whether `train.csv` and `test.csv` are there in the format of AG News.
    """

    name: str
    folder: Path
    train: pd.DataFrame
    test: pd.DataFrame
    md5: dict[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = tuple(CLASS_NAMES)
    rows_there: int | None = None
    carved: bool = False
    as_ag_news: bool = False

    @property
    def complete(self) -> bool:
        """Whether both files are the official AG News files, all 120,000 and 7,600 rows."""
        whole = len(self.train) == AG_NEWS_ROWS["train.csv"]
        return self.name == "ag_news" and self.md5 == AG_NEWS_MD5 and whole

    @property
    def measured(self) -> bool:
        """Whether the course's own numbers come from it: AG News or News Briefs.

        What a chapter asserts about its results was measured there, and holds there only.
        """
        return self.name in ("ag_news", "newsbriefs")

    @property
    def description(self) -> str:
        """What was loaded, in the words that a result measured on it should carry."""
        titles = {"ag_news": "AG News", "newsbriefs": "News Briefs", "messages": "Messages"}
        train, official = len(self.train), AG_NEWS_ROWS["train.csv"]
        there = self.rows_there or train
        if self.name == "ag_news":
            there = max(there, official)
        rows = f"{train:,} training rows"
        if train < there:
            rows = f"{train:,} of {there:,} training rows"
        elif self.name == "ag_news" and not self.complete:
            rows = f"{train:,} training rows from a changed file"
        test = f"{len(self.test):,} test rows" + (
            " set aside from the same file" if self.carved else ""
        )
        return f"{titles.get(self.name, self.name)} ({rows}, {test})"

    @property
    def test_md5(self) -> str:
        """MD5 of what the test rows come from; of all files, where that is not `test.csv` alone."""
        return self.md5.get("test.csv") or "+".join(self.md5[name] for name in sorted(self.md5))

    def with_training_rows(self, rows: pd.DataFrame) -> News:
        """Return the same data with a part of the training rows, and a description that says so."""
        return replace(self, train=rows, rows_there=self.rows_there or len(self.train))

    def __iter__(self) -> Iterator[pd.DataFrame]:
        return iter((self.train, self.test))

    def __repr__(self) -> str:
        return f"News({self.description})"


def load_news(
    source: str | os.PathLike[str] | None = None,
    *,
    text: str | int | None = None,
    label: str | int | None = None,
    title: str | int | None = None,
    classes: Sequence[str] | Mapping[Any, str] | None = None,
    separator: str | None = None,
    header: bool | None = None,
    encoding: str | None = None,
) -> News:
    """Load the training and test rows, and print one line about them (exploration, "Get the data").

    Nothing is ever downloaded here: `download_ag_news()` or `make data` does that.

    Own texts may come as CSV (comma, semicolon or tab; with or without a header), JSON, JSON lines
    or Parquet, plain, in gzip or ZIP. The names of the files say which rows they hold: `train`,
    `test`; `validation` stands in for a missing test file, and with neither, one row in five is set
    aside. Texts of one file each, in a folder for each class (`train/pos/1.txt`), are read from a
    folder or an archive (`.zip`, `.tar.gz`). What is found out is printed (`read as: semicolon,
    header, text in "Message", 2 classes: ham, spam`); what can be read in two ways is refused. Then
    an option decides. A file `dataset.toml` in the folder may hold the same options, for commands
    and notebooks alike, and `classes.txt` the names of the classes, one a line. Training rows that
    stand one class after the other are shuffled, since chapters take the first rows for an example
    of all.

    Parameters
    ----------
    source : str or path, optional
        "ag_news", "newsbriefs" or "messages" (bundled), "imdb" or "sms" (once `make data` has
        fetched them), a folder, or one file. Without it the environment variable
        `AGNEWS_DATA` decides; without that, AG News if it has been downloaded, else the bundled
        News Briefs.
    text, label, title : str or int, optional
        Columns, by name or by number from 1. Texts without a title stand in `description`.
    classes : sequence or mapping, optional
        Names of the classes in the order of their numbers, which may count from 0 or from 1; or
        what stands in the file -> name, such as `{0: "ham", 1: "spam"}`.
    separator, encoding : str, optional
        Of CSV files, such as ";" and "cp1252".
    header : bool, optional
        Whether the first line of CSV files names the columns.

    Returns
    -------
    News
        The two splits; `train, test = load_news()` unpacks it.

    Raises
    ------
    FileNotFoundError
        If the data set asked for is not there; the message says how to get it.
    NewsFormatError
        If a file is damaged or of another kind, if it can be read in two ways, or if classes and
        their names do not fit. The message names the file, mostly the line, and what to do.
    ValueError
        If an option has an impossible value.
    """
    options = Options(text, label, title, classes, separator, header, encoding)
    place, remark = _chosen_place(source)
    if _is_ours(place) and not options.given:
        news, read_as = _as_ag_news(place), ""
    else:
        news, read_as = _own_data(place, options)
        if _in_blocks(news.train):
            news = replace(news, train=_shuffled(news.train))
            remark += "; its training rows stood one class after the other, and were shuffled"
    where = "bundled with the course" if news.name in BUNDLED else f"from {shown_path(place)}"
    missing = [frame.attrs["missing_descriptions"] for frame in news]
    what = "description" if read_as == "" or read_as.startswith(_AG_NEWS_FORM) else "text"
    gaps = f"; no {what} in {missing[0]:,} training and {missing[1]:,} test rows"
    read_as = f"; read as: {read_as}" if read_as else ""
    say(f"Loaded {news.description}, {where}{read_as}{gaps if any(missing) else ''}{remark}.")
    return news


_AG_NEWS_FORM = "AG News' format"


def _is_ours(place: Path) -> bool:
    """Tell whether a place is one of the two data sets that the course knows by their files."""
    if not place.is_dir() or missing_files(place):
        return False
    if (place / "dataset.toml").is_file():
        return False
    return _data_set_name(place, {"test.csv": file_hash(place / "test.csv", "md5")}) in (
        "ag_news",
        "newsbriefs",
    )


def _as_ag_news(folder: Path) -> News:
    md5 = {name: file_hash(folder / name, "md5") for name in NEWS_FILES}
    train, test = (read_news_csv(folder / name) for name in NEWS_FILES)
    return News(_data_set_name(folder, md5), folder, train, test, md5, as_ag_news=True)


def _own_data(place: Path, given: Options) -> tuple[News, str]:
    """Read what is not the course's own data; returns how it was read, too."""
    folder = place if place.is_dir() else place.parent
    options, names_from = settings(folder, given.given)
    names = options.classes
    four = names is None or (not isinstance(names, Mapping) and len(names) == len(CLASS_NAMES))
    if place.is_dir() and not missing_files(place) and not options.given.keys() - {"classes"}:
        news = _in_ag_news_form(place) if four else None
        if news is not None:
            own = tuple(CLASS_NAMES) if names is None else tuple(names)
            train, test = (relabelled(frame, own) for frame in news)
            news = replace(news, train=train, test=test, classes=own)
            there = set(news.test["label"])
            untested = [repr(name) for label, name in enumerate(own) if label not in there]
            remark = f"; no test row of {', '.join(untested)}" if untested else ""
            return news, f"{_AG_NEWS_FORM}, {classes_in_words(own)}{remark}"
    found = read_own_data(place, options, names_from)
    name = _data_set_name(place, found.md5)
    train, test, classes = found.train, found.test, found.classes
    news = News(name, folder, train, test, found.md5, classes, carved=found.carved)
    return news, found.read_as


def _in_blocks(rows: pd.DataFrame) -> bool:
    """Tell whether the rows of one class follow one another, as in files made of folders.

    Then the class changes from row to row far less often than in rows of any order.
    """
    changes = (rows["label"].diff().iloc[1:] != 0).sum()
    shares = rows["label"].value_counts(normalize=True)
    return changes < 0.1 * len(rows) * (1 - (shares**2).sum())


def _shuffled(rows: pd.DataFrame) -> pd.DataFrame:
    mixed = rows.sample(frac=1, random_state=0).reset_index(drop=True)
    mixed.attrs = dict(rows.attrs)
    return mixed


_FEW = 0.01  # share of the rows up to which classes that AG News has not are mistakes


def _in_ag_news_form(folder: Path) -> News | None:
    """Read a folder in the format of AG News; None if it is in another one.

    Whether it is, its training rows decide: all four classes are there, and no other.
    """
    train, test = (folder / name for name in NEWS_FILES)
    try:
        rows = read_news_csv(train)
    except ForeignClassError:
        if foreign_share(train) <= _FEW:
            raise
        return None
    except NewsFormatError:
        if looks_like_ag_news(train):
            raise
        return None
    if rows["label"].nunique() < len(CLASS_NAMES):
        return None
    md5 = {path.name: file_hash(path, "md5") for path in (train, test)}
    rows_to_test = read_news_csv(test)
    return News(_data_set_name(folder, md5), folder, rows, rows_to_test, md5, as_ag_news=True)


def _chosen_place(source: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the folder or file to read, and a remark on the choice for the printed line."""
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
    if source in BUNDLED:
        return bundled_folder(str(source)), ""
    if source in DOWNLOADED and not Path(source).exists():
        return _downloaded_archive(str(source)), ""
    if source == "ag_news":
        folder = ag_news_folder()
        if missing := missing_files(folder):
            raise FileNotFoundError(
                f"AG News is not there yet: no {' and '.join(missing)} in {shown_path(folder)}. "
                "Run `make data`, or download_ag_news() from agnews_utils.data in a notebook."
            )
        return folder, ""
    return _named_place(source, origin), ""


def _downloaded_archive(name: str) -> Path:
    folder = downloaded_folder(name)
    if not folder.is_dir() or not any(folder.iterdir()):
        raise FileNotFoundError(
            f"The data set {name!r} is not there yet: {shown_path(folder)} is empty. Run "
            f"`make data DATA={name}` (`python -m agnews_utils.data.download {name}`)."
        )
    return folder


def _named_place(source: str | os.PathLike[str], origin: str) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    wanted = f"{os.fspath(source)!r}, from {origin},"
    if path.is_file():
        if path.name in NEWS_FILES and not missing_files(path.parent):
            raise FileNotFoundError(
                f"{wanted} is a file beside the other one of the data set: name the folder."
            )
        return path
    raise FileNotFoundError(
        f'{wanted} does not exist: expected "ag_news", "newsbriefs", "messages", "imdb", "sms", or '
        "a folder that holds train.csv and test.csv, or other files with labelled texts."
    )


def _data_set_name(folder: Path, md5: dict[str, str]) -> str:
    """Name a data set by what its files are, since a folder may be called anything."""
    if md5.get("test.csv") == AG_NEWS_MD5["test.csv"]:
        return "ag_news"
    for bundled in BUNDLED:
        try:
            if folder.resolve() == bundled_folder(bundled).resolve():
                return bundled
        except FileNotFoundError:
            pass
    name = folder.resolve().name
    if folder.is_file():
        name = name.split(".")[0] or name
    return f"{name} (own files)" if name in ("ag_news", *BUNDLED) else name


def read_truth(path: Path | None = None) -> list[dict]:
    """Read the truth file of News Briefs: what was added to each row, and the clean text.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    """
    path = bundled_folder() / "truth.jsonl" if path is None else path
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
