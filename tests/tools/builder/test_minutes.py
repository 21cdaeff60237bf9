"""Minutes in class are counted from words, cells and exercises."""

import pytest

from tools.builder.chapters import read_chapter
from tools.builder.minutes import class_minutes

MATTER = """\
# ---
# title: Toy
# summary: A toy.
# run: toy
# goals: [none]
# prerequisites: [none]
# data: any
# accelerator: none
# ---
"""
LONG = "# " + "word " * 120 + "\n"


def minutes(tmp_path, body):
    path = tmp_path / "01_toy.py"
    path.write_text(f"{MATTER}\n{body}", encoding="utf-8")
    found = class_minutes(read_chapter(path))
    return found.whole, found.short


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # two for a cell, rounded up to five
        ("# %%\n1\n\n# %%\n2\n\n# %%\n3\n", (10, 10)),
        # three more for a section with much text, none for one with little
        (f"# %% [markdown]\n# ## A\n{LONG}\n# %%\n1\n\n# %% [markdown]\n# ## B\n# few\n", (5, 5)),
        # authors' cells take no time
        ('# %%\n1\n\n# %% tags=["author"]\n2\n', (5, 5)),
        # five for an exercise
        ("# %% [markdown]\n# ## Exercises\n# 1. one\n# 2. two\n# 3. three\n", (15, 15)),
    ],
)
def test_minutes(tmp_path, body, expected):
    assert minutes(tmp_path, body) == expected


def test_a_short_course_skips_a_section_with_its_parts_and_nothing_after_it(tmp_path):
    skip = "*A short course may skip this section.*"
    cells = "# %%\n1\n\n" * 5
    body = (
        f"# %% [markdown]\n# ## A\n# {skip}\n\n{cells}# %% [markdown]\n# ### Part of A\n\n{cells}"
        f"# %% [markdown]\n# ## B\n\n{cells}# %% [markdown]\n# ### Part of B\n# {skip}\n\n{cells}"
    )
    assert minutes(tmp_path, body) == (40, 10)
