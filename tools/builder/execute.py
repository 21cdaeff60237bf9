"""Execute notebooks with a progress bar that names the running chapter and cell."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from agnews_utils.runtime import RECORD_VARIABLE
from tools.builder.chapters import NOTEBOOKS, Chapter
from tools.builder.generated import GENERATED_FIRST_LINE

CELL_TIMEOUT = 1800
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Outcome:
    """What became of one execution: seconds on the clock, code cells run, the error if any."""

    chapter: str
    cells: int
    seconds: float
    error: str | None = None


def kernel_variables(data: str | None, record: Path | None) -> dict[str, str]:
    """Return the environment for kernels: data source, folder for results, nothing downloaded."""
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    variables.pop(RECORD_VARIABLE, None)
    if data:
        looks_like_folder = os.sep in data or "/" in data or Path(data).exists()
        variables["AGNEWS_DATA"] = str(Path(data).resolve()) if looks_like_folder else data
    if record:
        variables[RECORD_VARIABLE] = str(record.resolve())
    return variables


def execute(
    chapter: Chapter, notebook: NotebookNode, data: str | None, record: Path | None
) -> Outcome:
    """Execute a notebook in place; a failing cell ends it and is named in the outcome.

    Parameters
    ----------
    chapter
        The chapter, for its name.
    notebook
        Its notebook; outputs are written into it, also those before a failing cell.
    data
        What ``load_news()`` shall load; None leaves the choice to it.
    record
        Folder for the results, or None.
    """
    code_cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source]
    position = {cell.id: number for number, cell in enumerate(code_cells, 1)}
    started = time.perf_counter()
    finished = 0
    print(f"{chapter.name}: {len(code_cells)} cells", flush=True)
    # disable=None: no bar where nobody can see it move, such as a log file.
    with tqdm(
        total=len(code_cells), unit="cell", leave=False, dynamic_ncols=True, disable=None
    ) as bar:

        def before(cell: NotebookNode, cell_index: int) -> None:
            if cell.id in position:
                bar.set_description(f"{chapter.name}, cell {position[cell.id]}: {first_line(cell)}")

        def after(cell: NotebookNode, cell_index: int, **_: object) -> None:
            nonlocal finished
            finished += cell.id in position
            bar.update(cell.id in position)

        client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": str(NOTEBOOKS)}},
            on_cell_start=before,
            on_cell_executed=after,
        )
        error = None
        try:
            client.execute(env=kernel_variables(data, record))
        except CellExecutionError as failure:
            error = f"{failure.ename}: {ANSI.sub('', failure.evalue)}"
        except CellTimeoutError:
            error = f"the cell ran for more than {CELL_TIMEOUT} seconds"
        except DeadKernelError:
            error = "the kernel died (out of memory?)"
    seconds = time.perf_counter() - started
    if error:
        failed = code_cells[min(finished, len(code_cells) - 1)]
        failing = next((cell for cell in code_cells if _has_error(cell)), failed)
        where = f"cell {position[failing.id]} ('{first_line(failing)}')"
        error = f"{chapter.notebook_path.name}, {where}: {error}"
    return Outcome(chapter.name, finished, seconds, error)


def first_line(cell: NotebookNode) -> str:
    """Return the first line of a cell, shortened, to name it."""
    line = cell.source.strip().split("\n")[0]
    if line == GENERATED_FIRST_LINE:
        return "setup"
    return line if len(line) <= 48 else line[:45] + "..."


def _has_error(cell: NotebookNode) -> bool:
    expected = "raises-exception" in cell.metadata.get("tags", [])
    return not expected and any(output.output_type == "error" for output in cell.outputs)
