"""Every chapter and its stored notebook: the form, the state, the agreement with the source."""

import copy

import nbformat
import pytest

from tools.builder import lint
from tools.builder.chapters import (
    NOTEBOOKS,
    ROOT,
    Chapter,
    read_chapters,
    read_notebook,
)
from tools.builder.compose import compose
from tools.builder.readme import README, rendered
from tools.builder.results import Results, read_results
from tools.builder.sync import source_text

CHAPTERS = read_chapters()
RESULTS = read_results(ROOT / "results")
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)


@every_chapter
def test_the_source_has_the_form_of_a_chapter(chapter):
    assert lint.chapter_problems(chapter) == []


@every_chapter
def test_the_stored_notebook_was_executed_and_is_checked(chapter):
    notebook = read_notebook(chapter.notebook_path)
    assert lint.notebook_problems(notebook, chapter.notebook_path.name) == []


@every_chapter
def test_the_stored_notebook_equals_its_source_and_results(chapter):
    stored = read_notebook(chapter.notebook_path)
    assert lint.same_cells(stored, compose(chapter, RESULTS, CHAPTERS)) == []


@every_chapter
def test_the_stored_notebook_was_made_on_ag_news(chapter):
    assert RESULTS.metrics(chapter.contract.run, "ag_news"), "no result file on AG News"
    texts = [
        output.get("text", "")
        for cell in read_notebook(chapter.notebook_path).cells
        for output in cell.get("outputs", [])
    ]
    assert any("Loaded AG News" in text for text in texts)


@every_chapter
def test_sync_of_an_unedited_notebook_gives_back_the_source(chapter):
    notebook = read_notebook(chapter.notebook_path)
    source = chapter.path.read_text(encoding="utf-8")
    assert source_text(chapter, notebook, RESULTS, CHAPTERS) == source


def test_every_notebook_has_a_source():
    names = {chapter.notebook_path.name for chapter in CHAPTERS}
    assert {path.name for path in NOTEBOOKS.glob("*.ipynb")} == names


def test_the_readme_is_up_to_date():
    text = README.read_text(encoding="utf-8")
    assert rendered(text, CHAPTERS, RESULTS) == text, "run `make refresh`"


# ----------------------------------------------------------- planted faults must be found


@pytest.fixture
def chapter() -> Chapter:
    return CHAPTERS[0]


@pytest.fixture
def notebook(chapter):
    return read_notebook(chapter.notebook_path)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_a_wrong_number_in_the_prose_is_found(chapter, notebook):
    expected = f"{RESULTS.metrics('exploration', 'ag_news')['linear_accuracy']:.1%}"
    cell = next(c for c in notebook.cells if c.cell_type == "markdown" and expected in c.source)
    cell.source = cell.source.replace(expected, "99.9%")
    problems = lint.same_cells(notebook, compose(chapter, RESULTS, CHAPTERS))
    assert len(problems) == 1
    assert "differs from its source or from the results" in problems[0]


def test_a_stale_result_is_found(chapter, notebook):
    results = Results(copy.deepcopy(RESULTS.runs), RESULTS.published)
    results.runs["exploration"]["ag_news"]["metrics"]["linear_accuracy"] = 0.5
    assert lint.same_cells(notebook, compose(chapter, results, CHAPTERS))


@pytest.mark.parametrize(
    "line", ["# NBVAL_CHECK_OUTPUT", "#NBVAL_IGNORE_OUTPUT because of the clock", "# NBVAL_SKIP x"]
)
def test_a_comment_marker_without_a_tag_is_found(notebook, line):
    code_cells(notebook)[3].source += f"\n{line}"
    assert any("comment marker" in p for p in lint.notebook_problems(notebook, "x.ipynb"))


def test_a_stripped_execution_count_is_found(notebook):
    cell = next(c for c in code_cells(notebook) if lint.CHECKED in c.metadata.get("tags", []))
    cell.execution_count, cell.outputs = None, []
    problems = "\n".join(lint.notebook_problems(notebook, "x.ipynb"))
    assert "execution count None" in problems
    assert "stores no output to compare with" in problems


def test_a_cell_that_should_raise_and_does_not_is_found(notebook):
    cell = next(c for c in code_cells(notebook) if lint.RAISES in c.metadata.get("tags", []))
    cell.outputs = []
    assert any("raised nothing" in p for p in lint.notebook_problems(notebook, "x.ipynb"))


def test_stored_errors_warnings_and_machine_paths_are_found(notebook):
    cells = code_cells(notebook)
    cells[2].outputs = [nbformat.v4.new_output("error", ename="KeyError", evalue="", traceback=[])]
    cells[3].outputs = [nbformat.v4.new_output("stream", name="stderr", text="FutureWarning")]
    cells[4].outputs = [nbformat.v4.new_output("stream", name="stdout", text="in /home/ada/x.csv")]
    problems = "\n".join(lint.notebook_problems(notebook, "x.ipynb"))
    assert "stores an error: KeyError" in problems
    assert "stores a warning: FutureWarning" in problems
    assert "stores a path of one machine" in problems


def test_an_unknown_tag_is_found(notebook):
    code_cells(notebook)[3].metadata["tags"] = ["nbval-chekc-output"]
    assert any("unknown tag" in p for p in lint.notebook_problems(notebook, "x.ipynb"))


@pytest.mark.parametrize(
    ("prose", "found"),
    [
        ("the model reaches 92.4%", ["92.4"]),
        ("on 80,043 rows", ["80,043"]),
        ("there are 7600 test rows", ["7600"]),
        ("11 percent of the rows", ["11"]),
        ("in 2015, chapter 4, section 1.12, four classes, 3 words", []),
        ("`C=0.3` and $p = 0.92$ and {{ ag_news.x | percent }}", []),
        ("see [figure](images/plot_0.25.png)", []),
    ],
)
def test_typed_numbers(prose, found):
    assert lint.typed_numbers(prose) == found


def test_a_source_that_breaks_the_form_is_found(chapter):
    cells = [
        nbformat.v4.new_markdown_cell("## 9.1 It gets 95.1% right"),
        nbformat.v4.new_code_cell("\n".join(f"x{i} = {i}" for i in range(21))),
    ]
    broken = Chapter(chapter.path, "", chapter.contract, cells, number=1)
    problems = "\n".join(lint.chapter_problems(broken))
    for expected in ("'Recap' is missing", "21 lines", "no cell asserts", "prose: 95.1", "0 cells"):
        assert expected in problems
