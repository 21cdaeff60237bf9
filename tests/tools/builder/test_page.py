"""Pages without a network: formulas are MathML, nothing is loaded, setup and checks are folded."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from nbformat import v4

from tools.builder.page import html_page, with_mathml


class Loads(HTMLParser):
    """Collects what a browser would fetch for a page, and whether each cell is folded."""

    def __init__(self):
        super().__init__()
        self.fetched, self.depth, self.folded = [], 0, {}

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.depth += tag == "details"
        if tag in ("script", "img", "iframe") and "src" in attributes:
            self.fetched.append(attributes["src"])
        if tag == "link" and "href" in attributes:
            self.fetched.append(attributes["href"])
        if tag == "div" and attributes.get("id", "").startswith("cell-id="):
            self.folded[attributes["id"].removeprefix("cell-id=")] = self.depth > 0

    def handle_endtag(self, tag):
        self.depth -= tag == "details"


@pytest.fixture(scope="module")
def page():
    cells = [
        v4.new_code_cell("setup", id="setup", metadata={"tags": ["generated"]}),
        v4.new_markdown_cell("## It is $\\frac{1}{2}$, not `$x$`\n\n$$a_1 = \\sqrt{d_k}$$", id="t"),
        v4.new_code_cell("1 + 1", id="lesson", metadata={"tags": ["nbval-check-output"]}),
        v4.new_code_cell("assert True", id="check", metadata={"tags": ["author"]}),
        v4.new_code_cell("2 + 2", id="next"),
    ]
    return html_page(v4.new_notebook(cells=cells), "4 Toy")


def test_nothing_is_loaded_from_elsewhere(page):
    reader = Loads()
    reader.feed(page)
    assert [address for address in reader.fetched if not address.startswith("data:")] == []
    assert "import(" not in page or not re.search(r"import\(\s*['\"]https?:", page)


def test_setup_and_checks_are_folded_and_lessons_are_not(page):
    reader = Loads()
    reader.feed(page)
    folded = {name: state for name, state in reader.folded.items() if name != "t"}
    assert folded == {"setup": True, "lesson": False, "check": True, "next": False}
    assert reader.depth == 0


def test_formulas_are_mathml_and_code_is_left_alone(page):
    formulas = [ElementTree.fromstring(f) for f in re.findall(r"<math.*?</math>", page, re.DOTALL)]
    assert [formula.get("display") for formula in formulas] == ["inline", "block"]
    assert "mfrac" in [element.tag for element in formulas[0].iter()]
    assert "<code>$x$</code>" in page


@pytest.mark.parametrize(
    "text", ["it costs $5 and $7", "`$a$` and ```\n$b$\n```", "a \\$x\\$ b", "no formula"]
)
def test_what_is_no_formula_stays(text):
    assert with_mathml(text) == text
