"""The page: its file, what it says, and, in a headless Chromium, that it answers as Python does."""

import json
import os
import re
from functools import partial

import numpy as np
import pytest

from agnews_utils import train
from agnews_utils.cleaning import repairs
from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, Cleaner
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.loading import load_news
from agnews_utils.evaluation.errors import occlusion
from agnews_utils.predict import main as predict_command
from agnews_utils.runs import TEXT_PATHS, load_run
from tests import browser
from tools.page import __main__ as command
from tools.page import build

WHY = "exporting needs onnx and onnxruntime: pip install onnx onnxruntime"
pytest.importorskip("onnx", reason=WHY)
pytest.importorskip("onnxruntime", reason=WHY)

from agnews_utils.serving.export import export_run  # noqa: E402
from agnews_utils.serving.exported import load_export  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
SECONDS = 300
SCRIPTS = {"app": "console.log('app')", "boot": "console.log('boot')"}


def trained(folder, *options):
    assert train.main(["--data", "newsbriefs", "--output", str(folder), *options]) == 0
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """Tune the bundled encoder a little: with a random head the answers would all be alike."""
    options = ("--model", "bert", "--encoder", "bundled", "--epochs", "1", "--rows", "400")
    return trained(tmp_path_factory.mktemp("runs") / "bert", *options)


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Train fastText's model, whose texts lose their datelines, and whose tokens are words."""
    folder = tmp_path_factory.mktemp("runs") / "bag"
    return trained(folder, "--model", "bag", "--epochs", "3", "--vocab-size", "3000")


# ------------------------------------------------------------------------------- the file itself


@pytest.mark.parametrize("size", [0, 1, 14, 15, 16, 1000, 4097])
def test_bytes_survive_as_characters(size):
    content = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8).tobytes()
    written = build.as_characters(content)
    assert all("\u0100" <= character < "\u8100" for character in written)
    assert len(written) == -(-8 * size // 15)
    bits = "".join(f"{ord(character) - 0x100:015b}" for character in written)
    read = bytes(int(bits[place : place + 8], 2) for place in range(0, 8 * size, 8))
    assert read == content


def test_the_title_names_the_classes():
    assert build.title_of(CLASS_NAMES) == "World, Sports, Business or Sci/Tech?"
    assert build.title_of(["ham", "spam"]) == "ham or spam?"
    assert build.title_of([str(n) for n in range(20)]) == "Which of 20 classes?"


def test_the_page_says_what_it_was_made_of(bert):
    export = export_run(bert, int8=True)
    text = build.page_text(export, SCRIPTS, title="<Ham> & spam")
    assert "<title>&lt;Ham&gt; &amp; spam</title>" in text
    assert not re.search(r"@\w+@", text)
    assert "default-src 'none'" in text
    assert "Microsoft Corporation" in text
    about = build.read_about(export)
    told = dict(build.facts(about))
    low_to_high = r"\d\d\.\d% of 40 validation rows \(95% interval: \d\d\.\d% to \d\d\.\d%\)"
    assert re.match(low_to_high, told["Right"])
    assert told["Learned from"] == "360 rows"
    assert "News Briefs" in told["Data"]
    assert build.uses_bundled_encoder(export)
    assert "non-commercial" in " ".join(build.notes(about, bundled=True))
    assert "CC0" in " ".join(build.notes(about, bundled=True))
    own = about | {"data": {"name": "letters"}}
    assert "terms of the data" in " ".join(build.notes(own, bundled=False))


def test_lists_of_names_are_those_of_python():
    assert build.names_for(TEXT_PATHS["raw"]) == {}
    names = build.names_for(TEXT_PATHS["cleaned"])
    assert names["entities"]["amp"] == "&"
    assert set(names["sources"]) == repairs._SOURCES
    assert "sources" not in build.names_for(TEXT_PATHS["repaired"])


def test_the_command_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    output = ["--output", str(tmp_path / "page.html")]
    assert command.main([str(tmp_path / "none"), *output]) == 1
    assert "does not exist" in capsys.readouterr().err
    monkeypatch.setattr(build, "MODULES", tmp_path)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(build.PageError, match="install Node"):
        build.install()
    with pytest.raises(build.PageError, match="install Node"):
        build.bundle(tmp_path)


# --------------------------------------------------------------------------------- in the browser


def programs():
    """Return Chromium, or skip and say what is missing."""
    pytest.importorskip("websocket")
    if os.name != "posix":
        pytest.skip("ends its processes as POSIX systems do")
    program = browser.find_chromium()
    if program is None:
        pytest.skip("no Chromium here: install it, or set AGNEWS_CHROMIUM to its path")
    if not build.RUNTIME.is_file():
        pytest.skip("the page's packages are not installed: `make page` does it")
    return program


@pytest.fixture(scope="module")
def open_page(tmp_path_factory):
    program = programs()
    folder = tmp_path_factory.mktemp("chromium")
    context = browser.chromium(program, folder)
    try:
        opened = context.__enter__()
    except browser.BrowserError as error:
        pytest.skip(f"Chromium does not start: {error}")
    yield opened
    context.__exit__(None, None, None)


def opened(open_page, run, folder, *options):
    """Build the page of a run with the command, open it from the disk, and wait for its model."""
    path = folder / "page.html"
    assert command.main([str(run), "--output", str(path), *options]) == 0
    page = open_page("about:blank")
    page.call("Page.enable")
    page.call("Page.navigate", url=path.as_uri())
    page.wait_for("document.documentElement?.dataset.state", SECONDS, "the model")
    status = page.evaluate("document.getElementById('status').textContent")
    assert status.startswith("Ready"), status
    page.path = path
    return page


@pytest.fixture(scope="module")
def small(open_page, bert, tmp_path_factory):
    return opened(open_page, bert, tmp_path_factory.mktemp("int8"))


@pytest.fixture(scope="module")
def full(open_page, bert, tmp_path_factory):
    return opened(open_page, bert, tmp_path_factory.mktemp("fp32"), "--full")


@pytest.fixture(scope="module")
def words(open_page, bag, tmp_path_factory):
    return opened(open_page, bag, tmp_path_factory.mktemp("bag"), "--full")


def asked(page, expression, values, at_once=50):
    """Evaluate an expression of `x` for each value, in the page, and return the answers."""
    answers = []
    for start in range(0, len(values), at_once):
        part = json.dumps(values[start : start + at_once])
        answer = page.call(
            "Runtime.evaluate", awaitPromise=True, returnByValue=True,
            expression="(async () => { const all = [];"
                       f"for (const x of {part}) all.push(await {expression}); return all; }})()",
        )  # fmt: skip
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        answers += answer["result"]["value"]
    return answers


DIRTY = [
    "",
    " ",
    "AT&amp;amp;T &lt;b&gt;up&lt;/b&gt; #39;s quot;yes quot; amp;lt;",
    "R&D; &copy; copy; &notit; &semi;",
    "e&#769;;\u0301 ;;&;#;",
    "&#x41; #65; #128; &#128; &#55296; &#1114112; #xZ; &#0; &#13; &#7; a&#768;b &#9;",
    "Caf\u00e9 cafe\u0301 \uff21\uff22 \ufb01 \u00bd \u2026 \u00b2 \u2122 \u200b\u00ad",
    "\u2018q\u2019 \u201cq\u201d \u2014 \u2013 \ufdfa",
    r"a\b \$50 \\ end\\",
    '<A HREF="http://a.b/c?d=e">INTC.O</A>, at http://a.b/c. <KMRT.O> x<br>y <b >z</b>.',
    "see https://x.y/z), HTTP://A.B! xhttp://no.no 1 < 2 > 1 <i",
    "\x1c\x85 a\u2003b\u3000c \ufeff d",
    "NEW YORK (Reuters) - Stocks rose (AP)",
    "AP - Reuters - x",
    "PARIS, France -- le (AFP) ( Reuters )",
    "FORT MYERS, Fla., Oct. 3, 2004 (CMC) - x",
    "IBM - stays",
    "BEIJING, Aug. 18 (Xinhuanet) -- y",
    "The  Washington\tPost - w",
    "LONDON- no",
    "WASHINGTON, D.C. October 20, 2004 - z (The Motley Fool)",
    "\u03a3\u0391\u03a3 \u0130stanbul \u00df",
    "\U0001f600 &#x1f600; \ud55c\uae00 \u1112\u1161\u11ab &#4449; \u0645\u0631\u062d",
    "[SEP] [CLS] [MASK] #hash ##ing un##able",
    "word " * 300,
    "x" * 250,
    "a" * 5000 + ";" + "&" * 50,
]


def fuzzed(count, seed=1):
    """Return texts put together from what the repairs look for."""
    rng = np.random.default_rng(seed)
    bits = [
        "&",
        "#",
        "39",
        ";",
        "amp",
        "lt",
        "gt",
        "quot",
        "<",
        ">",
        "b",
        "/",
        "a\xa0href=",
        "\\",
        "$",
        "(",
        ")",
        "AP",
        "Reuters",
        "--",
        "PARIS",
        "Oct.",
        "http://",
        "x.y",
        "é",
        "́",
        "’",
        "—",
        "½",
        "'",
        "s",
        "U.S.",
        "3.5",
        "٠",
        "\u200b",
        "#x27",
        "nbsp",
        "The",
    ]
    bits += [" ", " - ", ", ", " 12", "\n", "\u00a0"]
    return ["".join(rng.choice(bits, rng.integers(1, 30))) for _ in range(count)]


def test_texts_are_repaired_as_in_python(small, words):
    raw = load_news("newsbriefs").test
    texts = [*(raw["title"] + " " + raw["description"]), *DIRTY, *fuzzed(1500)]
    steps = {step.name: step for step in DEFAULT_STEPS}
    for page, name in ((small, "repaired"), (words, "cleaned")):
        cleaner = Cleaner([steps[step] for step in TEXT_PATHS[name]])
        found = asked(page, "window.page.prepare(x)", texts, at_once=1000)
        wrong = [(text, one, cleaner(text)) for text, one in zip(texts, found, strict=True)
                 if one != cleaner(text)]  # fmt: skip
        assert wrong == []


@pytest.mark.parametrize("name", ["full", "words"])
def test_texts_are_cut_as_in_python(name, request):
    page = request.getfixturevalue(name)
    run = request.getfixturevalue("bert" if name == "full" else "bag")
    exported = load_export(export_run(run))
    raw = load_news("newsbriefs").test
    texts = [*(raw["title"] + " " + raw["description"]), *DIRTY, *fuzzed(500, seed=2)]
    found = asked(page, "window.page.ids(x)", texts, at_once=1000)
    assert found == [exported.ids(exported.prepare(text)) for text in texts]


@pytest.mark.parametrize(
    ("name", "run", "tolerance"),
    [("full", "bert", 1e-4), ("words", "bag", 1e-4), ("small", "bert", 0.05)],
)
def test_answers_are_those_of_python(name, run, tolerance, request):
    page, run = request.getfixturevalue(name), load_run(request.getfixturevalue(run))
    raw = load_news("newsbriefs").test
    texts = [
        f"{title} {text}" for title, text in zip(raw["title"], raw["description"], strict=True)
    ]
    assert len(texts) == 400
    found = np.array(asked(page, "window.page.probabilities(x)", texts))
    wanted = run.predict_proba(texts)
    assert abs(found - wanted).max() < tolerance
    first, second = np.sort(wanted, axis=1)[:, ::-1][:, :2].T
    clear = first - second > (2 * tolerance if name == "small" else 1e-6)  # no tie within rounding
    assert clear.mean() > 0.5
    assert (found.argmax(1) == wanted.argmax(1))[clear].all()


def test_words_that_decide_are_those_of_python(full, bert):
    run, text = load_run(bert), "Striker scores twice to win the cup #39;s final"
    prepared = Cleaner().without("datelines")(text)
    number = int(run.predict_proba([text])[0].argmax())
    wanted = occlusion(lambda texts: run.predict_proba(texts)[:, number], prepared)
    call = f"window.page.occlusion(window.page.prepare(x), {number})"
    (found,) = asked(full, call, [text])
    assert found["words"] == wanted.index.tolist()
    np.testing.assert_allclose(found["falls"], wanted.to_numpy(), atol=1e-4)


SHOWN = "document.getElementById('{}').textContent"


def typed(page, field, text):
    page.evaluate(f"document.getElementById({field!r}).value = {json.dumps(text)}")
    page.evaluate(f"document.getElementById({field!r}).dispatchEvent(new Event('input'))")


def test_a_visitor_types_compares_and_takes_a_table_home(small, bert, tmp_path):
    run = load_run(bert)
    texts = ["Striker scores twice, wins the cup", 'Shares "fall", again', "=1+1"]
    typed(small, "text", texts[0])
    small.wait_for(
        f"document.documentElement.dataset.explained === {json.dumps(texts[0])}",
        SECONDS,
        "the words",
    )
    shown = small.evaluate(SHOWN.format("answer"))
    assert shown.startswith(run.predict(texts)[0])
    assert small.evaluate("document.querySelectorAll('#words span').length") == len(
        texts[0].split()
    )
    assert shown in small.evaluate(SHOWN.format("said"))  # for those who hear the page
    typed(small, "text", "")
    small.wait_for(f"{SHOWN.format('answer')} === 'Classes'", SECONDS, "an empty answer")

    small.evaluate("document.getElementById('tab-two').click()")
    typed(small, "first", texts[0])
    typed(small, "second", texts[1])
    answers = run.predict(texts)
    wanted = f"A: {answers[0]}.*B: {answers[1]}"
    small.wait_for(f"/{wanted}/.test({SHOWN.format('compared')})", SECONDS, "the comparison")

    small.evaluate("document.getElementById('tab-many').click()")
    typed(small, "lines", "\n".join(["", *texts, " "]))
    assert small.evaluate(SHOWN.format("go")) == "Classify 3 texts"
    small.evaluate("document.getElementById('go').click()")
    small.wait_for("!document.getElementById('save').hidden", SECONDS, "the table")
    table = small.evaluate("window.page.csv()")
    (tmp_path / "texts.txt").write_text("\n".join(texts), encoding="utf-8")
    given = ["--file", str(tmp_path / "texts.txt"), "--csv", str(tmp_path / "answers.csv")]
    assert predict_command([str(bert), *given]) == 0
    numbers = partial(re.sub, r"0\.\d{6}|1\.000000", "p")
    assert numbers(table) == numbers((tmp_path / "answers.csv").read_text(encoding="utf-8"))


def test_the_page_is_small_and_asks_for_nothing(small):
    assert small.path.stat().st_size < 10e6
    assert small.evaluate("performance.getEntriesByType('resource').length") == 0
    refused = "fetch('https://example.org').then(() => 'sent', (error) => 'refused')"
    assert asked(small, refused, [0]) == ["refused"]


def test_the_page_can_be_used_by_everybody(small):
    unnamed = """[...document.querySelectorAll('textarea, button, progress, [role=region]')]
        .filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).length"""
    assert small.evaluate(unnamed) == 0
    small.evaluate("document.getElementById('tab-one').click()")
    small.evaluate("document.getElementById('tab-one').focus()")
    for key, wanted in (
        ("ArrowRight", "two"),
        ("ArrowRight", "many"),
        ("ArrowRight", "one"),
        ("End", "many"),
    ):
        small.call("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert small.evaluate("document.activeElement.id") == f"tab-{wanted}"
        panels = "[...document.querySelectorAll('[role=tabpanel]')]"
        shown = f"{panels}.filter(e => !e.hidden).map(e => e.id)"
        assert small.evaluate(shown) == [wanted]
    for width in (320, 390, 1200):
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        small.call("Emulation.setDeviceMetricsOverride", **screen)
        for tab in ("one", "two", "many"):
            small.evaluate(f"document.getElementById('tab-{tab}').click()")
            assert small.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_that_was_cut_off_says_so(open_page, small, tmp_path):
    text = small.path.read_text(encoding="utf-16")
    place = text.index("</script>", text.index('id="payload"'))
    (tmp_path / "cut.html").write_text(text[: place - 300_000] + text[place:], encoding="utf-16")
    page = open_page("about:blank")
    page.call("Page.navigate", url=(tmp_path / "cut.html").as_uri())
    page.wait_for("document.documentElement?.dataset.state === 'failed'", SECONDS, "the failure")
    assert "could not" in page.evaluate("document.getElementById('status').textContent")
