"""What the files of AG News are and where the course keeps them (exploration, "Get the data")."""

from __future__ import annotations

from pathlib import Path

from agnews_utils.files import course_path, repository_root, shown_path

#: Class names by label: `CLASS_NAMES[label]` with `label` from 0 to 3 (exploration, "Labels").
CLASS_NAMES = ["World", "Sports", "Business", "Sci/Tech"]
#: The two files of a data set in AG News format.
NEWS_FILES = ("train.csv", "test.csv")
#: MD5 of the official AG News files (`data/ag_news_csv` of github.com/mhjabreel/CharCnn_Keras).
AG_NEWS_MD5 = {
    "train.csv": "b1a00f826fdfbd249f79597b59e1dc12",
    "test.csv": "d52ea96a97a2d943681189a97654912d",
}
#: Number of rows in the official AG News files.
AG_NEWS_ROWS = {"train.csv": 120_000, "test.csv": 7_600}

#: Data sets that come with the course, and those that `make data DATA=...` fetches besides AG News.
BUNDLED = ("newsbriefs", "messages")
DOWNLOADED = ("imdb", "sms")


def bundled_folder(name: str = "newsbriefs") -> Path:
    """Folder of a data set that comes with the course, in the repository or inside the package.

    Raises
    ------
    FileNotFoundError
        If neither place holds `train.csv` and `test.csv`.
    """
    folder = course_path(f"data/{name}")
    if not missing_files(folder):
        return folder
    raise FileNotFoundError(
        f"The bundled data set {name!r} is incomplete: no {' and '.join(NEWS_FILES)} in "
        f"{shown_path(folder)}. "
        "Restore the folder from the repository, or install the package again."
    )


def ag_news_folder() -> Path:
    """Folder that AG News is downloaded to and looked for; it need not exist yet.

    It is `data/ag_news` of the repository; with an installed package (Colab), that of the working
    directory.
    """
    return downloaded_folder("ag_news")


def downloaded_folder(name: str) -> Path:
    """Folder of a data set that is downloaded, by its name; it need not exist yet."""
    root = repository_root()
    return (Path.cwd() if root is None else root) / "data" / name


def missing_files(folder: Path) -> list[str]:
    """Names of the files of a data set that `folder` lacks: an empty list means all are there."""
    return [name for name in NEWS_FILES if not (folder / name).is_file()]
