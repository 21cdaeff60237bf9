"""Pooling and contrastive tuning, checked by hand and on what they are for."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, DistilBertConfig
from transformers import DistilBertForSequenceClassification as OtherModel

from agnews_utils.bert.encoder import load_encoder, save_encoder
from agnews_utils.bert.fine_tuning import pooled_states
from agnews_utils.bert.pooling import (
    MeanPooledClassifier,
    contrastive_loss,
    contrastive_tuning,
    mean_pool,
)


def small_bert(**settings):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=4,
        **settings,
    )
    return BertForSequenceClassification(config).eval()


def test_the_mean_leaves_padding_out():
    states = torch.tensor([[[1.0, 2.0], [3.0, 6.0], [100.0, 100.0]]])
    assert mean_pool(states, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 4.0]]


def test_padding_changes_no_answer():
    model = MeanPooledClassifier.of(small_bert())
    ids = torch.tensor([[2, 7, 9, 3]])
    mask = torch.ones_like(ids)
    padded = torch.nn.functional.pad(ids, (0, 3)), torch.nn.functional.pad(mask, (0, 3))
    with torch.inference_mode():
        torch.testing.assert_close(model(ids, mask).logits, model(*padded).logits)


def test_what_was_saved_with_the_mean_is_loaded_with_it(tmp_path):
    source, tokenizer = load_encoder("bundled", quiet=True)
    torch.manual_seed(0)
    model = MeanPooledClassifier.of(source).eval()
    save_encoder(model, tokenizer, tmp_path / "mine")
    loaded, _ = load_encoder(tmp_path / "mine", quiet=True)
    ids = torch.tensor([[2, 700, 900, 3]])
    with torch.inference_mode():
        logits = loaded(ids, torch.ones_like(ids)).logits
        torch.testing.assert_close(logits, model(ids, torch.ones_like(ids)).logits)
    other, _ = load_encoder(tmp_path / "mine", ["ham", "spam"], new_head=True, quiet=True)
    assert isinstance(other, MeanPooledClassifier)
    assert other.classifier.out_features == 2
    torch.testing.assert_close(other.bert.state_dict(), source.bert.state_dict())


def test_the_head_reads_the_mean_of_the_last_states_and_shares_the_encoder():
    source = small_bert()
    model = MeanPooledClassifier.of(source)
    ids = torch.tensor([[2, 7, 9, 3], [2, 8, 3, 0]])
    mask = (ids > 0).long()
    with torch.inference_mode():
        states = source.bert(ids, attention_mask=mask)[0]
        means = torch.stack([states[0].mean(0), states[1, :3].mean(0)])
        torch.testing.assert_close(model(ids, mask).logits, model.classifier(means))
        loss = model(ids, mask, labels=torch.tensor([1, 2])).loss
        expected = torch.nn.functional.cross_entropy(model.classifier(means), torch.tensor([1, 2]))
        torch.testing.assert_close(loss, expected)
    assert model.bert is source.bert


def test_another_kind_of_network_is_refused_by_name():
    config = DistilBertConfig(vocab_size=30, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    with pytest.raises(TypeError, match=r"DistilBert.* is no BERT"):
        MeanPooledClassifier.of(OtherModel(config))


def test_the_contrastive_loss_of_four_texts_by_hand():
    # Two classes on two axes: cosines 1 within, 0 between; each text sees three others.
    states = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
    loss = contrastive_loss(states, torch.tensor([0, 0, 1, 1]), temperature=0.5)
    expected = -np.log(np.exp(2) / (np.exp(2) + 2))
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_class_with_one_text_asks_nothing():
    states = torch.randn(3, 4, requires_grad=True)
    loss = contrastive_loss(states, torch.tensor([0, 1, 2]))
    assert loss.item() == 0
    loss.backward()
    assert torch.isfinite(states.grad).all()


def test_tuning_brings_classes_apart_and_gives_the_mode_back(monkeypatch):
    monkeypatch.setenv("AGNEWS_DEVICE", "cpu")
    model = small_bert()
    sequences = [[2, 10 + label, 20 + n, 3] for label in range(2) for n in range(6)]
    labels = [label for label in range(2) for _ in range(6)]
    losses = contrastive_tuning(model, sequences, labels, steps=30, learning_rate=3e-3)
    assert len(losses) == 30
    least = np.log(5)  # five others of the class, all equally near
    assert losses[0] > least + 0.5
    assert least < np.mean(losses[-5:]) < least + 0.1
    assert not model.training
    again = small_bert()
    assert contrastive_tuning(again, sequences, labels, steps=30, learning_rate=3e-3) == losses


def test_a_kept_head_gives_the_same_answers_again():
    trained = MeanPooledClassifier.of(small_bert())
    ids = torch.tensor([[2, 7, 9, 3]])
    mask = torch.ones_like(ids)
    plain = BertForSequenceClassification(trained.config)
    plain.load_state_dict(trained.state_dict())
    again = MeanPooledClassifier.of(plain.eval(), keep_head=True)
    with torch.no_grad():
        assert torch.equal(again(ids, mask).logits, trained(ids, mask).logits)


def test_mean_states_of_texts_do_not_depend_on_their_neighbors():
    model, tokenizer = load_encoder("bundled", quiet=True)
    texts = ["Oil", "Keeper saves two penalties in the last minute of the cup final"]
    found = pooled_states(model, tokenizer, texts, pooling="mean")
    for text, row in zip(texts, found, strict=True):
        encoded = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            states = model.bert(encoded["input_ids"]).last_hidden_state[0]
        wanted = torch.nn.functional.normalize(states.mean(0), dim=-1)
        assert np.allclose(row, wanted.numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="expected 'cls' or 'mean'"):
        pooled_states(model, tokenizer, texts, pooling="max")
