"""What a newcomer sees first: README and its picture, links, commands, license, citation."""

import copy
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
import yaml

from agnews_utils.data.corpus import AG_NEWS_ROWS
from tests.helpers import ROOT
from tools.builder import lint, picture
from tools.builder.chapters import NOTEBOOKS, read_chapters, read_notebook
from tools.builder.readme import BLOCK, GPU_RUN, gpu_line, rendered, result_table
from tools.builder.references import with_chapter_numbers
from tools.builder.results import Results, fill, read_results
from tools.lock import locked_versions

CHAPTERS = read_chapters()
RESULTS = read_results(ROOT / "results")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/architecture.md", "docs/glossary.md",
         "docs/saved-models.md", "docs/page.md")  # fmt: skip
PAGES = [ROOT / name for name in NAMES]
CARDS = sorted((ROOT / "data").rglob("*.md"))
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def git_files():
    """Return the files that a clone holds, or will hold; None outside of a git checkout."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return {ROOT / line for line in listed.splitlines() if (ROOT / line).exists()}


# ---------------------------------------------------------------------------------- links

LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|<(?:img|a)\b[^>]*?(?:src|href)="
                  r"[\"']([^\"']+)")  # fmt: skip
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def links(text):
    """Return the targets of a text's links that lead to places in the repository."""
    found = (first or second for first, second in LINK.findall(CODE.sub(" ", text)))
    return [target for target in found if not ELSEWHERE.match(target)]


def anchors(path):
    """Return the anchors of a page: GitHub's form for Markdown, Jupyter's for notebooks."""
    if path.suffix == ".ipynb":
        cells = read_notebook(path).cells
        text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    else:
        text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+?)\s*$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.M)
    jupyter = {heading.replace(" ", "-") for heading in headings}
    github = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return jupyter if path.suffix == ".ipynb" else github


def link_problems(text, page, there):
    """Name the links of a text, which stands in the file `page`, that lead nowhere."""
    for target in links(text):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.is_relative_to(ROOT):
            yield f"{page.name}: {target} leads out of the repository"
        elif not path.exists() or (there and path.is_file() and path not in there):
            yield f"{page.name}: {target} is not in the repository"
        elif anchor and path.suffix in (".md", ".ipynb") and anchor not in anchors(path):
            yield f"{page.name}: {target} names a heading that is not there"


@pytest.mark.parametrize("page", PAGES + CARDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_pages_lead_somewhere(page):
    assert list(link_problems(page.read_text(encoding="utf-8"), page, git_files())) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_links_of_chapters_and_notebooks_lead_somewhere(chapter):
    cells = list(chapter.cells)
    if chapter.notebook_path.exists():
        cells += read_notebook(chapter.notebook_path).cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert list(link_problems(text, chapter.notebook_path, git_files())) == []


def test_the_readme_leads_to_every_chapter_and_page():
    targets = links(text_of("README.md"))
    assert {f"notebooks/{c.notebook_path.name}" for c in CHAPTERS} <= set(targets)
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "CITATION.cff", "LICENSE"} <= set(targets)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a](notebooks/99_none.ipynb)", "is not in the repository"),
        ("![a](docs/none.png)", "is not in the repository"),
        ('<img width="3" src="docs/none.png">', "is not in the repository"),
        ("[a](../elsewhere.md)", "leads out of the repository"),
        ("[a](CONTRIBUTING.md#no-such-part)", "names a heading that is not there"),
        ("[a](#no-such-part)", "names a heading that is not there"),
        ("[a](CONTRIBUTING.md#rules-that-a-test-checks)", None),
        ("[a](#two-environments) and [b](https://example.org/x) `[c](none)`", None),
    ],
)
def test_planted_links(text, problem):
    found = list(link_problems(text, ROOT / "README.md", git_files()))
    assert len(found) == (problem is not None)
    assert all(problem in sentence for sentence in found)


# ------------------------------------------------------------------- commands, paths, numbers

VERSION = re.compile(r"\b(Python|torch|torchtext|transformers)(?:==| )(\d+(?:\.\d+)*)")
LICENSE_NAME = re.compile(r"CC BY 4\.0|CC0 1\.0")
FOLDERS = "tools|tests|checks|results|chapters|requirements|data|agnews_utils|notebooks"
PATH = re.compile(rf"`((?:{FOLDERS})/[\w./-]*)`")


def prose(page):
    """Return what of a page was typed by somebody."""
    return BLOCK.sub(" ", page.read_text(encoding="utf-8"))


@every_page
def test_commands_that_a_page_names_exist(page):
    makefile = text_of("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"\$\(([A-Z]+)\)", makefile))
    for name, rest in re.findall(r"\bmake ([a-z-]+)((?: [A-Z]+=\S*)*)", prose(page)):
        assert name in targets, f"{page.name} names `make {name}`"
        assert set(re.findall(r"([A-Z]+)=", rest)) <= variables, f"{page.name}: make {name}{rest}"
    for module in re.findall(r"python -m ((?:tools|agnews_utils)[.\w]*\w)", prose(page)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_makefile_lists_all_its_targets():
    makefile = text_of("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)", makefile, re.MULTILINE)[1]
    assert set(phony.replace("\\", " ").split()) == targets
    comments = "\n".join(re.findall(r"^#.*", makefile, re.MULTILINE))
    assert [name for name in targets - {"environment"} if name not in comments] == []


@every_page
def test_paths_that_a_page_names_exist(page):
    for name in PATH.findall(prose(page)):
        if "NN" not in name and "03b" not in name:
            assert (ROOT / name).exists(), f"{page.name} names {name}"


def typed_numbers(page):
    """Return the numbers of a page that look measured, versions and license names left out."""
    text = VERSION.sub(" ", LICENSE_NAME.sub(" ", prose(page)))
    text = re.sub(r"^## \[.*", "", text, flags=re.MULTILINE)  # a release's version and date
    return lint.typed_numbers(text)


@every_page
def test_no_measured_number_is_typed_in_a_page(page):
    assert typed_numbers(page) == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_no_measured_number_is_typed_in_a_contract(chapter):
    contract = chapter.contract
    fields = [contract.title, contract.summary, contract.data, contract.accelerator]
    texts = [*fields, *contract.goals, *contract.prerequisites]
    assert lint.typed_numbers("\n".join(texts)) == []


def measured_in_comments(source):
    """Return shares and percentages in a cell's comments; shapes and counts may stand there."""
    comments = [line.partition("# ")[2] for line in source.splitlines() if " # " in f" {line}"]
    text = VERSION.sub(" ", "\n".join(comments))
    found = lint.typed_numbers(text)
    return [number for number in found if "." in number or re.search(rf"{number}\s?%", text)]


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.name)
def test_no_measured_number_is_typed_in_a_comment(chapter):
    cells = [cell.source for cell in chapter.cells if cell.cell_type == "code"]
    assert [number for source in cells for number in measured_in_comments(source)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("fit(x)  # reaches 0.92", ["0.92"]),
        ("# about 93 % of the rows\nfit(x)", ["93"]),
        ("x.shape  # (80043, 128)", []),
        ("x = 0.3 * y  # torch 2.3 can do this", []),
        ("text = 'it #39;s 92%'", []),
    ],
)
def test_a_number_typed_into_a_comment_is_found(source, found):
    assert measured_in_comments(source) == found


def test_a_number_typed_into_a_page_is_found(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(
        "Needs Python 3.11, torch 2.3.1. CC BY 4.0. It reaches 92.4% of 7,600 rows.\n"
        "<!-- generated: results -->\n93.4%\n<!-- end generated -->\n",
        encoding="utf-8",
    )
    assert typed_numbers(page) == ["92.4", "7,600"]


def test_versions_in_the_readme_are_those_of_the_lock():
    lock = locked_versions(ROOT / "requirements" / "classroom.txt")
    for package, version in VERSION.findall(prose(ROOT / "README.md")):
        if package == "Python":
            assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]
        else:
            assert f"{lock[package]}.".startswith(f"{version}."), f"{package} {version}"


def test_contributing_names_the_rules_of_the_linter():
    words = {5: "five", 20: "twenty"}
    text = text_of("CONTRIBUTING.md")
    assert f"at most {words[lint.MOST_LINES]} lines" in text
    assert f"At least {words[lint.FEWEST_CHECKED]} cells carry the tag `{lint.CHECKED}`" in text
    assert all(part in text for part in lint.WANTED_PARTS)


def test_the_readme_is_read_in_two_minutes():
    # People read some 240 words a minute; tables are looked up, not read.
    lines = [line for line in prose(ROOT / "README.md").splitlines() if not line.startswith("|")]
    assert len(" ".join(lines).split()) <= 480


# --------------------------------------------------------------------- tables and picture


@pytest.fixture
def toy():
    """Make results of one model on two data sets, and two published ones."""
    row = {"model": "our net", "accuracy": 0.9251, "interval": [0.919, 0.931]}
    on_briefs = row | {"accuracy": 0.875, "interval": [0.839, 0.904]}
    train = AG_NEWS_ROWS["train.csv"]
    runs = {
        "net": {
            "ag_news": {"data": {"rows": {"train": 80043}}, "metrics": {"readme_rows": [row]}},
            "newsbriefs": {
                "data": {"rows": {"train": 1800}},
                "metrics": {"readme_rows": [on_briefs]},
            },
        }
    }
    theirs = [
        {"model": name, "accuracy": accuracy, "training": f"{train:,} rows", "source": "A 2016"}
        for name, accuracy in (("worse", 90.0), ("better", 95.2))
    ]
    return Results(runs, {"readme_rows": theirs})


def test_the_table_of_results_is_sorted_and_says_whose_and_on_what(toy):
    lines = result_table(toy).splitlines()[2:]
    assert lines == [
        "| better | 95.2% | 120,000 rows | | A 2016 |",
        "| our net | **92.5%** (91.9 to 93.1) | 80,043 of 120,000 rows "
        "| 87.5% (83.9 to 90.4), 1,800 rows | this course, measured |",
        "| worse | 90.0% | 120,000 rows | | A 2016 |",
    ]
    del toy.runs["net"]["ag_news"]
    assert result_table(toy).splitlines()[-1] == (
        "| our net | | | 87.5% (83.9 to 90.4), 1,800 rows | this course, measured |"
    )
    toy.runs["net"]["ag_news"] = copy.deepcopy(toy.runs["net"]["newsbriefs"])
    toy.runs["net"]["ag_news"]["data"]["rows"]["train"] = AG_NEWS_ROWS["train.csv"]
    assert "| 120,000 rows | 87.5%" in result_table(toy)


def test_every_measured_model_is_in_the_readme():
    text = text_of("README.md")
    for by_data in RESULTS.runs.values():
        for content in by_data.values():
            for row in content["metrics"].get("readme_rows", []):
                assert f"| {with_chapter_numbers(row['model'], CHAPTERS)} |" in text
                assert f"{100 * row['accuracy']:.1f}%" in text


def test_a_stale_number_in_the_readme_is_found():
    text = text_of("README.md")
    assert rendered(text, CHAPTERS, RESULTS) == text, "run `make refresh`"
    shown = BLOCK.search(text, text.index("generated: results") - 5)[0]
    number = re.search(r"\*\*(\d+\.\d)%", shown)[1]
    assert rendered(text.replace(number, "99.9"), CHAPTERS, RESULTS) == text


def test_the_readme_says_whether_a_gpu_was_measured():
    made_with = {"device": "NVIDIA H200", "torch": "2.13.0"}
    runs = {"newsbriefs": {"environment": made_with, "date": "2026-11-22"}}
    assert "not measured yet" in gpu_line(Results({}, {}))
    assert "(NVIDIA H200, torch 2.13.0, 2026-11-22)" in gpu_line(Results({GPU_RUN: runs}, {}))
    assert gpu_line(RESULTS) in text_of("README.md")


def test_the_picture_shows_what_the_results_hold():
    assert picture.problems(RESULTS) == []
    for one in picture.PICTURES:
        if one.metrics(RESULTS) is None:
            pytest.skip(f"{one.run}.{one.data} has not been recorded: no picture yet")
        assert one.path.relative_to(ROOT).as_posix() in links(text_of("README.md"))


def curves(accuracy):
    models = ("words linear", "bundled frozen", "minilm frozen", "minilm contrastive")
    drawn = [
        {"model": model, "rows": rows, "accuracies": [accuracy - 0.05, accuracy + 0.05]}
        for model in models for rows in (40, 400)
    ]  # fmt: skip
    few = {model.replace(" ", "_"): accuracy for model in models}
    metrics = {"picture": drawn, "few": few}
    return Results({"few_labels": {"ag_news": {"metrics": metrics}}}, {})


def test_a_picture_is_drawn_anew_when_its_numbers_change(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "DOCS", tmp_path)
    monkeypatch.setattr(picture, "ROOT", tmp_path.parent)
    results = curves(0.7)
    path = tmp_path / "what-pretraining-buys.png"
    assert picture.problems(results) == [
        "what-pretraining-buys.png does not show few_labels.ag_news.json: run `make refresh`"
    ]
    assert picture.update(results) == [path]
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert picture.problems(results) == []
    assert picture.update(results) == []
    assert picture.problems(curves(0.71))
    assert picture.update(curves(0.71)) == [path]
    path.write_bytes(b"not a picture")
    assert picture.problems(results)


def test_the_caption_of_the_picture_is_filled_from_the_results():
    shown = picture.LEARNING_CURVES.markdown(curves(0.7))
    assert links(shown) == ["docs/what-pretraining-buys.png"]
    assert "70.0%" in shown
    assert "{{" not in shown
    assert picture.LEARNING_CURVES.markdown(Results({}, {})) == ""


# ------------------------------------------------------------------------- last verified

VERIFIED = re.compile(
    r"\*Last verified (\d{4}-\d\d-\d\d), commit ([0-9a-f]{7,})(\+changes)?: Python \d+\.\d+\.\d+, "
    r"torch \S+, device .+, \d+ CPU seconds on AG News \(.+\)\.\*"
)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_each_notebook_ends_with_when_and_where_it_was_verified(path):
    last = read_notebook(path).cells[-1]
    found = VERIFIED.search(last.source)
    assert last.cell_type == "markdown"
    assert found, last.source
    assert date.fromisoformat(found[1]) <= date.today()


# ------------------------------------------------------------- license, citation, changelog


def test_the_licenses_are_complete():
    mit = text_of("LICENSE")
    assert mit.startswith("MIT License\n\nCopyright (c) ")
    assert 'THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND' in mit
    assert PROJECT["license"] == "MIT"
    text = text_of("LICENSE-TEXT")
    assert "https://creativecommons.org/licenses/by/4.0/legalcode" in text
    named = re.findall(r"(?:chapters|notebooks|data)/[\w/.-]*|[A-Z]+\.md", text)
    assert {"chapters/", "README.md"} < set(named)
    assert [name for name in named if not (ROOT / name.rstrip(".,;")).exists()] == []


CITATION_KEYS = {
    "abstract", "authors", "cff-version", "commit", "contact", "date-released", "doi",
    "identifiers", "keywords", "license", "license-url", "message", "preferred-citation",
    "references", "repository", "repository-artifact", "repository-code", "title", "type", "url",
    "version",
}  # fmt: skip
"""All keys of the Citation File Format 1.2.0."""


def citation_problems(citation, version):
    """Check a citation file against what the format requires, and against the package's version."""
    for key in ("cff-version", "message", "title", "authors"):
        if not citation.get(key):
            yield f"{key} is missing"
    if citation.get("cff-version") != "1.2.0":
        yield "cff-version is not 1.2.0"
    for key in set(citation) - CITATION_KEYS:
        yield f"{key} is no key of the format"
    if citation.get("type", "software") not in ("software", "dataset"):
        yield "type is neither software nor dataset"
    for entry in [citation, *citation.get("references", [])]:
        authors = entry.get("authors", [])
        if not authors or not all(a.get("name") or a.get("family-names") for a in authors):
            yield f"an author of '{entry.get('title')}' has no name"
    for entry in citation.get("references", []):
        if not {"type", "title", "authors"} <= set(entry):
            yield "a reference lacks type, title or authors"
    if str(citation.get("version")) != version:
        yield f"version {citation.get('version')}, but pyproject.toml has {version}"


def test_the_citation_file_is_valid():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    assert list(citation_problems(citation, PROJECT["version"])) == []
    assert citation["license"] == PROJECT["license"]


def test_faults_of_a_citation_file_are_found():
    citation = yaml.safe_load(text_of("CITATION.cff"))
    del citation["message"]
    citation |= {"version": "9.9", "licence": "MIT", "authors": [{"given-names": "Ada"}]}
    found = "\n".join(citation_problems(citation, PROJECT["version"]))
    for expected in ("message is missing", "version 9.9", "licence is no key", "has no name"):
        assert expected in found


def test_the_changelog_has_the_form_of_keep_a_changelog():
    text = text_of("CHANGELOG.md")
    assert text.startswith("# Changelog\n")
    versions = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert versions[0] == "[Unreleased]"
    dates = []
    for line in versions[1:]:
        found = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", line)
        assert found, line
        dates.append(date.fromisoformat(found[2]))
    assert dates == sorted(dates, reverse=True)
    if versions[1:]:
        assert versions[1].startswith(f"[{PROJECT['version']}]")
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= kinds


# -------------------------------------------------------------------------------- leftovers

LEFTOVER = re.compile(
    r"(\.orig|\.rej|\.bak|\.tmp|\.swp|\.partial|\.pyc|~|\.DS_Store|Thumbs\.db)$"
    r"|\.ipynb_checkpoints|__pycache__|Untitled|-Copy\d|\.pkl$|\.pickle$|\.env$"
)
MOST_BYTES = 25_000_000


def test_nothing_was_left_lying_about():
    files = git_files()
    if files is None:
        pytest.skip("no git checkout: which files belong to the repository is not known")
    assert [str(path) for path in files if LEFTOVER.search(path.relative_to(ROOT).as_posix())] == []
    assert [str(path) for path in files if path.stat().st_size > MOST_BYTES] == []
    assert [path for path in files if path.stat().st_size == 0] == []


def test_every_module_and_script_says_what_it_is_for():
    folders = ("agnews_utils", "tools", "benchmarks", "tests", "checks")
    for path in (path for folder in folders for path in Path(ROOT, folder).rglob("*.py")):
        head = path.read_text(encoding="utf-8").lstrip()
        assert head.startswith(('"""', 'r"""')), f"{path.relative_to(ROOT)} has no docstring"


def test_filled_texts_name_the_file_they_stand_in():
    with pytest.raises(Exception, match=r"tools/builder/picture.py"):
        fill("{{ ag_news.nothing }}", curves(0.7), "bert_curves", "tools/builder/picture.py")
