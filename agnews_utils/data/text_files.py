"""Read texts of one file each, in a folder for each class; in a folder, a tar or a ZIP archive.

`train/pos/12.txt` is a training text of the class `pos`; without `train` and `test` the folders of
the classes stand side by side. IMDb's film reviews come so, the 20 Newsgroups, too.
"""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agnews_utils.data.columns import Columns, Options, Split, as_split
from agnews_utils.data.formats import NewsFormatError, Table, as_text
from agnews_utils.files import shown_path

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("valid", "validation", "val", "dev", "eval"), "valid"),
}
"""What a word in the name of a file or folder says about the rows in it."""

TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
NO_DATA = re.compile(
    r"(readme|license|licence|licence-text|license-text|requirements|classes|labels|notice|citation"
    r"|metadata|dataset_infos?|config|package|dataset_dict|state)\b.*"
)
_NO_CLASS = re.compile(r"unsup(ervised)?|un-?labell?ed")
_WHOLE_SPLIT = re.compile(rf"({'|'.join(SPLITS)})([-_.]?\d+)?(-of-\d+)?")  # train.txt, test-1.txt
_DEEPEST = 4  # folders above a text, as in imdb/aclImdb/train/pos


def split_named(name: str) -> str | None:
    """Return train, test or valid if a word of a name says so, and no other word another."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLITS[word] for word in words if word in SPLITS}
    return found.pop() if len(found) == 1 else None


@dataclass
class TextTable(Table):
    """Texts as rows of class and text; a row's place is its file."""

    places: Sequence[str] = field(default_factory=list)

    def place(self, row: int) -> str:
        """Return the file of a text, as in messages."""
        return self.places[row]


@dataclass(frozen=True)
class TextFiles:
    """Which files are texts of which class.

    Attributes
    ----------
    source : Path
        Folder or archive.
    found : dict
        Split -> class -> names of the files, inside `source`.
    unlabelled : dict
        Folder without a class -> number of its texts.
    others : int
        Files that are none of these.
    """

    source: Path
    found: Mapping[str, Mapping[str, Sequence[str]]]
    unlabelled: Mapping[str, int]
    others: int

    @property
    def remark(self) -> str:
        """What is not read, for the printed line."""
        words = [
            f"; {count:,} texts in {folder}/ have no class, not read"
            for folder, count in sorted(self.unlabelled.items())
        ]
        if self.others:
            words.append(f"; {self.others:,} other file{'s' * (self.others != 1)} not read")
        return "".join(words)


def find_texts(source: Path) -> TextFiles | None:
    """Return the texts of a folder or archive; None if it has no folders of classes.

    Raises
    ------
    NewsFormatError
        If an archive is damaged, or folders of classes lie in different places.
    """
    texts: dict[str, dict[str, list[str]]] = {}
    unlabelled: Counter[str] = Counter()
    parents, others = set(), 0
    for name in _names(source):
        *folders, file = name.split("/")
        at = next((i for i, folder in enumerate(folders) if split_named(folder)), None)
        is_text = _is_text(file) and bool(folders)
        if is_text and _NO_CLASS.fullmatch(folders[-1].lower()):
            unlabelled["/".join(folders)] += 1
        elif is_text and at is not None and len(folders) == at + 2:
            split = split_named(folders[at]) or ""
            texts.setdefault(split, {}).setdefault(folders[-1], []).append(name)
        elif is_text and at is None:
            texts.setdefault("", {}).setdefault(folders[-1], []).append(name)
            parents.add("/".join(folders[:-1]))
        else:
            others += 1
    if "train" in texts:
        others += sum(map(len, texts.pop("", {}).values()))
        return TextFiles(source, texts, unlabelled, others)
    if set(texts) != {""} or len(texts[""]) < 2:
        return None
    if len(parents) > 1:
        first, second = sorted(parents)[:2]
        raise NewsFormatError(
            f"{shown_path(source)}: texts lie in folders at several places ({first or '.'}/ and "
            f"{second}/). Name the folder that holds one folder for each class, or one that holds "
            "train/ and test/."
        )
    return TextFiles(source, {"train": texts[""]}, unlabelled, others)


def _is_text(file: str) -> bool:
    """Tell whether a file, by its name, is one text: `12.txt`, or `12` with no ending at all."""
    stem, dot, ending = file.lower().rpartition(".")
    if dot and ending != "txt":
        return False
    return not _WHOLE_SPLIT.fullmatch(stem if dot else ending)


def _names(source: Path) -> list[str]:
    """Return the names of all files below a folder or in an archive, sorted; no hidden ones."""
    if source.is_dir():
        names = []
        for folder, below, files in os.walk(source):
            inside = Path(folder).relative_to(source)
            below[:] = [b for b in below if b[:1] not in "._"] * (len(inside.parts) < _DEEPEST)
            names += [(inside / file).as_posix() for file in files]
    else:
        names = list(_members(source))
    parts = ((name, name.split("/")) for name in names)
    return sorted(
        name
        for name, path in parts
        if not any(part[:1] in "._" for part in path) and not NO_DATA.fullmatch(path[-1].lower())
    )


def _members(source: Path) -> dict[str, tarfile.TarInfo | zipfile.ZipInfo]:
    """Return the files in an archive, by their names without a leading `./`."""
    found: dict[str, tarfile.TarInfo | zipfile.ZipInfo] = {}
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as packed:
                found = {entry.filename: entry for entry in packed.infolist() if not entry.is_dir()}
        else:
            with tarfile.open(source) as archive:
                found = {entry.name: entry for entry in archive if entry.isfile()}
    except Exception as error:  # gzip, zlib, tarfile and zipfile each have errors of their own
        raise _damaged(source, error) from None
    return {name.removeprefix("./"): entry for name, entry in found.items()}


def _damaged(source: Path, error: Exception) -> NewsFormatError:
    why = str(error).split("\n")[0].rstrip(":")  # tarfile tells what each kind of archive says
    return NewsFormatError(f"{shown_path(source)} is a damaged archive ({why}): download it again.")


def _contents(source: Path, names: Sequence[str]) -> list[bytes]:
    if source.is_dir():
        return [(source / name).read_bytes() for name in names]
    found: dict[str, bytes] = {}
    try:
        if zipfile.is_zipfile(source):
            members = _members(source)
            with zipfile.ZipFile(source) as packed:
                found = {name: packed.read(members[name]) for name in names}  # type: ignore[arg-type]
        else:
            # In the order of the archive: a packed one can be read forwards only.
            wanted = set(names)
            with tarfile.open(source) as archive:
                for entry in archive:
                    if (name := entry.name.removeprefix("./")) in wanted and entry.isfile():
                        file = archive.extractfile(entry)
                        found[name] = file.read() if file else b""
    except Exception as error:
        raise _damaged(source, error) from None
    return [found[name] for name in names]


def read_texts(files: TextFiles, split: str, options: Options) -> tuple[Split, str]:
    """Read the texts of one split, in the order of their names, and return the MD5 of them all.

    An empty file is a row without a text.

    Raises
    ------
    NewsFormatError
        If a file is not UTF-8 (or in the encoding that the options name).
    """
    classes = {name: folder for folder, names in files.found[split].items() for name in names}
    names = sorted(classes)
    digest = hashlib.md5(usedforsecurity=False)
    rows, places = [], []
    for name, data in zip(names, _contents(files.source, names), strict=True):
        place = f"{shown_path(files.source)}/{name}"
        empty = not data.strip(b"\xef\xbb\xbf \t\r\n")
        rows.append((classes[name], "" if empty else as_text(data, place, options.encoding)))
        places.append(place)
        # Without what stands above train/ or test/: the same texts, packed or not, are the same.
        digest.update("/".join(name.split("/")[-2:]).encode() + b"\0" + data + b"\0")
    table = TextTable(
        f"{shown_path(files.source)} ({split})",
        "one text a file",
        ["folder", "text"],
        rows,
        range(1, len(rows) + 1),
        "row",
        places=places,
    )
    return as_split(table, Columns(label=0, text=1)), digest.hexdigest()
