"""News Briefs, step 4: the tables of the data card, `data/README.md`."""

from __future__ import annotations

from collections import Counter

from tools.newsbriefs.plan import CLASS_NAMES, SPLITS, Item
from tools.newsbriefs.rates import AG_ROWS, MARKS

BEGIN, END = "<!-- generated: newsbriefs -->", "<!-- end generated -->"
KINDS = {
    "entity_apostrophe": "`#39;` for an apostrophe",
    "entity_quote": "`quot;` for a quotation mark",
    "entity_dollar": "`#36;` for a dollar sign",
    "tag": "markup such as `&lt;b&gt;`",
    "link": "a ticker link",
    "backslash": "a backslash for a line break, or before `$`",
    "dateline": "`LONDON (Reuters) - `, `AP - ` at the start",
    "title_source": "` (AP)` behind the title",
    "space": "a leading, doubled or trailing space",
}
EDITS = {
    "agency": "same text, sent again with an agency's line",
    "number": "one number changed",
    "first_sentence": "description cut to its first sentence",
    "update": "title begins with `UPDATE 1-` or `UPDATE 2-`",
    "lead": "description begins with a note such as `(Adds details)`",
    "title_case": "title in other capitals",
}


def table(head: list[str], rows: list[list]) -> str:
    """Return a Markdown table; every column but the first is aligned to the right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def percent(count: int, total: int) -> str:
    """Return a share with one decimal."""
    return f"{100 * count / total:.1f}"


def class_counts(title: str, truth: list[dict], wanted: dict) -> str:
    """Return a table of counts: one line for each named condition, one column a class."""
    rows = []
    for name, condition in wanted.items():
        chosen = Counter(row["true_label"] for row in truth if condition(row))
        rows.append([name, *(chosen[i] for i in range(1, 5)), sum(chosen.values())])
    return table([title, *CLASS_NAMES, "all"], rows)


def sizes(truth: list[dict]) -> str:
    """Return rows, hard rows, wrong labels and missing descriptions by split and class."""
    wanted = {}
    for split in SPLITS:
        wanted |= {
            f"{split}: rows": lambda r, s=split: r["split"] == s,
            f"{split}: hard": lambda r, s=split: r["split"] == s and r["hard"],
            f"{split}: wrong label": lambda r, s=split: r["split"] == s and r["wrong_label"],
            f"{split}: missing description": (
                lambda r, s=split: r["split"] == s and r["missing_description"]
            ),
        }
    return class_counts("by true class", truth, wanted)


def artifacts(truth: list[dict]) -> str:
    """Return the number of rows with each kind of artifact, by class."""
    wanted = {
        f"`{kind}`: {text}": lambda r, k=kind: any(a["kind"] == k for a in r["artifacts"])
        for kind, text in KINDS.items()
    }
    wanted["no artifact at all"] = lambda r: not r["artifacts"]
    return class_counts("rows with", truth, wanted)


def rates(rows: list[tuple[int, str, str]]) -> str:
    """Return each mark's share in News Briefs beside that in AG News.

    `rows` are (true label, dirty title, dirty description).
    """
    totals = Counter(label for label, _, _ in rows)
    lines = []
    for mark in MARKS:
        found = Counter(label for label, *text in rows if mark.found_in(*text))
        ours = [percent(found[i], totals[i]) for i in range(1, 5)]
        theirs = [percent(n, AG_ROWS) for n in mark.counts]
        lines.append(
            [
                mark.name,
                percent(sum(found.values()), len(rows)),
                percent(sum(mark.counts), 4 * AG_ROWS),
                " / ".join(ours),
                " / ".join(theirs),
            ]
        )
    by_class = "World / Sports / Business / Sci/Tech"
    return table(
        ["% of rows with", "here", "AG News", f"here: {by_class}", f"AG News: {by_class}"], lines
    )


def duplicates(truth: list[dict]) -> str:
    """Return how many rows repeat another one: within train, within test and across."""
    places = {("train", "train"): 0, ("test", "test"): 1, ("test", "train"): 2}
    counts = {name: [0, 0, 0] for name in ("exact", *EDITS)}
    for row in truth:
        twin = row["duplicate_of"]
        if twin:
            counts[twin["edit"] or "exact"][places[row["split"], twin["split"]]] += 1
    names = {"exact": "exact: the same bytes, artifacts and all"}
    names |= {edit: f"near, `{edit}`: {text}" for edit, text in EDITS.items()}
    rows = [[names[name], *found, sum(found)] for name, found in counts.items()]
    rows.append(["all", *(sum(column) for column in zip(*counts.values(), strict=True))])
    rows[-1].append(sum(rows[-1][1:]))
    head = ["the copy is", "within train", "within test", "in test, of a train row", "all"]
    return table(head, rows)


def swaps(truth: list[dict]) -> str:
    """Return the wrong labels: how often which class bears which name."""
    pairs = Counter((r["true_label"], r["label"]) for r in truth if r["wrong_label"])
    rows = [[name, *(pairs[i, j] for j in range(1, 5))] for i, name in enumerate(CLASS_NAMES, 1)]
    return table(["true \\ given", *CLASS_NAMES], rows)


def topics(truth: list[dict]) -> str:
    """Return the list of topics with their rows, folded by class."""
    parts = []
    for label, name in enumerate(CLASS_NAMES, 1):
        count = Counter(row["topic"] for row in truth if row["true_label"] == label)
        text = "; ".join(f"{topic} ({count[topic]})" for topic in sorted(count))
        few, many = min(count.values()), max(count.values())
        head = f"{name}: {len(count)} topics, {few} to {many} rows each"
        parts.append(f"<details><summary>{head}</summary>\n\n{text}\n\n</details>")
    return "\n".join(parts)


def left_out_list(items: list[Item]) -> str:
    """Return which briefs had to make room, as line numbers of briefs.jsonl from 0."""
    numbers = ", ".join(str(n) for n in sorted(item.brief for item in items))
    return (
        f"{len(items)} briefs ({len(items) // 4} of each class) made room for the copies and are "
        "in neither file. Their lines in `briefs.jsonl`, counted from 0:\n\n"
        f"<details><summary>list</summary>\n\n{numbers}\n\n</details>"
    )


def generated(truth: list[dict], rows: list[tuple[int, str, str]], left_out: list[Item]) -> str:
    """Return everything that stands between the markers."""
    sections = (
        ("Rows", sizes(truth)),
        ("Topics", topics(truth)),
        ("Artifacts", artifacts(truth)),
        ("The same marks in AG News", rates(rows)),
        ("Duplicates", duplicates(truth)),
        ("Wrong labels", swaps(truth)),
        ("Left out", left_out_list(left_out)),
    )
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in sections)


def fill(card: str, text: str) -> str:
    """Put the text between the markers of the card.

    Raises
    ------
    ValueError
        If one of the markers is missing, doubled or out of order.
    """
    if (card.count(BEGIN), card.count(END)) != (1, 1) or card.index(BEGIN) > card.index(END):
        raise ValueError(
            f"data/README.md needs the lines {BEGIN} and {END} once each, in this order: "
            "restore them with `git checkout data/README.md`."
        )
    return f"{card[: card.index(BEGIN)]}{BEGIN}\n\n{text}\n\n{card[card.index(END) :]}"
