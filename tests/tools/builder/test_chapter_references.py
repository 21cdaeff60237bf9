"""Chapters and sections are called by name, so that a chapter can be put in between two others."""

import re
import shutil
from itertools import pairwise

import nbformat
import pytest
from nbformat.v4 import new_notebook, new_output

from tests.helpers import ROOT
from tools.builder import course, lint, readme
from tools.builder.chapters import ChapterError, read_chapter, read_chapters, read_notebook
from tools.builder.compose import compose
from tools.builder.references import with_chapter_numbers
from tools.builder.results import ResultError, Results, read_results
from tools.builder.sections import UNCOUNTED
from tools.builder.sync import source_text, sync

RESULTS = read_results(ROOT / "results")
NOTHING = Results({}, {})
BEFORE, RNN = next(
    pair for pair in pairwise(read_chapters()) if pair[1].contract.run == "rnn"
)  # a chapter is planted between these two
N = RNN.number
PREFIX, _, _ = BEFORE.path.stem.partition("_")
SOURCE = f"{PREFIX[:2]}{chr(ord(PREFIX[2:] or 'a') + 1)}_planted.py"  # 03b_planted.py after 03_...
PLANTED = f"{N:02d}_planted.ipynb"
OLD, NEW = f"{N:02d}_rnn.ipynb", f"{N + 1:02d}_rnn.ipynb"

FRONT_MATTER = """\
# ---
# title: {title}
# summary: Planted between two others.
# run: {run}
# goals: [none]
# prerequisites: [none]
# data: any
# accelerator: none
# ---

"""
BODY = """\
# %% [markdown]
# ## First things
# {{ Chapter.rnn }} is *{{ chapter.rnn.title }}*, {{ chapter.rnn.number }}: {{ chapter.rnn.link }}.
# {{ Chapters("vocabulary", "rnn") }}; {{ chapters("rnn", "planted", "vocabulary") }}.
#
# ```
# ## no heading
# ```
#
# ### A part
# See {{ section("Second things") }}, {{ section("A part") }}, {{ section("Recap") }}.
#
# ## Second things
# {{ Section("Optimizers", "rnn") }}, {{ section("Schedules", "rnn") }}.

# %% [markdown]
# ## Recap
# ### Of the recap
# {{ section("Of the recap") }}
"""


def plant(folder, name=SOURCE, run="planted", body=BODY):
    path = folder / name
    path.write_text(FRONT_MATTER.format(title=run.title(), run=run) + body, encoding="utf-8")
    return path


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Copy the chapters to a folder of their own, beside one for notebooks, and work there."""
    (tmp_path / "notebooks").mkdir()
    shutil.copytree(
        ROOT / "chapters", tmp_path / "chapters", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("chapters", "notebooks"):
        monkeypatch.setattr(f"tools.builder.chapters.{name.upper()}", tmp_path / name)
    return tmp_path


def composed():
    """Return the Markdown cells of all notebooks and the README, by chapter's run name."""
    chapters = read_chapters()
    text = readme.README.read_text(encoding="utf-8")
    pages = {"README": (readme.README.name, [readme.rendered(text, chapters, RESULTS)])}
    for chapter in chapters:
        # The planted chapter has no results; the others' prose needs theirs.
        cells = compose(chapter, RESULTS, chapters).cells
        prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
        pages[chapter.contract.run] = (chapter.notebook_path.name, prose)
    return pages


# ------------------------------------------------------------------- a chapter is planted

NUMBERED = re.compile(
    r"(?P<chapter>\b[Cc]hapter (?P<one>\d+))|(?P<several>\b[Cc]hapters \d+(?:, \d+)*(?: and \d+)?)"
    r"|(?P<section>\b[Ss]ection (?P<in>\d+)\.(?P<place>\d+))"
    r"|(?P<heading>^## (?P<of>\d+)\.(?P<nth>\d+) .+$)"
    r"|(?P<file>(?P<number>\d\d)_(?P<topic>\w+)\.ipynb)",
    re.MULTILINE,
)
NAVIGATION = re.compile(r"^.*\[Overview\]\(\.\./README\.md\).*$", re.MULTILINE)


def moved(text):
    """Return a text as it should read after the planting: one more from the planted chapter on.

    Written without the builder's help: whatever looks like a reference is counted up.
    """
    text = re.sub(r"([Cc]hapters? )(\d+(?:, \d+)*(?: and \d+)?)", lambda m: m[1] + up(m[2]), text)
    text = re.sub(r"([Ss]ection )(\d+)(?=\.\d)", lambda m: m[1] + up(m[2]), text)
    text = re.sub(r"^(## )(\d+)(?=\.\d+ )", lambda m: m[1] + up(m[2]), text, flags=re.MULTILINE)
    text = re.sub(r"\b(\d\d)(?=_\w+\.ipynb)", lambda m: f"{int(up(m[1])):02d}", text)
    return re.sub(r"^(\| )(\d+)(?= \| \[)", lambda m: m[1] + up(m[2]), text, flags=re.MULTILINE)


def up(numbers):
    return re.sub(r"\d+", lambda m: str(int(m[0]) + (int(m[0]) >= N)), numbers)


def test_a_planted_chapter_moves_every_reference_and_nothing_else(folders):
    before = composed()
    plant(folders / "chapters")
    after = composed()

    names = [name for name, _ in after.values()]
    assert names[1:] == sorted(names[1:])
    assert names[N] == PLANTED
    assert after["rnn"][0] == NEW
    assert list(after) == [*list(before)[:N], "planted", *list(before)[N:]]

    for run, (name, cells) in before.items():
        assert after[run][0] == moved(name)
        shown = [NAVIGATION.sub("navigation", cell) for cell in after[run][1]]
        expected = [NAVIGATION.sub("navigation", moved(cell)) for cell in cells]
        if run == "README":
            row = next(line for line in shown[0].splitlines() if PLANTED in line)
            assert row.startswith(f"| {N} | [Planted](notebooks/{PLANTED}) |")
            shown = [shown[0].replace(row + "\n", "")]
        assert shown == expected


def test_the_prose_has_many_references_and_they_all_move(folders):
    """The test above compares nothing if there is nothing to compare."""
    before = composed()
    found = [m for _, cells in before.values() for cell in cells for m in NUMBERED.finditer(cell)]
    kinds = [match.lastgroup for match in found]
    references = [m[0] for m in found if m["chapter"] or m["several"] or m["section"]]
    assert len(references) > 50
    assert sum(moved(reference) != reference for reference in references) > 10
    assert kinds.count("heading") > 30
    assert kinds.count("file") > 12


@pytest.mark.parametrize("planted", [False, True])
def test_every_number_names_what_is_there(folders, planted):
    if planted:
        plant(folders / "chapters")
    pages = composed()
    titles, headings, files = {}, {}, set()
    for run, (name, cells) in pages.items():
        if run != "README":
            number, title = re.match(r"# Chapter (\d+): (.+)", cells[0]).groups()
            titles[int(number)] = title
            files.add(name)
            assert int(name[:2]) == int(number)
            for cell in cells:
                for match in re.finditer(r"^## (\d+\.\d+) (.+)$", cell, re.MULTILINE):
                    assert match[1] not in headings
                    headings[match[1]] = match[2]
    assert list(titles) == list(range(1, len(titles) + 1))
    assert titles[N + planted] == RNN.contract.title
    assert headings[f"{N + planted}.1"] == RNN.sections[0].heading

    for _, cells in pages.values():
        for match in (m for cell in cells for m in NUMBERED.finditer(cell)):
            if match["chapter"]:
                assert int(match["one"]) in titles
            elif match["several"]:
                assert set(map(int, re.findall(r"\d+", match["several"]))) <= set(titles)
            elif match["section"]:
                assert f"{match['in']}.{match['place']}" in headings
            elif match["file"]:
                assert match["file"] in files


def test_the_neighbors_of_a_planted_chapter_lead_to_it(folders):
    plant(folders / "chapters")
    pages = composed()
    for cell in (0, -1):
        assert f"[Planted →]({PLANTED})" in pages[BEFORE.contract.run][1][cell]
        assert f"[← Planted]({PLANTED})" in pages["rnn"][1][cell]
        navigation = pages["planted"][1][cell].splitlines()[-1]
        assert navigation == (
            f"[← {BEFORE.contract.title}]({BEFORE.notebook_path.name}) · [Overview](../README.md) "
            f"· [{RNN.contract.title} →]({NEW})"
        )


def test_all_forms_read_as_documented(folders):
    plant(folders / "chapters")
    pages = composed()
    _, cells = pages["planted"]
    optimizers = re.search(r"^## (\d+\.\d+) Optimizers$", "\n".join(pages["rnn"][1]), re.M)[1]
    first = int(pages["vocabulary"][0][:2])
    assert cells[1] == (
        f"## {N}.1 First things\n"
        f"Chapter {N + 1} is *{RNN.contract.title}*, {N + 1}: [chapter {N + 1}]({NEW}).\n"
        f"Chapters {first} and {N + 1}; chapters {first}, {N} and {N + 1}.\n\n"
        "```\n## no heading\n```\n\n"
        "### A part\n"
        f"See section {N}.2, section {N}.1 (*A part*), section *Recap*.\n\n"
        f"## {N}.2 Second things\n"
        f"Section {optimizers}, section {optimizers} (*Schedules*)."
    )
    assert cells[2] == "## Recap\n### Of the recap\nsection *Of the recap*"


def test_headings_that_every_chapter_has_are_not_counted(folders):
    for run, (_, cells) in composed().items():
        found = re.findall(r"^## (.+)$", "\n".join(cells), re.MULTILINE)
        if run != "README":
            bare = [heading for heading in found if not re.match(r"\d+\.\d+ ", heading)]
            assert set(bare) <= set(UNCOUNTED)
            assert bare[-3:] == ["Exercises", "Recap", "Further reading"]


# ------------------------------------------------------------------------- wrong names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ chapter.rnm }}", "there is no chapter 'rnm'; there are: exploration, cleaning,"),
        ("{{ chapters('rnn', 'brt') }}", "there is no chapter 'brt'"),
        ("{{ section('Optimizers', 'rnm') }}", "there is no chapter 'rnm'"),
        (
            "{{ section('Optimisers', 'rnn') }}",
            rf"{RNN.path.name} has no section 'Optimisers'; there are: .*; Optimizers; ",
        ),
        ("{{ section('Optimizers') }}", rf"{SOURCE} has no section 'Optimizers'; there are: H"),
        ("## Twice\n{{ section('Twice') }}\n## Twice", rf"{SOURCE} has 2 sections 'Twice'"),
        ("{{ chapter.rnn.titel }}", "titel"),
        ("{{ section() }}", "heading"),
    ],
)
def test_a_name_that_is_not_there_is_named(folders, text, message):
    lines = "\n".join(f"# {line}" for line in f"## Here\n{text}".split("\n"))
    path = plant(folders / "chapters", body=f"# %% [markdown]\n{lines}\n")
    chapters = read_chapters()
    with pytest.raises(ResultError, match=message) as error:
        compose(read_chapter(path), NOTHING, chapters)
    assert str(error.value).startswith(f"{SOURCE}, cell '## ")


def test_a_wrong_name_in_front_matter_or_label_is_named(folders):
    path = plant(folders / "chapters")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Planted between", "After {{ chapter.brt }}, between"), "utf-8")
    chapters = read_chapters()
    with pytest.raises(ResultError, match=rf"{SOURCE}, cell '# Chapter {N}.*no chapter 'brt'"):
        compose(chapters[N - 1], NOTHING, chapters)
    with pytest.raises(ResultError, match=rf"{SOURCE}, cell 'After.*no chapter 'brt'"):
        readme.chapter_table(chapters, NOTHING)
    label = "BiLSTM (chapter rnn, median of 3 seeds)"
    assert with_chapter_numbers(label, chapters) == f"BiLSTM (chapter {N + 1}, median of 3 seeds)"
    with pytest.raises(ChapterError, match="there is no chapter 'rnm'"):
        with_chapter_numbers("BiLSTM (chapter rnm)", chapters)


def test_two_chapters_of_one_name_are_refused(folders):
    plant(folders / "chapters", run="rnn")
    with pytest.raises(ChapterError, match=f"{SOURCE} and {RNN.path.name} share the run 'rnn'"):
        read_chapters()
    (folders / "chapters" / SOURCE).unlink()
    plant(folders / "chapters", name="99_rnn.py")
    with pytest.raises(ChapterError, match=rf"{RNN.path.name} and 99_rnn.py share the file name"):
        read_chapters()


def test_a_source_of_another_name_is_no_chapter(folders):
    path = plant(folders / "chapters", name="planted.py")
    assert len(read_chapters()) == len(list((ROOT / "chapters").glob("*.py")))
    with pytest.raises(ChapterError, match=r"planted.py: expected a file with a name such as 04_"):
        read_chapter(path)


# ------------------------------------------------------------------------ typed references


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("as in chapter 4.", ["chapter 4"]),
        ("Chapters 4 and 5 do it", ["Chapters 4"]),
        ("as in section 4.9, over time", ["section 4.9"]),
        ("as in\nsection\n4.9", ["section 4.9"]),
        ("# as the loop of chapter\n# 4 does", ["chapter # 4"]),
        ("part 2 of the course", ["part 2"]),
        ("## 4.9 When one machine is not enough", ["## 4.9"]),
        ("[there](04_rnn.ipynb) and `chapters/04_rnn.py`", ["04_rnn.ipynb", "04_rnn.py"]),
        ("x = 1  # see chapter 5", ["chapter 5"]),
        ("{{ chapter.rnn }}, {{ section('Optimizers') }}, every chapter", []),
        ("*Mining of massive datasets*, ch. 3; Devlin et al., sec. 3.1", []),
        ("# 0.5 is the rate\nrate = 0.5", []),
    ],
)
def test_a_typed_reference_is_found(text, found):
    assert lint.typed_references(text) == found


def test_a_chapter_with_typed_references_is_refused(folders):
    body = "# %% [markdown]\n# ## 4.1 Toy\n# As in chapter 2.\n\n# %%\n1 + 1  # see section 1.2\n"
    path = plant(folders / "chapters", body=body)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("Planted between", "After chapter 3, between"), "utf-8")
    problems = lint.chapter_problems(read_chapter(path))
    for typed in ("## 4.1", "chapter 2", "section 1.2", "chapter 3"):
        wanted = f"{SOURCE}: '{typed}' is typed"
        assert any(problem.startswith(wanted) for problem in problems)


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "data").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_no_page_calls_a_chapter_by_number(page):
    typed = readme.BLOCK.sub(" ", page.read_text(encoding="utf-8"))
    assert lint.typed_references(typed) == []


def test_docstrings_name_sections_that_are_there():
    """They say ``(rnn, "Optimizers")``: chapter by run name, section by its heading's beginning."""
    headings = {c.contract.run: [one.heading for one in c.sections] for c in read_chapters()}
    named = re.compile(rf"\(({'|'.join(headings)}),\s+\"(\w[^\"]+)\"")
    found = [
        (path.relative_to(ROOT).as_posix(), run, " ".join(heading.split()))
        for room in ("agnews_utils", "tools", "benchmarks")
        for path in sorted((ROOT / room).rglob("*.py"))
        for run, heading in named.findall(path.read_text(encoding="utf-8"))
    ]
    assert len(found) > 10
    wrong = [
        (path, run, heading)
        for path, run, heading in found
        if not any(there.startswith(heading) for there in headings[run])
    ]
    assert wrong == []


def test_the_form_of_a_chapter_lets_it_breathe(folders):
    """Twenty lines a cell, any number of cells, and a tag for what only authors need."""
    cells = '# %% tags=["author"]\n' + "\n".join(f"x{i} = {i}" for i in range(20)) + "\n\n"
    path = plant(folders / "chapters", body=cells + "# %%\n1 + 1\n\n" + cells * 60)
    problems = lint.chapter_problems(read_chapter(path))
    assert [problem for problem in problems if "lines" in problem or "tag " in problem] == []
    assert [problem for problem in problems if "code cells" in problem] == []


# -------------------------------------------------------------------- sync, and new numbers


@pytest.fixture
def toy(folders):
    """Plant the chapter and store its notebook; return chapter, notebook and all chapters."""
    chapter = read_chapter(plant(folders / "chapters"))
    chapters = read_chapters()
    return chapter, compose(chapter, NOTHING, chapters), chapters


def save(chapter, notebook):
    nbformat.write(notebook, chapter.notebook_path)


def test_sync_gives_back_every_name_and_heading(toy):
    chapter, notebook, chapters = toy
    source = chapter.path.read_text(encoding="utf-8")
    assert source_text(chapter, notebook, NOTHING, chapters) == source

    first, recap = notebook.cells[2], notebook.cells[3]
    begin = f"## {N}.1 First things\nChapter {N + 1} is"
    assert begin in first.source
    first.source = first.source.replace(begin, f"## {N}.1 To begin\nWe say: Chapter {N + 1} is")
    recap.source += f"\n## {N}.3 One more\n## And another"
    save(chapter, notebook)
    assert "written from" in sync(chapter, NOTHING, chapters)
    begin = "## First things\n# {{ Chapter.rnn }}"
    expected = source.replace(begin, "## To begin\n# We say: {{ Chapter.rnn }}")
    expected = expected.rstrip("\n") + "\n# ## One more\n# ## And another\n"
    assert chapter.path.read_text(encoding="utf-8") == expected


def test_sync_refuses_to_lose_a_reference(toy):
    chapter, notebook, chapters = toy
    source = chapter.path.read_text(encoding="utf-8")
    cell = notebook.cells[2]
    cell.source = cell.source.replace(f"section {N}.2", "the next section")
    save(chapter, notebook)
    removed = rf"removed 'section {N}.2', which {{{{ section\(\"Second things\"\) }}}} fills in"
    with pytest.raises(ChapterError, match=removed):
        sync(chapter, NOTHING, chapters)
    assert chapter.path.read_text(encoding="utf-8") == source


def test_notebooks_move_with_their_chapters_and_keep_their_outputs(folders, monkeypatch, capsys):
    monkeypatch.setattr(readme, "update", lambda *_: None)
    notebooks = folders / "notebooks"
    chapters = read_chapters()
    for chapter in chapters:
        notebook = compose(chapter, RESULTS, chapters)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        for count, cell in enumerate(code, 1):
            text = f"{chapter.contract.run} {count}"
            cell.outputs, cell.execution_count = [new_output("stream", text=text)], count
        save(chapter, notebook)
    before = {path.name: path.read_bytes() for path in notebooks.iterdir()}
    mine = notebooks / "98_rnn.ipynb"  # somebody's copy: its title has the chapter's number
    mine.write_bytes(before[OLD])

    plant(folders / "chapters")
    course.refresh()
    assert f"{OLD} renamed: the chapter is {NEW} now" in capsys.readouterr().out
    after = {path.name for path in notebooks.iterdir()}
    assert after == {moved(name) for name in before} | {mine.name}
    for chapter in read_chapters():
        if chapter.contract.run != "planted":
            cells = read_notebook(chapter.notebook_path).cells
            assert cells[0].source.startswith(f"# Chapter {chapter.number}: ")
            code = [cell for cell in cells if cell.cell_type == "code"]
            shown = [(cell.outputs[0].text, cell.execution_count) for cell in code]
            run = chapter.contract.run
            assert shown == [(f"{run} {count}", count) for count in range(1, len(code) + 1)]

    # Taken out again; where both notebooks stand, the one of the old number goes.
    (folders / "chapters" / SOURCE).unlink()
    (notebooks / OLD).write_bytes(before[OLD])
    course.refresh()
    assert f"{NEW} removed: the chapter is {OLD} now" in capsys.readouterr().out
    again = {path.name: path.read_bytes() for path in notebooks.iterdir()}
    assert again == before | {mine.name: before[OLD]}


def test_a_chapter_is_chosen_by_number_run_or_notebook(folders):
    plant(folders / "chapters")
    for wanted in ([f"{N + 1}"], ["rnn"], [NEW.removesuffix(".ipynb")], ["rnn", f"{N + 1}"]):
        assert [chapter.contract.run for chapter in course.select(wanted)] == ["rnn"]
    assert [c.contract.run for c in course.select(["bert", "planted"])] == ["planted", "bert"]
    with pytest.raises(SystemExit, match=r"CHAPTER=rnn 99: expected one of: 1 \(exploration\), 2"):
        course.select(["rnn", "99"])


def test_an_error_of_a_command_is_one_sentence(folders):
    path = plant(folders / "chapters", body="# %% [markdown]\n# {{ chapter.rnm }}\n")
    save(read_chapter(path), new_notebook())
    with pytest.raises(SystemExit, match=rf"^{SOURCE}, cell .*there is no chapter 'rnm'") as error:
        course.main(["refresh"])
    assert "\n" not in str(error.value)
