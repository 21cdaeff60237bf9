"""News Briefs, step 3: the dirty text of one row, and the record of what was done to it.

An artifact is an edit of the clean text: "replace `clean[start:end]` by `text`". The record keeps
the text, its place in the dirty field and what it stands for, so that every edit can be undone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tools.newsbriefs.plan import Item, key

# Cities that the briefs name; a row that names one is the first choice for a city dateline.
CITIES = """
Aberdeen|Abidjan|Abuja|Accra|Adelaide|Algiers|Almaty|Amman|Amsterdam|Ankara|Antofagasta|Antwerp|
Ashgabat|Astana|Asuncion|Athens|Auckland|Baltimore|Bangalore|Bangkok|Banjul|Barcelona|Batumi|
Beijing|Bergen|Berlin|Bern|Bilbao|Bogota|Bologna|Brasilia|Bratislava|Bridgetown|Brisbane|Bristol|
Brno|Brussels|Budapest|Busan|Calgary|Cardiff|Cebu|Chicago|Chiang Mai|Cleveland|Coimbra|Colombo|
Copenhagen|Cotonou|Delhi|Denver|Dhaka|Djibouti|Doha|Dresden|Dublin|Dundee|Durban|Eindhoven|
Frankfurt|Gaborone|Geneva|Ghent|Glasgow|Gothenburg|Guadalajara|Guayaquil|Halifax|Hamburg|Hannover|
Hanoi|Harare|Helsinki|Hobart|Hong Kong|Houston|Hyderabad|Istanbul|Izmir|Jakarta|Johannesburg|
Kano|Kathmandu|Katowice|Kigali|Kingston|Kobe|Krakow|Kuala Lumpur|Kutaisi|Kyiv|Lagos|Lahore|La Paz|
Lausanne|Leeds|Leipzig|Libreville|Liege|Lima|Linz|Lisbon|Ljubljana|Lome|London|Los Angeles|Lublin|
Lusaka|Lyon|Madrid|Malaga|Malmo|Manchester|Manila|Mannheim|Marseille|Maseru|Melbourne|Mexico City|
Minneapolis|Mombasa|Monrovia|Monterrey|Montevideo|Montreal|Mumbai|Munich|Muscat|Nagoya|Nairobi|
Nantes|New York|Nouakchott|Novi Sad|Odesa|Omaha|Osaka|Oslo|Ostrava|Ottawa|Palermo|Paramaribo|Paris|
Perth|Piraeus|Podgorica|Port Louis|Porto Alegre|Poznan|Pretoria|Pristina|Puebla|Quebec City|Quito|
Rabat|Reykjavik|Riga|Riyadh|Rome|Rosario|Rotterdam|San Salvador|Santiago|Sao Paulo|Sapporo|
Saskatoon|Seattle|Seoul|Seville|Shanghai|Sheffield|Singapore|Stavanger|Stockholm|Strasbourg|
Stuttgart|Suva|Swansea|Sydney|Taipei|Tallinn|Tampere|Tashkent|Tbilisi|Tegucigalpa|Thessaloniki|
Tokyo|Toronto|Toulouse|Trieste|Trondheim|Turin|Ulaanbaatar|Utrecht|Valencia|Verona|Vienna|
Vientiane|Vilnius|Warsaw|Washington|Wellington|Windhoek|Winnipeg|Yerevan|Zagreb|Zaragoza|Zurich
""".replace("\n", "")
NAMED_CITY = re.compile(rf"\b(?:{CITIES})\b")
BUREAUS = {
    1: ("GENEVA", "LONDON", "BRUSSELS", "VIENNA", "PARIS"),
    2: ("LONDON", "LAUSANNE", "PARIS", "MADRID", "NEW YORK"),
    3: ("LONDON", "NEW YORK", "FRANKFURT", "TOKYO", "ZURICH"),
    4: ("LONDON", "NEW YORK", "WASHINGTON", "GENEVA", "TOKYO"),
}
OTHER_AGENCIES = {1: ("AP", "AFP"), 2: ("AP", "Sports Network"), 3: ("CBS.MW", "AP"), 4: ("AP",)}
TICKER = (
    ' &lt;A HREF="http://investor.example.com/FullQuote.aspx?ticker={0} '
    'target=/stocks/quickinfo/fullquote"&gt;{0}&lt;/A&gt;'
)
LOOKUP = (
    ' &lt;A HREF="http://quotes.example.com/financeQuoteLookup.jhtml?ticker={0} '
    'qtype=sym infotype=info qcat=news"&gt;{0}&lt;/A&gt;'
)
CREDIT = (
    ' &lt;FONT face="verdana,MS Sans Serif,arial,helvetica" size="-2" color="#666666"&gt;'
    "&lt;B&gt;-washingtonpost.com&lt;/B&gt;&lt;/FONT&gt;"
)
KICKERS = ("Analysis", "Comment", "Interview")
_TRADES = (
    "airline|bank|bottler|brewer|broker|builder|carrier|chain|company|distiller|exchange|firm|fund|"
    "grocer|group|insurer|lender|maker|manufacturer|miner|operator|packer|producer|publisher|"
    "refiner|retailer|shipper|start-up|startup|supplier|utility|vendor|wholesaler"
)
_NAME = r"(?:[A-Z][a-z]+|and(?= [A-Z]))(?:[ -](?:[A-Z][a-z]+|and(?= [A-Z])))*"
_KINDS = "Capital|Devices|Foods|Holdings|Interactive|Labs|Mobile|Motors?|Robotics|Software|Systems"
COMPANY = re.compile(
    rf"\b(?:(?:{_TRADES}) ({_NAME})|([A-Z][a-z]+(?: [A-Z][a-z]+)? (?:{_KINDS})))(?=[ ,.'])"
    r"(?! (?:d[aeiou]|del|la|van|von) )"  # "Palas" of "Palas do Mar" is no name
)
FIRST_LINE, NEXT_LINES = 48, 62  # measured on AG News: where its feeds broke the lines


@dataclass(frozen=True)
class Edit:
    """Replace `clean[start:end]` by `text`."""

    kind: str
    start: int
    end: int
    text: str


def company_end(item: Item) -> int | None:
    """Return where in the description the first company's name ends, None where none is found."""
    match = COMPANY.search(item.description)
    return match.end() if match else None


def ticker(item: Item) -> str:
    """Invent a ticker out of the company's name.

    Four letters on `.N`, where real tickers have at most three, and five on `.O`.
    """
    match = COMPANY.search(item.description)
    name = (match[1] or match[2]).upper()
    letters = re.sub("[^A-Z]", "", name[0] + re.sub("[AEIOU]", "", name[1:])) + "XXXXX"
    return letters[:4] + ".N" if item.label == 3 else letters[:5] + ".O"


def city(item: Item) -> str:
    """Return the city of the dateline: the first that the text names, else a bureau's."""
    named = NAMED_CITY.search(item.description) or NAMED_CITY.search(item.title)
    if named:
        return named[0].upper()
    return _pick("city", item, BUREAUS[item.label])


def _pick(purpose: str, item: Item, choices: Sequence[str]) -> str:
    return choices[int(key(purpose, item.name) * len(choices))]


def dateline(item: Item) -> str:
    """Return what the feed puts in front of the description."""
    if item.feed == "reuters_city":
        return f"{city(item)} (Reuters) - "
    if item.feed == "city":
        return city(item) + (" -- " if key("dash", item.name) < 0.35 else " - ")
    if item.feed == "city_other":
        return f"{city(item)} ({_pick('agency', item, OTHER_AGENCIES[item.label])}) - "
    fixed = {"reuters": "Reuters - ", "ap": "AP - ", "afp": "AFP - ", "source": f"{item.source} - "}
    return fixed.get(item.feed, "")


def title_source(item: Item) -> str:
    """Return the suffix that the feed puts behind the title."""
    names = {"reuters": "Reuters", "ap": "AP", "afp": "AFP", "source": item.source}
    return f" ({names[item.feed]})" if item.feed in names else ""


def _entities(item: Item, text: str, head: str = "") -> list[Edit]:
    """Bare entities: `&` had become a space, so one stands in front, save at the start."""
    marks = {}
    if "escaped" in item.plan:
        marks |= {"'": ("entity_apostrophe", "#39;"), '"': ("entity_quote", "quot;")}
    if "entity_dollar" in item.plan:
        marks["$"] = ("entity_dollar", "#36;")
    edits = [
        Edit(marks[c][0], i, i + 1, (" " if i or head else "") + marks[c][1])
        for i, c in enumerate(text)
        if c in marks
    ]
    if "escaped_dollar" in item.plan:
        edits += [Edit("backslash", i, i, "\\") for i, c in enumerate(text) if c == "$"]
    return edits


def line_ends(text: str, offset: int) -> list[int]:
    """Return the places of the spaces at which a feed broke the lines.

    Never in front of `$`: there a backslash is an escape, and nobody could tell the two apart.
    """
    ends, start, width = [], -offset, FIRST_LINE
    for match in re.finditer(r" (?=[^\s$])", text):
        word_end = match.end() + len(text[match.end() :].split(" ")[0])
        if word_end - start > width:
            ends.append(match.start())
            start, width = match.end(), NEXT_LINES
    return ends


def description_edits(item: Item) -> list[Edit]:
    """Return everything that happens to the description, in the order of the text."""
    text, head = item.description, dateline(item)
    edits = _entities(item, text, head)
    if head:
        edits.insert(0, Edit("dateline", 0, 0, head))
    if item.feed == "reuters_city" or "leading" in item.plan:
        edits.insert(0, Edit("space", 0, 0, " "))
    if item.feed == "reuters_city":
        edits += [Edit("space", i, i + 1, "  ") for i in line_ends(text, len(head))]
    if item.feed == "reuters" or "wrapped" in item.plan:
        edits += [Edit("backslash", i, i + 1, "\\") for i in line_ends(text, len(head))]
    if "double_backslash" in item.plan:
        stop = text.index(". ") + 1
        edits.append(Edit("backslash", stop, stop + 1, "\\\\"))
    if "link" in item.plan:
        end = company_end(item)
        pattern = TICKER if item.label == 3 else LOOKUP
        edits.append(Edit("link", end, end, pattern.format(ticker(item))))
    if "other_tag" in item.plan:
        before, after = _other_tag(item)
        edits.insert(0, Edit("tag", 0, 0, before))
        edits.append(Edit("tag", len(text), len(text), after))
    if "double" in item.plan:
        edits.append(_stray_space(item, text, edits))
    if "trailing" in item.plan:
        edits.append(Edit("space", len(text), len(text), " "))
    edits = [e for e in edits if e.text != text[e.start : e.end]]
    return sorted(edits, key=lambda e: (e.start, e.end))  # stable: insertions keep their order


def _other_tag(item: Item) -> tuple[str, str]:
    """Return what stands before and behind the text: a credit, a kicker or a paragraph."""
    if item.label != 4:
        return "&lt;p&gt;&lt;/p&gt;&lt;p&gt; ", "&lt;/p&gt;"
    if key("kicker", item.name) < 0.6:
        return "", CREDIT
    return f"&lt;strong&gt;{_pick('which kicker', item, KICKERS)}&lt;/strong&gt; ", ""


def _stray_space(item: Item, text: str, edits: list[Edit]) -> Edit:
    """Widen one space: four at a sentence's end in city feeds as in AG News, else two."""
    taken = {p for e in edits for p in (e.start - 1, e.start, e.end)}
    spaces = [m.start() for m in re.finditer(" ", text) if m.start() not in taken]
    stops = [i for i in spaces if text[i - 1] == "."]
    if item.feed != "web" and stops:
        return Edit("space", stops[0], stops[0] + 1, "    ")
    place = spaces[int(key("double", item.name) * len(spaces))]
    return Edit("space", place, place + 1, "  ")


def title_edits(item: Item) -> list[Edit]:
    """Return everything that happens to the title, in the order of the text."""
    text, suffix = item.title, title_source(item)
    edits = _entities(item, text)
    if item.title_cut:
        dots = len(text) - 3
        edits += [
            Edit("tag", dots, dots, "&lt;b&gt;"),
            Edit("tag", dots + 3, dots + 3, "&lt;/b&gt;"),
        ]
    if suffix:
        edits.append(Edit("title_source", len(text), len(text), suffix))
    if "title_space" in item.plan:
        at_end = key("title space", item.name) < 0.4
        place = len(text) if at_end else 0
        edits.insert(len(edits) if at_end else 0, Edit("space", place, place, " "))
    return sorted(edits, key=lambda e: (e.start, e.end))


def render(clean: str, edits: list[Edit]) -> tuple[str, list[dict]]:
    """Apply the edits.

    Returns
    -------
    (dirty, records)
        Each record has `kind`, `text` (in the dirty field), `start` (its offset there) and `clean`
        (what it stands for). Replacing them from right to left gives `clean` back.
    """
    parts, records, at, length = [], [], 0, 0
    for edit in edits:
        parts.append(clean[at : edit.start])
        length += edit.start - at
        before = clean[edit.start : edit.end]
        record = {"kind": edit.kind, "text": edit.text, "start": length, "clean": before}
        records.append(record)
        parts.append(edit.text)
        length += len(edit.text)
        at = edit.end
    return "".join([*parts, clean[at:]]), records
