"""Chapters run to their end in JupyterLab, in a real browser (`make browser-test`).

`make test` runs one small notebook there, so that the test itself is tested; chapters are named in
AGNEWS_BROWSER. Without Chromium the tests are skipped, or fail if a chapter was asked for.
"""

import os
from collections import namedtuple

import nbformat
import pytest
from nbformat import v4

from tests import browser
from tests.helpers import ROOT
from tools.builder.chapters import KERNEL, read_notebook
from tools.builder.course import select

pytest.importorskip("websocket")
pytest.importorskip("jupyterlab")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="ends its processes as POSIX systems do")

WANTED = os.environ.get("AGNEWS_BROWSER", "").split()
RAISES = "raises-exception"
OPEN_SECONDS, RUN_SECONDS = 180, 900
Lab = namedtuple("Lab", "open_page address root")

NOTEBOOK = "[...(window.jupyterapp?.shell?.widgets('main') || [])].find(w => w.context?.path)"
CELLS = f"""
(() => {{
  const panel = {NOTEBOOK};
  const cells = panel.content.widgets.filter(c => c.model.type === 'code'
      && c.model.sharedModel.source.trim());
  return {{
    kernel: panel.sessionContext.kernelDisplayStatus,
    cells: cells.map(c => ({{
      count: c.model.executionCount,
      line: c.model.sharedModel.source.split('\\n')[0],
      tags: c.model.getMetadata('tags') || [],
      outputs: c.model.outputs.toJSON().map(o => ({{
        type: o.output_type,
        name: o.ename || o.name || '',
        text: o.text ? [].concat(o.text).join('') : (o.evalue || '')}}))
    }}))
  }};
}})()
"""
LAST_OUTPUT = f"""
(() => {{
  const notebook = {NOTEBOOK}.content;
  const code = notebook.widgets.filter(c => c.model.type === 'code');
  const last = code[code.length - 1];
  notebook.activeCellIndex = notebook.widgets.indexOf(last);
  notebook.scrollToItem(notebook.activeCellIndex);
  const output = last.node.querySelector('.jp-OutputArea-output');
  if (!output) return '';
  const box = output.getBoundingClientRect();
  return box.height > 0 && box.top >= 0 && box.top < window.innerHeight ? output.innerText : '';
}})()
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Start JupyterLab and Chromium once for all tests here."""
    missing = pytest.fail if WANTED else pytest.skip
    program = browser.find_chromium()
    if program is None:
        missing("no Chromium here: install it, or set AGNEWS_CHROMIUM to its path")
    folder = tmp_path_factory.mktemp("browser")
    root = folder / "course"
    (root / "notebooks").mkdir(parents=True)
    with browser.jupyterlab(root, folder) as address:
        try:
            context = browser.chromium(program, folder)
            open_page = context.__enter__()
        except browser.BrowserError as error:
            missing(f"Chromium does not start: {error}")
        try:
            yield Lab(open_page, address, root)
        finally:
            context.__exit__(None, None, None)


def save(lab, name, notebook):
    """Store a notebook without outputs, so that what is seen later was made in the browser."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, lab.root / "notebooks" / name)


def open_notebook(lab, name):
    """Open a notebook in a page of its own, as a click in the list of files would."""
    page = lab.open_page(f"{lab.address}/lab/tree/notebooks/{name}?reset&token={browser.TOKEN}")
    page.wait_for(
        "(panel => panel?.context.path.endsWith('/" + name + "') && panel.context.isReady"
        " && panel.sessionContext.isReady"
        f" && panel.sessionContext.kernelDisplayStatus === 'idle')({NOTEBOOK})",
        OPEN_SECONDS,
        f"{name} open in JupyterLab with an idle kernel",
    )
    return page


def run_all(page):
    """Click on Run > Run All Cells, and wait; return the cells with their outputs."""
    page.click("document.querySelector('.jp-Notebook .jp-InputPrompt')")
    page.click("[...document.querySelectorAll('.lm-MenuBar-item')]"
               ".find(e => e.innerText.trim() === 'Run')")  # fmt: skip
    entry = "document.querySelector('.lm-Menu-item[data-command=\"runmenu:run-all\"]')"
    page.wait_for(f"!!{entry}", 30, "the menu Run")
    page.click(entry)
    page.wait_for(f"({CELLS}).cells[0].count !== null", 60, "the first cell")
    page.wait_for(
        "(s => s.kernel === 'idle' && (s.cells.at(-1).count !== null"
        f" || s.cells.some(c => !c.tags.includes('{RAISES}')"
        f" && c.outputs.some(o => o.type === 'error'))))({CELLS})",
        RUN_SECONDS,
        "the last cell",
    )
    return page.evaluate(CELLS)["cells"]


def problems(cells):
    """Name the cells that show an error, should have raised one, or were not run in order."""
    for number, cell in enumerate(cells, 1):
        errors = [output["name"] for output in cell["outputs"] if output["type"] == "error"]
        if errors and RAISES not in cell["tags"]:
            yield f"'{cell['line']}' shows {errors[0]}"
        if not errors and RAISES in cell["tags"]:
            yield f"'{cell['line']}' raised nothing"
        if cell["count"] != number:
            yield f"'{cell['line']}' has count {cell['count']}, expected {number}"


def small_notebook(*sources):
    cells = [v4.new_code_cell(source) for source in sources]
    cells[1].metadata["tags"] = [RAISES]
    return v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def test_a_small_notebook_and_one_with_an_error(lab):
    save(lab, "good.ipynb", small_notebook("x = 1", "x[0]", "print('the end of', x)"))
    page = open_notebook(lab, "good.ipynb")
    assert list(problems(run_all(page))) == []
    shown = page.wait_for(LAST_OUTPUT, 30, "the last output on the screen")
    assert shown.strip() == "the end of 1"

    save(lab, "bad.ipynb", small_notebook("x = 1", "x + 1", "y", "print('the end')"))
    found = "; ".join(problems(run_all(open_notebook(lab, "bad.ipynb"))))
    assert "'x + 1' raised nothing" in found
    assert "'y' shows NameError" in found
    assert "'print('the end')' has count None, expected 4" in found


@pytest.mark.skipif(not WANTED, reason="chapters in the browser: `make browser-test`")
@pytest.mark.parametrize("number", WANTED or ["1"])
def test_a_chapter_runs_in_jupyterlab(lab, number):
    (chapter,) = select([number])
    stored = read_notebook(chapter.notebook_path)
    expected = sum(cell.cell_type == "code" and bool(cell.source.strip()) for cell in stored.cells)
    save(lab, chapter.notebook_path.name, stored)
    picture = ROOT / "build" / "browser" / f"{chapter.name}.png"
    page = open_notebook(lab, chapter.notebook_path.name)
    try:
        cells = run_all(page)
        assert list(problems(cells)) == []
        assert len(cells) == expected
        assert "Loaded News Briefs (1,800 training rows" in str(cells)
        shown = page.wait_for(LAST_OUTPUT, 60, "the last output on the screen")
        assert shown.strip() == cells[-1]["outputs"][0]["text"].strip()
    finally:
        page.screenshot(picture)
