"""The bundled corpus: reproducible, as dirty as AG News, and its truth file true."""

import csv
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers import ROOT, full_data_folder
from tools.newsbriefs import make as make_newsbriefs
from tools.newsbriefs.card import BEGIN, END, fill
from tools.newsbriefs.dirt import Edit, render
from tools.newsbriefs.feeds import FEEDS
from tools.newsbriefs.plan import apportion, read_briefs, sentences
from tools.newsbriefs.rates import AG_ROWS, AG_TEST_MD5, MARKS

DATA = ROOT / "data"
FOLDER = DATA / "newsbriefs"
GENERATED = ("newsbriefs/train.csv", "newsbriefs/test.csv", "newsbriefs/truth.jsonl", "README.md")


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="ascii") as file:
        return list(csv.reader(file))


BRIEFS = read_lines(FOLDER / "briefs.jsonl")
TRUTH = read_lines(FOLDER / "truth.jsonl")
ROWS = {split: read_csv(FOLDER / f"{split}.csv") for split in ("train", "test")}
PAIRS = [(ROWS[line["split"]][line["row"] - 1], line) for line in TRUTH]
CLASSES = {"World": 1, "Sports": 2, "Business": 3, "Sci/Tech": 4}


def partner(line: dict) -> tuple[list[str], dict]:
    twin = line["duplicate_of"]
    return next(p for p in PAIRS if (p[1]["split"], p[1]["row"]) == (twin["split"], twin["row"]))


def undo(dirty: str, records: list[dict]) -> str:
    """Put back what each record replaced; independent of the code that made the dirt."""
    for record in sorted(records, key=lambda r: r["start"], reverse=True):
        start, end = record["start"], record["start"] + len(record["text"])
        assert dirty[start:end] == record["text"]
        dirty = dirty[:start] + record["clean"] + dirty[end:]
    return dirty


@pytest.fixture
def copy(tmp_path) -> Path:
    """Return a copy of data/ with nothing in it but what the script reads."""
    (tmp_path / "newsbriefs").mkdir()
    shutil.copy(FOLDER / "briefs.jsonl", tmp_path / "newsbriefs")
    (tmp_path / "README.md").write_text(f"head\n{BEGIN}\nold\n{END}\ntail\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def full_copy(tmp_path) -> Path:
    """Return a copy of data/ as it is committed."""
    (tmp_path / "newsbriefs").mkdir()
    for name in (*GENERATED, "newsbriefs/briefs.jsonl"):
        shutil.copy(DATA / name, tmp_path / name)
    return tmp_path


# ---- reproducible -------------------------------------------------------------------------------


@pytest.mark.parametrize("hash_seed", ["0", "12345"])
def test_a_rebuild_gives_the_same_bytes(copy, hash_seed):
    shutil.copy(DATA / "README.md", copy)
    subprocess.run(
        [sys.executable, "-m", "tools.newsbriefs.make", "--data", str(copy)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        check=True,
        capture_output=True,
    )
    for name in GENERATED:
        assert (copy / name).read_bytes() == (DATA / name).read_bytes(), name


def test_the_build_leaves_the_global_random_state_alone():
    random.seed(7)
    state = random.getstate()
    make_newsbriefs.plan(read_briefs(FOLDER / "briefs.jsonl"))
    assert random.getstate() == state


def test_the_card_keeps_the_hand_written_parts(copy):
    assert make_newsbriefs.main(["--data", str(copy)]) == 0
    card = (copy / "README.md").read_text(encoding="utf-8")
    assert card.startswith(f"head\n{BEGIN}\n")
    assert card.endswith(f"{END}\ntail\n")
    assert "old" not in re.findall(r"\w+", card)
    assert "Duplicates" in card
    assert not list(copy.rglob("*.partial"))


# ---- form ---------------------------------------------------------------------------------------


def test_row_counts_and_strata_are_exact():
    assert {split: len(rows) for split, rows in ROWS.items()} == {"train": 1800, "test": 400}
    assert [line["row"] for line in TRUTH] == [*range(1, 1801), *range(1, 401)]
    labels = Counter((line["split"], line["true_label"]) for line in TRUTH)
    given_labels = Counter((line["split"], line["label"]) for line in TRUTH)
    expected = {(s, i): n for s, n in (("train", 450), ("test", 100)) for i in range(1, 5)}
    assert labels == given_labels == expected
    for name, label in CLASSES.items():
        hard = sum(b["hard"] for b in BRIEFS if b["label"] == name)
        found = [
            sum(t["hard"] for t in TRUTH if (t["split"], t["true_label"]) == (split, label))
            for split in ("train", "test")
        ]
        assert sum(found) == hard
        assert abs(found[1] - hard * 100 / 550) < 1


def test_the_files_have_the_form_of_ag_news():
    for split, rows in ROWS.items():
        raw = (FOLDER / f"{split}.csv").read_bytes()
        assert raw.isascii()
        assert b"\r" not in raw
        assert all(len(row) == 3 and row[0] in "1234" and row[1] for row in rows)
        lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
        assert raw.decode("ascii") == "\n".join(lines) + "\n"


def test_rows_are_shuffled():
    for rows in ROWS.values():
        changes = sum(a[0] != b[0] for a, b in itertools.pairwise(rows))
        assert 0.70 < changes / (len(rows) - 1) < 0.80  # three of four neighbors differ


# ---- the truth ----------------------------------------------------------------------------------


def test_undoing_the_artifacts_gives_the_clean_text():
    for row, line in PAIRS:
        for column, field in ((1, "title"), (2, "description")):
            records = [a for a in line["artifacts"] if a["field"] == field]
            assert undo(row[column], records) == line[f"clean_{field}"], (
                line["split"],
                line["row"],
            )


@given(st.text("ab '$", max_size=30), st.data())
def test_every_edit_can_be_undone(text, data):
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    edits = [
        Edit("space", start, end, data.draw(st.text("xy \\", max_size=4)))
        for start, end in zip(cuts[::2], cuts[1::2], strict=False)
    ]
    dirty, records = render(text, edits)
    assert undo_in_order(dirty, records) == text


def undo_in_order(dirty: str, records: list[dict]) -> str:
    for record in reversed(records):
        start, end = record["start"], record["start"] + len(record["text"])
        assert dirty[start:end] == record["text"]
        dirty = dirty[:start] + record["clean"] + dirty[end:]
    return dirty


def test_labels_topics_and_clean_text_come_from_the_briefs():
    for row, line in PAIRS:
        brief = BRIEFS[line["brief"]]
        assert line["true_label"] == CLASSES[brief["label"]]
        assert (line["topic"], line["hard"]) == (brief["topic"], brief["hard"])
        assert int(row[0]) == line["label"]
        assert line["wrong_label"] == (line["label"] != line["true_label"])
        title, text = line["clean_title"], line["clean_description"]
        edit = line["duplicate_of"] and line["duplicate_of"]["edit"]
        if edit == "update":
            title = re.sub(r"^UPDATE [12]-", "", title)
        if edit == "lead":
            text = re.sub(r"^\([A-Z][a-z, ]+\) ", "", text)
        if edit == "title_case":
            assert title.lower() == brief["title"].lower()
        elif line["title_cut"]:
            assert title.endswith(" ...")
            assert brief["title"].startswith(title.removesuffix(" ..."))
        else:
            assert title == brief["title"]
        if edit == "number":
            words = list(zip(text.split(), brief["description"].split(), strict=True))
            changed = [(new, old) for new, old in words if new != old]
            assert len(changed) == 1
            assert all(word.isdigit() for word in changed[0])
        elif edit == "first_sentence":
            assert brief["description"].startswith(text + " ")
        elif line["missing_description"]:
            assert text == row[2] == ""
        else:
            assert text == brief["description"]


def test_each_brief_appears_once_or_is_a_copy_or_was_left_out():
    originals = [line["brief"] for line in TRUTH if line["duplicate_of"] is None]
    copies = [line["brief"] for line in TRUTH if line["duplicate_of"]]
    assert len(originals) == len(set(originals))
    assert set(copies) <= set(originals)
    card = (DATA / "README.md").read_text(encoding="utf-8")
    listed = re.search(r"<summary>list</summary>\s+([\d, ]+)\s", card)[1]
    left_out = [int(number) for number in listed.split(", ")]
    assert sorted(originals + left_out) == list(range(2200))
    assert len(left_out) == len(copies)


def test_copies_point_to_their_partner():
    places = Counter()
    for row, line in PAIRS:
        if line["duplicate_of"] is None:
            continue
        other_row, other = partner(line)
        twin = line["duplicate_of"]
        assert (other["brief"], other["duplicate_of"]) == (line["brief"], None)
        assert (other["split"], other["row"]) != (line["split"], line["row"])
        if twin["kind"] == "exact":
            assert row == other_row
            assert twin["edit"] is None
        else:
            assert row[1:] != other_row[1:]
            words = [set(x["clean_description"].split()) for x in (line, other)]
            shared = len(words[0] & words[1]) / min(len(words[0]), len(words[1]))
            assert shared > 0.9
        places[line["split"], twin["split"], twin["kind"]] += 1
    assert places["test", "train", "exact"] >= 3
    assert places["test", "train", "near"] >= 10
    assert places["train", "train", "near"] >= 40
    assert places["test", "test", "near"] >= 3
    assert ("train", "test", "near") not in places  # a copy in test stands for the leak


def test_no_row_repeats_another_unrecorded():
    seen = Counter(tuple(row[1:]) for row, _ in PAIRS)
    exact = sum((line["duplicate_of"] or {}).get("kind") == "exact" for line in TRUTH)
    assert sum(n - 1 for n in seen.values()) == exact


def test_wrong_labels_and_missing_descriptions_are_few():
    for split, rows in ROWS.items():
        lines = [line for line in TRUTH if line["split"] == split]
        assert 0.008 <= sum(line["wrong_label"] for line in lines) / len(rows) <= 0.012
        assert 0.003 <= sum(line["missing_description"] for line in lines) / len(rows) <= 0.007
    contradicting = [
        line
        for _, line in PAIRS
        if line["duplicate_of"] and line["label"] != partner(line)[1]["label"]
    ]
    assert len(contradicting) == 1


# ---- as dirty as AG News ------------------------------------------------------------------------


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.name)
def test_each_mark_is_about_as_frequent_as_in_ag_news(mark):
    found = Counter(line["true_label"] for row, line in PAIRS if mark.found_in(row[1], row[2]))
    here, there = sum(found.values()) / 2200, sum(mark.counts) / (4 * AG_ROWS)
    assert here == pytest.approx(there, rel=1 / 3)
    for label, count in enumerate(mark.counts, 1):
        if mark.name == "backslash before `$`" and label != 3:
            continue  # too few briefs outside Business mention dollars; the card says so
        # within a third, or within two rows of 550 where AG News has hardly any
        assert found[label] / 550 == pytest.approx(count / AG_ROWS, rel=1 / 3, abs=2 / 550)


def test_ag_news_does_have_these_rates():
    path = full_data_folder() / "test.csv"
    if hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != AG_TEST_MD5:
        pytest.skip(f"{path} is not the official test file")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    for mark in MARKS:
        found = Counter(label for label, *text in rows if mark.found_in(*text))
        assert tuple(found[i] for i in "1234") == mark.counts, mark.name
    for feed, start in (("reuters", "Reuters - "), ("ap", "AP - "), ("afp", "AFP - ")):
        found = Counter(label for label, _, text in rows if text.startswith(start))
        assert sum(found.values()) == pytest.approx(sum(FEEDS[feed]), abs=1)


def test_marks_keep_to_their_feeds():
    for row, line in PAIRS:
        kinds = {a["kind"] for a in line["artifacts"]}
        assert ("link" not in kinds) or line["true_label"] in (3, 4)
        assert "fullquote" not in row[2] or line["true_label"] == 3
        for source in ("Reuters", "AP", "AFP"):
            assert row[1].rstrip().endswith(f"({source})") == row[2].startswith(f"{source} - ")
        text = row[1] + row[2]
        assert not ("#39;" in text and "'" in text)
        addresses = re.findall(r"https?://([^/\"]+)", text)
        assert all(address.endswith(".example.com") for address in addresses)


def test_the_clean_text_has_no_trap_that_a_cleaner_could_not_know():
    traps = re.compile(r"#\d|quot;|&|[<>\\]| -+ |  |^\s|\s$|\((Reuters|AP|AFP)\)")
    assert [b["title"] for b in BRIEFS if traps.search(b["title"] + "\n" + b["description"])] == []


# ---- the command --------------------------------------------------------------------------------


def test_check_accepts_what_is_committed(capsys):
    assert make_newsbriefs.main(["--check"]) == 0
    assert "up to date" in capsys.readouterr().out


@pytest.mark.parametrize("name", GENERATED)
def test_check_names_a_planted_change_and_writes_nothing(full_copy, capsys, name):
    path = full_copy / name
    text = path.read_bytes()
    place = text.index(BEGIN.encode()) if name == "README.md" else 0  # only the tables are ours
    changed = text[:place] + text[place:].replace(b"1", b"2", 1)
    assert changed != text
    path.write_bytes(changed)
    assert make_newsbriefs.main(["--check", "--data", str(full_copy)]) == 1
    out = capsys.readouterr().out
    assert [n for n in GENERATED if str(full_copy / n) in out] == [name]
    assert path.read_bytes() == changed
    assert make_newsbriefs.main(["--data", str(full_copy)]) == 0
    assert path.read_bytes() == text


def test_check_notices_other_line_ends(full_copy):
    path = full_copy / "newsbriefs" / "test.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert make_newsbriefs.main(["--check", "--data", str(full_copy)]) == 1


def test_check_notices_a_missing_file(copy, capsys):
    assert make_newsbriefs.main(["--check", "--data", str(copy)]) == 1
    assert "train.csv" in capsys.readouterr().out
    assert not (copy / "newsbriefs" / "train.csv").exists()


@pytest.mark.parametrize("bad", ["not json", '{"label": "Weather"}', '{"label": "World"}', "[1]"])
def test_a_bad_brief_is_named_and_nothing_is_written(copy, capsys, bad):
    path = copy / "newsbriefs" / "briefs.jsonl"
    lines = path.read_text(encoding="ascii").splitlines()
    path.write_text("\n".join([*lines[:4], bad, *lines[5:]]), encoding="ascii")
    assert make_newsbriefs.main(["--data", str(copy)]) == 2
    error = capsys.readouterr().err
    assert "briefs.jsonl, line 5" in error
    assert not (copy / "newsbriefs" / "train.csv").exists()


def test_missing_sources_are_named(copy, capsys):
    (copy / "README.md").unlink()
    assert make_newsbriefs.main(["--data", str(copy)]) == 2
    assert "README.md is missing" in capsys.readouterr().err


@pytest.mark.parametrize("card", ["", BEGIN, END + BEGIN, BEGIN + END + END])
def test_a_card_without_its_markers_is_refused(card):
    with pytest.raises(ValueError, match="once each"):
        fill(card, "text")


# ---- small parts --------------------------------------------------------------------------------


def test_apportion_gives_the_known_example():
    # Hamilton's method on the textbook example: 25 seats, populations of 5 states
    assert apportion(25, [42, 8, 30, 15, 5]) == [11, 2, 7, 4, 1]
    assert apportion(100, [476, 74]) == [87, 13]


@given(st.integers(0, 500), st.lists(st.integers(1, 1000), min_size=1, max_size=9))
def test_apportion_shares_out_everything_fairly(total, weights):
    counts = apportion(total, weights)
    assert sum(counts) == total
    exact = [total * w / sum(weights) for w in weights]
    assert all(abs(c - e) < 1 + 1e-9 for c, e in zip(counts, exact, strict=True))


def test_sentences_are_not_split_at_initials():
    assert sentences("It rose. He left.") == ["It rose.", "He left."]
    assert sentences('It ended at 3 a.m. in Paris. "Yes," he said.') == [
        "It ended at 3 a.m. in Paris.",
        '"Yes," he said.',
    ]
    assert sentences("Aides of J. Smith met U.S. Senators.") == [
        "Aides of J. Smith met U.S. Senators."
    ]
