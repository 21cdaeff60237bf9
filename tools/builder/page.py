"""HTML pages of chapters that need no network: formulas as MathML, setup and checks folded."""

from __future__ import annotations

import copy
import re

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbformat import NotebookNode

FORMULA = re.compile(
    r"\$\$(?P<block>.+?)\$\$|(?<![\\$\w])\$(?P<line>[^$\n]+?)\$(?![\w$])", re.DOTALL
)
CODE = re.compile(r"(```.*?```|`[^`\n]*`)", re.DOTALL)
CELL = re.compile(
    r'<div class="jp-Cell jp-CodeCell[^"]*\bcelltag_(author|generated)\b.*?'
    r'(?=<div class="jp-Cell |</main>|</body>)',
    re.DOTALL,
)
SUMMARY = {"author": "a check, for authors", "generated": "setup"}
STYLE = (
    "<style>.folded > summary {color: #666; font-size: 85%; margin-left: 1em; cursor: pointer;}"
    "</style>"
)


def html_page(notebook: NotebookNode, title: str) -> str:
    """Turn an executed notebook into one HTML page that loads nothing from elsewhere.

    Parameters
    ----------
    notebook
        With its outputs; it is left as it is.
    title
        Of the browser's window.
    """
    shown = copy.deepcopy(notebook)
    for cell in shown.cells:
        if cell.cell_type == "markdown":
            cell.source = with_mathml(cell.source)
    exporter = HTMLExporter(
        exclude_input_prompt=True,
        mathjax_url="",
        require_js_url="",
        jquery_url="",
        mermaid_js_url="",
    )
    page, _ = exporter.from_notebook_node(shown, {"metadata": {"name": title}})
    page = re.sub(r'<script src="">\s*</script>', "", page)
    page = CELL.sub(_folded, page)
    return page.replace("</head>", f"{STYLE}\n</head>", 1)


def _folded(found: re.Match[str]) -> str:
    summary = SUMMARY[found[1]]
    return f'<details class="folded"><summary>{summary}</summary>{found[0]}</details>\n'


def with_mathml(source: str) -> str:
    """Replace the formulas of a Markdown text by MathML, which browsers draw by themselves."""
    parts = CODE.split(source)
    return "".join(
        part if place % 2 else FORMULA.sub(_formula, part) for place, part in enumerate(parts)
    )


def _formula(found: re.Match[str]) -> str:
    block = found["block"] is not None
    text = found["block"] if block else found["line"]
    mathml = convert(text.strip(), display="block" if block else "inline")
    return mathml.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "")  # HTML knows it
