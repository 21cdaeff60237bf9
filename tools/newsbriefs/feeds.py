"""News Briefs, step 2: which feed and which marks each row gets.

AG News was collected from feeds, and each feed left its own marks: a row has *either* bare `#39;`
entities *or* a `Reuters - ` line with glued line breaks. So a row first gets a feed, and the feed
decides which marks it can carry. The rates are those of AG News' test file (`newsbriefs_rates`).
"""

from __future__ import annotations

from collections.abc import Callable

from tools.newsbriefs.dirt import NAMED_CITY, company_end, description_edits, render
from tools.newsbriefs.plan import Item, apportion, ordered
from tools.newsbriefs.rates import AG_ROWS, MARKS

# Rows of each feed in AG News' test file, by class, counted by the start of the description.
FEEDS = {
    "reuters_city": (153, 80, 250, 27),  # " LONDON (Reuters) - ", lines joined by two spaces
    "reuters": (87, 15, 63, 79),  # title "(Reuters)", "Reuters - ", lines joined by a backslash
    "ap": (192, 195, 16, 93),
    "afp": (124, 1, 15, 18),
    "source": (30, 1, 5, 96),  # title "(NewsFactor)", "NewsFactor - "
    "city": (199, 144, 91, 74),  # "LONDON - " or "LONDON -- "
    "city_other": (16, 31, 49, 9),  # "LONDON (AP) - "
}
_COUNTED = {mark.name: mark.counts for mark in MARKS}
# Rows with each mark, in the same form.
QUOTAS = {
    "entity_apostrophe": _COUNTED["`#39;`"],
    "entity_quote": _COUNTED["`quot;`"],
    "entity_dollar": _COUNTED["`#36;`"],
    "escaped_dollar": _COUNTED["backslash before `$`"],
    "backslash": _COUNTED["backslash"],
    "double_backslash": _COUNTED["double backslash"],
    "title_cut": _COUNTED["`&lt;b&gt;`"],
    "link": _COUNTED["`href`"],
    "other_tag": (7, 3, 1, 41),  # `&lt;` in rows with neither a cut title nor a link
    "leading": _COUNTED["leading space"],
    "trailing": _COUNTED["trailing space"],
    "double": _COUNTED["two spaces in a row"],
    "title_space": _COUNTED["space at an end of the title"],
    **FEEDS,
}
OPEN_FEEDS = ("web", "city", "city_other")  # those whose rows carry bare entities in AG News
SOURCES = {
    1: (("Canadian Press", 28), ("USATODAY.com", 1), ("Los Angeles Times", 1)),
    2: (("USATODAY.com", 1),),
    3: (("USATODAY.com", 2), ("Forbes.com", 2), ("NewsFactor", 1)),
    4: (
        ("NewsFactor", 22),
        ("washingtonpost.com", 11),
        ("SPACE.com", 9),
        ("USATODAY.com", 8),
        ("PC World", 8),
        ("InfoWorld", 7),
        ("SiliconValley.com", 6),
        ("Ziff Davis", 6),
        ("MacCentral", 4),
        ("TechWeb", 3),
    ),
}
SPACE_TOPICS = ("astronomy", "space probes", "space station and astronauts")
AGENCY = {1: "afp", 2: "ap", 3: "reuters_city", 4: "reuters"}  # the line an "agency" twin gets


def assign(items: list[Item], label: int, total: int) -> None:
    """Give every row of one class and split its feed and its marks.

    `total` is the number of rows of the class in the split, exact copies included; these copy
    their original later and are not among `items`.
    """

    def quota(mark: str) -> int:
        return round(QUOTAS[mark][label - 1] / AG_ROWS * total)

    free = [item for item in items if not item.missing]
    twins = {i.original.name for i in items if i.original}
    _cut_titles(free, twins, quota("title_cut"))
    _escape(free, quota)
    _set_feeds(free, label, quota)
    is_open = [i for i in free if i.feed in OPEN_FEEDS]
    web = [i for i in is_open if i.feed == "web"]
    dollars = [i for i in is_open + [i for i in free if i.feed == "reuters_city"] if "$" in i.text]
    _mark(dollars, "escaped_dollar", quota("escaped_dollar"))
    plain = [i for i in web if not i.plan and i.original is None]
    _mark(plain, "other_tag", quota("other_tag"))
    two = [i for i in plain if not i.plan and ". " in i.description]
    _mark(two, "double_backslash", quota("double_backslash"))
    broken = [i for i in free if _has_backslash(i)]
    plain = [i for i in plain if not i.plan]
    _mark(plain, "wrapped", max(0, quota("backslash") - len(broken)))
    _mark(is_open, "trailing", quota("trailing"))
    led = [i for i in free if i.feed == "reuters_city"]
    _mark(
        [i for i in web if "trailing" not in i.plan], "leading", max(0, quota("leading") - len(led))
    )
    spaced = [i for i in free if _has_double(i)]
    rest = [i for i in is_open if i not in spaced and "wrapped" not in i.plan]
    _mark(rest, "double", max(0, quota("double") - len(spaced)))
    _mark(is_open, "title_space", quota("title_space"))


def _mark(items: list[Item], mark: str, count: int) -> None:
    for item in ordered(items, mark)[:count]:
        item.plan.add(mark)


def _cut_titles(items: list[Item], twins: set[str], count: int) -> None:
    """Cut the last word or two of long titles; Google's feed did this at about 60 characters."""
    long = [i for i in items if len(i.title) >= 50 and i.original is None and i.name not in twins]
    for item in ordered(long, "title cut")[:count]:
        words = item.title[: max(45, len(item.title) - 6)].split(" ")[:-1]
        item.title = " ".join(words).rstrip(",;:") + " ..."
        item.title_cut = True


def _escape(items: list[Item], quota: Callable[[str], int]) -> None:
    """Choose the rows whose apostrophes and quotation marks all become entities."""
    agency = [i for i in items if i.edit != "agency"]
    quoted = [i for i in agency if '"' in i.text]
    _mark(quoted, "escaped", quota("entity_quote"))
    done = sum("'" in i.text for i in quoted if i.plan)
    plain = [i for i in agency if '"' not in i.text and "'" in i.text]
    _mark(plain, "escaped", max(0, quota("entity_apostrophe") - done))


def _set_feeds(items: list[Item], label: int, quota: Callable[[str], int]) -> None:
    """Distribute the feeds; escaped rows and cut titles come from the open feeds alone."""
    for item in items:
        if item.edit == "agency":
            item.feed, item.original.barred_feed = AGENCY[label], AGENCY[label]
    closed = [i for i in items if not i.plan and not i.title_cut and i.edit != "agency"]
    for item in ordered([i for i in closed if "$" in i.text], "entity_dollar")[
        : quota("entity_dollar")
    ]:
        item.plan.add("entity_dollar")
        item.feed = {1: "ap", 2: "ap", 3: "reuters", 4: "source"}[label]
    companies = [i for i in closed if i.feed == "web" and company_end(i) is not None]
    companies = [i for i in companies if i.barred_feed != "reuters_city"]
    for item in ordered(companies, "link")[: quota("link")]:
        item.plan.add("link")
        item.feed = "reuters_city"
    for feed in FEEDS:
        have = sum(i.feed == feed for i in items)
        pool = items if feed in OPEN_FEEDS else closed
        pool = [i for i in pool if i.feed == "web" and i.barred_feed != feed and not i.title_cut]
        pool = ordered(pool, f"feed {feed}")
        if "city" in feed:
            pool.sort(key=lambda i: NAMED_CITY.search(i.text) is None)
        for item in pool[: max(0, quota(feed) - have)]:
            item.feed = feed
    _set_sources([i for i in items if i.feed == "source"], label)


def _set_sources(items: list[Item], label: int) -> None:
    """Share out the small agencies; SPACE.com comes first and takes what is about space."""
    names, weights = zip(*SOURCES[label], strict=True)
    shares = zip(names, apportion(len(items), list(weights)), strict=True)
    left = ordered(items, "source")
    for name, count in sorted(shares, key=lambda share: share[0] != "SPACE.com"):
        for _ in range(count):
            left.sort(key=lambda i: (i.topic in SPACE_TOPICS) != (name == "SPACE.com"))
            left.pop(0).source = name


def _has_backslash(item: Item) -> bool:
    return any("\\" in e.text for e in description_edits(item))


def _has_double(item: Item) -> bool:
    return "  " in render(item.description, description_edits(item))[0]
