"""Every chapter and its stored notebook: the form, the state, the agreement with the source."""

import copy

import nbformat
import pytest

from tools.builder import lint
from tools.builder.chapters import (
    NOTEBOOKS,
    ROOT,
    Chapter,
    ChapterError,
    read_chapter,
    read_chapters,
    read_notebook,
)
from tools.builder.compose import compose
from tools.builder.readme import README, rendered
from tools.builder.results import ResultError, Results, fill, read_results
from tools.builder.sync import source_text, sync

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


# --------------------------------------------------------------------- sources and results


def write_chapter(folder, front_matter, body="# %%\n1 + 1\n"):
    path = folder / "09_test.py"
    path.write_text(f"# ---\n{front_matter}# ---\n\n{body}", encoding="utf-8")
    return path


def test_front_matter_is_checked(tmp_path):
    with pytest.raises(ChapterError, match="missing or unknown: accelerator, data"):
        read_chapter(write_chapter(tmp_path, "# title: x\n# summary: x\n"))
    with pytest.raises(ChapterError, match="not YAML"):
        read_chapter(write_chapter(tmp_path, "# title: [9\n"))
    path = tmp_path / "08_test.py"
    path.write_text("# %%\n1\n", encoding="utf-8")
    with pytest.raises(ChapterError, match=r"08_test.py: expected front matter"):
        read_chapter(path)


def test_ids_of_cells_depend_on_their_own_source_only(chapter):
    ids = [cell.id for cell in chapter.cells]
    assert len(set(ids)) == len(ids)
    again = read_chapter(chapter.path)
    assert [cell.id for cell in again.cells] == ids


METRICS = Results(
    {"toy": {"ag_news": {"metrics": {"accuracy": 0.92345, "rows": 80043, "half": 0.0061}}}}, {}
)


def test_numbers_are_filled_in():
    text = (
        "{{ ag_news.accuracy | percent }} of {{ ag_news.rows | count }}, {{ ag_news.half|points }}"
    )
    assert fill(text, METRICS, "toy", "t.py") == "92.3% of 80,043, 0.61"
    assert fill("{{ results.toy.ag_news.rows }}", METRICS, "other", "t.py") == "80043"
    assert fill(r"a {b} $\frac{1}{2}$", METRICS, "toy", "t.py") == r"a {b} $\frac{1}{2}$"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ ag_news.recall }}", "recall"),
        ("{{ results.rnn.ag_news.accuracy }}", "rnn"),
        ("{{ ag_news.rows | prcent }}", "prcent"),
        ("{{ ag_news.rows", "unexpected end"),
    ],
)
def test_a_number_that_is_not_there_is_named(text, message):
    with pytest.raises(ResultError, match=message) as error:
        fill(f"# Heading\n{text}", METRICS, "toy", "09_toy.py")
    assert "09_toy.py, cell '# Heading'" in str(error.value)


def test_result_files_are_checked(tmp_path):
    path = tmp_path / "toy.ag_news.json"
    path.write_text('{"run": "toy", "data": {"name": "newsbriefs"}, "metrics": {}}')
    with pytest.raises(ResultError, match="name and content must agree"):
        read_results(tmp_path)
    path.write_text('{"run": ')
    with pytest.raises(ResultError, match=r"toy.ag_news.json is not JSON"):
        read_results(tmp_path)


# ---------------------------------------------------------------------------------- sync


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Make a chapter of three cells with its notebook, in a folder of its own."""
    monkeypatch.setattr("tools.builder.chapters.NOTEBOOKS", tmp_path)
    matter = CHAPTERS[0].front_matter.split("\n", 1)[1].rsplit("\n", 1)[0] + "\n"
    matter = matter.replace("run: exploration", "run: toy")
    body = (
        "# %% [markdown]\n# ## Toy\n# It is {{ ag_news.accuracy | percent }} right.\n\n"
        '# %% tags=["nbval-check-output"]\n1 + 1\n\n# %% [markdown]\n# The end.\n'
    )
    chapter = read_chapter(write_chapter(tmp_path, matter, body))
    notebook = compose(chapter, Results(METRICS.runs, {}), [chapter])
    return chapter, notebook


def save(chapter, notebook):
    nbformat.write(notebook, chapter.notebook_path)


@pytest.fixture(autouse=True)
def _complete_toy_metrics(monkeypatch):
    complete = {
        "cpu_seconds": 1.0,
        "date": "2026-01-01",
        "commit": "abc",
        "environment": {"python": "3.11", "torch": "2.3", "device": "cpu"},
        "data": {"description": "toy"},
    }
    monkeypatch.setitem(METRICS.runs["toy"], "ag_news", METRICS.runs["toy"]["ag_news"] | complete)


def test_sync_brings_back_edits_and_keeps_templates(toy):
    chapter, notebook = toy
    prose, code, end = notebook.cells[2], notebook.cells[3], notebook.cells[4]
    assert "92.3%" in prose.source
    prose.source = prose.source.replace("It is", "The model is, we think,")
    code.source = "1 + 2"
    end.source = "The end, then."
    notebook.cells.insert(4, nbformat.v4.new_code_cell("new = 1"))
    save(chapter, notebook)
    assert "written from" in sync(chapter, METRICS, [chapter])
    text = chapter.path.read_text(encoding="utf-8")
    assert "# The model is, we think, {{ ag_news.accuracy | percent }} right." in text
    assert '# %% tags=["nbval-check-output"]\n1 + 2\n' in text
    assert "# %%\nnew = 1\n" in text
    assert text.startswith(chapter.front_matter)
    again = read_chapter(chapter.path)
    save(again, compose(again, METRICS, [again]))
    assert "nothing to bring back" in sync(again, METRICS, [again])


def test_sync_refuses_to_lose_a_number(toy):
    chapter, notebook = toy
    before = chapter.path.read_text(encoding="utf-8")
    notebook.cells[2].source = notebook.cells[2].source.replace("92.3%", "93%")
    save(chapter, notebook)
    with pytest.raises(ChapterError, match=r"removed '92.3%'"):
        sync(chapter, METRICS, [chapter])
    assert chapter.path.read_text(encoding="utf-8") == before


def test_sync_without_a_notebook_says_what_to_do(toy):
    with pytest.raises(ChapterError, match="make notebooks"):
        sync(toy[0], METRICS, [toy[0]])
