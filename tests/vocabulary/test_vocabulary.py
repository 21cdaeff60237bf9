"""Tokenizer, Vocab, batches: against torchtext, scikit-learn, torch, and values worked by hand."""

import gc
import json
import pickle
import re

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agnews_utils.plots import vocabulary as plots_vocabulary
from agnews_utils.vocabulary.batching import (
    LengthBucketSampler,
    NewsDataset,
    collate,
    make_loader,
    pad_batch,
    padding_share,
)
from agnews_utils.vocabulary.vocab import (
    TOKEN_PATTERN,
    Vocab,
    VocabError,
    VocabFileError,
    build_vocab,
    coverage,
    encode,
    ngrams,
    power_law,
    tokenize,
    tokenize_all,
    vocabulary_growth,
)
from tests.helpers import assert_linear

# Few letters, so that tokens repeat, tie and collide with the specials; and any Unicode beside.
TOKENS = st.one_of(st.sampled_from(["a", "b", "B", "é", "<unk>", "<pad>", ""]), st.text(max_size=3))
TOKEN_LISTS = st.lists(st.lists(TOKENS, max_size=12), max_size=8)


# ------------------------------------------------------------------------------ tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Oil's up", "oil 's up"),
        ("They don't, it's we'll", "they don't , it 's we'll".replace("we'll", "we 'll")),
        ("O'Neill said", "o'neill said"),
        ("The U.S. paid $1,234.50 (50%)", "the u.s. paid $1,234.50 ( 50 % )"),
        ("Washington D.C.-based", "washington d.c. - based"),
        ("a 4th, $1.2bn G8 MP3", "a 4th , $1.2bn g8 mp3"),
        ("wait... what--now", "wait ... what -- now"),
        ("Yahoo! e-mail", "yahoo ! e - mail"),
        ("  \t\n ", ""),
    ],
)
def test_tokens_worked_by_hand(text, tokens):
    assert tokenize(text) == tokens.split()


@given(st.text() | st.text(alphabet="aé.'’s19,$-_ t", max_size=15))
@example("1,1.1,x 'S\u00a0a.b.c\x1f\u2028é’s")
def test_tokens_lose_only_white_space(text):
    tokens = tokenize(text)
    assert "".join(tokens) == "".join(text.lower().split())
    assert all(token and not re.search(r"\s", token) for token in tokens)
    # No token crosses white space, so a text can be cut anywhere there.
    assert tokens == [token for chunk in text.split() for token in tokenize(chunk)]


@given(st.text() | st.text(alphabet="aé.'’s19,$-_ t", max_size=15))
def test_the_shortcut_for_plain_words_changes_nothing(text):
    shortcut = r"[a-z]+(?![\w.'’])"
    whole = re.sub(r"#.*|\s+", "", TOKEN_PATTERN.pattern)
    assert whole.startswith(shortcut + "|")
    assert tokenize(text) == re.findall(whole[len(shortcut) + 1 :], text.lower())


@pytest.mark.parametrize("piece", ["1,", "a.", "1", "'s", "don't", "-", ".", "a'", "$", "_", "é "])
def test_tokenize_takes_linear_time(piece):
    assert_linear(tokenize, lambda length: piece * (length // len(piece)) + "!")


# -------------------------------------------------------------------------------- number


def torchtext_builder():
    try:
        import torchtext
    except (ImportError, OSError) as error:
        pytest.skip(f"torchtext's last release loads on torch 2.3 only: {type(error).__name__}")
    torchtext.disable_torchtext_deprecation_warning()
    from torchtext.vocab import build_vocab_from_iterator

    return build_vocab_from_iterator


def test_build_vocab_equals_torchtext():
    torchtext_build = torchtext_builder()

    @settings(max_examples=40)
    @given(
        TOKEN_LISTS,
        st.integers(1, 4),
        st.none() | st.integers(3, 9),
        st.sampled_from([(), ("<pad>", "<unk>"), ("b",)]),
        st.booleans(),
    )
    def equal(token_lists, min_freq, max_tokens, specials, special_first):
        options = {"min_freq": min_freq, "max_tokens": max_tokens, "special_first": special_first}
        ours = build_vocab(token_lists, specials=specials, **options)
        theirs = torchtext_build(token_lists, specials=list(specials), **options)
        assert ours.get_itos() == theirs.get_itos()
        assert ours.get_stoi() == theirs.get_stoi()
        assert len(ours) == len(theirs)
        ours.set_default_index(7)
        theirs.set_default_index(7)
        for tokens in [*token_lists, ["never", "seen"]]:
            assert ours(tokens) == theirs(tokens) == ours.lookup_indices(tokens)
        indices = list(range(len(ours)))
        assert ours.lookup_tokens(indices) == theirs.lookup_tokens(indices)

    equal()


def test_vocab_methods_equal_torchtext():
    torchtext_build = torchtext_builder()
    lists = [["b", "a", "b"], ["c", "b", "c"]]
    ours, theirs = build_vocab(lists, specials=()), torchtext_build(lists)
    for vocab in (ours, theirs):
        assert vocab.get_default_index() is None
        vocab.insert_token("new", 1)
        vocab.append_token("last")
        vocab.set_default_index(2)
        assert vocab["nowhere"] == 2
        vocab.set_default_index(None)
    assert ours.get_itos() == theirs.get_itos()
    assert ours.get_stoi() == theirs.get_stoi()
    failures = [
        lambda vocab: vocab["nowhere"],
        lambda vocab: vocab(["a", "nowhere"]),
        lambda vocab: vocab.lookup_token(len(vocab)),
        lambda vocab: vocab.lookup_token(-1),
        lambda vocab: vocab.lookup_tokens([0, 99]),
        lambda vocab: vocab.insert_token("a", 0),
        lambda vocab: vocab.insert_token("z", 99),
        lambda vocab: vocab.append_token("a"),
    ]
    for fail in failures:
        for vocab in (ours, theirs):
            with pytest.raises(RuntimeError):
                fail(vocab)


def test_the_order_is_by_count_then_alphabet():
    vocab = build_vocab([["b", "b", "c", "a", "B"], ["c", "<unk>"]])
    assert vocab.get_itos() == ["<pad>", "<unk>", "b", "c", "B", "a"]
    assert vocab(["c", "nowhere", "<pad>"]) == [3, 1, 0]
    assert ("b" in vocab, "nowhere" in vocab) == (True, False)
    assert vocab.lookup_tokens([2, 0]) == ["b", "<pad>"]
    last = build_vocab([["b", "b", "c"]], max_tokens=3, special_first=False)
    assert last.get_itos() == ["b", "<pad>", "<unk>"]
    assert last["nowhere"] == 2


@given(TOKEN_LISTS)
def test_known_tokens_survive_the_round_trip(token_lists):
    vocab = build_vocab(token_lists)
    for tokens in token_lists:
        assert vocab.lookup_tokens(vocab(tokens)) == tokens
    assert vocab["<pad>"] == 0
    assert vocab["<unk>"] == 1 == vocab["\udfff never seen"]


def test_nothing_and_unseen():
    vocab = build_vocab([], specials=())
    assert (len(vocab), vocab([])) == (0, [])
    with pytest.raises(VocabError, match=r"'oil'.*no default index"):
        vocab["oil"]
    with pytest.raises(VocabError, match=r"'oil'.*no default index"):
        vocab(["oil"])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: build_vocab([["a"]], specials=["<unk>", "<unk>"]), VocabError, "'<unk>'.*more"),
        (lambda: Vocab(["a", "b", "a"]), VocabError, "'a'"),
        (lambda: Vocab(["a", 3]), TypeError, "3"),
        (lambda: build_vocab(["a b"]), TypeError, "'a b'.*tokenize"),
        (lambda: build_vocab("a b"), TypeError, "one string: give a list"),
        (lambda: coverage(["a b"], Vocab()), TypeError, "'a b'.*tokenize"),
        (lambda: coverage("a b", Vocab()), TypeError, "one string: give a list"),
        (lambda: vocabulary_growth("a b"), TypeError, "one string: give a list"),
        (lambda: vocabulary_growth(["a b"]), TypeError, "'a b'.*tokenize"),
        (lambda: ngrams("a b", 2), TypeError, "'a b'.*tokenize"),
        (lambda: tokenize_all("a b"), TypeError, "one string: give a list"),
        (lambda: encode("a b", Vocab(["a"], 0)), TypeError, "one string: give a list"),
        (lambda: build_vocab([["a", None]]), TypeError, "None"),
        (lambda: build_vocab([["a"]], min_freq=0), ValueError, "min_freq=0"),
        (lambda: build_vocab([["a"]], max_tokens=2), ValueError, "max_tokens=2"),
        (lambda: Vocab(["a"])("a b"), TypeError, "'a b'.*tokenize"),
        (lambda: Vocab(["a"], 0)[0], TypeError, "token is a str"),
    ],
)
def test_bad_input_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_encode():
    vocab = build_vocab([["oil", "up"], ["oil"]])
    assert encode(["Oil up!", "", "up UP oil"], vocab) == [[2, 3, 1], [], [3, 3, 2]]
    assert encode(["up UP oil"], vocab, max_length=2) == [[3, 3]]
    assert encode(["up oil"], vocab, tokenizer=list) == [[1] * 6]
    assert encode([["up", "gas", "oil"], []], vocab, max_length=2) == [[3, 1], []]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_left_as_it_was(enabled):
    try:
        (gc.enable if enabled else gc.disable)()
        assert tokenize_all(["Oil up", ""]) == [["oil", "up"], []]
        assert gc.isenabled() is enabled
        with pytest.raises(TypeError, match="text 1 is NoneType"):
            tokenize_all(["oil", None])
        with pytest.raises(TypeError, match="not"):
            encode(["oil", None], Vocab(["oil"]))
        with pytest.raises(VocabError):
            encode(["oil"], Vocab(["up"]))
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


ANY_TEXT = st.text() | st.text(alphabet="abÉ.'’s1,$-_ \t\u00a0", max_size=20)
TEXTS = st.lists(ANY_TEXT, max_size=6)


@given(TEXTS)
@example(["ΑΣ. ΣΑ", "ΑΣ", "İ'S"])  # how a sigma is lowered depends on its neighbors
def test_many_texts_at_once_equal_one_after_the_other(texts):
    token_lists = [tokenize(text) for text in texts]
    assert tokenize_all(texts) == tokenize_all(iter(texts)) == token_lists
    vocab = build_vocab(token_lists[::2])
    by_hand = [[vocab[token] for token in tokens] for tokens in token_lists]
    assert encode(texts, vocab) == encode(token_lists, vocab) == by_hand
    assert encode(texts, vocab, max_length=3) == [ids[:3] for ids in by_hand]


def test_changing_one_texts_tokens_leaves_the_others_alone():
    first, second = tokenize_all(["Oil up", "Oil up"])
    first.clear()
    assert second == ["oil", "up"]


def test_a_vocabulary_can_be_sent_to_another_process():
    vocab = build_vocab([["oil", "up"]])
    twin = pickle.loads(pickle.dumps(vocab))
    assert twin == vocab
    assert twin(["oil", "nowhere"]) == vocab(["oil", "nowhere"]) == [2, 1]


# --------------------------------------------------------------------------- save and load


@given(st.lists(st.text(max_size=5), unique=True), st.none() | st.integers(0, 3))
def test_a_saved_vocabulary_comes_back(tmp_path_factory, tokens, default_index):
    path = tmp_path_factory.mktemp("vocab") / "vocab.json"
    vocab = Vocab(tokens, default_index)
    vocab.save(path)
    assert Vocab.load(path) == vocab
    assert [file.name for file in path.parent.iterdir()] == ["vocab.json"]


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "vocab.json"
    build_vocab([["oil", "up", "oil"]]).save(path)
    return path


def test_every_truncation_is_refused(saved):
    whole = saved.read_bytes()
    for end in range(len(whole.rstrip())):
        saved.write_bytes(whole[:end])
        with pytest.raises(VocabFileError, match=r"vocab\.json"):
            Vocab.load(saved)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["tokens"].reverse(),
        lambda content: content["tokens"].append("gas"),
        lambda content: content["tokens"].pop(),
        lambda content: content.update(default_index=0),
        lambda content: content.update(default_index=None),
        lambda content: content.update(size=5),
        lambda content: content.update(sha256="0" * 64),
        lambda content: content.update(format="other"),
        lambda content: content.update(remark="mine"),
        lambda content: content.update(tokens=7),
        lambda content: content.pop("tokens"),
        lambda content: content.pop("sha256"),
    ],
)
def test_every_change_is_refused(saved, change):
    content = json.loads(saved.read_text())
    change(content)
    saved.write_text(json.dumps(content))
    with pytest.raises(VocabFileError, match=r"vocab\.json"):
        Vocab.load(saved)


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_other_files_are_refused(saved, content):
    saved.write_bytes(content)
    with pytest.raises(VocabFileError, match=r"vocab\.json"):
        Vocab.load(saved)


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        Vocab(["other"]).save(saved)
    assert saved.read_bytes() == before


# -------------------------------------------------------------------------------- measure


def test_measures_worked_by_hand():
    lists = [["a", "b", "a"], [], ["c", "a"]]
    assert coverage(lists, Vocab(["a", "c"])) == pytest.approx(4 / 5)
    with pytest.raises(ValueError, match="at least one token"):
        coverage([[]], Vocab())
    running, distinct = vocabulary_growth(lists)
    assert running.tolist() == [3, 3, 5]
    assert distinct.tolist() == [2, 2, 3]
    assert ngrams(["a", "b", "c"], 2) == ["a b", "b c"]
    assert ngrams(["a"], 2) == []


def test_power_law_finds_the_exponent_that_made_the_points():
    x = np.array([1, 10, 50, 1000])
    assert power_law(x, 3.0 * x**-1.25) == pytest.approx((-1.25, 3.0))


def test_ngrams_equal_scikit_learn():
    vectorizer_module = pytest.importorskip("sklearn.feature_extraction.text")
    texts = ["oil prices rise as oil demand grows", "U.S. oil don't", ""]
    counter = vectorizer_module.CountVectorizer(
        tokenizer=tokenize, ngram_range=(2, 2), lowercase=False, token_pattern=None
    )
    found = counter.fit(texts).get_feature_names_out()
    assert sorted({gram for text in texts for gram in ngrams(tokenize(text), 2)}) == list(found)


def test_build_vocab_counts_as_scikit_learn():
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["Oil up, oil down", "Rates up 2.5% in the U.S.", "up", "$5 don't"]
    vectorizer = CountVectorizer(tokenizer=tokenize, lowercase=False, token_pattern=None, min_df=1)
    totals = vectorizer.fit_transform(texts).sum(axis=0).A1
    names = vectorizer.get_feature_names_out()
    wanted = sorted(zip(-totals, names, strict=True))
    vocab = build_vocab(map(tokenize, texts), specials=())
    assert vocab.get_itos() == [name for _, name in wanted]


# ------------------------------------------------------------------------------- batches

SEQUENCES = st.lists(st.lists(st.integers(1, 50), max_size=9), min_size=1, max_size=12)


@given(SEQUENCES, st.sampled_from([0, 3]))
def test_padding_equals_torch_and_can_be_undone(sequences, pad_index):
    ids, mask, lengths = pad_batch(sequences, pad_index)
    assert ids.dtype == mask.dtype == lengths.dtype == torch.int64
    assert lengths.tolist() == [len(sequence) for sequence in sequences]
    assert mask.sum(dim=1).tolist() == lengths.tolist()
    for row, kept, sequence in zip(ids, mask, sequences, strict=True):
        assert row[kept == 1].tolist() == sequence
        assert set(row[kept == 0].tolist()) <= {pad_index}
        assert kept.tolist() == sorted(kept.tolist(), reverse=True)
    if max(map(len, sequences)):
        tensors = [torch.tensor(sequence, dtype=torch.int64) for sequence in sequences]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, True, pad_index)
        assert torch.equal(ids, padded)


def test_empty_texts_are_rows_of_padding():
    ids, mask, lengths = pad_batch([[], []])
    assert (ids.tolist(), mask.tolist(), lengths.tolist()) == ([[0], [0]], [[0], [0]], [0, 0])
    with pytest.raises(ValueError, match="batch is empty"):
        pad_batch([])


def test_dataset_and_collate():
    dataset = NewsDataset([[5, 6, 7], [], [8]], np.array([3, 0, 1]))
    assert (len(dataset), dataset[2], dataset.lengths) == (3, ([8], 1), [3, 0, 1])
    batch = collate([dataset[0], dataset[2]])
    assert {name: tensor.tolist() for name, tensor in batch.items()} == {
        "input_ids": [[5, 6, 7], [8, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "lengths": [3, 1],
        "labels": [3, 1],
    }
    with pytest.raises(ValueError, match="2 texts, but 1 labels"):
        NewsDataset([[1], [2]], [0])


@given(
    st.lists(st.integers(0, 60), max_size=80), st.integers(1, 9), st.integers(1, 4), st.booleans()
)
def test_every_row_comes_exactly_once(lengths, batch_size, chunk_batches, shuffle):
    sampler = LengthBucketSampler(lengths, batch_size, chunk_batches=chunk_batches, shuffle=shuffle)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert len(batches) == len(sampler)
    assert batches == list(sampler)


def test_order_depends_on_seed_and_epoch_only():
    lengths = np.random.default_rng(0).integers(1, 60, 500)

    def order(seed, epoch):
        sampler = LengthBucketSampler(lengths, 16, seed=seed, chunk_batches=4)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert order(1, 0) == order(1, 0)
    orders = [order(1, 0), order(1, 1), order(2, 0)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])
    torch.manual_seed(0)
    np.random.seed(0)
    assert order(1, 0) == orders[0]


def test_buckets_save_padding():
    lengths = np.random.default_rng(0).integers(1, 60, 2000).tolist()
    random_order = [list(range(start, start + 32)) for start in range(0, 1984, 32)]
    plain = padding_share(lengths, random_order)
    bucketed = padding_share(lengths, LengthBucketSampler(lengths, 32))
    sorted_all = padding_share(lengths, LengthBucketSampler(lengths, 32, shuffle=False))
    assert 0 < sorted_all <= bucketed < plain / 5


def test_padding_share_is_that_of_the_real_batches():
    assert padding_share([4, 1, 3], [[0, 1], [2]]) == pytest.approx(3 / 11)
    sequences = [[1] * length for length in (3, 9, 0, 4, 4, 7, 1)]
    loader = make_loader(sequences, [0] * 7, batch_size=3)
    masks = [batch["attention_mask"] for batch in loader]
    padding = sum(int((mask == 0).sum()) for mask in masks) / sum(mask.numel() for mask in masks)
    share = padding_share([len(sequence) for sequence in sequences], loader.batch_sampler)
    assert share == pytest.approx(padding)
    with pytest.raises(ValueError, match="at least one token"):
        padding_share([0, 0], [[0, 1]])


@pytest.mark.parametrize("sizes", [(0, 1), (4, 0)])
def test_batch_sizes_below_one_are_refused(sizes):
    with pytest.raises(ValueError, match=re.escape(f"batch_size={sizes[0]}")):
        LengthBucketSampler([1, 2], sizes[0], chunk_batches=sizes[1])


def test_loader_gives_all_labels_with_their_texts():
    sequences = [[label] * (1 + number % 7) for number, label in enumerate([4, 5, 6, 7] * 25)]
    labels = [sequence[0] - 4 for sequence in sequences]
    loader = make_loader(sequences, labels, batch_size=8, seed=3)
    seen = []
    for batch in loader:
        assert torch.equal(batch["input_ids"][:, 0] - 4, batch["labels"])
        seen += batch["labels"].tolist()
    assert sorted(seen) == sorted(labels)
    first = [batch["labels"].tolist() for batch in loader]
    loader.batch_sampler.set_epoch(1)
    assert [batch["labels"].tolist() for batch in loader] != first


# ------------------------------------------------------------------------------- figures


@pytest.mark.usefixtures("course_style")
def test_power_law_figure():
    ax = plots_vocabulary.power_law_line(
        [1, 10, 100], [50, 5, 0.5], (-1.0, 50.0), (1, 10), "a law", "rank", "count"
    )
    assert (ax.get_title("left"), ax.get_xlabel(), ax.get_ylabel()) == ("a law", "rank", "count")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    measured, everywhere, fitted = ax.lines
    assert measured.get_ydata().tolist() == [50, 5, 0.5]
    assert everywhere.get_xdata().tolist() == [1, 100]
    assert everywhere.get_ydata() == pytest.approx([50, 0.5])
    assert fitted.get_xdata().tolist() == [1, 10]
    assert "fitted slope -1.00" in [text.get_text() for text in ax.get_legend().get_texts()]


@pytest.mark.usefixtures("course_style")
def test_curves_figure():
    lines = {"one": [1, 2], "two": [3, 4]}
    ax = plots_vocabulary.curves([10, 100], lines, "sizes", "size", "share (%)", log_x=True)
    assert (ax.get_title("left"), ax.get_xlabel(), ax.get_ylabel()) == (
        "sizes",
        "size",
        "share (%)",
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(lines)
    assert [list(line.get_ydata()) for line in ax.lines] == list(lines.values())
    assert ax.get_xscale() == "log"


@pytest.mark.usefixtures("course_style")
def test_padding_figure():
    masks = {"wide": np.array([[1, 1, 1], [1, 0, 0]]), "narrow": np.array([[1, 1], [1, 1]])}
    axes = plots_vocabulary.padding_pictures(masks, "two batches")
    titles = [ax.get_title("left") for ax in axes]
    assert titles == ["wide: 33% padding", "narrow: 0% padding"]
    assert [ax.images[0].get_array().shape for ax in axes] == [(2, 3, 3), (2, 2, 3)]
    assert axes[0].get_ylabel() == "text in the batch"
    assert "tokens" in axes[0].get_xlabel()


@pytest.mark.usefixtures("course_style")
def test_curves_on_a_logarithmic_axis_leave_a_zero_out():
    lines = {"one": [0.1, 0.0], "two": [0.1, 0.01]}
    ax = plots_vocabulary.curves([10, 100], lines, "t", "x", "y", log_x=True, log_y=True)
    ax.figure.canvas.draw()
    assert ax.get_yscale() == "log"
    assert ax.get_ylim()[0] > 0


@pytest.mark.usefixtures("course_style")
def test_way_to_a_tensor_figure():
    ax = plots_vocabulary.way_to_a_tensor("Oil, gas", ["oil", ",", "gas"], [2, 3, 1], 5, "the way")
    rows = {}
    for text in ax.texts:
        rows.setdefault(text.get_position()[1], []).append(text.get_text())
    assert list(rows.values()) == [
        ["Oil, gas"],
        ["oil", ",", "gas"],
        ["2", "3", "1"],
        ["2", "3", "1", "0", "0"],
        ["1", "1", "1", "0", "0"],
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        *("text", "tokens", "ids", "tensor", "mask")
    ]
    # The unknown token has a color of its own wherever its id stands, the padding another.
    edges = [text.get_bbox_patch().get_edgecolor() for text in ax.texts[1:]]
    assert len({edges[2], edges[5], edges[8]}) == 1 != len({edges[0], edges[2], edges[9]})
    assert (ax.get_title("left"), ax.get_xlabel()) == ("the way", "position")


@pytest.mark.parametrize(("ids", "length"), [([2], 5), ([2, 3, 1], 2)])
def test_way_to_a_tensor_refuses_what_does_not_fit(ids, length):
    with pytest.raises(ValueError, match="3 tokens"):
        plots_vocabulary.way_to_a_tensor("a b c", ["a", "b", "c"], ids, length, "the way")


@pytest.mark.usefixtures("course_style")
def test_before_and_after_figure():
    values = {"one": (5, 3), "two": (4, 4)}
    ax = plots_vocabulary.before_and_after(values, "less", "types", ("before", "after"))
    before, after = ax.lines
    assert before.get_xdata().tolist() == [5, 4]
    assert after.get_xdata().tolist() == [3, 4]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(values)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1], "the first on top"
    assert (ax.get_title("left"), ax.get_xlabel()) == ("less", "types")
