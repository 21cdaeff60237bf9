"""Downloading, against a local server that misbehaves in every way we know."""

import hashlib
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from types import SimpleNamespace

import pytest
from helpers import ROOT

from agnews_utils.data import download as download_module
from agnews_utils.data.download import MIRRORS, DownloadError, download_ag_news, main
from agnews_utils.data.loading import load_news

ROW = '"{}","A title of row {}","And a description, not too short, of the same row"\n'
CONTENT = {
    "train.csv": "".join(ROW.format(n % 4 + 1, n) for n in range(4000)).encode(),
    "test.csv": "".join(ROW.format(n % 4 + 1, n) for n in range(50)).encode(),
}
FILES = {name: hashlib.md5(content).hexdigest() for name, content in CONTENT.items()}
SIZE = len(CONTENT["train.csv"])
QUICK = (2.0, 0.6)
HANGING = {"silent", "stalls", "trickles"}


class Handler(BaseHTTPRequestHandler):
    """Answer /<behavior>/<file>; keep a note of every request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        _, behavior, name = self.path.split("/")
        span = self.headers.get("Range")
        note = {"behavior": behavior, "name": name, "range": span, "sent": 0}
        self.server.notes.append(note)
        self.note = note
        self.close_connection = True
        getattr(self, behavior)(CONTENT[name], span)

    def send(self, content, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.write(content)

    def write(self, content):
        self.wfile.write(content)
        self.note["sent"] += len(content)

    def good(self, content, span):
        if span is None:
            return self.send(content)
        start = int(re.fullmatch(r"bytes=(\d+)-", span)[1])
        if start >= len(content):
            return self.send(b"", 416, Content_Range=f"bytes */{len(content)}")
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(content[start:], 206, Content_Range=place)

    def ignores_range(self, content, span):
        self.send(content)

    def wrong_range(self, content, span):
        start = 0 if span is None else 7
        status = 200 if span is None else 206
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(content[start:], status, Content_Range=place)

    def truncated(self, content, span):
        self.send(content[: len(content) // 3], length=len(content))

    def chunked_break(self, content, span):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        half = content[: len(content) // 2]
        self.write(f"{len(half):x}\r\n".encode() + half + b"\r\n")

    def chunked(self, content, span):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(content), 9999):
            piece = content[start : start + 9999]
            self.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.write(b"0\r\n\r\n")

    def reset(self, content, span):
        self.send(content[: len(content) // 2], length=len(content))
        self.wfile.flush()
        time.sleep(0.05)  # let the bytes arrive before the reset throws away what is under way
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def corrupted(self, content, span):
        self.send(content[:-9] + b"X" + content[-8:])

    def missing(self, content, span):
        self.send(b"404: Not Found", 404)

    def broken(self, content, span):
        self.send(b"oh", 500)

    def page(self, content, span):
        self.send(b"<!DOCTYPE html><p>Please log in", Content_Type="text/html; charset=utf-8")

    def plain_page(self, content, span):
        self.send(b"<!DOCTYPE html><p>Please log in", Content_Type="text/plain")

    def redirect(self, content, span):
        self.send(b"", 302, Location=self.path.replace("redirect", "good"))

    def circle(self, content, span):
        self.send(b"", 302, Location=self.path)

    def silent(self, content, span):
        self.server.released.wait(5)

    def stalls(self, content, span):
        self.send(content[: len(content) // 2], length=len(content))
        self.wfile.flush()
        self.server.released.wait(5)

    def trickles(self, content, span):
        self.send(content[:1000], length=len(content))
        for n in range(1000, 1100):
            self.write(content[n : n + 1])
            self.wfile.flush()
            if self.server.released.wait(0.05):
                return


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A proxy of this machine must not come between the tests and their server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.notes, running.released = [], threading.Event()
        running.daemon_threads = True
        running.handle_error = lambda *arguments: None  # broken pipes are part of the plan
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.at = lambda behavior: f"http://127.0.0.1:{running.server_port}/{behavior}"
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def get(server, tmp_path):
    """Download into `tmp_path` from mirrors that behave as named."""

    def download(*behaviors, **options):
        timeout = QUICK if HANGING & set(behaviors) else (5.0, 20.0)  # patient on a busy machine
        options = {"timeout": timeout, "progress": False, "files": FILES} | options
        return download_ag_news(tmp_path, [server.at(b) for b in behaviors], **options)

    return download


def assert_whole(folder, names=FILES):
    for name in names:
        assert (folder / name).read_bytes() == CONTENT[name]
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


# -------------------------------------------------------------------- whole and harmless


@pytest.mark.parametrize("behavior", ["good", "redirect", "chunked", "ignores_range"])
def test_a_whole_download(get, server, tmp_path, behavior):
    assert get(behavior) == tmp_path
    assert_whole(tmp_path)
    assert all(note["range"] is None for note in server.notes)


def test_the_result_can_be_loaded(get, tmp_path, capsys):
    news = load_news(get("good"))
    assert (len(news.train), len(news.test)) == (4000, 50)


def test_a_verified_file_is_not_fetched_again(get, server):
    get("good")
    server.notes.clear()
    get("broken")
    assert server.notes == []


def test_a_new_folder_is_made(server, tmp_path):
    folder = tmp_path / "a" / "b"
    download_ag_news(folder, server.at("good"), files=FILES, progress=False)  # one address as text
    assert_whole(folder)


# -------------------------------------------------------------------------- one bad mirror

REASONS = {
    "missing": "answered 404 Not Found",
    "broken": "answered 500",
    "page": "answered with a web page instead of the file",
    "plain_page": "wrong content: MD5",
    "corrupted": f"wrong content: MD5 .* instead of {FILES['train.csv']}",
    "truncated": "broke off",
    "chunked_break": "broke off",
    "reset": "broke off",
    "silent": "stalled: nothing came",
    "stalls": "stalled: nothing came",
    "trickles": r"stalled: [\d,]+ bytes in 0.6 seconds",
    "circle": "redirected in a circle",
}
KEEPS_PART = {"truncated", "chunked_break", "reset", "stalls", "trickles"}


@pytest.mark.parametrize("behavior", REASONS)
def test_a_bad_mirror_fails_with_its_reason(get, server, tmp_path, behavior):
    start = time.monotonic()
    with pytest.raises(DownloadError, match=REASONS[behavior]) as caught:
        get(behavior)
    assert time.monotonic() - start < 6
    message = str(caught.value)
    assert message.startswith("Could not download train.csv: ")
    assert server.at(behavior) + "/train.csv" in message
    assert "News Briefs work without a download" in message
    left = [path.name for path in tmp_path.iterdir()]
    assert left == (["train.csv.partial"] if behavior in KEEPS_PART else [])
    if left:
        part = (tmp_path / left[0]).read_bytes()
        assert 0 < len(part) < SIZE
        assert CONTENT["train.csv"].startswith(part)


@pytest.mark.parametrize("behavior", REASONS)
def test_the_next_mirror_helps(get, server, tmp_path, behavior):
    get(behavior, "good")
    assert_whole(tmp_path)
    behaviors = [note["behavior"] for note in server.notes if note["name"] == "train.csv"]
    assert behaviors[0] == behavior
    assert behaviors[-1] == "good"


def test_every_address_is_named_when_all_fail(get, server, tmp_path):
    with pytest.raises(DownloadError) as caught:
        get("missing", "corrupted", "page")
    for behavior in ("missing", "corrupted", "page"):
        assert re.search(rf"{behavior}/train\.csv \({REASONS[behavior]}", str(caught.value))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_failed_is_named(get, server, tmp_path):
    get("good")
    (tmp_path / "test.csv").unlink()
    with pytest.raises(DownloadError, match=r"Could not download test\.csv"):
        get("missing")
    assert_whole(tmp_path, ["train.csv"])


# -------------------------------------------------------------------------------- resuming


@pytest.mark.parametrize("behavior", sorted(KEEPS_PART))
def test_a_broken_download_is_resumed(get, server, tmp_path, behavior):
    with pytest.raises(DownloadError):
        get(behavior)
    have = (tmp_path / "train.csv.partial").stat().st_size
    server.notes.clear()
    get("good")
    assert_whole(tmp_path)
    assert server.notes[0]["range"] == f"bytes={have}-"
    assert server.notes[0]["sent"] == SIZE - have  # only the rest was sent


def test_the_next_mirror_goes_on_where_the_first_broke_off(get, server, tmp_path):
    get("reset", "good", files={"train.csv": FILES["train.csv"]})
    _, second = server.notes
    assert second["behavior"] == "good"
    assert 0 < second["sent"] < SIZE
    assert second["range"] == f"bytes={SIZE - second['sent']}-"
    assert_whole(tmp_path, ["train.csv"])


def test_a_redirected_resume_keeps_its_range(get, server, tmp_path):
    (tmp_path / "train.csv.partial").write_bytes(CONTENT["train.csv"][:1000])
    get("redirect")
    assert [note["range"] for note in server.notes[:2]] == ["bytes=1000-"] * 2
    assert_whole(tmp_path)


def test_a_server_that_ignores_range_starts_over(get, server, tmp_path):
    (tmp_path / "train.csv.partial").write_bytes(CONTENT["train.csv"][:1000])
    get("ignores_range")
    assert server.notes[0]["range"] == "bytes=1000-"
    assert server.notes[0]["sent"] == SIZE
    assert_whole(tmp_path)


def test_a_server_that_sends_another_part_is_not_believed(get, server, tmp_path):
    (tmp_path / "train.csv.partial").write_bytes(CONTENT["train.csv"][:1000])
    with pytest.raises(DownloadError, match="another part of the file"):
        get("wrong_range")
    assert (tmp_path / "train.csv.partial").read_bytes() == CONTENT["train.csv"][:1000]


@pytest.mark.parametrize("part", [b"X" * 1000, b"X" * SIZE, b"X" * (SIZE + 5)])
def test_a_wrong_part_is_thrown_away(get, server, tmp_path, part):
    """Shorter: the sum is wrong, so begin anew. As long or longer: the server says 416."""
    (tmp_path / "train.csv.partial").write_bytes(part)
    get("good")
    assert_whole(tmp_path)
    assert [note["range"] for note in server.notes[:2]] == [f"bytes={len(part)}-", None]


def test_a_complete_part_only_needs_its_name(get, server, tmp_path):
    (tmp_path / "train.csv.partial").write_bytes(CONTENT["train.csv"])
    get("broken", files={"train.csv": FILES["train.csv"]})
    assert server.notes == []
    assert_whole(tmp_path, ["train.csv"])


def test_an_interrupted_download_can_be_resumed(get, server, tmp_path, monkeypatch):
    pieces = download_module._pieces

    def interrupted(response):
        yield next(pieces(response))
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module, "_pieces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        get("good")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv.partial"]
    have = (tmp_path / "train.csv.partial").stat().st_size
    assert have > 0
    server.notes.clear()
    get("good")
    assert server.notes[0]["range"] == f"bytes={have}-"
    assert_whole(tmp_path)


def test_an_old_urllib3_works_too(get, tmp_path, monkeypatch):
    import urllib3

    for kind in urllib3.HTTPResponse.__mro__:
        if "read1" in vars(kind) and kind.__module__.startswith("urllib3"):
            monkeypatch.delattr(kind, "read1")
    get("chunked")
    assert_whole(tmp_path)


def test_an_end_that_the_library_does_not_notice_is_noticed(tmp_path):
    """urllib3 before 2.0 takes a body shorter than its Content-Length for a whole one."""
    content = BytesIO(b"only this")
    body = SimpleNamespace(read1=lambda size, decode_content: content.read1(size))
    response = SimpleNamespace(headers={"Content-Length": "20"}, raw=body)
    with pytest.raises(download_module._AttemptFailed, match="broke off after 9 of 20 bytes"):
        download_module._save(response, tmp_path / "part", 0, 1.0, False)
    assert (tmp_path / "part").read_bytes() == b"only this"


# -------------------------------------------------------------------- files already there


def test_a_wrong_file_is_replaced_by_a_verified_one(get, tmp_path, capsys):
    (tmp_path / "train.csv").write_text("mine")
    get("good", progress=True)
    assert_whole(tmp_path)
    assert "is not the official file (wrong MD5): fetching it again" in capsys.readouterr().out


@pytest.mark.parametrize("behavior", ["missing", "corrupted", "truncated", "silent"])
def test_a_wrong_file_stays_until_there_is_a_better_one(get, tmp_path, behavior):
    (tmp_path / "train.csv").write_text("mine")
    with pytest.raises(DownloadError):
        get(behavior)
    assert (tmp_path / "train.csv").read_text() == "mine"


# ------------------------------------------------------------------------ addresses, offline


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    start = time.monotonic()
    with pytest.raises(DownloadError, match=r"train\.csv \(no connection\)"):
        download_ag_news(tmp_path, [address], progress=False)
    assert time.monotonic() - start < 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["ftp://somewhere/", "no address", "http://"])
def test_an_address_that_is_none(tmp_path, address):
    with pytest.raises(DownloadError, match=r"train\.csv \(not a"):
        download_ag_news(tmp_path, [address], progress=False)


def test_the_variable_puts_a_mirror_first(server, tmp_path, monkeypatch):
    monkeypatch.setenv("AGNEWS_MIRROR", server.at("good"))
    assert download_module._addresses(None) == [server.at("good") + "/", *MIRRORS]
    download_ag_news(tmp_path, timeout=(5.0, 20.0), progress=False, files=FILES)
    assert_whole(tmp_path)
    monkeypatch.setenv("AGNEWS_MIRROR", " ")
    assert download_module._addresses(None) == list(MIRRORS)
    assert all(address.startswith("https://") for address in MIRRORS)
    with pytest.raises(ValueError, match="mirrors is empty"):
        download_ag_news(tmp_path, [])


def test_a_folder_that_cannot_be_made_or_written(get, server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="Cannot make the folder"):
        download_ag_news(tmp_path / "file" / "sub", [server.at("good")], progress=False)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module, "_save", full)
    with pytest.raises(DownloadError, match=r"Cannot write .*train\.csv.*No space left"):
        get("good")


# -------------------------------------------------------------------------- command, output


def test_the_command(server, tmp_path):
    """The command checks the real sums, so the stand-in files must be refused."""
    command = [sys.executable, "-m", "agnews_utils.data.download", "--folder", str(tmp_path)]
    run = subprocess.run(
        [*command, "--mirror", server.at("missing"), "--mirror", server.at("good")],
        cwd=ROOT,
        env=os.environ | {"AGNEWS_MIRROR": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "missing/train.csv (answered 404 Not Found)" in run.stderr
    assert "good/train.csv (wrong content: MD5" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_succeeds_and_can_be_interrupted(server, tmp_path, monkeypatch, capsys):
    real = download_ag_news
    monkeypatch.setattr(
        download_module,
        "download_ag_news",
        lambda folder, mirrors: real(folder, mirrors, files=FILES, timeout=(5.0, 20.0)),
    )
    arguments = ["--folder", str(tmp_path), "--mirror", server.at("good")]
    assert main(arguments) == 0
    assert_whole(tmp_path)
    captured = capsys.readouterr()
    assert "test.csv is downloaded and verified" in captured.out
    assert "train.csv: 100%" in captured.err  # the progress bar
    assert main(arguments) == 0
    assert "is there and verified" in capsys.readouterr().out

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(download_module, "download_ag_news", interrupt)
    assert main([]) == 130
    assert "the next run goes on" in capsys.readouterr().err


def test_without_progress_nothing_is_printed(get, capsys):
    get("good", progress=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
