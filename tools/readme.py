"""The generated parts of README.md: the table of chapters and the table of results."""

from __future__ import annotations

import re

from agnews_utils.runtime import write_text
from tools.chapters import ROOT, Chapter
from tools.results import Results

README = ROOT / "README.md"
BLOCK = re.compile(r"(<!-- generated: (?P<name>\w+) -->\n).*?(<!-- end generated -->)", re.DOTALL)


def update(chapters: list[Chapter], results: Results) -> None:
    """Rewrite the generated parts of README.md if they changed."""
    if README.exists():
        text = README.read_text(encoding="utf-8")
        changed = rendered(text, chapters, results)
        if changed != text:
            write_text(README, changed)


def rendered(text: str, chapters: list[Chapter], results: Results) -> str:
    """Return the README's text with its generated parts as they should be."""
    makers = {"chapters": chapter_table(chapters, results), "results": result_table(results)}
    return BLOCK.sub(lambda m: f"{m[1]}{makers[m['name']]}\n{m[3]}", text)


def chapter_table(chapters: list[Chapter], results: Results) -> str:
    """Return the table of chapters: what is learned, measured time, headline."""
    lines = ["| | chapter | what you learn | CPU seconds, News Briefs | CPU seconds, AG News |",
             "|---|---|---|---|---|"]  # fmt: skip
    for chapter in chapters:
        contract = chapter.contract
        times = [_seconds(contract.run, data, results) for data in ("newsbriefs", "ag_news")]
        lines.append(
            f"| {contract.number} | [{contract.title}](notebooks/{chapter.notebook_path.name}) "
            f"| {contract.summary} | {times[0]} | {times[1]} |"
        )
    return "\n".join(lines)


def _seconds(run: str, data: str, results: Results) -> str:
    content = results.runs.get(run, {}).get(data)
    return f"{content['cpu_seconds']:.0f}" if content else "not measured yet"


def result_table(results: Results) -> str:
    """Return the table of results: ours with their data, and published ones with their source."""
    lines = ["| model | test accuracy | training rows | source |", "|---|---|---|---|"]
    for by_data in results.runs.values():
        for content in by_data.values():
            for row in content["metrics"].get("readme_rows", []):
                low, high = row["interval"]
                lines.append(
                    f"| {row['model']} | **{100 * row['accuracy']:.1f}%** "
                    f"({100 * low:.1f} to {100 * high:.1f}) | {content['data']['description']} "
                    f"| this course, measured |"
                )
    for row in results.published.get("readme_rows", []):
        lines.append(
            f"| {row['model']} | {row['accuracy']:.1f}% | {row['training']} | {row['source']} |"
        )
    return "\n".join(lines)
