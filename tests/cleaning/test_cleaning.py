"""The cleaning steps: what they repair, what they leave alone, and that no text harms them."""

import html
import re
import subprocess
import sys
import unicodedata

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agnews_utils.cleaning.experiments import REPAIRS, field_pairs, repair_quality, visible_text
from agnews_utils.cleaning.lossy import remove_stop_words, replace_numbers, stem_words, stop_words
from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, LOSSY_STEPS, Cleaner, Step, clean_frame
from agnews_utils.cleaning.repairs import (
    backslashes_to_spaces,
    normalize_unicode,
    normalize_whitespace,
    remove_datelines,
    remove_tags_and_links,
    repair_entities,
)
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.loading import read_truth
from tests.helpers import ROOT, assert_linear, full_data_folder

ALL_STEPS = (*DEFAULT_STEPS, *LOSSY_STEPS)
# Pieces that steps react to; random text alone would hardly ever put two of them together.
PIECES = [
    *("&", "#", ";", "<", ">", "\\", "$", "(", ")", "-", "--", " - ", " ", "  ", "\n", "\u00a0"),
    *(".", "39", "38", "59", "x26", "amp", "lt", "gt", "quot", "nbsp", "b", "p", "a", "/", "font"),
    *("'", '"', "#39;", "&amp;", "&#38;", "&#59;", "&lt;b&gt;", "<b>", "</a>", "<a href='x'"),
    *("http://", "HTTPS://x.y", "LONDON", "AP", "(AP)", "(Reuters)", "Reuters - ", "SPACE.com - "),
    *("NEW YORK, N.Y.", "By", "Aug. 18", "\uff06", "\uff1b", "\uff03", "\uff1c", "\u037e"),
    *("\u0301", "\u0338", "\u200b", "\u2014", "\u2026", "\ufdfa", "\u0130", "\u03a3", "\u1161"),
    *("\u1100", "e", "&eacute;", "&#769;", "&#65286;", "\ufb01"),
]
ANY_TEXT = st.one_of(
    st.text(max_size=60),
    st.lists(st.one_of(st.sampled_from(PIECES), st.characters()), max_size=14).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=14).map("".join),
)


# ------------------------------------------------------------------------------- safe on any text


@pytest.mark.parametrize("step", ALL_STEPS, ids=lambda step: step.name)
@settings(max_examples=400)
@given(text=ANY_TEXT)
def test_a_step_changes_nothing_the_second_time_and_never_doubles_a_text(step: Step, text: str):
    once = step.function(text)
    assert len(once) <= 2 * len(text)
    assert step.function(once) == once


@settings(max_examples=2500)
@given(text=ANY_TEXT)
def test_the_pipeline_changes_nothing_the_second_time_and_never_doubles_a_text(text: str):
    cleaner = Cleaner()
    once = cleaner(text)
    assert len(once) <= 2 * len(text)
    assert cleaner(once) == once


def test_every_single_character_is_safe():
    cleaner = Cleaner()
    for number in range(sys.maxunicode + 1):
        once = normalize_unicode(chr(number))
        assert len(once) <= 2
        assert normalize_unicode(once) == once
        if number < 0x3100:
            entity = f"&#{number};"
            assert cleaner(cleaner(entity)) == cleaner(entity)
            assert len(cleaner(entity)) <= len(entity)


UNITS = [
    *("<", "&", "#", "(", "\\", " ", ";", "-", "'", ")", "A", "1", ">", "\n", "&#59", "<a ", "<b>"),
    *("<b", "</", "<a>", "&lt;", "lt;", "amp;", "#39;", "&#59;", "(AP)", "(A", "(AP) (", "AP - "),
    *("A ", "LONDON ", "A, ", ".A", "By A ", "LONDON, A ", "LYON - ", "http://", "http://."),
    *("\u00e9", "\u2026", "\u0301", "e\u0301"),
]


@pytest.mark.parametrize("unit", UNITS)
def test_the_pipeline_takes_linear_time(unit: str):
    assert_linear(Cleaner(), lambda length: (unit * (length // len(unit) + 1))[:length])


def test_a_step_that_is_not_linear_would_be_noticed():
    with pytest.raises(pytest.fail.Exception, match="8 times the text takes"):
        assert_linear(lambda text: re.sub("<[^>]*>", "", text), lambda n: "<" * n, length=1_000)


# ------------------------------------------------------------------------------- entities


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Oil giant #39;s profit", "Oil giant's profit"),
        ("  quot;It is quot; he said", ' "It is" he said'),
        ("fell  #36;2.6 billion", "fell $2.6 billion"),
        ("M amp;amp;T Bank, AT amp;T", "M&T Bank, AT&T"),
        ("&lt;b&gt;bold&lt;/b&gt;", "<b>bold</b>"),
        ("doubly &amp;lt; and &amp;amp;amp;lt;", "doubly < and <"),
        ("return them  #151; one day", "return them -- one day"),
        ("Ch #225;vez, caf&eacute;, caf&#xe9;", "Ch\u00e1vez, caf\u00e9, caf\u00e9"),
        ("&#34;&#x27;", "\"'"),
        ("#39;", "'"),
    ],
)
def test_entities_are_repaired(text: str, expected: str):
    assert repair_entities(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "issue #39 of the magazine; it sold",  # no entity
        "ranked #7; then #12; at last",  # control codes, if they were entities
        "No. #65; and #101;",  # letters, if they were entities: nobody escapes those
        "copy; not; and; or;",  # English words that are names of entities too
        "champ; swamp;",
        "&#0; &#27; &#xD800; &#1114112; &#xFFFF; &nosuchname; &#;",
        "&#769; &NotEqualTilde;",  # an accent that would fall on the text before it
    ],
)
def test_what_is_no_entity_stays(text: str):
    assert repair_entities(text) == text


def test_complete_entities_come_out_as_the_standard_library_decodes_them():
    for name in (
        "amp",
        "lt",
        "gt",
        "quot",
        "apos",
        "eacute",
        "Auml",
        "euro",
        "pound",
        "copy",
        "szlig",
    ):
        assert repair_entities(f"a&{name};b") == html.unescape(f"a&{name};b")


@settings(max_examples=300)
@given(st.text("ab<>&\"'$ .,", max_size=30), st.integers(1, 4))
def test_whatever_was_escaped_comes_back_however_often(text: str, times: int):
    escaped = text
    for _ in range(times):
        escaped = html.escape(escaped)
    assert repair_entities(escaped) == text


# ------------------------------------------------------------------------------- other steps


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<b>...</b> said", "... said"),
        ("one<br>two<P>three", "one two three"),
        (
            'at Intel <A HREF="http://a.b/FullQuote?t=INTC.O">INTC.O</A>, shares',
            "at Intel INTC.O, shares",
        ),
        ("Kmart <KMRT.O> and a < b > c", "Kmart <KMRT.O> and a < b > c"),
        ("see http://news.example.com/a?b=c. Now", "see  . Now"),
        ("<b unclosed", "<b unclosed"),
        ("http stands for much", "http stands for much"),
    ],
)
def test_tags_and_links_go_and_the_visible_text_stays(text: str, expected: str):
    assert remove_tags_and_links(text) == expected


def test_backslashes():
    assert backslashes_to_spaces(r"second\team") == "second team"
    assert backslashes_to_spaces(r"a \$50 deal, US\$7") == "a $50 deal, US$7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AP - Oil rose", "Oil rose"),
        (" LONDON (Reuters) - Oil rose", "Oil rose"),
        ("SPACE.com - CAPE CANAVERAL, Fla. -- A rocket", "A rocket"),
        ("Canadian Press - ST. JOHN'S, Nfld. (CP) - A storm", "A storm"),
        ("By YURI KAGEYAMA     TOKYO (AP) -- The head", "The head"),
        ("BEIJING, Aug. 18 (Xinhuanet) -- Shares", "Shares"),
        ("NEW YORK, October 20, 2004 (newratings.com) - Shares", "Shares"),
        ("Athens, Greece (Sports Network) - For", "For"),
        ("PARIS -- Trams", "Trams"),
        ("Oil up (Reuters)", "Oil up"),
        ("Oil up (AP) ", "Oil up"),
        ("Oil up (Los  Angeles Times)", "Oil up"),
    ],
)
def test_datelines_and_agencies_go(text: str, expected: str):
    assert remove_datelines(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "IBM - the computer maker - grew",  # three capitals are a company
        "Oil rose - AP",
        "Oil (AP) rose",
        "The Reuters - Bloomberg race",
        "Shares rose -- slowly",
        "Oil up (again)",
        "LONDON-based AP",
        "(AP)s",
        "Oil up )",
    ],
)
def test_what_is_no_dateline_stays(text: str):
    assert remove_datelines(text) == text


def test_unicode():
    assert (
        normalize_unicode("\u2018It\u2019s \ufb01ne\u2019 \u2014 100\u00a0m\u00b2")
        == "'It's fine' -- 100 m2"
    )
    assert normalize_unicode("cafe\u0301 \uff21\uff22 zero\u200bwidth") == "caf\u00e9 AB zerowidth"
    assert (
        normalize_unicode("wait\u2026 \ufdfa") == "wait\u2026 \ufdfa"
    )  # would become three and more
    common = "\u00e9\u00e8\u00fc\u00df\u0142\u03b1\u0431\u4e2d\u00b2\u2122\ufb02\uff01\u2460"
    assert normalize_unicode(common) == unicodedata.normalize("NFKC", common)


def test_whitespace():
    assert normalize_whitespace("  two\u00a0words \t\n ") == "two words"
    assert normalize_whitespace(" \n") == ""


def test_lossy_steps():
    assert replace_numbers("up 3.5 to $1,250, not 7.") == "up 0 to $0, not 0."
    assert remove_stop_words("The bank did not fail") == "bank fail"
    assert stem_words("The runner was running") == "The runner wa run"
    assert stem_words("Happy HAPPY happy") == "Happi HAPPi happi"
    cleaner = Cleaner(LOSSY_STEPS)
    assert "50" not in cleaner("They paid $50.25!")


def test_stop_words_name_their_source(tmp_path):
    words, source = stop_words()
    assert {"the", "not", "of"} <= words
    assert source in ("NLTK", "spaCy")
    (tmp_path / "corpora" / "stopwords").mkdir(parents=True)
    (tmp_path / "corpora" / "stopwords" / "english").write_text("the\nfoo\n")
    code = (
        "from agnews_utils.cleaning.lossy import remove_stop_words, stop_words;"
        "print(stop_words()[1], remove_stop_words('The foo did not fail'))"
    )
    for folder, expected in (
        (tmp_path, "NLTK did not fail"),
        (tmp_path / "none", "spaCy foo fail"),
    ):
        environment = {"NLTK_DATA": str(folder), "HOME": str(tmp_path), "PATH": ""}
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
        )
        assert run.stdout.strip() == expected, run.stderr[-500:]


# ------------------------------------------------------------------------------- the pipeline


def test_a_pipeline_is_its_steps_in_order():
    text = r" LONDON (Reuters) - Oil giant #39;s \$5 bid&lt;br&gt;failed"
    expected = text
    for step in DEFAULT_STEPS:
        expected = step.function(expected)
    assert Cleaner()(text) == expected == "Oil giant's $5 bid failed"
    assert Cleaner([])(text) == text


def test_order_matters_and_the_default_order_is_the_right_one():
    whitespace_first = Cleaner([DEFAULT_STEPS[-1], *DEFAULT_STEPS[:-1]])
    text = "He said  quot;yes quot; to AT amp;T"
    assert Cleaner()(text) == 'He said "yes" to AT&T'
    assert whitespace_first(text) == 'He said"yes" to AT&T'


def test_without_and_plus_and_their_errors():
    cleaner = Cleaner()
    assert cleaner.without("datelines")("AP - Oil #39;s") == "AP - Oil's"
    assert cleaner.plus(LOSSY_STEPS[0]).names[-1] == "lower case"
    with pytest.raises(KeyError, match="no step is called 'tags'; there are: unicode, entities"):
        cleaner.without("tags")
    with pytest.raises(ValueError, match="two steps are called 'lower case'"):
        cleaner.plus(LOSSY_STEPS[0], LOSSY_STEPS[0])


def test_a_column_keeps_its_index_and_names_the_row_of_a_missing_text():
    column = pd.Series(["AP - a", "b "], index=[7, 9], name="description")
    cleaned = Cleaner()(column)
    pd.testing.assert_series_equal(cleaned, pd.Series(["a", "b"], index=[7, 9], name="description"))
    with pytest.raises(TypeError, match='row 9 holds nan, not a text: fill missing texts with ""'):
        Cleaner()(pd.Series(["a", float("nan")], index=[7, 9], dtype=object))
    with pytest.raises(TypeError, match="not a list"):
        Cleaner()(["a"])
    with pytest.raises(TypeError, match="one string"):
        Cleaner().report("a")
    with pytest.raises(TypeError, match="row 1 holds None"):
        Cleaner().report(["a", None])


def test_the_report_counts_each_step_on_what_the_steps_before_left():
    report = Cleaner().report(["AP - Oil #39;s", "plain", "a&lt;b&gt;c"])
    assert report["changed"].to_dict() == {
        "unicode": 0,
        "entities": 2,
        "backslashes": 0,
        "tags and links": 1,
        "datelines": 1,
        "white space": 0,
    }
    assert report.loc["tags and links", ["before", "after"]].tolist() == ["a<b>c", "a c"]
    assert report.loc["datelines", "percent"] == pytest.approx(100 / 3)
    assert Cleaner().report([])["changed"].sum() == 0


def test_frames_are_cleaned_field_by_field():
    frame = pd.DataFrame(
        {
            "label": [2, 0],
            "title": ["Oil up (Reuters)", "Talks #39; end"],
            "description": [" LONDON (Reuters) - Oil giant #39;s gain", None],
            "text": ["old", "old"],
        },
        index=[3, 5],
    )
    cleaned = clean_frame(frame)
    assert cleaned["text"].tolist() == ["Oil up Oil giant's gain", "Talks' end"]
    assert cleaned["description"].tolist() == ["Oil giant's gain", ""]
    assert cleaned.index.tolist() == [3, 5]
    assert frame["text"].tolist() == ["old", "old"]
    with pytest.raises(ValueError, match="no column 'title'"):
        clean_frame(frame[["label"]])


# ------------------------------------------------------------------------------- against the truth


def test_visible_text_is_what_a_browser_shows():
    assert visible_text(' &lt;A HREF="x"&gt;INTC.O&lt;/A&gt;') == " INTC.O"
    assert visible_text("&lt;b&gt;") == ""


def test_fields_with_all_dirt_are_those_of_the_csv_files():
    truth = read_truth()
    dirty = [pair[0] for pair in field_pairs(truth, None)]
    none = [pair for pair in field_pairs(truth, set())]
    assert all(dirty == clean for dirty, clean in none)
    frames = [
        read_news_csv(ROOT / "data" / "newsbriefs" / f"{split}.csv") for split in ("train", "test")
    ]
    fields = pd.concat(frames)[["title", "description"]].to_numpy().ravel().tolist()
    assert dirty == fields


def test_repairs_have_precision_1_and_recall_0_99_on_news_briefs():
    quality = repair_quality(read_truth())
    assert list(quality.index) == [*REPAIRS, "all steps"]
    assert (quality["dirty"] > 30).all(), "too little dirt to measure anything"
    assert (quality["precision"] >= 0.999).all(), quality
    assert (quality["recall"] >= 0.99).all(), quality


def test_the_measure_sees_what_a_bad_step_misses(monkeypatch):
    from agnews_utils.cleaning import experiments as module

    weak = [
        Step(
            s.name,
            (lambda t: t.replace(" #39;", "'")) if s.name == "entities" else s.function,
            s.why,
        )
        for s in DEFAULT_STEPS
    ]
    monkeypatch.setattr(module, "DEFAULT_STEPS", tuple(weak))
    quality = repair_quality(read_truth())
    assert quality.loc["entities", "recall"] < 0.99
    assert quality.loc["entities", "precision"] < 1


def test_ag_news_is_cleaned_and_stays_clean():
    cleaned = clean_frame(read_news_csv(full_data_folder() / "test.csv"))
    again = clean_frame(cleaned)
    assert (again["description"] == cleaned["description"]).all()
    for pattern in ("#39;", "&lt;", r"\\", "href", r"^AP - "):
        assert not cleaned["description"].str.contains(pattern, regex=True).any(), pattern
