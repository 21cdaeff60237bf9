"""What the files of AG News are and where the course keeps them (chapter 1, "Get the data").

This module imports nothing else of the package: reading, downloading and describing all use it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

#: Class names in label order: `CLASS_NAMES[label]` with `label` from 0 to 3 (chapter 1, "Labels").
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

_PACKAGE = Path(__file__).resolve().parent


def repository_root() -> Path | None:
    """Folder of the course's repository, or None when the package was installed from a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "data").is_dir() else None


def bundled_folder(name: str = "newsbriefs") -> Path:
    """Folder of a data set that comes with the course.

    Parameters
    ----------
    name : str
        Name of the data set; only "newsbriefs" is bundled.

    Returns
    -------
    Path
        `data/<name>` of the repository, or the copy inside the installed package.

    Raises
    ------
    FileNotFoundError
        If neither place holds `train.csv` and `test.csv`.
    """
    root = repository_root()
    places = [] if root is None else [root / "data" / name]
    places.append(_PACKAGE / "bundled" / name)
    for place in places:
        if not missing_files(place):
            return place
    raise FileNotFoundError(
        f"The bundled data set {name!r} is incomplete: no {' and '.join(NEWS_FILES)} in "
        f"{' or '.join(shown_path(place) for place in places)}. "
        "Restore the folder from the repository, or install the package again."
    )


def ag_news_folder() -> Path:
    """Folder that AG News is downloaded to and looked for; it need not exist yet.

    Returns
    -------
    Path
        `data/ag_news` of the repository; with an installed package (Colab), `data/ag_news` under
        the working directory.
    """
    root = repository_root()
    return (Path.cwd() if root is None else root) / "data" / "ag_news"


def missing_files(folder: Path) -> list[str]:
    """Names of the files of a data set that `folder` lacks: an empty list means all are there."""
    return [name for name in NEWS_FILES if not (folder / name).is_file()]


def file_md5(path: str | os.PathLike[str]) -> str:
    """MD5 of a file as 32 hexadecimal digits, read in pieces: any size fits into memory."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def shown_path(path: str | os.PathLike[str]) -> str:
    """Write a path as printed in a notebook: without the part that only this machine has.

    Returns
    -------
    str
        The path relative to the repository or to the working directory; for a path outside of
        both its last two parts.
    """
    absolute = Path(os.path.abspath(path))
    bases = [base for base in (repository_root(), Path.cwd()) if base is not None]
    for base in bases:
        for candidate, start in ((absolute, base), (absolute.resolve(), base.resolve())):
            if candidate.is_relative_to(start):
                return candidate.relative_to(start).as_posix()
    return "/".join(part for part in absolute.parts[-2:] if part != absolute.anchor)
