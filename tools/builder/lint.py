"""Rules that neither ruff nor nbval checks: the form of chapters, the state of stored notebooks.

nbval passes silently over several things that are wrong: a checked cell without a stored output,
a marker with other text behind it, a cell that should raise and does not. Each has a rule here.
Every function returns a list of sentences, one a problem; an empty list means all is well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.builder.chapters import GENERATED, Chapter

CHECKED = "nbval-check-output"
RAISES = "raises-exception"
KNOWN_TAGS = {CHECKED, RAISES, GENERATED, "author", "exercise"}
MOST_LINES = 20
FEWEST_CHECKED = 5
COMMENT_MARKER = re.compile(r"^\s*#\s*(NBVAL_\w+|PYTEST_VALIDATE\w+|nbval-[\w-]+)", re.MULTILINE)

# A figure that looks measured: a decimal, a percentage, a thousands separator, or three digits
# and more. Years, versions in code spans, formulas, links and sources are no measurements.
MEASURED = re.compile(r"(?<![\w.,-])(\d{1,3}(?:,\d{3})+|\d+\.\d+|\d+(?=\s?(?:%|percent))|\d{3,})")
# Years, the confidence level, and "so many in 100" are conventions, not measurements.
CONVENTION = re.compile(r"^(1[89]\d\d|20\d\d|95|100)$")
NOT_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]+\$|\]\([^)]*\)|https?://\S+|<!--.*?-->|\{\{.*?\}\}",
    re.DOTALL,
)
PLACE_NUMBER = re.compile(r"(?i:section|sec\.|chapter|ch\.|table|figure) \d+(\.\d+)?")
# A chapter or section called by a number that moves when a chapter is put in before it.
TYPED_REFERENCE = re.compile(
    r"\b(?:chapters?|sections?|parts?)[\s#]+\d+(?:\.\d+)?|^#{2,} +\d+\.\d+(?= )"
    r"|\b\d\d[a-z]?_[a-z]\w*\.(?:ipynb|py)\b",
    re.IGNORECASE | re.MULTILINE,
)
MACHINE_PATH = re.compile(r"(?:Posix|Windows)Path\(|/(?:home|root|tmp|Users)/|[A-Z]:\\\\")
WANTED_PARTS = ("What could go wrong", "Exercises", "Recap", "Further reading")


def chapter_problems(chapter: Chapter) -> list[str]:
    """Check the form of a chapter's source."""
    return [f"{chapter.path.name}: {problem}" for problem in _chapter_problems(chapter)]


def _chapter_problems(chapter: Chapter) -> Iterator[str]:
    prose = "\n\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    code = [cell for cell in chapter.cells if cell.cell_type == "code"]
    for part in WANTED_PARTS:
        if part not in prose:
            yield f"the part '{part}' is missing"
    if "assert" not in "".join(cell.source for cell in code):
        yield "no cell asserts anything"
    for cell in code:
        yield from _marker_problems(cell)
        lines = len(cell.source.split("\n"))
        if lines > MOST_LINES:
            yield f"cell '{_name(cell)}' has {lines} lines; more than {MOST_LINES} are too many"
    checked = sum(CHECKED in _tags(cell) for cell in code)
    if checked < FEWEST_CHECKED:
        yield f"{checked} cells are tagged {CHECKED}; at least {FEWEST_CHECKED} should be"
    yield from (f"number typed in the prose: {number}" for number in typed_numbers(prose))
    texts = [chapter.front_matter, *(cell.source for cell in chapter.cells)]
    yield from (
        f"'{reference}' is typed; call it by name (tools/builder/references.py)"
        for text in texts
        for reference in typed_references(text)
    )


def typed_numbers(prose: str) -> list[str]:
    """Return figures in a text that look measured and do not come from a result file."""
    plain = PLACE_NUMBER.sub("", NOT_PROSE.sub(" ", prose))
    return [found for found in MEASURED.findall(plain) if not CONVENTION.match(found)]


def typed_references(text: str) -> list[str]:
    """Return the chapters, sections and notebooks that a text calls by number.

    The chapter of a book, the section of a paper: abbreviate them, *ch. 3*, *sec. 3.1*.
    """
    return [" ".join(found.split()) for found in TYPED_REFERENCE.findall(text)]


def notebook_problems(notebook: NotebookNode, name: str) -> list[str]:
    """Check a stored notebook: executed from top to bottom, no error, nothing unchecked."""
    return [f"{name}: {problem}" for problem in _notebook_problems(notebook)]


def _notebook_problems(notebook: NotebookNode) -> Iterator[str]:
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    counts = [cell.execution_count for cell in code]
    if counts != list(range(1, len(code) + 1)):
        odd = next(i for i, count in enumerate(counts) if count != i + 1)
        yield (
            f"cell '{_name(code[odd])}' has execution count {counts[odd]}, expected {odd + 1}: "
            "execute the notebook from top to bottom (`make notebooks`)"
        )
    for cell in code:
        yield from _marker_problems(cell)
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if RAISES in _tags(cell) and not errors:
            yield f"cell '{_name(cell)}' is tagged {RAISES}, but its stored run raised nothing"
        if RAISES not in _tags(cell) and errors:
            yield f"cell '{_name(cell)}' stores an error: {errors[0].ename}"
        if CHECKED in _tags(cell) and not cell.outputs:
            yield f"cell '{_name(cell)}' is tagged {CHECKED}, but stores no output to compare with"
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell '{_name(cell)}' stores a warning: {output.text.strip()[:80]}"
            path = MACHINE_PATH.search(_text(output))
            if path:
                yield f"cell '{_name(cell)}' stores a path of one machine: {path.group()}..."


def _marker_problems(cell: NotebookNode) -> Iterator[str]:
    marker = COMMENT_MARKER.search(cell.source)
    if marker:
        yield (
            f"cell '{_name(cell)}' has the comment marker {marker.group(1)}, which nbval ignores "
            f"when other text follows; use a cell tag such as {CHECKED}"
        )
    for tag in _tags(cell) - KNOWN_TAGS:
        known = ", ".join(sorted(KNOWN_TAGS))
        yield f"cell '{_name(cell)}' has the unknown tag {tag!r}; known: {known}"


def same_cells(stored: NotebookNode, composed: NotebookNode) -> list[str]:
    """Compare a stored notebook with what its source gives now: cells, tags and prose."""
    problems = []
    if len(stored.cells) != len(composed.cells):
        problems.append(f"{len(stored.cells)} cells stored, the source gives {len(composed.cells)}")
    for have, want in zip(stored.cells, composed.cells, strict=False):
        if (have.cell_type, have.source, _tags(have)) != (want.cell_type, want.source, _tags(want)):
            problems.append(f"cell '{_name(want)}' differs from its source or from the results")
    return problems


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _text(output: NotebookNode) -> str:
    """Return what an output shows as text; tracebacks are left out."""
    return output.get("text", "") or output.get("data", {}).get("text/plain", "")


def _name(cell: NotebookNode) -> str:
    return (cell.source.strip().split("\n") or [""])[0][:60]
