"""The repairs of the default pipeline: functions from text to text (chapter cleaning).

Every one is safe on *any* text: it never raises, never makes a text longer than twice its length,
takes time linear in its length, and changes nothing when it is applied a second time. In the order
of `DEFAULT_STEPS` they keep these promises together too.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from html import unescape
from html.entities import html5

from agnews_utils.data.exploration import NEWS_SOURCES

# ------------------------------------------------------------------------------- Unicode

_INVISIBLE = str.maketrans(
    dict.fromkeys("\u00ad\u200b\ufeff")
)  # soft hyphen, zero-width space, BOM
_TYPOGRAPHIC = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
        **dict.fromkeys("\u2014\u2015", "--"),
    }
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def normalize_unicode(text: str) -> str:
    """Give characters that look alike one form (cleaning, "Unicode").

    Invisible characters go (soft hyphen, zero-width space, byte-order mark). The rest gets
    Unicode's compatibility form NFKC: full-width letters, ligatures, no-break spaces and small
    digits become plain (`m²` becomes `m2`, `™` becomes `TM`), accents join their letter. Then
    typographic quotes and dashes become `'`, `"`, `-` and `--`. A character that NFKC would turn
    into three or more, such as `…`, `½` or U+FDFA with its eighteen, stays as it is: so no text
    more than doubles its length.
    """
    if text.isascii():
        return text
    text = text.translate(_INVISIBLE)
    parts, start = [], 0
    for match in _NOT_ASCII.finditer(text):
        if _expands(match[0]):
            parts += [unicodedata.normalize("NFKC", text[start : match.start()]), match[0]]
            start = match.end()
    parts.append(unicodedata.normalize("NFKC", text[start:]))
    return "".join(parts).translate(_TYPOGRAPHIC)


@lru_cache(maxsize=4096)
def _expands(character: str) -> bool:
    return len(unicodedata.normalize("NFKC", character)) > 2


def _joins_its_neighbor(character: str) -> bool:
    """Tell whether a character can melt into the one before it: accents, Korean vowels."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"


# ------------------------------------------------------------------------------- entities

# Names that are trusted without their "&"; a bare "copy;" or "not;" may well be English.
_BARE_NAMES = frozenset(
    "amp apos eacute gt hellip ldquo lsquo lt mdash nbsp ndash quot rdquo rsquo".split()  # noqa: SIM905
)
_NUMBER = r"#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}"
_ENTITY_HINT = re.compile(rf"(?:{_NUMBER}|&[A-Za-z0-9]{{2,31}}|{'|'.join(sorted(_BARE_NAMES))});")
_ENTITY_END = re.compile(rf"(&| ?)({_NUMBER}|[A-Za-z][A-Za-z0-9]{{1,31}})\Z")
_LONGEST_ENTITY = 40


def repair_entities(text: str) -> str:
    """Turn HTML entities back into characters, with or without their `&` (cleaning, "Entities").

    AG News has lost the `&` of most entities: a space stands in its place, and goes with the
    entity. Entities of entities are followed to the end (`amp;lt;` is `<`). What is no character
    of a text stays: unknown names, control codes, surrogates, accents without a letter. Decoded
    characters come out as `normalize_unicode` leaves them.

    Examples
    --------
    >>> repair_entities("Oil giant #39;s profit, M amp;amp;T, &lt;b&gt;")
    "Oil giant's profit, M&T, <b>"
    """
    if ";" not in text or not (hint := _ENTITY_HINT.search(text)):
        return text
    # One walk from left to right. After each ";" the end of what was written so far is looked at,
    # and replaced if it is an entity. So what was written never holds one, whatever came together.
    start = text.rfind(";", 0, hint.start()) + 1
    written, pieces = list(text[:start]), text[start:].split(";")
    for number, piece in enumerate(pieces[:-1], 1):
        written += piece
        _close_entity(written, following=pieces[number][:1])
    written += pieces[-1]
    return "".join(written)


def _close_entity(written: list[str], following: str) -> None:
    """Write a ";", or replace what it ends by a character; which may be a ";" again."""
    while True:
        match = _ENTITY_END.search("".join(written[-_LONGEST_ENTITY:]))
        value = _decode(match[1] == "&", match[2]) if match else None
        if match is None or value is None or (following and _joins_its_neighbor(following)):
            written.append(";")
            return
        del written[len(written) - len(match[0]) :]
        if value != ";":
            written += value
            return


@lru_cache(maxsize=4096)
def _decode(complete: bool, body: str) -> str | None:
    """Return what an entity stands for (`body` without `&` and `;`), None if nothing sensible."""
    if body[0] != "#":
        if body + ";" not in html5 or not (complete or body in _BARE_NAMES):
            return None
        value = html5[body + ";"]
    else:
        value = unescape(f"&{body};")
        if value in ("", "\ufffd") or (not complete and value.isascii() and not _is_sign(value)):
            return None  # "#7;" in a sports table is no entity
    value = normalize_unicode(value)
    readable = all(c in "\t\n" or unicodedata.category(c) not in ("Cc", "Cs", "Cn") for c in value)
    if not readable or (";" in value and value != ";") or any(map(_joins_its_neighbor, value)):
        return None
    return value


def _is_sign(character: str) -> bool:
    return character.isprintable() and not character.isalnum() and character != " "


# ------------------------------------------------------------------------ markup, backslashes

_TAG_NAMES = (
    "a|abbr|b|big|blockquote|body|br|center|cite|code|dd|div|dl|dt|em|embed|font|form|h[1-6]|head|"
    "hr|html|i|iframe|img|input|li|link|meta|nobr|object|ol|p|param|pre|q|s|script|small|span|"
    "strike|strong|style|sub|sup|table|tbody|td|th|tr|tt|u|ul"
)
_TAGS = re.compile(rf"(?:</?(?:{_TAG_NAMES})\b[^>]*>)+", re.IGNORECASE)
_ADDRESS = re.compile(r"""\bhttps?://[^\s<>"]*[^\s<>".,:;!?)']""", re.IGNORECASE)


def remove_tags_and_links(text: str) -> str:
    """Remove HTML tags and web addresses, keep the visible text (cleaning, "Tags and links").

    Only tags of HTML go: `<KMRT.O>` is a company to Reuters, not a tag. A space takes the place of
    a tag that stood between two words.

    Examples
    --------
    >>> remove_tags_and_links('Intel <A HREF="http://a.b/FullQuote">INTC.O</A>, at http://a.b/c.')
    'Intel INTC.O, at  .'
    """
    if "<" in text:
        # Behind the last ">" no tag can end, so no search has to run to the end of the text.
        end = text.rfind(">") + 1
        whole = text
        text = _TAGS.sub(lambda tags: _gap(whole, *tags.span()), text[:end]) + text[end:]
    if "://" in text:
        text = _ADDRESS.sub(" ", text)
    return text


def _gap(text: str, start: int, end: int) -> str:
    """Return what takes the place of tags: a space only where two words would stick together."""
    before, after = text[start - 1 : start], text[end : end + 1]
    at_an_end = start == 0 or not after or before.isspace() or after.isspace()
    return "" if at_an_end or after in ".,:!?)'\"" else " "


def backslashes_to_spaces(text: str) -> str:
    r"""Turn backslashes, AG News' broken line ends, into spaces (cleaning, "Backslashes").

    A backslash in front of a dollar sign only protected it, and goes without a trace.

    Examples
    --------
    >>> backslashes_to_spaces(r"the second\team paid \$50")
    'the second team paid $50'
    """
    return text.replace("\\$", "$").replace("\\", " ") if "\\" in text else text


# ------------------------------------------------------------------------------- datelines

_OTHER_SOURCES = (
    *("CNN/Money", "CNN", "CBS News", "AFP/File", "IDG News Service", "IDG", "Cox News Service"),
    *("The Washington Post", "New York Post", "Dow Jones", "Dow Jones/AP", "Interfax", "Kyodo"),
    *("National Geographic News", "The Sporting News", "TechNewsWorld", "Space.com", "MarketWatch"),
)
_SOURCES = frozenset(NEWS_SOURCES) | frozenset(_OTHER_SOURCES)
_SOURCE = "|".join(re.escape(name).replace(r"\ ", r"\s++") for name in sorted(_SOURCES))
_CAPITALS = r"[A-Z][A-Z.'/-]++"
_NAME = r"[A-Z0-9][\w.'-]*+"
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|June|July|Aug|Sep|Oct|Nov|Dec)"
_DATELINE = re.compile(
    rf"""\s*+(?:
      (?:{_SOURCE})                                                # AP, SPACE.com
    | (?:[A-Z0-9][\w.,'/-]*+\s++){{0,8}}+\((?:{_SOURCE})\)         # BEIJING, Aug. 18 (Xinhuanet)
    | (?P<place>{_CAPITALS}(?:\s++{_CAPITALS}){{0,4}}+)            # FORT MYERS, Fla.
      (?:,\s++{_NAME}(?:\s++{_NAME}){{0,2}}+){{0,2}}+               # NEW YORK, October 20, 2004
      (?:,?\s++{_MONTH}[a-z]*+\.?\s++\d{{1,2}}(?:,\s++\d{{4}})?+)?+
      (?:\s++\([^()]++\))?+                                       # LONDON (CMC)
    )\s++--?+\s++""",
    re.VERBOSE,
)
_CITY = re.compile(r"[A-Z]{4}")


def remove_datelines(text: str) -> str:
    """Remove agencies, and places in capitals, from the ends of a field (cleaning, "Datelines").

    At the start they are followed by a dash: `AP - `, `LONDON (Reuters) - `, `PARIS, France -- `.
    At the end an agency stands in parentheses: `Oil up (AP)`. So apply this to title and
    description, not to the two joined. A place alone counts if it has a word of four capitals;
    `IBM - ` stays.
    """
    start = 0
    while (match := _DATELINE.match(text, start)) and _is_dateline(match):
        start = match.end()
    end = _without_source(text, start, len(text))
    return text if start == 0 and end == len(text) else text[start:end]


def _is_dateline(match: re.Match[str]) -> bool:
    return match["place"] is None or _CITY.search(match["place"]) is not None


def _without_source(text: str, start: int, end: int) -> int:
    """Return where a field ends when the agencies in parentheses at its end are cut off."""
    stop, cut = end, False
    while True:
        while stop > start and text[stop - 1].isspace():
            stop -= 1
        end = stop if cut else end
        if stop == start or text[stop - 1] != ")":
            return end
        opening = text.rfind("(", start, stop)
        if opening < 0 or " ".join(text[opening + 1 : stop - 1].split()) not in _SOURCES:
            return end
        stop, cut = opening, True


def normalize_whitespace(text: str) -> str:
    """Replace every run of white space by one space, and none at the ends (chapter cleaning)."""
    return " ".join(text.split())
