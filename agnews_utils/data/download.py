"""Download AG News and prove that it arrived whole (exploration, "Get the data").

Run as a command by `make data`: `python -m agnews_utils.data.download --folder data/ag_news`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agnews_utils.data.corpus import AG_NEWS_MD5, ag_news_folder
from agnews_utils.files import file_hash, shown_path

#: Addresses that hold the official files; the second reaches the same ones over another host.
MIRRORS = (
    "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv/",
    "https://github.com/mhjabreel/CharCnn_Keras/raw/master/data/ag_news_csv/",
)
#: Seconds to wait for a connection, and for the next piece of a file.
TIMEOUT = (5.0, 30.0)

_PIECE = 1 << 16  # bytes read at once
_SLOW = 1024  # bytes per second: a server that stays below it is given up
_ADVICE = "The bundled News Briefs work without a download: load_news() or AGNEWS_DATA=newsbriefs."


class DownloadError(RuntimeError):
    """No address gave a file; the message names the file, every address tried, and why."""


class _AttemptFailed(Exception):
    """One address did not give the file; the message says why in a few words."""


def download_ag_news(
    folder: str | os.PathLike[str] | None = None,
    mirrors: Sequence[str] | None = None,
    timeout: tuple[float, float] = TIMEOUT,
    progress: bool = True,
    files: Mapping[str, str] = AG_NEWS_MD5,
) -> Path:
    """Download the official AG News files, unless they are already there and right.

    A file gets its final name only when it has the right MD5. Until then
    it is `<name>.partial`, which a later call resumes. A file of that name that is something else
    is replaced only by a verified one. AG News is for research and other non-commercial use.

    Parameters
    ----------
    folder : str or path, optional
        Where to put the files; created if need be. Default: `ag_news_folder()`.
    mirrors : sequence of str, optional
        Addresses of folders that hold the files, tried in order. Default: `MIRRORS`, preceded by
        the environment variable `AGNEWS_MIRROR` if it is set.
    timeout : tuple of float
        Seconds to wait for a connection, and for the next piece of a file. A server that stays
        under 1 KiB per second over the latter time is given up too.
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
    say = print if progress else (lambda *_: None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"Cannot make the folder {shown_path(folder)}: {error}.") from error
    for name, md5 in files.items():
        target = folder / name
        if target.is_file():
            if file_hash(target, "md5") == md5:
                say(f"{shown_path(target)} is there and verified.")
                continue
            say(f"{shown_path(target)} is not the official file (wrong MD5): fetching it again.")
        _fetch(target, md5, addresses, timeout, progress)
        say(f"{shown_path(target)} is downloaded and verified.")
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
    """Get one file from the first address that has it, verify it and give it its name."""
    partial = target.with_name(target.name + ".partial")
    reasons = []
    for address in addresses:
        url = address + target.name
        try:
            if not _is(partial, md5):
                resumed = _get(url, partial, timeout, progress)
                if resumed and not _is(partial, md5):  # the old part may have been the wrong one
                    partial.unlink()
                    _get(url, partial, timeout, progress)
            _finish(partial, target, md5)
            return
        except _AttemptFailed as failure:
            reasons.append(f"{url} ({failure})")
        except OSError as error:
            raise DownloadError(f"Cannot write {shown_path(target)}: {error}. {_ADVICE}") from error
    raise DownloadError(f"Could not download {target.name}: {'; '.join(reasons)}. {_ADVICE}")


def _is(path: Path, md5: str) -> bool:
    return path.is_file() and file_hash(path, "md5") == md5


def _finish(partial: Path, target: Path, md5: str) -> None:
    """Give a complete file its name if it is the right one, else delete it."""
    found = file_hash(partial, "md5")
    if found != md5:
        partial.unlink()
        raise _AttemptFailed(f"wrong content: MD5 {found} instead of {md5}")
    os.replace(partial, target)


def _get(url: str, partial: Path, timeout: tuple[float, float], progress: bool) -> bool:
    """Download `url` to `partial`, going on where an earlier download stopped.

    Returns
    -------
    bool
        Whether the server sent only what was missing.

    Raises
    ------
    _AttemptFailed
        If the file did not come, or not as a whole; what came of it stays in `partial`.
    """
    # Here, since reading data needs neither of them nor the time that they take.
    import requests
    import urllib3

    have = partial.stat().st_size if partial.exists() else 0
    # Without compression, so that lengths and positions are those of the file itself.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
            if have and response.status_code == 416:  # nothing after our end: not the same file
                partial.unlink()
                return _get(url, partial, timeout, progress)
            _check_response(response)
            resumed = have > 0 and _range_start(response) == have
            if response.status_code == 206 and not resumed:
                raise _AttemptFailed("sent another part of the file than asked for")
            _save(response, partial, have if resumed else 0, timeout[1], progress)
            return resumed
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _AttemptFailed(_in_short(error)) from error


def _check_response(response) -> None:
    """Refuse an answer that is not a file."""
    if response.status_code not in (200, 206):
        raise _AttemptFailed(f"answered {response.status_code} {response.reason}")
    if "text/html" in response.headers.get("Content-Type", ""):
        raise _AttemptFailed("answered with a web page instead of the file")


def _range_start(response) -> int | None:
    """First byte of a partial answer, from "Content-Range: bytes 100-199/200"."""
    if response.status_code != 206:
        return None
    span = response.headers.get("Content-Range", "").removeprefix("bytes").strip()
    start = span.partition("-")[0]
    return int(start) if start.isdigit() else None


def _save(response, partial: Path, have: int, patience: float, progress: bool) -> None:
    """Append the body of an answer to `partial`, or begin it anew; check that all of it came."""
    length = response.headers.get("Content-Length", "")
    total = have + int(length) if length.isdigit() else None
    done, clock, mark = have, time.monotonic(), have
    with partial.open("ab" if have else "wb") as file, _bar(partial, total, have, progress) as bar:
        for piece in _pieces(response):
            file.write(piece)
            done += len(piece)
            bar.update(len(piece))
            if time.monotonic() - clock > patience:
                if done - mark < _SLOW * patience:
                    raise _AttemptFailed(f"stalled: {done - mark:,} bytes in {patience:g} seconds")
                clock, mark = time.monotonic(), done
    if total is not None and done < total:
        raise _AttemptFailed(f"broke off after {done:,} of {total:,} bytes")


def _pieces(response) -> Iterator[bytes]:
    """Yield what has come, as soon as it comes.

    `iter_content` waits until a whole piece is there, so a server that trickles would hold it
    for hours; `read1` returns, and the caller can look at the clock.
    """
    if not hasattr(response.raw, "read1"):  # urllib3 before 2.1
        yield from response.iter_content(1024)
        return
    while piece := response.raw.read1(_PIECE, decode_content=True):
        yield piece


def _bar(partial: Path, total: int | None, have: int, progress: bool):
    from tqdm.auto import tqdm

    name = partial.name.removesuffix(".partial")
    return tqdm(
        total=total, initial=have, desc=name, unit="B", unit_scale=True, disable=not progress
    )


def _in_short(error: Exception) -> str:
    """Say in a few words why a request failed; the libraries' own messages fill a screen."""
    import requests
    import urllib3

    kinds = {
        requests.exceptions.ConnectTimeout: "no connection within the time limit",
        requests.exceptions.SSLError: "the secure connection failed",
        requests.exceptions.ProxyError: "the proxy refused the connection",
        requests.exceptions.TooManyRedirects: "redirected in a circle",
        requests.exceptions.InvalidURL: "not a valid address",
        requests.exceptions.MissingSchema: "not an address: it has no https://",
        requests.exceptions.InvalidSchema: "not an address that starts with https://",
        (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError): (
            "stalled: nothing came within the time limit"
        ),
        (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError): (
            "the connection broke off"
        ),
        requests.exceptions.ConnectionError: "no connection",
    }
    reasons = (words for kind, words in kinds.items() if isinstance(error, kind))
    return next(reasons, type(error).__name__)


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
    try:
        download_ag_news(options.folder, options.mirror)
    except DownloadError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the next run goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
