"""The marks that feeds left in AG News, and how often: the model for News Briefs.

All numbers were counted on AG News' official test.csv (7,600 rows, 1,900 a class, MD5
d52ea96a97a2d943681189a97654912d); `tests/test_newsbriefs.py` counts again
where the file is at hand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

AG_TEST_MD5 = "d52ea96a97a2d943681189a97654912d"
AG_ROWS = 1900  # rows of one class


@dataclass(frozen=True)
class Mark:
    """A pattern that betrays an artifact.

    `fields` is "title", "description" or "both"; `counts` are the rows of AG News' test file that
    match, for World, Sports, Business and Sci/Tech.
    """

    name: str
    fields: str
    pattern: str
    counts: tuple[int, int, int, int]

    def found_in(self, title: str, description: str) -> bool:
        """Tell whether the row shows the mark."""
        fields = {"title": [title], "description": [description]}
        return any(
            re.search(self.pattern, text) for text in fields.get(self.fields, [title, description])
        )


SOURCE = (
    r"\((?:Reuters|AP|AFP|Canadian Press|NewsFactor|USATODAY\.com|washingtonpost\.com|SPACE\.com"
    r"|PC World|InfoWorld|SiliconValley\.com|Ziff Davis|FT\.com|MacCentral|Forbes\.com|TechWeb"
    r"|Los Angeles Times)\) ?$"
)
CITY = r"^ ?[A-Z][A-Z]+(?: [A-Z]+)*(?:, [A-Z][a-z.]+)?(?: \([A-Za-z. ]+\))? --? "
MARKS = (
    Mark("`#39;`", "both", r"#39;", (336, 674, 526, 364)),
    Mark("any bare `#NN;`", "both", r"#\d+;", (359, 690, 542, 400)),
    Mark("`quot;`", "both", r"quot;", (68, 73, 67, 102)),
    Mark("`#36;`", "both", r"#36;", (13, 10, 13, 20)),
    Mark("`&lt;`", "both", r"&lt;", (52, 39, 122, 88)),
    Mark("`&lt;b&gt;`", "both", r"&lt;b&gt;", (45, 36, 39, 31)),
    Mark("`href`", "both", r"(?i)href", (0, 0, 82, 16)),
    Mark("`fullquote`", "both", r"fullquote", (0, 0, 82, 0)),
    Mark("backslash", "both", r"\\", (113, 54, 402, 239)),
    Mark("backslash before `$`", "both", r"\\\$", (26, 39, 337, 92)),
    Mark("double backslash", "both", r"\\\\", (0, 1, 0, 33)),
    Mark("`(Reuters)`", "both", r"\(Reuters\)", (247, 96, 322, 111)),
    Mark("`AP -`", "description", r"\bAP -", (192, 195, 16, 93)),
    Mark("`AFP -`", "description", r"\bAFP -", (124, 1, 15, 18)),
    Mark("title ends in `(Source)`", "title", SOURCE, (433, 212, 98, 279)),
    Mark("city dateline", "description", CITY, (661, 453, 390, 212)),
    Mark("leading space", "description", r"^ ", (157, 104, 260, 44)),
    Mark("trailing space", "description", r" $", (185, 243, 241, 197)),
    Mark("two spaces in a row", "description", r"  ", (324, 196, 396, 217)),
    Mark("space at an end of the title", "title", r"^ | $", (10, 5, 10, 11)),
)
