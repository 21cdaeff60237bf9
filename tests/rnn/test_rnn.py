"""Chapter rnn's networks against torch's own over random shapes, and against more padding."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from agnews_utils.rnn.cells import STEPS, cell_weights, rnn_step, run_over_time
from agnews_utils.rnn.networks import (
    CELLS,
    BagOfEmbeddings,
    RecurrentClassifier,
    TextCNN,
    WordDropout,
    bigram_ids,
    count_parameters,
    pool_states,
    reverse_texts,
    text_lengths,
    token_mask,
)

CLOSE = {"rtol": 1e-4, "atol": 1e-5}
KINDS = pytest.mark.parametrize("kind", list(CELLS))


def ids_of(lengths, vocab_size=50, extra=0, seed=0):
    """Random ids (no padding inside), padded to the longest text and `extra` columns more."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.zeros(len(lengths), max(1, *lengths) + extra, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, vocab_size, (length,), generator=generator)
    return ids


def zero_state(kind, batch, hidden):
    zeros = torch.zeros(batch, hidden)
    return (zeros, zeros) if kind == "lstm" else zeros


def gradients(parameters, loss):
    return torch.autograd.grad(loss, list(parameters))


@st.composite
def shapes(draw):
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=4))
    return lengths, draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(0, 999))


# ---------------------------------------------------------------------------- step by step


def test_the_pencil_example():
    """x = 1, 2, 3, both weights 1, bias 1, the logistic function, against plain arithmetic."""
    one, zero = torch.ones(1, 1), torch.zeros(1)
    state, states = torch.zeros(1, 1), []
    for x in (1.0, 2.0, 3.0):
        state = rnn_step(
            torch.tensor([[x]]), state, one, one, torch.ones(1), zero, activation=torch.sigmoid
        )
        states.append(state.item())
    expected = [1 / (1 + math.exp(-(1 + 1)))]
    expected.append(1 / (1 + math.exp(-(expected[0] + 2 + 1))))
    expected.append(1 / (1 + math.exp(-(expected[1] + 3 + 1))))
    assert states == pytest.approx(expected, abs=1e-6)
    assert [round(state, 4) for state in states] == [0.8808, 0.9798, 0.9932]


@KINDS
@settings(max_examples=15)
@given(shape=shapes())
def test_steps_equal_torch_forward_and_gradient(kind, shape):
    lengths, size, hidden, seed = shape
    torch.manual_seed(seed)
    network = CELLS[kind](size, hidden, batch_first=True)
    inputs = torch.randn(len(lengths), max(lengths), size)
    sizes = torch.tensor(lengths)
    packed = pack_padded_sequence(inputs, sizes, batch_first=True, enforce_sorted=False)
    theirs, their_state = network(packed)
    theirs = pad_packed_sequence(theirs, batch_first=True)[0]
    ours, our_state = run_over_time(
        STEPS[kind], inputs, zero_state(kind, len(lengths), hidden), cell_weights(network), sizes
    )
    torch.testing.assert_close(ours, theirs, **CLOSE)
    if kind != "lstm":
        our_state, their_state = (our_state,), (their_state,)
    for mine, other in zip(our_state, their_state, strict=True):
        torch.testing.assert_close(mine, other[0], **CLOSE)
    weights = torch.randn_like(theirs)
    for mine, other in zip(
        gradients(network.parameters(), (ours * weights).sum()),
        gradients(network.parameters(), (theirs * weights).sum()),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, **CLOSE)


@KINDS
def test_without_lengths_every_position_counts(kind):
    network = CELLS[kind](3, 4, batch_first=True)
    inputs = torch.randn(2, 5, 3)
    ours, _ = run_over_time(STEPS[kind], inputs, zero_state(kind, 2, 4), cell_weights(network))
    torch.testing.assert_close(ours, network(inputs)[0], **CLOSE)


# --------------------------------------------------------------------------- the classifier


def torch_twin(model, kind, hidden, size):
    """torch's own bidirectional network with the weights of ours."""
    layers = len(model.forward_layers)
    twin = CELLS[kind](size, hidden, num_layers=layers, batch_first=True, bidirectional=True)
    with torch.no_grad():
        for layer in range(layers):
            for reverse, network in enumerate((model.forward_layers, model.backward_layers)):
                pairs = zip(
                    cell_weights(twin, layer, bool(reverse)),
                    cell_weights(network[layer]),
                    strict=True,
                )
                for target, source in pairs:
                    target.copy_(source)
    return twin


@KINDS
@settings(max_examples=10)
@given(shape=shapes(), layers=st.integers(1, 3))
def test_two_directions_equal_torchs_packed_network(kind, shape, layers):
    lengths, size, hidden, seed = shape
    torch.manual_seed(seed)
    model = RecurrentClassifier(
        50, cell=kind, embedding_size=size, hidden_size=hidden, layers=layers, bidirectional=True
    )
    ids, sizes = ids_of(lengths, seed=seed), torch.tensor(lengths)
    twin = torch_twin(model, kind, hidden, size)
    packed = pack_padded_sequence(
        model.embedding(ids), sizes, batch_first=True, enforce_sorted=False
    )
    expected = pad_packed_sequence(twin(packed)[0], batch_first=True)[0]
    mask = token_mask(sizes, ids.shape[1]).unsqueeze(2)
    ours = model.states(ids, lengths=sizes) * mask
    torch.testing.assert_close(ours, expected, **CLOSE)
    weights = torch.randn_like(expected)
    mine = gradients([model.embedding.weight], (ours * weights).sum())
    theirs = gradients([model.embedding.weight], (expected * weights).sum())
    torch.testing.assert_close(mine[0], theirs[0], **CLOSE)


@KINDS
def test_last_pooling_is_torchs_final_state_of_both_directions(kind):
    model = RecurrentClassifier(50, cell=kind, embedding_size=3, hidden_size=4, bidirectional=True)
    model.output = nn.Identity()
    ids, sizes = ids_of([5, 1, 3]), torch.tensor([5, 1, 3])
    packed = pack_padded_sequence(
        model.embedding(ids), sizes, batch_first=True, enforce_sorted=False
    )
    final = torch_twin(model, kind, 4, 3)(packed)[1]
    final = final[0] if kind == "lstm" else final
    torch.testing.assert_close(model(ids), torch.cat([final[0], final[1]], dim=1), **CLOSE)


def models():
    for kind in CELLS:
        for pooling in ("last", "mean", "max"):
            name = f"{kind}-{pooling}"
            yield pytest.param(
                lambda kind=kind, pooling=pooling: RecurrentClassifier(
                    50, cell=kind, embedding_size=5, hidden_size=4, layers=2,
                    bidirectional=True, pooling=pooling,
                ),
                id=name,
            )  # fmt: skip
    yield pytest.param(lambda: RecurrentClassifier(50, embedding_size=5, hidden_size=4), id="plain")
    yield pytest.param(lambda: BagOfEmbeddings(50, embedding_size=5, buckets=30), id="bag")
    yield pytest.param(lambda: BagOfEmbeddings(50, embedding_size=5, buckets=0), id="bag-words")
    yield pytest.param(lambda: TextCNN(50, embedding_size=5, filters=6), id="cnn")


@pytest.mark.parametrize("build", list(models()))
@pytest.mark.parametrize("lengths", [[4, 1, 7, 2], [1], [6], [1, 1], [0, 3], [0]])
def test_padding_changes_neither_logits_nor_gradients(build, lengths):
    torch.manual_seed(1)
    model = build().eval()
    results = []
    for extra in (0, 1, 9):
        ids = ids_of(lengths, extra=extra)
        logits = model(ids, attention_mask=(ids != 0).long(), lengths=torch.tensor(lengths))
        gradient = gradients(model.parameters(), (logits * torch.arange(4.0)).sum())
        results.append([logits, *gradient])
    assert results[0][0].shape == (len(lengths), 4)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, **CLOSE)


@pytest.mark.parametrize("build", list(models()))
def test_each_text_gets_what_it_gets_alone(build):
    """Also the hard case: one long text, all others nothing but padding behind one word."""
    torch.manual_seed(2)
    model = build().eval()
    lengths = [9, 1, 1, 1]
    ids = ids_of(lengths)
    together = model(ids)
    for row, length in enumerate(lengths):
        alone = model(ids[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, **CLOSE)


def test_the_order_of_the_words_matters_except_to_the_bag_of_words():
    torch.manual_seed(3)
    ids = ids_of([6])
    turned = ids.flip(1)
    for model in (
        RecurrentClassifier(50, pooling="max"),
        TextCNN(50),
        BagOfEmbeddings(50, buckets=40),
    ):
        assert not torch.allclose(model.eval()(ids), model.eval()(turned))
    bag = BagOfEmbeddings(50, buckets=0).eval()
    torch.testing.assert_close(bag(ids), bag(turned))


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"cell": "elman"}, "cell='elman'.*rnn, gru, lstm"),
        ({"pooling": "sum"}, "pooling='sum'.*last, mean, max"),
        ({"layers": 0}, "layers=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"word_dropout": -0.1}, "word_dropout=-0.1"),
    ],
)
def test_impossible_settings_are_named(settings_, message):
    with pytest.raises(ValueError, match=message):
        RecurrentClassifier(50, **settings_)


def test_impossible_settings_of_the_peers():
    with pytest.raises(ValueError, match="buckets=-1"):
        BagOfEmbeddings(50, buckets=-1)
    with pytest.raises(ValueError, match="widths"):
        TextCNN(50, widths=())


def test_lengths_come_from_the_mask_or_the_ids():
    ids = torch.tensor([[5, 6, 0], [7, 0, 0], [0, 0, 0]])
    assert text_lengths(ids).tolist() == [2, 1, 1]
    assert text_lengths(ids, torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0]])).tolist() == [3, 1, 2]
    assert text_lengths(ids, lengths=torch.tensor([2, 1, 0])).tolist() == [2, 1, 1]


def test_a_model_starts_near_chance():
    torch.manual_seed(0)
    model = RecurrentClassifier(500, pooling="max", bidirectional=True)
    loss = nn.functional.cross_entropy(model(ids_of([9] * 64, 500)), torch.arange(64) % 4)
    assert loss.item() == pytest.approx(torch.tensor(4.0).log().item(), abs=0.05)


def test_a_copied_model_is_independent():
    model = RecurrentClassifier(50)
    twin = copy.deepcopy(model)
    nn.init.zeros_(model.output.weight)
    assert twin.output.weight.any()


# ------------------------------------------------------------------------------- the parts


@settings(max_examples=30)
@given(shape=shapes())
def test_reversing_by_hand_and_twice(shape):
    lengths, size, _, seed = shape
    torch.manual_seed(seed)
    values, sizes = torch.randn(len(lengths), max(lengths), size), torch.tensor(lengths)
    turned = reverse_texts(values, sizes)
    for row, length in enumerate(lengths):
        assert torch.equal(turned[row, :length], values[row, :length].flip(0))
    assert torch.equal(reverse_texts(turned, sizes), values)


@settings(max_examples=30)
@given(shape=shapes())
def test_pooling_by_hand(shape):
    lengths, size, _, seed = shape
    torch.manual_seed(seed)
    states, sizes = torch.randn(len(lengths), max(lengths), size), torch.tensor(lengths)
    for row, length in enumerate(lengths):
        words = states[row, :length]
        by_hand = {"last": words[-1], "mean": words.mean(0), "max": words.amax(0)}
        for pooling, expected in by_hand.items():
            pooled = pool_states(states, sizes, pooling)[row]
            torch.testing.assert_close(pooled, expected)


def test_unknown_pooling_is_named():
    with pytest.raises(ValueError, match="pooling='sum'"):
        pool_states(torch.zeros(1, 1, 1), torch.ones(1).long(), "sum")


def test_picked_words_are_where_the_maximum_is():
    torch.manual_seed(4)
    model = RecurrentClassifier(
        50, pooling="max", bidirectional=True, hidden_size=7, dropout=0.0
    ).eval()
    lengths = [6, 1, 3]
    ids = ids_of(lengths)
    picked = model.picked(ids)
    states = model.states(ids)
    for row, length in enumerate(lengths):
        counts = states[row, :length].argmax(0).bincount(minlength=ids.shape[1])
        assert picked[row].tolist() == counts.tolist()
    with pytest.raises(ValueError, match="picks words"):
        RecurrentClassifier(50).picked(ids)


def test_bigrams_by_hand():
    ids = torch.tensor([[3, 4, 5], [4, 3, 0], [9, 0, 0]])
    pairs = bigram_ids(ids, torch.tensor([3, 2, 1]), 1000)
    bucket = lambda a, b: (a * 116_049_371 + b) % 1000 + 1  # noqa: E731
    assert pairs.tolist() == [[bucket(3, 4), bucket(4, 5)], [bucket(4, 3), 0], [0, 0]]


def test_the_bag_is_a_mean_of_words_and_pairs():
    torch.manual_seed(5)
    bag = BagOfEmbeddings(50, embedding_size=3, buckets=20).eval()
    ids = torch.tensor([[3, 4, 0]])
    pair = 50 + int(bigram_ids(ids, torch.tensor([2]), 20)[0, 0]) - 1
    mean = bag.embedding.weight[[3, 4, pair]].mean(0)
    torch.testing.assert_close(bag(ids)[0], bag.output(mean))


def test_no_bucket_is_ever_outside_of_the_table():
    bag = BagOfEmbeddings(2_000_000, embedding_size=1, buckets=3)
    ids = torch.randint(1, 2_000_000, (64, 30))
    assert torch.isfinite(bag(ids)).all()
    assert bigram_ids(ids, torch.full((64,), 30), 3).unique().tolist() == [1, 2, 3]


def test_the_convolution_by_hand():
    torch.manual_seed(6)
    model = TextCNN(50, embedding_size=2, filters=1, widths=(2,)).eval()
    model.output = nn.Identity()
    ids = torch.tensor([[3, 4, 0, 0]])
    words, layer = model.embedding.weight[[3, 4]], model.convolutions[0]
    padded = torch.cat([torch.zeros(1, 2), words, torch.zeros(1, 2)])
    windows = [(padded[i : i + 2] * layer.weight[0].T).sum() + layer.bias for i in range(3)]
    expected = torch.stack(windows).relu().max()
    torch.testing.assert_close(model(ids)[0, 0], expected)


def test_word_dropout_replaces_words_only_and_only_in_training():
    torch.manual_seed(7)
    layer, ids = WordDropout(0.5), ids_of([400, 100]) + 1 * (ids_of([400, 100]) > 0)
    dropped = layer(ids)
    assert torch.equal(dropped == 0, ids == 0)
    changed = (dropped != ids).float()[ids > 1]
    assert 0.4 < changed.mean() < 0.6
    assert set(dropped[dropped != ids].tolist()) == {1}
    assert torch.equal(layer.eval()(ids), ids)


def test_parameters_are_counted():
    model = RecurrentClassifier(50, embedding_size=5, hidden_size=4)
    rest = 4 * 4 * (5 + 4 + 2) + 4 * 4 + 4
    assert count_parameters(model) == {"total": 250 + rest, "embedding": 250, "rest": rest}
