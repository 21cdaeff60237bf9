"""Download AG News, or texts of another kind, and prove that they arrived whole.

The chapter "Dataset exploration" uses it in "Get the data"; `make data` runs it as a command:
`python -m agnews_utils.data.download`, with `imdb` or `sms` behind it for those.
"""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agnews_utils.data.corpus import AG_NEWS_MD5, DOWNLOADED, ag_news_folder, downloaded_folder
from agnews_utils.files import file_hash, shown_path, written_whole
from agnews_utils.runtime import say

#: Addresses that hold the official files; the second reaches the same ones over another host.
MIRRORS = (
    "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/",
    "https://github.com/mhjabreel/CharCnn_Keras/raw/master/data/ag_news_csv/",
)
#: Seconds to wait for a connection, and for the next piece of a file.
TIMEOUT = (5.0, 30.0)

#: Class of an error of requests or urllib3 -> what it means; the first that fits counts.
_REASONS = {
    "ConnectTimeout": "no connection within the time limit",
    "ReadTimeout": "stalled: nothing came within the time limit",
    "ReadTimeoutError": "stalled: nothing came within the time limit",
    "ChunkedEncodingError": "the connection broke off",
    "ProtocolError": "the connection broke off",
    "SSLError": "the secure connection failed",
    "ProxyError": "the proxy refused the connection",
    "TooManyRedirects": "redirected in a circle",
    "InvalidURL": "not a valid address",
    "MissingSchema": "not an address: it has no https://",
    "InvalidSchema": "not an address that starts with https://",
    "ConnectionError": "no connection",
}
_ADVICE = "The bundled News Briefs work without a download: load_news() or AGNEWS_DATA=newsbriefs."


@dataclass(frozen=True)
class Archive:
    """A data set that is one file: what it is called, where it comes from, how it is recognized.

    Where nobody has published the MD5 of a file, its rows are counted: `rows` of each class in the
    member `table` of a ZIP archive.
    """

    file: str
    folder_url: str
    terms: str
    md5: str | None = None
    table: str = ""
    rows: Mapping[str, int] | None = None


ARCHIVES = {
    "imdb": Archive(
        "aclImdb_v1.tar.gz",
        "https://ai.stanford.edu/~amaas/data/sentiment/",
        "Large Movie Review Dataset (Maas et al., 2011), for research",
        md5="7c2ac02c03563afcf9b574c7e56c153a",
    ),
    "sms": Archive(
        "sms+spam+collection.zip",
        "https://archive.ics.uci.edu/static/public/228/",
        "SMS Spam Collection (Almeida and Hidalgo, 2011), CC BY 4.0",
        table="SMSSpamCollection",
        rows={"ham": 4827, "spam": 747},
    ),
}


class DownloadError(RuntimeError):
    """No address gave a file; the message names the file, every address tried, and why."""


def download_ag_news(
    folder: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    progress: bool = True,
    files: Mapping[str, str] = AG_NEWS_MD5,
) -> Path:
    """Download the official AG News files, unless they are already there and right.

    A file has its name only once it is complete and has the right MD5. AG News is for research and
    other non-commercial use.

    Parameters
    ----------
    folder : str or path, optional
        Where to put the files; created if need be. Default: `ag_news_folder()`.
    mirrors : sequence of str, optional
        Addresses of folders that hold the files, tried in order. Default: `MIRRORS`, preceded by
        the environment variable `AGNEWS_MIRROR` if it is set.
    timeout : tuple of float
        Seconds to wait for a connection, and for the next piece of a file.
    progress : bool
        Show a progress bar, and print what happens.
    files : mapping of str to str
        MD5 of each file, by file name.

    Returns
    -------
    Path
        The folder, which now holds every file, verified.

    Raises
    ------
    DownloadError
        If a file could be had from no address, or the folder cannot be written.
    """
    folder = ag_news_folder() if folder is None else Path(folder).expanduser()
    addresses = _addresses(mirrors)
    for name, md5 in files.items():
        _have(folder / name, _of_md5(md5), addresses, timeout, progress)
    return folder


def download_archive(
    name: str,
    folder: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    progress: bool = True,
    archives: Mapping[str, Archive] = ARCHIVES,
) -> Path:
    """Download IMDb's film reviews or the SMS Spam Collection, unless they are there and right.

    The archive stays packed: `load_news(name)` reads it as it is.

    Parameters
    ----------
    name : {"imdb", "sms"}
        The data set; its terms are printed.
    folder, mirrors, timeout, progress
        As in `download_ag_news`; by default `data/imdb` or `data/sms`, and the official address.
    archives : mapping of str to Archive
        What there is.

    Returns
    -------
    Path
        The folder with the archive.

    Raises
    ------
    DownloadError
        If it could be had from no address, or the folder cannot be written.
    """
    archive = archives[name]
    folder = downloaded_folder(name) if folder is None else Path(folder).expanduser()
    addresses = _addresses([archive.folder_url] if mirrors is None else mirrors)
    if progress:
        say(f"{archive.terms}.")
    check = _of_md5(archive.md5) if archive.md5 else _of_rows(archive)
    _have(folder / archive.file, check, addresses, timeout, progress)
    return folder


def _of_md5(md5: str) -> Callable[[Path], None]:
    return lambda path: verify(path, md5, "md5")


def _of_rows(archive: Archive) -> Callable[[Path], None]:
    """Return a check of what is in a ZIP archive: rows of each class, with tabs between columns."""

    def check(path: Path) -> None:
        _refuse_page(path)
        try:
            with zipfile.ZipFile(path) as packed:
                lines = packed.read(archive.table).decode("utf-8").split("\n")
        except Exception as error:  # zipfile and zlib raise many kinds
            raise DownloadError(f"wrong content: {error}") from None
        counts = Counter(line.split("\t")[0] for line in lines if line.strip())
        if counts != (wanted := dict(archive.rows or {})):
            few = dict(counts.most_common(4))
            raise DownloadError(f"wrong content: rows {few} instead of {wanted}")

    return check


def _have(
    target: Path,
    check: Callable[[Path], None],
    addresses: Sequence[str],
    timeout: tuple[float, float],
    progress: bool,
) -> None:
    """Get a file unless it is there and right, and say which."""
    done = "is there and verified."
    if not _is_right(target, check):
        if progress and target.is_file():
            say(f"{shown_path(target)} is not the official file: fetching it again.")
        _fetch(target, check, addresses, timeout, progress)
        done = "is downloaded and verified."
    if progress:
        say(f"{shown_path(target)} {done}")


def _is_right(target: Path, check: Callable[[Path], None]) -> bool:
    if not target.is_file():
        return False
    try:
        check(target)
    except DownloadError:
        return False
    return True


def _addresses(mirrors: Sequence[str] | None) -> list[str]:
    """Addresses to try in order, each with a slash at its end."""
    if mirrors is None:
        mirrors = [os.environ.get("AGNEWS_MIRROR", "").strip(), *MIRRORS]
    elif isinstance(mirrors, str):
        mirrors = [mirrors]
    found = [address.rstrip("/") + "/" for address in mirrors if address]
    if not found:
        raise ValueError("mirrors is empty: give at least one address, or leave it out.")
    return list(dict.fromkeys(found))


def _fetch(
    target: Path,
    check: Callable[[Path], None],
    addresses: Sequence[str],
    timeout: tuple[float, float],
    progress: bool,
) -> None:
    """Get one file from the first address that has it."""
    reasons = []
    for address in addresses:
        try:
            with written_whole(target) as partial:
                _get(address + target.name, partial, check, timeout, progress)
            return
        except DownloadError as error:
            reasons.append(str(error))
        except OSError as error:
            raise DownloadError(f"Cannot write {shown_path(target)}: {error}. {_ADVICE}") from error
    raise DownloadError(f"Could not download {target.name}: {'; '.join(reasons)}. {_ADVICE}")


def fetch(
    url: str,
    path: Path,
    digest: str,
    algorithm: str = "sha256",
    timeout: tuple[float, float] = TIMEOUT,
    progress: bool = True,
) -> None:
    """Get one file from one address, and verify it.

    Raises
    ------
    DownloadError
        If it did not come, or is another file; the message is the address and, in brackets, why.
    """
    _get(url, path, lambda done: verify(done, digest, algorithm), timeout, progress)


def _get(
    url: str,
    path: Path,
    check: Callable[[Path], None],
    timeout: tuple[float, float],
    progress: bool,
) -> None:
    # Here, since reading data needs neither of them nor the time that they take.
    import pooch
    from requests import RequestException

    # Without compression, so that the length that a server announces is that of the file.
    headers = {"Accept-Encoding": "identity"}
    get = pooch.HTTPDownloader(progress, chunk_size=1 << 16, timeout=timeout, headers=headers)
    try:
        get(url, path, None)
        check(path)
    except (RequestException, DownloadError) as error:
        raise DownloadError(f"{url} ({_in_short(error)})") from error


def verify(path: Path, digest: str, algorithm: str = "sha256") -> None:
    """Raise DownloadError unless a file has the hash that it should have."""
    found = file_hash(path, algorithm)
    if found != digest:
        _refuse_page(path)
        name = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
        raise DownloadError(f"wrong content: {name} {found} instead of {digest}")


def _refuse_page(path: Path) -> None:
    """Raise DownloadError for a web page, which some servers send in the place of a file."""
    with path.open("rb") as file:
        if file.read(100).lstrip().startswith(b"<"):
            raise DownloadError("wrong content: a web page instead of the file")


def _in_short(error: Exception) -> str:
    """Say in a few words why a request failed; the libraries' own messages fill a screen."""
    if isinstance(error, DownloadError):
        return str(error)
    response = getattr(error, "response", None)
    if response is not None and not response.ok:
        return f"answered {response.status_code} {response.reason}"
    # What went wrong is told by the class of the error, or of the one that it wraps.
    names = {type(part).__name__ for part in (error, *error.args)}
    return next((words for name, words in _REASONS.items() if name in names), type(error).__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Download a data set from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.data.download", description=__doc__
    )
    parser.add_argument(
        "name", nargs="?", default="ag_news", choices=["ag_news", *DOWNLOADED], help="the data set"
    )
    parser.add_argument("--folder", help="where to put the files (default: data/ and the name)")
    parser.add_argument(
        "--mirror", action="append", help="address of a folder that holds them; may be repeated"
    )
    options = parser.parse_args(arguments)
    if options.name == "ag_news":
        return exit_status(lambda: download_ag_news(options.folder, options.mirror))
    return exit_status(lambda: download_archive(options.name, options.folder, options.mirror))


def exit_status(download: Callable[[], object]) -> int:
    """Download for a command; return its exit status, after a sentence on stderr if it failed."""
    try:
        download()
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; no half file is left. Run the command again.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
