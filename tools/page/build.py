"""Put the page together: an exported model, its tokenizer, a runtime and a program in one file.

The file holds everything as characters: UTF-16, whose 16 bits carry 15 of ours, so that the page is
a fifteenth larger than its content, where base64 in UTF-8 would add a third.
"""

from __future__ import annotations

import gzip
import html
import json
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from html.entities import html5
from pathlib import Path
from typing import Any

import numpy as np

from agnews_utils.bert.encoder import BUNDLED, bundled_encoder
from agnews_utils.cleaning import repairs
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.exploration import accuracy_interval
from agnews_utils.evaluation.predictions import MODELS
from agnews_utils.files import shown_path, written_whole
from agnews_utils.serving.exported import MODEL, TOKENIZER, read_about

HERE = Path(__file__).parent
SOURCES = HERE / "src"
MODULES = HERE / "node_modules"
RUNTIME = MODULES / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.wasm"
SOFTWARE = {
    "onnxruntime-web": "Copyright (c) Microsoft Corporation. MIT License.",
    "@huggingface/tokenizers": "Copyright (c) Hugging Face. Apache License 2.0, "
    "https://www.apache.org/licenses/LICENSE-2.0.",
    "xz-decompress": "Copyright (c) Tim Perry, Steven Sanderson. MIT License. It contains XZ "
    "Embedded by Lasse Collin, in the public domain.",
}
"""What of others the page contains, with its terms."""
EXAMPLES = (
    "Software giant sues rival over video game patents",
    "Central bank holds interest rates as shares of chip makers climb",
    "Striker scores twice in the final minutes to win the cup",
    "Probe sends first pictures from the far side of the moon",
    "Peace talks resume after a night of shelling near the border",
    "Minister asks phone makers to keep jobs at home",
)
"""Texts for the classes of AG News, written for the page."""
PAIR = (
    "Coach leaves the club after a record loss",
    "Chairman leaves the bank after a record loss",
)
_FIRST = 0x100  # of the characters that carry bits: above all signs that mean something in HTML
_LISTED = 6


class PageError(RuntimeError):
    """The page cannot be built; the message says what is missing."""


def as_characters(content: bytes) -> str:
    """Write bytes as characters from U+0100 on, 15 bits each; the page's `boot.js` reads them."""
    bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8))
    rows = np.pad(bits, (0, -len(bits) % 15)).reshape(-1, 15)
    values = rows @ (1 << np.arange(14, -1, -1)) + _FIRST
    return values.astype("<u2").tobytes().decode("utf-16-le")


def install() -> None:
    """Install the packages of the lock file from the registry, if they are not there yet.

    Raises
    ------
    PageError
        If Node.js is missing, or the packages cannot be had.
    """
    lock, stamp = HERE / "package-lock.json", MODULES / ".package-lock.json"
    if stamp.is_file() and stamp.stat().st_mtime >= lock.stat().st_mtime and RUNTIME.is_file():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise PageError("npm was not found: install Node.js, which builds the page's program.")
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason was given"])[-1]
        raise PageError(f"`npm ci` in {shown_path(HERE)} failed: {last}")
    stamp.touch()


def bundle(folder: Path) -> dict[str, str]:
    """Return the page's program ("app") and what unpacks it ("boot"), each as one script."""
    node = shutil.which("node")
    if node is None:
        raise PageError("node was not found: install Node.js, which builds the page's program.")
    command = [node, str(HERE / "bundle.mjs"), str(folder.resolve())]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True)
    if done.returncode:
        raise PageError(f"the page's program cannot be built: {done.stderr.strip()[-500:]}")
    scripts = {
        name: (folder / f"{name}.js").read_text(encoding="utf-8") for name in ("app", "boot")
    }
    if any("</script" in script.lower() for script in scripts.values()):
        raise PageError("the page's program holds the end of a script, which would end it early.")
    return scripts


def names_for(steps: Sequence[str]) -> dict[str, Any]:
    """Return the lists of names that the repairs need, from where Python has them."""
    names: dict[str, Any] = {}
    if "entities" in steps:
        names["entities"] = {n[:-1]: value for n, value in html5.items() if n.endswith(";")}
        names["bareNames"] = sorted(repairs._BARE_NAMES)
    if "tags and links" in steps:
        names["tagNames"] = repairs._TAG_NAMES
    if "datelines" in steps:
        names["sources"] = sorted(repairs._SOURCES)
    return names


def versions() -> dict[str, str]:
    """Return the version of each package in the page."""
    lock = json.loads((HERE / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    return {name: lock[f"node_modules/{name}"]["version"] for name in SOFTWARE}


def uses_bundled_encoder(export: Path) -> bool:
    """Tell whether an export reads the pieces of the bundled encoder: then it came from it."""
    pieces = [
        json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
        for path in (export / TOKENIZER, bundled_encoder() / TOKENIZER)
    ]
    return pieces[0] == pieces[1]


def facts(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the page tells about its model: pairs of a name and a text."""
    data, metrics = about.get("data") or {}, about.get("metrics") or {}
    rows = data.get("rows") or {}
    name = str(about.get("model", "encoder"))
    label = "fine-tuned BERT" if name == "bert" else MODELS.get(name, name)
    told = [("Model", label), ("Classes", ", ".join(about["classes"]))]
    if description := data.get("description") or data.get("name"):
        told.append(("Data", str(description)))
    if "train" in rows:
        told.append(("Learned from", f"{rows['train']:,} rows"))
    for split, shown in (("test", "test rows"), ("valid", "validation rows")):
        accuracy = metrics.get(f"{split}_accuracy")
        if accuracy is not None and rows.get(split):
            low, high = accuracy_interval(accuracy, rows[split])
            told.append((
                "Right",
                f"{accuracy:.1%} of {rows[split]:,} {shown} (95% interval: {low:.1%} to "
                f"{high:.1%}), measured before the weights were packed",
            ))  # fmt: skip
            break
    numbers = {"int8": "8 bits a weight", "fp32": "32 bits a weight"}[about["precision"]]
    told.append(("Numbers", numbers))
    steps = ", ".join(about["steps"])
    told.append(("Texts", f"repaired first: {steps}" if steps else "read as they are"))
    told.append(("Read of a text", f"{about['tokens']['max_length']} tokens at most"))
    told.append(("Software", ", ".join(f"{name} {found}" for name, found in versions().items())))
    return told


def notes(about: Mapping[str, Any], bundled: bool) -> list[str]:
    """Return what a visitor has to know: privacy, limits, terms."""
    data = about.get("data") or {}
    told = [
        "Nothing is sent anywhere: the page forbids itself every request, and works offline.",
        "A text of another kind gets one of the classes all the same, and the shares are often "
        "more sure than they should be.",
    ]
    if bundled:
        told.append(
            f"The encoder {BUNDLED} was pre-trained on AG's corpus of news articles, which is "
            "provided for research and other non-commercial activity; use this page for nothing "
            "else."
        )
    if data.get("name") == "ag_news":
        told.append("It was tuned on AG News, which is for non-commercial use only.")
    elif data.get("name") == "newsbriefs":
        told.append("It was tuned on News Briefs, which was written for the course (CC0).")
    else:
        told.append("The terms of the data, and of the encoder that was tuned, hold here, too.")
    return told


def software_terms() -> str:
    """Return the terms of what others wrote, for a comment in the page."""
    mit = (HERE.parent.parent / "LICENSE").read_text(encoding="utf-8")
    granted = mit[mit.index("Permission is hereby granted") :].strip()
    found = [f"{name} {version}: {SOFTWARE[name]}" for name, version in versions().items()]
    return "\n".join(["This page contains:", *found, "", "MIT License", "", granted])


def title_of(classes: Sequence[str]) -> str:
    """Return a page's title: its classes as a question, if they are few."""
    if len(classes) > _LISTED:
        return f"Which of {len(classes)} classes?"
    return f"{', '.join(classes[:-1])} or {classes[-1]}?"


def page_text(
    export: Path,
    scripts: Mapping[str, str],
    *,
    title: str | None = None,
    examples: Sequence[str] | None = None,
) -> str:
    """Return the whole page.

    Parameters
    ----------
    export : Path
        A folder that `agnews_utils.serving.export` wrote.
    scripts : mapping
        From `bundle`.
    title : str, optional
        Above everything; default: the classes.
    examples : sequence of str, optional
        Texts to try; the first two are compared. Default: some for the classes of AG News, none for
        others.
    """
    about = read_about(export)
    classes = about["classes"]
    known = list(classes) == CLASS_NAMES
    if examples is None:
        examples, pair = (EXAMPLES, PAIR) if known else ((), ())
    else:
        pair = tuple(examples[:2])
    told = {name: about[name] for name in ("classes", "steps", "tokens", "precision")}
    told |= {
        "names": names_for(about["steps"]),
        "facts": facts(about),
        "notes": notes(about, uses_bundled_encoder(export)),
        "examples": list(examples),
        "pair": list(pair) if len(pair) == 2 else [],
    }
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 1 << 24}]
    parts = {
        "app": _packed(scripts["app"].encode()),
        "about": _packed(json.dumps(told).encode()),
        "tokenizer": _packed((export / TOKENIZER).read_bytes()),
        "network": _packed((export / MODEL).read_bytes()),
        # The runtime shrinks by far more in this form, which no browser unpacks by itself.
        "runtime": lzma.compress(RUNTIME.read_bytes(), check=lzma.CHECK_CRC32, filters=filters),
    }
    places, place = {}, 0
    for name, content in parts.items():
        places[name] = [place, place + len(content)]
        place += len(content)
    values = {
        "title": html.escape(title or title_of(classes)),
        "eyebrow": "AG News from scratch",
        "lead": "A small classifier reads along while you type. It lives in this file: no server, "
        "no connection, and nothing you type leaves your device.",
        "style": (SOURCES / "style.css").read_text(encoding="utf-8"),
        "parts": json.dumps({"count": place, "parts": places}),
        "boot": scripts["boot"],
        "payload": as_characters(b"".join(parts.values())),
    }
    text = (SOURCES / "template.html").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    terms = software_terms().replace("--", "- -")
    return text.replace("<main>", f"<!--\n{terms}\n-->\n<main>", 1)


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 9, mtime=0)


def write_page(
    export: Path,
    path: Path,
    *,
    title: str | None = None,
    examples: Sequence[str] | None = None,
) -> int:
    """Write the page of an export; return its size in bytes.

    Raises
    ------
    PageError
        If Node.js or the packages are missing.
    ExportError
        If the folder is no whole export.
    """
    read_about(export)
    install()
    with tempfile.TemporaryDirectory() as folder:
        scripts = bundle(Path(folder))
    text = page_text(export, scripts, title=title, examples=examples)
    with written_whole(path) as partial:
        partial.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))  # the mark says: UTF-16
    return path.stat().st_size
