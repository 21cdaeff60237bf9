"""The cells of a notebook that the builder writes: title, setup, footer."""

from __future__ import annotations

import re

from tools.builder.chapters import Chapter
from tools.builder.minutes import class_minutes
from tools.builder.references import references
from tools.builder.results import Results, fill

SETUP = """\
# @title Setup: on Colab this installs the course's package (Colab's own torch stays as it is)
import importlib.util
REPOSITORY = "{repository}"{hint}
USE_AG_NEWS = False  # @param {{type:"boolean"}} True: the full AG News instead of a small corpus
try:
    import google.colab
    IN_COLAB = True
except ImportError:
    IN_COLAB = False
if importlib.util.find_spec("agnews_utils") is None:
    if not (IN_COLAB and REPOSITORY):
        raise ModuleNotFoundError("{missing}")
    %pip install --quiet "git+https://github.com/{{REPOSITORY}}"
from agnews_utils import plots, runtime
runtime.start()
plots.use_course_style()
from agnews_utils.data import check_needs, download_ag_news
if USE_AG_NEWS:
    download_ag_news()
check_needs()  # of your own data, if AGNEWS_DATA names any"""
ENCODER = """
if IN_COLAB:  # a real BERT, 91 MB; where it cannot be had, the course's own small one is taken
    from agnews_utils.bert.download import main as download_encoder
    download_encoder([])"""
#: A call of load_encoder that leaves it open which one is loaded.
OPEN_CHOICE = re.compile(r"\bload_encoder\((?:\)|\w+=)")

GENERATED_FIRST_LINE = SETUP.split("\n")[0]

MISSING = (
    "agnews_utils is not installed. In a checkout of the course run `make lab` or "
    "`pip install -e .`; on Colab upload the course's wheel and run "
    "`!pip install agnews_utils-*.whl`."
)


def setup(repository: str, encoder: bool = False) -> str:
    """Return the source of the setup cell; with `encoder`, of one that fetches MiniLM on Colab."""
    hint = "" if repository else "  # set by `make publish REPO=owner/name`"
    cell = SETUP.format(repository=repository, hint=hint, missing=MISSING)
    return cell + (ENCODER if encoder else "")


def takes_any_encoder(chapter: Chapter) -> bool:
    """Tell whether a chapter loads the encoder that is there, whichever it is."""
    return any(cell.cell_type == "code" and OPEN_CHOICE.search(cell.source)
               for cell in chapter.cells)  # fmt: skip


def title(chapter: Chapter, results: Results, chapters: list[Chapter], repository: str) -> str:
    """Return the title cell: heading, badge, summary, goals, prerequisites, measured time.

    The contract's texts can refer to chapters and sections, but not to results.
    """
    contract = chapter.contract
    lines = [f"# Chapter {chapter.number}: {contract.title}", "", contract.summary, ""]
    if repository:
        address = f"https://colab.research.google.com/github/{repository}/blob/main"
        badge = "https://colab.research.google.com/assets/colab-badge.svg"
        link = f"{address}/notebooks/{chapter.notebook_path.name}"
        lines += [f"[![Open in Colab]({badge})]({link})", ""]
    lines += ["**What you will learn**", "", *(f"- {goal}" for goal in contract.goals), ""]
    lines += ["**What you need**", "", *(f"- {need}" for need in contract.prerequisites)]
    lines += [f"- Data: {contract.data}. Accelerator: {contract.accelerator}.", ""]
    times = measured_times(contract.run, results)
    if times:
        lines += [f"**Measured time**: {times}.", ""]
    lines += [f"**In class**: {in_class(chapter)}.", ""]
    text = "\n".join([*lines, navigation(chapter, chapters)])
    names = references(chapters, chapter)
    return fill(text, Results({}, {}), contract.run, chapter.path.name, names)


def in_class(chapter: Chapter) -> str:
    """Return a phrase with the minutes in class, of the whole chapter and of a short course."""
    minutes = class_minutes(chapter)
    short = f"; {minutes.short} without what a short course may skip"
    return f"about {minutes.whole} minutes{short if minutes.short < minutes.whole else ''}"


def measured_times(run: str, results: Results) -> str:
    """Return a phrase with the CPU seconds of a chapter on each data set."""
    phrases = []
    for data, label in (("newsbriefs", "News Briefs"), ("ag_news", "AG News")):
        content = results.runs.get(run, {}).get(data)
        if content:
            phrases.append(f"{content['cpu_seconds']:.0f} CPU seconds on {label}")
    return ", ".join(phrases)


def navigation(chapter: Chapter, chapters: list[Chapter]) -> str:
    """Return the line of links to the previous chapter, the overview and the next chapter."""
    position = [other.name for other in chapters].index(chapter.name)
    links = []
    if position > 0:
        before = chapters[position - 1]
        links.append(f"[← {before.contract.title}]({before.notebook_path.name})")
    links.append("[Overview](../README.md)")
    if position + 1 < len(chapters):
        after = chapters[position + 1]
        links.append(f"[{after.contract.title} →]({after.notebook_path.name})")
    return " · ".join(links)


def footer(chapter: Chapter, results: Results, chapters: list[Chapter]) -> str:
    """Return the last cell: when and where the stored outputs were made, and the links."""
    stored = results.runs.get(chapter.contract.run, {}).get("ag_news")
    lines = ["---"]
    if stored:
        made_with = stored["environment"]
        torch = made_with["torch"]
        lines += [
            f"*Last verified {stored['date']}, commit {stored['commit']}: Python "
            f"{made_with['python']}, torch {torch}, device {made_with['device']}, "
            f"{stored['cpu_seconds']:.0f} CPU seconds on {stored['data']['description']}.*",
            "",
        ]
    return "\n".join([*lines, navigation(chapter, chapters)])
