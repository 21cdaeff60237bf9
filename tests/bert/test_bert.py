"""Chapters pretraining and bert: attention, WordPiece, masking, loading and saving."""

from __future__ import annotations

import json
import math
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    pipeline,
)
from transformers.models.bert.modeling_bert import BertLayer

from agnews_utils.bert import encoder as encoder_files
from agnews_utils.bert.attention import (
    attention,
    encoder_layer,
    gelu,
    layer_norm,
    layer_parameters,
    multi_head_attention,
    sinusoidal_positions,
    split_heads,
)
from agnews_utils.bert.encoder import BUNDLED, EncoderError, load_encoder, save_encoder
from agnews_utils.bert.fine_tuning import (
    attention_maps,
    bert_loader,
    encode_for_bert,
    layerwise_parameter_groups,
    predict_texts,
    unfreeze,
)
from agnews_utils.bert.masking import asked_positions, corrupt, word_starts
from agnews_utils.bert.wordpiece import pieces_by_id, train_tokenizer, wordpiece
from agnews_utils.data.corpus import CLASS_NAMES
from agnews_utils.data.loading import load_news
from agnews_utils.training.inference import evaluate
from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import AdamW

TEXTS = [
    "Oil prices rise again as storms close ports",
    "The home team wins the final in extra time",
    "Chip maker unveils a faster processor for laptops",
    "Leaders meet for peace talks after the election",
    "Shares fall on worries about the price of oil",
    "Striker scores twice in the last ten minutes",
]
small = settings(max_examples=25, deadline=None)
shapes = {
    "batch": st.integers(1, 3),
    "length": st.integers(1, 7),
    "heads": st.integers(1, 3),
    "part": st.integers(1, 5),
    "seed": st.integers(0, 10_000),
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def news_texts() -> list[str]:
    return list(load_news("newsbriefs").train["text"][:1000])


@pytest.fixture(scope="module")
def tokenizer(news_texts):
    return train_tokenizer(news_texts, 1500)


@pytest.fixture(scope="module")
def tiny(tokenizer):
    torch.manual_seed(0)
    config = tiny_config(len(tokenizer), id2label=dict(enumerate(CLASS_NAMES)))
    return BertForSequenceClassification(config).eval()


def tiny_config(vocab_size: int, **settings) -> BertConfig:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_labels": 4}
    return BertConfig(vocab_size=vocab_size, intermediate_size=32, **(sizes | settings))


@pytest.fixture
def saved(tiny, tokenizer, tmp_path) -> Path:
    return save_encoder(tiny, tokenizer, tmp_path / "encoder")


def random_mask(batch: int, length: int) -> torch.Tensor:
    """Texts of random lengths, so that each has at least one token."""
    lengths = torch.randint(1, length + 1, (batch, 1))
    return (torch.arange(length) < lengths).long()


def largest_difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return (first - second).abs().max().item()


# ------------------------------------------------------------------------ attention by hand


def test_attention_on_a_worked_example():
    # Scores (0, sqrt(2) * ln 3) / sqrt(2) = (0, ln 3): weights 1/4 and 3/4.
    query = torch.tensor([[math.sqrt(2) * math.log(3), 0.0]])
    key = torch.tensor([[0.0, 5.0], [1.0, -7.0]])
    value = torch.tensor([[4.0], [8.0]])
    output, weights = attention(query, key, value)
    assert weights.tolist()[0] == pytest.approx([0.25, 0.75], abs=1e-6)
    assert output.item() == pytest.approx(0.25 * 4 + 0.75 * 8, abs=1e-5)
    output, weights = attention(query, key, value, torch.tensor([[1, 0]]))
    assert weights.tolist() == [[1.0, 0.0]]
    assert output.item() == 4.0


@small
@given(**shapes)
def test_attention_equals_torch_forward_and_gradient(batch, length, heads, part, seed):
    torch.manual_seed(seed)
    shape = (batch, heads, length, part)
    mine = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in mine]
    mask = random_mask(batch, length)[:, None, None, :]
    output, weights = attention(*mine, mask)
    expected = nn.functional.scaled_dot_product_attention(*theirs, attn_mask=mask.bool())
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    assert not weights.masked_select(~mask.bool().expand_as(weights)).any()
    direction = torch.randn_like(output)
    (output * direction).sum().backward()
    (expected * direction).sum().backward()
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own.grad, other.grad)


def test_a_query_that_may_look_nowhere_gets_zeros_and_a_finite_gradient():
    torch.manual_seed(0)
    inputs = [torch.randn(2, 3, 4, requires_grad=True) for _ in range(3)]
    mask = torch.tensor([[[1, 1, 0]], [[0, 0, 0]]])
    output, weights = attention(*inputs, mask)
    assert not output[1].any()
    assert not weights[1].any()
    output.sum().backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in inputs)
    torch.testing.assert_close(output[0], attention(*[t[0] for t in inputs], mask[0])[0])


def test_attention_names_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"query \(2, 3\), key \(2, 4\)"):
        attention(torch.zeros(2, 3), torch.zeros(2, 4), torch.zeros(2, 4))


def test_dividing_by_the_root_keeps_the_scores_at_variance_one():
    torch.manual_seed(0)
    key = torch.randn(4000, 256)
    query = torch.randn(1, 256)
    raw = (query @ key.T).var().item()
    assert 180 < raw < 340  # near d_k = 256
    # With a weight vector as peaked as without the division, one key would take nearly all.
    _, weights = attention(query, key, key)
    assert weights.max() < 0.02
    assert (query @ key.T).softmax(-1).max() > 0.5


@small
@given(**shapes)
def test_multi_head_attention_equals_torch(batch, length, heads, part, seed):
    torch.manual_seed(seed)
    size = heads * part
    theirs = nn.MultiheadAttention(size, heads, batch_first=True)
    nn.init.normal_(theirs.in_proj_bias)
    weights, biases = theirs.in_proj_weight.chunk(3), theirs.in_proj_bias.chunk(3)
    names = ("query", "key", "value")
    layers = dict(zip(names, zip(weights, biases, strict=True), strict=True))
    layers["output"] = (theirs.out_proj.weight, theirs.out_proj.bias)
    states, mask = torch.randn(batch, length, size), random_mask(batch, length)
    output, weights = multi_head_attention(states, layers, heads, mask)
    expected, averaged = theirs(states, states, states, key_padding_mask=mask == 0)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(weights.mean(1), averaged, atol=1e-5, rtol=1e-4)


def test_heads_must_divide_the_size():
    with pytest.raises(ValueError, match="size of 10 cannot be cut into 3"):
        split_heads(torch.zeros(1, 2, 10), 3)


@small
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 4), size=st.integers(2, 9))
def test_layer_norm_and_gelu_equal_torch(seed, rows, size):
    torch.manual_seed(seed)
    states, weight, bias = torch.randn(rows, size) * 3, torch.randn(size), torch.randn(size)
    expected = nn.functional.layer_norm(states, (size,), weight, bias, 1e-5)
    torch.testing.assert_close(
        layer_norm(states, weight, bias, 1e-5), expected, atol=2e-5, rtol=1e-4
    )
    torch.testing.assert_close(gelu(states), nn.functional.gelu(states))


@settings(max_examples=15, deadline=None)
@given(**shapes)
def test_encoder_layer_equals_bert_forward_and_gradient(batch, length, heads, part, seed):
    torch.manual_seed(seed)
    size = 2 * heads * part
    config = tiny_config(30, hidden_size=size, num_attention_heads=heads, initializer_range=0.3)
    config._attn_implementation = "eager"
    network = BertModel(config, add_pooling_layer=False).eval().double()
    layer: BertLayer = network.encoder.layer[0]
    mask = random_mask(batch, length)
    states = torch.randn(batch, length, size, dtype=torch.float64, requires_grad=True)
    copy = states.detach().clone().requires_grad_()
    wide = (1.0 - mask[:, None, None, :].double()) * torch.finfo(torch.float64).min
    expected = layer(copy, attention_mask=wide)
    expected = expected[0] if isinstance(expected, tuple) else expected
    output = encoder_layer(states, layer_parameters(layer), heads, mask)
    torch.testing.assert_close(output, expected)
    weights = [part for pair in layer_parameters(layer).values() for part in pair]
    direction = torch.randn_like(output)
    mine = torch.autograd.grad((output * direction).sum(), [states, *weights])
    theirs = torch.autograd.grad((expected * direction).sum(), [copy, *weights])
    for own, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(own, other, atol=1e-8, rtol=1e-6)


def test_layers_by_hand_equal_the_whole_bert(tiny, tokenizer):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    with torch.no_grad():
        states = tiny.bert.embeddings(input_ids=ids)
        for layer in tiny.bert.encoder.layer:
            states = encoder_layer(states, layer_parameters(layer), 2, mask)
        expected = tiny.bert(input_ids=ids, attention_mask=mask)[0]
    torch.testing.assert_close(states[mask.bool()], expected[mask.bool()], atol=1e-5, rtol=1e-4)


def test_sinusoidal_positions_have_the_published_values():
    codes = sinusoidal_positions(50, 6)
    assert codes.shape == (50, 6)
    assert codes[0].tolist() == [0, 1, 0, 1, 0, 1]
    rate = 10_000 ** (-2 / 6)
    assert codes[7, 2].item() == pytest.approx(np.sin(7 * rate), abs=1e-5)
    assert codes[7, 3].item() == pytest.approx(np.cos(7 * rate), abs=1e-5)
    # The product of two codes depends on their distance alone.
    assert (codes[3] @ codes[8]).item() == pytest.approx((codes[30] @ codes[35]).item(), abs=1e-4)
    assert sinusoidal_positions(4, 5).shape == (4, 5)


def test_attention_maps_show_what_the_network_computed(tiny, tokenizer):
    tiny.train()
    try:
        pieces, weights = attention_maps(tiny, tokenizer, TEXTS[0])
        assert tiny.training
    finally:
        tiny.eval()
    assert (pieces[0], pieces[-1]) == ("[CLS]", "[SEP]")
    assert weights.shape == (2, 2, len(pieces), len(pieces))
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, len(pieces)))
    batch = tokenizer(TEXTS[0], return_tensors="pt")
    with torch.no_grad():
        states = tiny.bert.embeddings(input_ids=batch["input_ids"])
        first = layer_parameters(tiny.bert.encoder.layer[0])
        _, expected = multi_head_attention(states, first, 2, batch["attention_mask"])
    torch.testing.assert_close(weights[0], expected[0], atol=1e-5, rtol=1e-4)


def test_attention_maps_say_nothing(tiny, tokenizer, capfd):
    # transformers 4 warns twice that BERT cannot exchange its attention; a notebook would show it.
    attention_maps(tiny, tokenizer, TEXTS[1])
    shown = capfd.readouterr()
    assert shown.out == shown.err == ""


# ---------------------------------------------------------------------------------- WordPiece


def test_wordpiece_on_a_worked_example():
    vocab = {"un", "##aff", "##able", "##a", "u", "##ff", "run"}
    assert wordpiece("unaffable", vocab) == ["un", "##aff", "##able"]
    assert wordpiece("runx", vocab) == ["[UNK]"]  # as a whole, since "##x" is no piece
    assert wordpiece("", vocab) == []
    assert wordpiece("u" * 101, {"u", "##u"}) == ["[UNK]"]
    assert wordpiece("u" * 100, {"u", "##u"}) == ["u"] + ["##u"] * 99


def test_wordpiece_equals_the_tokenizer_on_every_word(tokenizer, news_texts):
    vocab = tokenizer.get_vocab()
    backend = tokenizer.backend_tokenizer
    words = {
        word
        for text in news_texts
        for word, _ in backend.pre_tokenizer.pre_tokenize_str(
            backend.normalizer.normalize_str(text)
        )
    }
    words |= {"naïve", "日本", "☃", "x" * 101, "unbelievabletokenization"}
    assert len(words) > 4000
    pieces = {len(wordpiece(word, vocab)) for word in words}
    assert pieces >= {1, 2, 3}
    for word in words:
        normal = backend.normalizer.normalize_str(word)
        for part, _ in backend.pre_tokenizer.pre_tokenize_str(normal):
            assert wordpiece(part, vocab) == tokenizer.tokenize(part), part


@small
@given(st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=20), st.text("abc"))
def test_wordpiece_equals_the_library_on_made_up_vocabularies(pieces, word):
    from tokenizers import models

    vocab = {"[UNK]": 0}
    for number, piece in enumerate(pieces):
        vocab.setdefault(piece if number % 2 else f"##{piece}", len(vocab))
    library = models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=100)
    assert wordpiece(word, vocab) == [token.value for token in library.tokenize(word)]


def test_the_tokenizer_lower_cases_adds_special_tokens_and_pads(tokenizer):
    assert [tokenizer.convert_ids_to_tokens(i) for i in range(5)] == [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
    ]
    assert tokenizer("THE Team").input_ids == tokenizer("the team").input_ids
    both = tokenizer("team", "market").input_ids
    assert [both[0], both.count(3)] == [2, 2]
    padded = tokenizer(["the team", "the"], padding=True)
    assert padded["input_ids"][1][-1] == 0
    assert padded["attention_mask"] == [[1] * 4, [1, 1, 1, 0]]
    assert tokenizer.decode(tokenizer("the team [MASK]").input_ids[1:-1]) == "the team [MASK]"


def test_training_a_tokenizer_refuses_what_is_no_text():
    with pytest.raises(TypeError, match="one string"):
        train_tokenizer("a text")
    with pytest.raises(ValueError, match="no word"):
        train_tokenizer(["", "  "])


# ------------------------------------------------------------------------------------ masking


def test_corruption_has_the_shares_of_the_paper():
    ids = torch.randint(5, 1000, (200, 100), generator=torch.Generator().manual_seed(1))
    ids[:, 0], ids[:, -1] = 2, 3
    before = ids.clone()
    corrupted, labels = corrupt(ids, 1000, 4, range(5), generator=torch.Generator().manual_seed(2))
    assert torch.equal(ids, before)
    asked = labels != -100
    assert not asked[:, 0].any()
    assert not asked[:, -1].any()
    assert torch.equal(labels[asked], ids[asked])
    assert torch.equal(corrupted[~asked], ids[~asked])
    count = asked.sum().item()
    ordinary = 200 * 98
    # Five standard deviations of a binomial distribution on either side.
    assert abs(count / ordinary - 0.15) < 5 * (0.15 * 0.85 / ordinary) ** 0.5
    masked = (corrupted[asked] == 4).double().mean().item()
    same = (corrupted[asked] == ids[asked]).double().mean().item()
    assert abs(masked - 0.8) < 5 * (0.8 * 0.2 / count) ** 0.5
    assert abs(same - 0.1 - 0.1 / 995) < 5 * (0.1 * 0.9 / count) ** 0.5
    drawn = corrupted[asked & (corrupted != 4) & (corrupted != ids)]
    assert drawn.min() >= 5
    assert drawn.unique().numel() > 200


@small
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), as_mask=st.floats(0, 1))
def test_corruption_keeps_its_promises_on_any_input(seed, share, as_mask):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 40, (4, 9), generator=generator)
    corrupted, labels = corrupt(
        ids,
        40,
        4,
        range(5),
        share=share,
        as_mask=as_mask,
        as_random=(1 - as_mask) / 2,
        generator=generator,
    )
    asked = labels != -100
    assert torch.equal(corrupted[~asked], ids[~asked])
    assert torch.equal(labels[asked], ids[asked])
    assert (ids[asked] >= 5).all()
    assert corrupted.min() >= 0
    assert corrupted.max() < 40
    if share == 0:
        assert not asked.any()
    if share == 1:
        assert torch.equal(asked, ids >= 5)


def test_whole_words_are_hidden_together():
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "play", "##ing", "##s", "ball"]
    ids = torch.tensor([[2, 5, 6, 7, 8, 5, 7, 3]]).repeat(500, 1)
    starts = word_starts(ids, pieces)
    assert starts[0].tolist() == [True, True, False, False, True, True, False, True]
    _, labels = corrupt(
        ids, 9, 4, range(5), starts=starts, generator=torch.Generator().manual_seed(0)
    )
    asked = labels != -100
    assert torch.equal(asked[:, 1], asked[:, 2])
    assert torch.equal(asked[:, 1], asked[:, 3])
    assert torch.equal(asked[:, 5], asked[:, 6])
    assert not torch.equal(asked[:, 1], asked[:, 5])
    assert abs(asked[:, 1].double().mean().item() - 0.15) < 0.08


def test_impossible_corruptions_are_refused():
    ids = torch.tensor([[5, 6]])
    with pytest.raises(ValueError, match=r"share=1\.5"):
        corrupt(ids, 10, 4, share=1.5)
    with pytest.raises(ValueError, match="more than 1"):
        corrupt(ids, 10, 4, as_mask=0.8, as_random=0.3)
    with pytest.raises(ValueError, match="all ids are special"):
        corrupt(ids, 10, 4, range(10))
    with pytest.raises(ValueError, match=r"starts has the shape \(1, 3\)"):
        corrupt(ids, 10, 4, starts=torch.ones(1, 3, dtype=torch.bool))


@small
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 5), length=st.integers(1, 12))
def test_asked_positions_lose_and_invent_nothing(seed, rows, length):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 9, (rows, length), generator=generator)
    labels[torch.rand(rows, length, generator=generator) < 0.7] = -100
    positions, targets = asked_positions(labels)
    assert positions.shape == targets.shape
    for row in range(rows):
        expected = {(c, v) for c, v in enumerate(labels[row].tolist()) if v != -100}
        pairs = zip(positions[row].tolist(), targets[row].tolist(), strict=True)
        assert {(c, v) for c, v in pairs if v != -100} == expected


# ---------------------------------------------------------------------------- loading, saving


def logits_of(model, tokenizer) -> torch.Tensor:
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model.eval()(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits


def test_what_was_saved_is_loaded(saved, tiny, tokenizer):
    model, loaded = load_encoder(saved)
    assert not model.training
    assert model.dtype == torch.float32
    assert loaded.get_vocab() == tokenizer.get_vocab()
    assert loaded(TEXTS).input_ids == tokenizer(TEXTS).input_ids
    torch.testing.assert_close(logits_of(model, loaded), logits_of(tiny, tokenizer))
    assert model.config.id2label[3] == "Sci/Tech"
    names = {path.name for path in saved.iterdir()}
    assert names == {
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert [path.name for path in saved.parent.iterdir()] == ["encoder"]
    assert {path.stat().st_mode & 0o044 for path in saved.iterdir()} == {0o044}  # all may read


@pytest.mark.parametrize("writer", ["transformers4", "transformers5"])
def test_each_version_reads_what_either_wrote(writer):
    folder = Path(__file__).parent / "encoders" / writer
    expected = json.loads((folder / "logits.json").read_text(encoding="utf-8"))
    model, loaded = load_encoder(folder)
    assert model.dtype == torch.float32
    batch = loaded(expected["texts"], padding=True, return_tensors="pt")
    assert batch["input_ids"].tolist() == expected["ids"]
    with torch.no_grad():
        found = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    torch.testing.assert_close(found, torch.tensor(expected["logits"]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("step", ["model", "tokenizer", "manifest"])
def test_an_encoder_is_written_whole_or_not_at_all(saved, tiny, tokenizer, monkeypatch, step):
    def fail(*arguments, **options):
        raise OSError("no space left on device")

    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    if step == "model":
        monkeypatch.setattr(type(tiny), "save_pretrained", fail)
    else:
        name = {"tokenizer": "_save_tokenizer", "manifest": "file_hash"}[step]
        monkeypatch.setattr(encoder_files, name, fail)
    for folder in (saved, saved.with_name("new")):
        with pytest.raises(OSError, match="no space"):
            save_encoder(tiny, tokenizer, folder, half=True)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert [path.name for path in saved.parent.iterdir()] == ["encoder"]


def test_a_weight_with_two_names_is_stored_once(tokenizer, tmp_path):
    filler = BertForMaskedLM(tiny_config(len(tokenizer))).eval()
    also = {"notes.txt": b"kept"}
    folder = save_encoder(filler, tokenizer, tmp_path / "filler", half=True, also=also)
    stored = load_file(folder / "model.safetensors")
    parameters = sum(value.numel() for value in filler.parameters())  # each of them once
    assert sum(value.numel() for value in stored.values()) == parameters
    assert (folder / "notes.txt").read_bytes() == b"kept"
    again = AutoModelForMaskedLM.from_pretrained(folder).eval()
    assert largest_difference(logits_of(again, tokenizer), logits_of(filler, tokenizer)) < 1e-2


def test_half_precision_halves_the_file_and_is_read_as_float32(tiny, tokenizer, tmp_path):
    whole = save_encoder(tiny, tokenizer, tmp_path / "whole")
    half = save_encoder(tiny, tokenizer, tmp_path / "half", half=True)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    model, loaded = load_encoder(half)
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert largest_difference(logits_of(model, loaded), logits_of(tiny, tokenizer)) < 1e-2
    assert AutoModel.from_pretrained(half).dtype == torch.float32


def test_folders_of_save_pretrained_load_whatever_the_family(tokenizer, tmp_path):
    sizes = {"vocab_size": len(tokenizer), "num_labels": 4}
    common = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    roberta = RobertaConfig(**sizes, **common, intermediate_size=32, pad_token_id=0)
    distil = DistilBertConfig(**sizes, dim=16, n_layers=2, n_heads=2, hidden_dim=32)
    networks = {
        "bert": BertForSequenceClassification(tiny_config(len(tokenizer))),
        "roberta": RobertaForSequenceClassification(roberta),
        "distilbert": DistilBertForSequenceClassification(distil),
    }
    for name, network in networks.items():
        folder = tmp_path / name
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        model, loaded = load_encoder(folder)
        assert model.config.id2label[3] == "LABEL_3"  # nobody has named them
        assert load_encoder(folder, CLASS_NAMES)[0].config.id2label[3] == "Sci/Tech"
        batches = list(bert_loader(TEXTS, [0, 1, 2, 3, 0, 1], loaded, 3))
        assert 0 <= evaluate(model, batches)["accuracy"] <= 1
        expected = logits_of(network, tokenizer)
        torch.testing.assert_close(logits_of(model, loaded), expected, atol=1e-5, rtol=1e-4)
        groups = layerwise_parameter_groups(model, 1.0, decay=0.5)
        assert {group["lr"] for group in groups} == {1.0, 0.5, 0.25, 0.125}


def test_a_bare_encoder_gets_a_new_head(tokenizer, tmp_path):
    BertModel(tiny_config(len(tokenizer))).save_pretrained(tmp_path / "body")
    tokenizer.save_pretrained(tmp_path / "body")
    model, _ = load_encoder(tmp_path / "body", classes=7)
    assert logits_of(model, tokenizer).shape == (6, 7)


def test_other_classes_are_refused_with_a_sentence_and_get_a_new_head_on_demand(saved, tiny):
    for classes, asked in ((9, "9 classes were"), (["ham", "spam"], "the classes ham, spam were"),
                           (["a", "b", "c", "d"], "the classes a, b, c, d were")):  # fmt: skip
        with pytest.raises(EncoderError, match=rf"4 classes \(World.*{asked}.*new_head=True"):
            load_encoder(saved, classes)
    old = tiny.classifier.weight
    for classes in (["ham", "spam"], ["a", "b", "c", "d"], None):
        model, _ = load_encoder(saved, classes, new_head=True)
        names = classes or ["World", "Sports", "Business", "Sci/Tech"]
        assert list(model.config.id2label.values()) == names
        assert model.classifier.weight.shape == (len(names), 16)
        assert not torch.equal(model.classifier.weight[:2], old[:2])
        for name, value in model.bert.named_parameters():
            assert torch.equal(value, tiny.bert.get_parameter(name))


def test_count_and_names_of_the_classes_come_from_the_folder(tokenizer, tmp_path):
    names = ["ham", "spam"]
    config = tiny_config(len(tokenizer), num_labels=2, id2label=dict(enumerate(names)))
    folder = save_encoder(BertForSequenceClassification(config), tokenizer, tmp_path / "own")
    for classes in (None, 2, names):
        model, loaded = load_encoder(folder, classes)
        assert list(model.config.id2label.values()) == names
        assert model.config.label2id == {"ham": 0, "spam": 1}
    answers = pipeline("text-classification", model=str(folder), top_k=None)(TEXTS)
    found = predict_texts(model, loaded, TEXTS)
    for answer, row in zip(answers, found, strict=True):
        by_name = {one["label"]: one["score"] for one in answer}
        assert by_name == pytest.approx(dict(zip(names, row, strict=True)), abs=1e-5)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    ("damage", "words"),
    [(cut, "cut off"), (flip, "was changed"), (Path.unlink, "lacks|has no config")],
    ids=["cut", "flipped", "missing"],
)
def test_damaged_files_with_a_manifest_are_named(saved, name, damage, words):
    damage(saved / name)
    with pytest.raises(EncoderError, match=words) as caught:
        load_encoder(saved)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_cut_files_without_a_manifest_are_named(saved, name):
    (saved / "manifest.json").unlink()
    cut(saved / name)
    with pytest.raises(EncoderError, match="no whole") as caught:
        load_encoder(saved)
    assert name in str(caught.value)


def test_exchanged_files_are_refused(saved, tokenizer, tmp_path, news_texts):
    other_tokenizer = train_tokenizer(news_texts, 1600)
    other_config = tiny_config(len(other_tokenizer), hidden_size=24)
    other_model = BertForSequenceClassification(other_config)
    other = save_encoder(other_model, other_tokenizer, tmp_path / "other")
    for name in ("tokenizer.json", "model.safetensors"):
        mixed = tmp_path / f"mixed-{name}"
        shutil.copytree(saved, mixed)
        shutil.copy(other / name, mixed / name)
        with pytest.raises(EncoderError, match="exchanged"):
            load_encoder(mixed)
        (mixed / "manifest.json").unlink()
        with pytest.raises(EncoderError, match="do not belong together"):
            load_encoder(mixed)


def test_weights_that_lack_a_layer_are_refused(saved):
    weights = load_file(saved / "model.safetensors")
    kept = {name: value for name, value in weights.items() if ".layer.1." not in name}
    save_file(kept, saved / "model.safetensors", metadata={"format": "pt"})
    (saved / "manifest.json").unlink()
    with pytest.raises(EncoderError, match=r"layer\.1.*do not belong together"):
        load_encoder(saved)


def test_a_folder_without_a_tokenizer_is_named(saved):
    for name in ("manifest.json", "tokenizer.json", "tokenizer_config.json"):
        (saved / name).unlink()
    with pytest.raises(EncoderError, match=r"has no tokenizer\.json"):
        load_encoder(saved)


def test_a_pickle_is_never_read(saved):
    (saved / "manifest.json").unlink()
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="pickle"):
        load_encoder(saved)


def test_a_folder_that_is_not_there_or_empty_is_named(tmp_path):
    with pytest.raises(EncoderError, match=r"does not exist.*agnews-bert-mini"):
        load_encoder(tmp_path / "nothing")
    with pytest.raises(EncoderError, match=r"has no config\.json"):
        load_encoder(tmp_path)


@pytest.fixture
def downloads(monkeypatch) -> list[str]:
    """Names of what was downloaded: nothing may be where the hub is out of reach."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    tried, read = [], encoder_files._read

    def watched(place, classes, download=False):
        if download:
            tried.append(place)
        return read(place, classes)

    monkeypatch.setattr(encoder_files, "_read", watched)
    return tried


def test_offline_nothing_is_tried(monkeypatch, downloads):
    monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(encoder_files.requests, "head", None)  # would fail if it were called
    with pytest.raises(EncoderError, match=r"HF_HUB_OFFLINE forbids.*agnews-bert-mini"):
        load_encoder("bert-base-uncased")
    assert downloads == []


def test_a_hub_out_of_reach_is_given_up_with_a_sentence(monkeypatch, downloads):
    # The tests run without a network: the name is not even looked up.
    monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(encoder_files.hub, "ENDPOINT", "https://huggingface.co")
    with pytest.raises(EncoderError, match=r"huggingface\.co cannot be reached.*agnews-bert-mini"):
        load_encoder("bert-base-uncased")
    assert downloads == []


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch, downloads):
    assert encoder_files._REACH_SECONDS <= 5
    monkeypatch.setattr(encoder_files, "_REACH_SECONDS", 0.1)
    monkeypatch.setattr(encoder_files.hub, "HF_HUB_OFFLINE", False)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the call, and says nothing
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(encoder_files.hub, "ENDPOINT", address)
        with pytest.raises(EncoderError, match=f"{address} cannot be reached"):
            load_encoder("bert-base-uncased")
    assert downloads == []


def test_loading_says_one_line_or_nothing(saved, tiny, capfd):
    load_encoder(saved)
    captured = capfd.readouterr()
    millions = sum(value.numel() for value in tiny.bert.parameters()) / 1e6
    place = "/".join(saved.parts[-2:])
    assert captured.out == (
        f"Loaded encoder (2 layers x 16, {millions:.1f} million parameters), from {place}.\n"
    )
    assert captured.err == ""
    load_encoder(saved, quiet=True)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------- batches, fine-tuning


def test_encoding_cuts_and_keeps_the_special_tokens(tokenizer):
    short, full = encode_for_bert(TEXTS[:1], tokenizer, 5)[0], encode_for_bert(TEXTS, tokenizer)
    assert len(short) == 5
    assert short == [2, *full[0][1:4], 3]
    assert encode_for_bert([], tokenizer) == []
    with pytest.raises(TypeError, match="one string"):
        encode_for_bert("text", tokenizer)
    with pytest.raises(ValueError, match="text 1 is nan"):
        encode_for_bert(["a", float("nan")], tokenizer)
    with pytest.raises(ValueError, match="max_length=2"):
        encode_for_bert(TEXTS, tokenizer, 2)


def test_predictions_come_in_the_order_of_the_texts_and_ignore_padding(tiny, tokenizer):
    texts = [*TEXTS, "oil", ""]
    together = predict_texts(tiny, tokenizer, texts)
    assert together.shape == (8, 4)
    for row, text in enumerate(texts):
        alone = predict_texts(tiny, tokenizer, [text])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_layerwise_rates_fall_from_the_head_to_the_embeddings(tiny):
    names = {id(value): name for name, value in tiny.named_parameters()}
    rates = {}
    for group in layerwise_parameter_groups(tiny, 1e-3, decay=0.5, weight_decay=0.1):
        for value in group["params"]:
            rates[names[id(value)]] = group["lr"]
            assert group["weight_decay"] == (0.1 if value.ndim > 1 else 0.0)
    assert set(rates) == {name for name, _ in tiny.named_parameters()}
    assert rates["classifier.weight"] == rates["bert.pooler.dense.weight"] == 1e-3
    assert rates["bert.encoder.layer.1.output.dense.weight"] == pytest.approx(5e-4)
    assert rates["bert.encoder.layer.0.output.dense.weight"] == pytest.approx(2.5e-4)
    assert rates["bert.embeddings.word_embeddings.weight"] == pytest.approx(1.25e-4)
    with pytest.raises(ValueError, match="decay=0"):
        layerwise_parameter_groups(tiny, 1e-3, decay=0)


def test_unfreezing_opens_the_network_from_the_top(tokenizer):
    model = BertForSequenceClassification(tiny_config(len(tokenizer)))

    def opened() -> set[str]:
        return {name for name, value in model.named_parameters() if value.requires_grad}

    everything = opened()
    assert unfreeze(model, 0) == 16 * 4 + 4
    assert opened() == {"classifier.weight", "classifier.bias"}
    unfreeze(model, 1)
    prefixes = ("classifier", "bert.pooler", "bert.encoder.layer.1.")
    assert opened() == {name for name in everything if name.startswith(prefixes)}
    unfreeze(model)
    assert opened() == everything
    with pytest.raises(ValueError, match="layers=3: the network has 2"):
        unfreeze(model, 3)


def test_a_frozen_encoder_stays_as_it_was_and_the_head_learns(tokenizer):
    torch.manual_seed(0)
    model = BertForSequenceClassification(tiny_config(len(tokenizer), initializer_range=0.3))
    unfreeze(model, 0)
    before = {name: value.clone() for name, value in model.named_parameters()}
    batches = bert_loader(TEXTS, [2, 1, 3, 0, 2, 1], tokenizer, 3)
    optimizer = AdamW(layerwise_parameter_groups(model, 1e-2))
    fit(model, batches, optimizer=optimizer, epochs=2, progress=False)
    changed = {n for n, value in model.named_parameters() if not torch.equal(value, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_a_small_bert_learns_by_heart(tokenizer):
    torch.manual_seed(0)
    config = tiny_config(len(tokenizer), hidden_size=32, initializer_range=0.1)
    model = BertForSequenceClassification(config)
    labels = [2, 1, 3, 0, 2, 1]
    loader = bert_loader(TEXTS, labels, tokenizer, 6)
    fit(model, loader, epochs=60, learning_rate=5e-3, schedule="linear", progress=False)
    assert predict_texts(model, tokenizer, TEXTS).argmax(1).tolist() == labels


# ------------------------------------------------------------------------ the bundled encoder


def bundled() -> Path:
    try:
        return encoder_files.bundled_encoder()
    except EncoderError as error:
        pytest.skip(f"no bundled encoder here: {error}")


def test_the_bundled_encoder_is_whole_and_small():
    folder = bundled()
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 24_000_000
    assert not [path for path in folder.iterdir() if path.suffix in (".bin", ".pt", ".pkl")]
    model, tokenizer = load_encoder(BUNDLED)
    assert model.config.num_labels == 4
    assert len(tokenizer) == model.config.vocab_size
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {
        torch.float16
    }


def test_the_bundled_encoder_loads_with_the_auto_classes():
    folder = bundled()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body, filler = AutoModel.from_pretrained(folder), AutoModelForMaskedLM.from_pretrained(folder)
    batch = tokenizer(["Oil prices [MASK] again"], return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        assert body.eval()(**inputs)[0].shape[-1] == body.config.hidden_size
        logits = filler.eval()(**inputs).logits
    place = batch["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    best = [pieces_by_id(tokenizer)[i] for i in logits[0, place].topk(100).indices.tolist()]
    assert any(piece.isalpha() for piece in best)


def test_the_model_card_shows_the_numbers_of_the_log():
    folder = bundled()
    log = json.loads((folder / "pretraining_log.json").read_text(encoding="utf-8"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    last = log["rounds"][-1]
    for number in (f"{last['step']:,}", f"{last['tokens']:,}", f"{log['parameters']:,}"):
        assert number in card
    assert "non-commercial" in card
    losses = [entry["valid_masking_loss"] for entry in log["rounds"]]
    assert losses[-1] < losses[0]
