"""The ground of the package: where its files lie, what their hashes are, how they are written.

Nothing of the course is imported here, so that every other part may use it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def repository_root() -> Path | None:
    """Folder of the course's repository, or None when the package was installed from a wheel."""
    root = _PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "data").is_dir() else None


def course_path(name: str) -> Path:
    """Return where something that comes with the course lies; it need not exist.

    `name` is its place in the repository, such as "data/newsbriefs" or "results". If the repository
    does not have it, the path is that of the copy which the installed package carries.
    """
    root = repository_root()
    packed = _PACKAGE / "bundled" / name
    if root is None or (packed.exists() and not (root / name).exists()):
        return packed
    return root / name


def shown_path(path: str | os.PathLike[str]) -> str:
    """Write a path as printed in a notebook: without the part that only this machine has.

    That is relative to the repository or to the working directory; outside of both, the last two
    parts.
    """
    absolute = Path(os.path.abspath(path))
    bases = [base for base in (repository_root(), Path.cwd()) if base is not None]
    for base in bases:
        for candidate, start in ((absolute, base), (absolute.resolve(), base.resolve())):
            if candidate.is_relative_to(start):
                return candidate.relative_to(start).as_posix()
    return "/".join(part for part in absolute.parts[-2:] if part != absolute.anchor)


def file_hash(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Return a file's hash in hexadecimal digits; `algorithm` is a name that `hashlib` knows."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Write a file or a folder so that under its own name it is whole or not there.

    The block writes to the path that it is given; when it ends, that is flushed to the disk and
    renamed to `path`, in the place of what was there. If the block fails, nothing has changed.

    >>> with written_whole("notes.txt") as partial:  # doctest: +SKIP
    ...     partial.write_text("all or nothing")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    _remove(partial)
    try:
        yield partial
        for part in [*(partial.rglob("*") if partial.is_dir() else ()), partial]:
            _flush(part)
        if path.is_dir():  # a folder takes the place of an empty name only
            shutil.rmtree(path)
        os.replace(partial, path)
        _flush(path.parent)
    finally:
        _remove(partial)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, with plain line ends, whole or not at all."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Make the system write a file or folder to the disk now."""
    if path.is_dir() and os.name == "nt":
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
