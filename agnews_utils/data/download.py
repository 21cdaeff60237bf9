"""Download AG News and prove that it arrived whole (exploration, "Get the data").

Run as a command by `make data`: `python -m agnews_utils.data.download --folder data/ag_news`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from agnews_utils.data.corpus import AG_NEWS_MD5, ag_news_folder
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
        target, done = folder / name, "is there and verified."
        if not target.is_file() or file_hash(target, "md5") != md5:
            if progress and target.is_file():
                say(f"{shown_path(target)} is not the official file: fetching it again.")
            _fetch(target, md5, addresses, timeout, progress)
            done = "is downloaded and verified."
        if progress:
            say(f"{shown_path(target)} {done}")
    return folder


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
    target: Path, md5: str, addresses: Sequence[str], timeout: tuple[float, float], progress: bool
) -> None:
    """Get one file from the first address that has it."""
    reasons = []
    for address in addresses:
        try:
            with written_whole(target) as partial:
                fetch(address + target.name, partial, md5, "md5", timeout, progress)
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
    # Here, since reading data needs neither of them nor the time that they take.
    import pooch
    from requests import RequestException

    # Without compression, so that the length that a server announces is that of the file.
    headers = {"Accept-Encoding": "identity"}
    get = pooch.HTTPDownloader(progress, chunk_size=1 << 16, timeout=timeout, headers=headers)
    try:
        get(url, path, None)
        verify(path, digest, algorithm)
    except (RequestException, DownloadError) as error:
        raise DownloadError(f"{url} ({_in_short(error)})") from error


def verify(path: Path, digest: str, algorithm: str = "sha256") -> None:
    """Raise DownloadError unless a file has the hash that it should have."""
    found = file_hash(path, algorithm)
    if found != digest:
        with path.open("rb") as file:
            page = file.read(100).lstrip().startswith(b"<")
        name = {"md5": "MD5", "sha256": "SHA-256"}[algorithm]
        what = "a web page instead of the file" if page else f"{name} {found} instead of {digest}"
        raise DownloadError(f"wrong content: {what}")


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
    """Download AG News from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.data.download", description=__doc__
    )
    parser.add_argument("--folder", help="where to put the files (default: data/ag_news)")
    parser.add_argument(
        "--mirror", action="append", help="address of a folder that holds them; may be repeated"
    )
    options = parser.parse_args(arguments)
    return exit_status(lambda: download_ag_news(options.folder, options.mirror))


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
