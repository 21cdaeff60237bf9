"""Downloading, against a local server that misbehaves in every way we know."""

import hashlib
import io
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agnews_utils.data import download as download_module
from agnews_utils.data.download import (
    ARCHIVES,
    MIRRORS,
    Archive,
    DownloadError,
    download_ag_news,
    download_archive,
    main,
)
from agnews_utils.data.loading import load_news
from tests.helpers import ROOT

ROW = '"{}","A title of row {}","And a description, not too short, of the same row"\n'
CONTENT = {
    "train.csv": "".join(ROW.format(n % 4 + 1, n) for n in range(4000)).encode(),
    "test.csv": "".join(ROW.format(n % 4 + 1, n) for n in range(50)).encode(),
}


def reviews():
    """Return an archive with the layout of IMDb's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for split, kind, number in (("train", "pos", 1), ("train", "neg", 2), ("test", "pos", 3)):
            data = f"a film of {number} parts".encode()
            entry = tarfile.TarInfo(f"aclImdb/{split}/{kind}/{number}_9.txt")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def text_messages(ham=24, spam=8, table="SMSSpamCollection"):
    """Return an archive with the form of the SMS Spam Collection."""
    texts = [f'ham\tSee you at "{n}", {chr(97 + n) * 5}' for n in range(ham)]
    texts += [f"spam\tWin {chr(97 + n) * 7} now, call {n}" for n in range(spam)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(table, "\n".join(texts) + "\n")
        archive.writestr("readme", "about")
    return buffer.getvalue()


NEWS_FILES = list(CONTENT)
CONTENT |= {"films.tar.gz": reviews(), "sms+spam+collection.zip": text_messages()}
TERMS = "Large set, for research"
OWN_ARCHIVES = {
    "imdb": Archive(
        "films.tar.gz", "", TERMS, md5=hashlib.md5(CONTENT["films.tar.gz"]).hexdigest()
    ),
    "sms": Archive(
        "sms+spam+collection.zip", "", TERMS, table="SMSSpamCollection", rows={"ham": 24, "spam": 8}
    ),
}
FILES = {name: hashlib.md5(CONTENT[name]).hexdigest() for name in NEWS_FILES}
PATIENT = (60.0, 60.0)  # a busy machine answers in time
HASTY = (60.0, 0.2)  # for servers that would never go on


class Handler(BaseHTTPRequestHandler):
    """Answer /<behavior>/<file>; keep a note of every request."""

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        _, behavior, name = self.path.split("/")
        self.server.notes.append((behavior, name))
        getattr(self, behavior)(CONTENT[name])

    def send(self, content, status=200, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def good(self, content):
        self.send(content)

    def redirect(self, content):
        self.send(b"", 302, Location=self.path.replace("redirect", "good"))

    def missing(self, content):
        self.send(b"404: Not Found", 404)

    def broken(self, content):
        self.send(b"oh", 500)

    def page(self, content):
        self.send(b"\n<!DOCTYPE html><p>Please log in", Content_Type="text/html")

    def corrupted(self, content):
        self.send(content[:-9] + b"X" + content[-8:])

    def truncated(self, content):
        self.send(content[: len(content) // 3], length=len(content))

    def reset(self, content):
        self.send(content[: len(content) // 2], length=len(content))
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def circle(self, content):
        self.send(b"", 302, Location=self.path)

    def silent(self, content):
        self.server.released.wait()

    def stalls(self, content):
        self.send(content[: len(content) // 2], length=len(content))
        self.server.stalling.set()
        self.server.released.wait()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """A proxy of this machine must not come between the tests and their server."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.notes, running.released, running.stalling = [], threading.Event(), threading.Event()
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
        options = {"timeout": PATIENT, "progress": False, "files": FILES} | options
        return download_ag_news(tmp_path, [server.at(b) for b in behaviors], **options)

    return download


def assert_whole(folder, names=FILES):
    for name in names:
        assert (folder / name).read_bytes() == CONTENT[name]
    assert sorted(p.name for p in folder.iterdir()) == sorted(names)


# ------------------------------------------------------------------------------ good mirrors


@pytest.mark.parametrize("behavior", ["good", "redirect"])
def test_a_whole_download_can_be_loaded(get, tmp_path, behavior):
    assert get(behavior) == tmp_path
    assert_whole(tmp_path)
    news = load_news(tmp_path)
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


# ------------------------------------------------------------------------------- bad mirrors

REASONS = {
    "missing": "answered 404 Not Found",
    "broken": "answered 500",
    "page": "wrong content: a web page instead of the file",
    "corrupted": f"wrong content: MD5 .* instead of {FILES['train.csv']}",
    "truncated": "the connection broke off",
    "reset": "the connection broke off",
    "circle": "redirected in a circle",
}
STALLED = dict.fromkeys(["silent", "stalls"], "stalled: nothing came")


@pytest.mark.parametrize("behavior", REASONS | STALLED)
def test_a_bad_mirror_fails_with_its_reason_and_leaves_nothing(get, server, tmp_path, behavior):
    reasons = REASONS | STALLED
    with pytest.raises(DownloadError, match=reasons[behavior]) as caught:
        get(behavior, timeout=HASTY if behavior in STALLED else PATIENT)
    message = str(caught.value)
    assert message.startswith("Could not download train.csv: ")
    assert server.at(behavior) + "/train.csv" in message
    assert "News Briefs work without a download" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("behavior", REASONS)
def test_the_next_mirror_helps(get, server, tmp_path, behavior):
    get(behavior, "good")
    assert_whole(tmp_path)
    behaviors = [behavior for behavior, name in server.notes if name == "train.csv"]
    assert behaviors[0] == behavior
    assert behaviors[-1] == "good"


def test_every_address_is_named_when_all_fail(get):
    with pytest.raises(DownloadError) as caught:
        get("missing", "corrupted", "page")
    for behavior in ("missing", "corrupted", "page"):
        assert re.search(rf"{behavior}/train\.csv \({REASONS[behavior]}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_the_file_that_failed_is_named_and_the_other_one_stays(get, tmp_path):
    get("good")
    (tmp_path / "test.csv").unlink()
    with pytest.raises(DownloadError, match=r"Could not download test\.csv"):
        get("missing")
    assert_whole(tmp_path, ["train.csv"])


def test_a_wrong_file_is_replaced_by_a_verified_one(get, tmp_path, capsys):
    (tmp_path / "train.csv").write_text("mine")
    for behavior in ("missing", "corrupted", "truncated"):
        with pytest.raises(DownloadError):
            get(behavior)
        assert (tmp_path / "train.csv").read_text() == "mine"  # until there is a better one
    get("good", progress=True)
    assert_whole(tmp_path)
    assert "is not the official file: fetching it again" in capsys.readouterr().out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_leaves_no_half_file(get, server, tmp_path, how):
    code = (
        "import signal, sys; from agnews_utils.data.download import main;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"sys.exit(main(['--folder', {str(tmp_path)!r}, '--mirror', {server.at('stalls')!r}]))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert server.stalling.wait(300)
    process.send_signal(how)
    _, errors = process.communicate(timeout=300)
    assert not (tmp_path / "train.csv").exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "no half file is left" in errors
        assert list(tmp_path.iterdir()) == []
    get("good")
    assert (tmp_path / "train.csv").read_bytes() == CONTENT["train.csv"]


# ------------------------------------------------------------------------ addresses, offline


def test_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    with pytest.raises(DownloadError, match=r"train\.csv \(no connection\)"):
        download_ag_news(tmp_path, [address], progress=False)
    assert list(tmp_path.iterdir()) == []


def test_offline_the_official_addresses_fail_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.delenv("AGNEWS_MIRROR", raising=False)
    with pytest.raises(DownloadError) as caught:
        download_ag_news(tmp_path, progress=False)
    for address in MIRRORS:
        assert f"{address}train.csv (" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["ftp://somewhere/", "no address", "http://"])
def test_an_address_that_is_none(tmp_path, address):
    with pytest.raises(DownloadError, match=r"train\.csv \(not a"):
        download_ag_news(tmp_path, [address], progress=False)


def test_the_variable_puts_a_mirror_first(server, tmp_path, monkeypatch):
    monkeypatch.setenv("AGNEWS_MIRROR", server.at("good"))
    assert download_module._addresses(None) == [server.at("good") + "/", *MIRRORS]
    download_ag_news(tmp_path, timeout=PATIENT, progress=False, files=FILES)
    assert_whole(tmp_path)
    monkeypatch.setenv("AGNEWS_MIRROR", " ")
    assert download_module._addresses(None) == list(MIRRORS)
    assert all(address.startswith("https://") for address in MIRRORS)
    with pytest.raises(ValueError, match="mirrors is empty"):
        download_ag_news(tmp_path, [])


def test_a_folder_that_cannot_be_made_or_written(get, server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match=r"Cannot write .*train\.csv"):
        download_ag_news(tmp_path / "file" / "sub", [server.at("good")], progress=False)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download_module, "verify", full)
    with pytest.raises(DownloadError, match=r"Cannot write .*train\.csv.*No space left"):
        get("good")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


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
    )
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "missing/train.csv (answered 404 Not Found)" in run.stderr
    assert "good/train.csv (wrong content: MD5" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_does(server, tmp_path, monkeypatch, capsys):
    real = download_ag_news
    monkeypatch.setattr(
        download_module,
        "download_ag_news",
        lambda folder, mirrors: real(folder, mirrors, files=FILES, timeout=PATIENT),
    )
    arguments = ["--folder", str(tmp_path), "--mirror", server.at("good")]
    assert main(arguments) == 0
    assert_whole(tmp_path)
    captured = capsys.readouterr()
    assert "test.csv is downloaded and verified" in captured.out
    assert "100%" in captured.err  # the progress bar
    assert main(arguments) == 0
    assert "is there and verified" in capsys.readouterr().out


def test_without_progress_nothing_is_printed(get, capsys):
    get("good", progress=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


# ------------------------------------------------------------------------ other data sets


@pytest.fixture
def get_archive(server, tmp_path):
    """Download one of `OWN_ARCHIVES` into `tmp_path` from mirrors that behave as named."""

    def download(name, *behaviors, **options):
        options = {"timeout": PATIENT, "progress": False, "archives": OWN_ARCHIVES} | options
        return download_archive(name, tmp_path, [server.at(b) for b in behaviors], **options)

    return download


@pytest.mark.parametrize("name", OWN_ARCHIVES)
def test_an_archive_can_be_loaded_as_it_is(get_archive, server, tmp_path, name, capsys):
    assert get_archive(name, "redirect", progress=True) == tmp_path
    file = OWN_ARCHIVES[name].file
    assert [path.name for path in tmp_path.iterdir()] == [file]
    assert (tmp_path / file).read_bytes() == CONTENT[file]
    said = capsys.readouterr().out
    assert f"{TERMS}." in said
    assert f"{file} is downloaded and verified" in said
    server.notes.clear()
    get_archive(name, "broken", progress=True)
    assert server.notes == []
    assert "is there and verified" in capsys.readouterr().out
    news = load_news(tmp_path)
    if name == "imdb":
        assert news.classes == ("neg", "pos")
        assert len(news.train) == 2
        assert len(news.test) == 1
    else:
        assert news.classes == ("ham", "spam")
        assert news.carved
        assert len(news.train) + len(news.test) == 32
        assert 'See you at "3", ddddd' in {*news.train["text"], *news.test["text"]}


@pytest.mark.parametrize("name", OWN_ARCHIVES)
@pytest.mark.parametrize("behavior", ["missing", "page", "truncated", "corrupted"])
def test_a_bad_archive_leaves_nothing(get_archive, tmp_path, name, behavior):
    with pytest.raises(DownloadError, match=f"Could not download .*{behavior}/") as caught:
        get_archive(name, behavior)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    get_archive(name, behavior, "good")
    assert [path.name for path in tmp_path.iterdir()] == [OWN_ARCHIVES[name].file]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (text_messages(ham=23), r"rows {'ham': 23, 'spam': 8} instead of {'ham': 24, 'spam': 8}"),
        (text_messages(table="other.txt"), "no item named 'SMSSpamCollection'"),
        (b"no archive at all", "not a zip file"),
    ],
)
def test_where_no_digest_is_known_the_rows_are_counted(
    get_archive, tmp_path, monkeypatch, content, reason
):
    monkeypatch.setitem(CONTENT, "sms+spam+collection.zip", content)
    with pytest.raises(DownloadError, match=f"wrong content: .*{reason}"):
        get_archive("sms", "good")
    assert list(tmp_path.iterdir()) == []


def test_the_official_archives():
    assert ARCHIVES["imdb"].md5 == "7c2ac02c03563afcf9b574c7e56c153a"
    assert sum((ARCHIVES["sms"].rows or {}).values()) == 5574
    assert all(archive.folder_url.startswith("https://") for archive in ARCHIVES.values())


@pytest.mark.parametrize("name", ARCHIVES)
def test_offline_a_data_set_is_missed_in_one_sentence(tmp_path, name, monkeypatch, capsys):
    assert main([name, "--folder", str(tmp_path)]) == 1
    errors = capsys.readouterr().err
    assert f"{ARCHIVES[name].folder_url}{ARCHIVES[name].file} (" in errors
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("agnews_utils.data.corpus.repository_root", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=f"make data DATA={name}"):
        load_news(name)
    with pytest.raises(SystemExit):
        main(["elsewhere"])
