"""How chapters are read, filled with results, and brought back from edited notebooks."""

import nbformat
import pytest

from tools.builder.chapters import ChapterError, read_chapter, read_chapters
from tools.builder.compose import compose
from tools.builder.results import ResultError, Results, fill, read_results
from tools.builder.sync import sync

CHAPTERS = read_chapters()


@pytest.fixture
def chapter():
    return CHAPTERS[0]


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
