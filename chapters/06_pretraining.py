# ---
# title: Attention and pre-training
# summary: Build attention and a whole small BERT by hand, and pre-train one from random weights on texts without labels.
# run: pretraining
# goals:
#   - compute attention by hand, and prove your layer equal to BERT's
#   - assemble a whole BERT from embeddings, layers and pooler
#   - read a map of attention without reading too much into it
#   - cut words into pieces as BERT's tokenizer does, and know what a cut costs
#   - hide pieces, ask for them, and watch a network learn from texts without labels
#   - prove that a pre-trained network has not read your test rows
# prerequisites:
#   - "{{ chapter.exploration.link }}, {{ chapter.vocabulary.link }} and {{ chapter.rnn.link }}"
#   - matrix products, softmax, the training loop of {{ chapter.rnn }}
# data: AG News, or the bundled News Briefs; the encoder comes with the course
# accelerator: not needed
# ---

# %% [markdown]
# ## Attention by hand
#
# In a recurrent network a word that stands fifty words back has gone through fifty steps before it
# reaches the last state ({{ chapter.rnn }}). Attention shortens the way to one step: every position
# looks at every other position directly, and takes over a weighted average of what it finds there.
#
# Who gets how much weight? Each position has a *query* (what it looks for) and a *key* (what it
# offers). Where they point in the same direction, their product is large. A softmax turns products
# into weights, and the weights average the *values*. With numbers this small a pencil is enough:

# %% tags=["nbval-check-output"]
from math import log, sqrt

import torch

torch.set_num_threads(1)  # enough for small networks; leave it out for long runs on many cores
query = torch.tensor([2.0, 0.0])  # (d_k,): what one position looks for
keys = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])  # (positions, d_k): what three offer
values = torch.tensor([10.0, 20.0, 30.0])  # what they hand over
weights = (keys @ query / sqrt(2)).softmax(0)  # (positions,)
[round(x, 2) for x in weights.tolist()], round(float(weights @ values), 1)

# %% [markdown]
# The first key fits best, so the answer is pulled toward the first value. Check it: the scores are
# $\sqrt{2}$, $0$ and $\sqrt{2}/2$; take $e$ to these powers and divide each by their sum. For many
# queries at once it is two matrix products (Vaswani and others, 2017):
#
# $$\mathrm{attention}(Q, K, V) = \mathrm{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right)V$$
#
# A batch has padding ({{ chapter.rnn }}), and nobody should look at it. So the scores of padded keys
# become very negative before the softmax, which makes a zero of them.

# %%
def attention_by_hand(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / sqrt(query.shape[-1])  # (..., queries, keys)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    return scores.softmax(-1) @ value

# %% [markdown]
# Is it torch's attention, and the package's? Equal outputs are not enough: the gradients must agree,
# too, or a network would learn something else. So we compare both, relative to the largest value.

# %%
def with_gradients(output, inputs):
    gradients = torch.autograd.grad(output.square().sum(), inputs, retain_graph=True)
    return [output.detach(), *gradients]

def difference(first, second, inputs):
    largest = 0.0
    for a, b in zip(with_gradients(first, inputs), with_gradients(second, inputs)):
        largest = max(largest, float((a - b).abs().max() / b.abs().max().clamp(min=1)))
    return largest

# %% tags=["nbval-check-output"]
from torch.nn import functional as F

from agnews_utils.bert import attention

torch.manual_seed(0)
query_key_value = [torch.randn(2, 5, 8, requires_grad=True) for _ in range(3)]  # (batch, length, d_k)
mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])  # the second text has three words
wide = mask[:, None, :]  # (batch, 1, keys): the same for all queries
theirs = F.scaled_dot_product_attention(*query_key_value, attn_mask=wide.bool())
by_hand = attention_by_hand(*query_key_value, wide)
packaged, _ = attention(*query_key_value, wide)
[difference(output, theirs, query_key_value) < 1e-5 for output in (by_hand, packaged)]

# %% [markdown]
# Both are torch's, forward and backward.
#
# ### Why the root?
#
# *A short course may skip this section.*
#
# If queries and keys are random, with mean 0 and variance 1, a sum of $d_k$ products has variance $d_k$. We
# measure what that does to the
# softmax: how much weight the best key gets, and how steep the softmax still is.

# %%
import numpy as np
import pandas as pd

torch.manual_seed(0)
softness = {}
for size in (4, 64, 1024):
    raw = torch.randn(500, size) @ torch.randn(20, size).T  # (queries, keys)
    for name, scores in (("raw", raw), ("divided", raw / sqrt(size))):
        weights = scores.softmax(-1)
        slope = (weights * (1 - weights)).sum(-1).mean()
        softness[size, name] = [float(scores.var()), float(weights.amax(-1).mean()), float(slope)]
softness = pd.DataFrame(softness, index=["variance of the scores", "largest weight", "slope"]).T
softness.round(2)

# %% tags=["author"]
assert softness.loc[(1024, "raw"), "slope"] < 0.2 < softness.loc[(1024, "divided"), "slope"]

# %% [markdown]
# Undivided, with a large $d_k$, one key takes nearly everything and the slope is nearly nothing: a
# softmax that is so sure lets no gradient through. Divided, the size makes no difference.
#
# ### Many heads
#
# One average can express one way of looking. So the vectors are cut into parts, called heads; each
# part attends on its own, and a last matrix mixes what they found.

# %%
def cut_into_heads(states, heads):
    batch, length, size = states.shape
    return states.view(batch, length, heads, size // heads).transpose(1, 2)

def multi_head_by_hand(states, layers, heads, mask):
    query, key, value = (
        cut_into_heads(F.linear(states, *layers[name]), heads) for name in ("query", "key", "value")
    )  # each (batch, heads, length, size / heads)
    found = attention_by_hand(query, key, value, mask[:, None, None, :])
    side_by_side = found.transpose(1, 2).flatten(2)  # (batch, length, size)
    return F.linear(side_by_side, *layers["output"])

# %% [markdown]
# Torch keeps the three matrices of a layer in one. We take them apart, and compare.

# %% tags=["nbval-check-output"]
from torch import nn

from agnews_utils.bert import multi_head_attention

network = nn.MultiheadAttention(12, num_heads=3, batch_first=True)
parts = zip(network.in_proj_weight.chunk(3), network.in_proj_bias.chunk(3))
toy_layers = dict(zip(("query", "key", "value"), parts))
toy_layers["output"] = (network.out_proj.weight, network.out_proj.bias)
toy_states = torch.randn(2, 5, 12)  # (batch, length, size)
theirs, _ = network(toy_states, toy_states, toy_states, key_padding_mask=mask == 0)
by_hand = multi_head_by_hand(toy_states, toy_layers, 3, mask)
packaged, _ = multi_head_attention(toy_states, toy_layers, 3, mask)
[difference(output, theirs, list(network.parameters())) < 1e-5 for output in (by_hand, packaged)]

# %% [markdown]
# ### Positions
#
# Does attention know the order of the words? We shuffle the vectors of a text. If each position
# finds the same as before, only in another place, the order made no difference.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import sinusoidal_positions

order = torch.tensor([2, 0, 1, 4, 3])
everything = torch.ones(2, 5)  # no padding
for name, codes in {"no positions": 0, "with positions": sinusoidal_positions(5, 12)}.items():
    straight = multi_head_by_hand(toy_states + codes, toy_layers, 3, everything)
    shuffled = multi_head_by_hand(toy_states[:, order] + codes, toy_layers, 3, everything)
    print(f"{name}: the same after shuffling: {torch.allclose(straight[:, order], shuffled, atol=1e-5)}")

# %% [markdown]
# It does not know it: *dog bites man* and *man bites dog* would be the same bag of vectors. So something
# that depends on the place is added to each vector. The first Transformer added sines and cosines; BERT
# learns a vector for each place, as it learns one for each piece.

# %% [markdown]
# ## A whole layer
#
# A layer is attention between the positions, then a small network at each position (feed-forward).
# What comes in is added to what comes out, the *residual*, so that a gradient has a way around both.
# But adding has a price. What happens to the size of the numbers in a stack of such sums?

# %%
torch.manual_seed(0)
matrices = torch.randn(24, 64, 64) / 8  # each keeps the size of what it multiplies
spread = {}
for normalized in (False, True):
    states = torch.randn(100, 64)  # 100 positions
    for matrix in matrices:
        states = states + states @ matrix  # the residual
        if normalized:
            states = (states - states.mean(-1, keepdim=True)) / states.std(-1, keepdim=True)
    spread["normalized" if normalized else "as it is"] = round(float(states.std()), 1)
spread

# %% tags=["author"]
assert spread["as it is"] > 1000 * spread["normalized"], "the residuals should add up"

# %% [markdown]
# Each sum has twice the variance of what came in: after 24 layers the numbers are thousands of times
# as large, and no learning rate suits the first layer and the last. So every position is
# brought back to mean 0 and variance 1 after each sum (*layer normalization*, Ba and others, 2016); a
# learned factor and a learned shift let the network undo it where that helps.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import gelu, layer_norm

norm = nn.LayerNorm(12)
x = torch.randn(2, 5, 12)
by_hand = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0, keepdim=True) + norm.eps)
packaged = layer_norm(x, norm.weight, norm.bias, norm.eps)
[torch.allclose(one, norm(x), atol=1e-5) for one in (by_hand, packaged)]

# %% [markdown]
# The feed-forward network is two matrices with a bend between them. BERT's bend is the GELU: like ReLU,
# but without a corner. Now the layer is four lines.

# %%
def layer_by_hand(states, layers, heads, mask):
    looked_up = multi_head_by_hand(states, layers, heads, mask)
    states = layer_norm(states + looked_up, *layers["attention_norm"])
    thought = F.linear(gelu(F.linear(states, *layers["inner"])), *layers["outer"])
    return layer_norm(states + thought, *layers["output_norm"])

# %% [markdown]
# Now a real BERT: the small one that comes with this course ({{ section("The budget") }} tells
# how it was made). Four headlines go in.

# %%
from agnews_utils.bert import bundled_encoder, load_encoder

model, tokenizer = load_encoder("bundled")
headlines = ["Oil prices rise again as storms close ports", "Keeper saves two penalties",
             "New chip makes laptops faster", "Leaders meet for peace talks"]
batch = tokenizer(headlines, padding=True, return_tensors="pt")
ids, mask = batch["input_ids"], batch["attention_mask"]  # (batch, length) each
ids.shape, model.config.num_hidden_layers, model.config.num_attention_heads, model.config.hidden_size

# %% [markdown]
# That is the shape of the batch, then layers, heads, and numbers per position. Its first layer
# computes the second of its hidden states from the first. Do we get the same with its weights?

# %% tags=["nbval-check-output"]
from agnews_utils.bert import encoder_layer, layer_parameters

heads = model.config.num_attention_heads
hidden_states = model.bert(ids, mask, output_hidden_states=True).hidden_states  # (batch, length, hidden)
layers = layer_parameters(model.bert.encoder.layer[0])
layer_weights = [tensor for pair in layers.values() for tensor in pair]
for layer in (layer_by_hand, encoder_layer):
    found = layer(hidden_states[0], layers, heads, mask)
    print(layer.__name__, difference(found, hidden_states[1], layer_weights) < 1e-4)

# %% [markdown]
# The layer by hand is BERT's layer, forward and backward.

# %% [markdown]
# ## A whole BERT by hand
#
# What enters the first layer? Three learned vectors are added: one for the piece, one for its place,
# one for the *segment* (BERT can read two texts at once; with one text it is segment 0 everywhere).
# The sum is normalized.

# %%
def embed_by_hand(embeddings, ids):
    pieces = embeddings.word_embeddings.weight[ids]  # (batch, length, hidden)
    places = embeddings.position_embeddings.weight[: ids.shape[1]]  # (length, hidden)
    segment = embeddings.token_type_embeddings.weight[0]  # (hidden,)
    norm = embeddings.LayerNorm
    return layer_norm(pieces + places + segment, norm.weight, norm.bias)

torch.allclose(embed_by_hand(model.bert.embeddings, ids), hidden_states[0], atol=1e-5)

# %% [markdown]
# What leaves the last layer? One vector for each position. The one of `[CLS]`, the piece that opens
# every text, goes through one more matrix and a tanh, the *pooler*: it stands for the whole text. So a
# BERT is three steps.

# %%
def bert_by_hand(bert, ids, mask):
    states = embed_by_hand(bert.embeddings, ids)
    for layer in bert.encoder.layer:
        states = layer_by_hand(states, layer_parameters(layer), bert.config.num_attention_heads, mask)
    pooler = bert.pooler.dense
    pooled = torch.tanh(F.linear(states[:, 0], pooler.weight, pooler.bias))  # (batch, hidden)
    return states, pooled

# %% [markdown]
# The library's `BertModel` has the same weights; does it have the same answers? We ask the encoder of the
# course, and one of another shape with random weights, made on the spot.

# %% tags=["nbval-check-output"]
from transformers import BertConfig, BertModel

shape = dict(hidden_size=48, num_hidden_layers=3, num_attention_heads=6, intermediate_size=100)
torch.manual_seed(0)
other = BertModel(BertConfig(vocab_size=len(tokenizer), **shape)).eval()
with torch.no_grad():
    for name, bert in {"the course's": model.bert, "random weights": other}.items():
        theirs = bert(ids, attention_mask=mask)
        states, pooled = bert_by_hand(bert, ids, mask)
        print(name, torch.allclose(states, theirs.last_hidden_state, atol=1e-5),
              torch.allclose(pooled, theirs.pooler_output, atol=1e-5))

# %% [markdown]
# Equal to five decimals, padding included. Nothing of BERT is left that we have not written (but for GELU,
# a smooth step: `x` times the share of a normal distribution below `x`).
# Where do its weights lie?

# %%
def count(module):
    return sum(weight.numel() for weight in module.parameters())

sizes = {name: count(part) for name, part in model.bert.named_children()}
{name: f"{size:,} ({size / count(model.bert):.0%})" for name, size in sizes.items()}

# %% [markdown]
# Two fifths of this small one are embeddings (in BERT-base one fifth). They cost memory, but hardly any
# time: of each text only the rows of its own pieces are read.

# %% [markdown]
# ## A map of attention
#
# The weights can be drawn: each row is a piece that looks, each column one that is looked at. Each
# head of each layer has its map. How much weight goes to the two neighbors of a piece?

# %%
from agnews_utils.bert import attention_maps
from agnews_utils.cleaning import repair_frame
from agnews_utils.data import load_news

news = load_news()
train, test = repair_frame(news.train), repair_frame(news.test)  # what this chapter reads

def neighbor_share(maps):  # (..., length, length)
    left, right = maps.diagonal(-1, -2, -1), maps.diagonal(1, -2, -1)
    return (left.sum(-1) + right.sum(-1)) / maps.shape[-1]

# %% [markdown]
# We measure it on a hundred titles of your data (texts, if they have no titles), in the first layer. A head that looks evenly at all
# pieces would give the share in the last line.

# %%
titles = train["title"].mask(train["title"] == "", train["text"].str[:100])
shares, evenly = [], []
for title in titles.sample(min(100, len(titles)), random_state=0):
    _, maps = attention_maps(model, tokenizer, title)  # (layers, heads, length, length)
    shares.append(neighbor_share(maps[0]).tolist())
    evenly.append(float(neighbor_share(torch.ones(maps.shape[-2:]) / maps.shape[-1])))
neighbors = {f"head {number}": share for number, share in enumerate(np.mean(shares, axis=0), 1)}
neighbors["looking evenly"] = float(np.mean(evenly))
pd.Series(neighbors).map("{:.0%}".format)

# %%
from agnews_utils import plots

pieces, maps = attention_maps(model, tokenizer, headlines[0])
head_titles = [f"{name}: {share:.0%} to neighbors" for name, share in neighbors.items()][: len(maps[0])]
title = f"Heads differ (shares: mean of 100 titles; looking evenly {neighbors['looking evenly']:.0%})"
axes = plots.attention_heads(pieces, maps[0], head_titles, title)

# %% tags=["author"]
assert torch.allclose(maps.sum(-1), torch.ones(maps.shape[:3]), atol=1e-4), "a row must add up to 1"
pointing = max(neighbors.values()) > 2 * neighbors["looking evenly"]
assert pointing or not news.measured, "no head looks at the neighbors"

# %% [markdown]
# The heads differ. On AG News {{ ag_news.near_heads | count }} of {{ ag_news.heads | count }} give their
# neighbors more than twice the even share of {{ ag_news.neighbors["looking evenly"] | percent(0) }},
# the one that gives them most {{ ag_news.most_near | percent(0) }}, the one that gives them least
# {{ ag_news.least_near | percent(0) }} (News Briefs: {{ newsbriefs.near_heads | count }}, up to
# {{ newsbriefs.most_near | percent(0) }}). These two point: one looks at the next
# piece, the other at the one before. Nobody told the network to look there: the word beside a hidden word says much about it. An
# average over all heads would have hidden this. Do not read more into a map. It shows where a vector was
# fetched, not why an answer was given (Jain and Wallace, 2019).

# %% [markdown]
# ## WordPiece by hand
#
# {{ Chapter.vocabulary }} gave every rare word the same id, *unknown*. BERT cuts it into pieces
# that it knows. The rule is greedy: take the longest beginning that is in the vocabulary, then go
# on with the rest. A piece inside a word begins with `##`.

# %% tags=["nbval-check-output"]
def wordpiece_by_hand(word, vocab):
    pieces, rest = [], word
    while rest:
        prefix = "##" if pieces else ""
        longest = next((n for n in range(len(rest), 0, -1) if prefix + rest[:n] in vocab), None)
        if longest is None:
            return ["[UNK]"]
        pieces.append(prefix + rest[:longest])
        rest = rest[longest:]
    return pieces

toy_vocab = {"play", "##er", "##ers", "un", "##play", "##able", "u", "##n"}
[wordpiece_by_hand(word, toy_vocab) for word in ("players", "unplayable", "played")]

# %% [markdown]
# `##ers` wins over `##er`, being longer. One letter without a piece makes the *whole* word unknown.
# Real vocabularies hold every letter, so that this is rare. Is it what the tokenizer does, on every
# word of a thousand titles? It lower-cases a text first, then splits it into words.

# %%
backend, vocab = tokenizer.backend_tokenizer, tokenizer.get_vocab()
words = set()
for title in titles.head(1000):
    normal = backend.normalizer.normalize_str(title)
    words |= {word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal)}
len(words), sum(word not in vocab for word in words)  # distinct words, and those that are cut

# %%
from agnews_utils.bert import wordpiece

for word in words:
    assert wordpiece_by_hand(word, vocab) == wordpiece(word, vocab) == tokenizer.tokenize(word), word

# %% [markdown]
# All words are cut alike.
#
# ### A vocabulary of pieces
#
# Where do the pieces come from? They are counted, like the words of {{ chapter.vocabulary }}: start
# with letters, join the two neighbors that stand together most often into a new piece, go on until
# there are enough (`train_tokenizer`). Five pieces have a job instead of letters: `[PAD]` fills up
# a batch, `[UNK]` is a word with an unknown letter, `[CLS]` opens every text, `[SEP]` closes it, and
# `[MASK]` hides a piece.
#
# ### Into ids
#
# What becomes of a sentence?

# %%
from agnews_utils.bert import encode_for_bert

(ids_of_one,) = encode_for_bert(["Unputdownable: Reykjavik's keeper saves two"], tokenizer)
print(ids_of_one, tokenizer.convert_ids_to_tokens(ids_of_one), sep="\n")

# %% tags=["author"]
assert tokenizer.decode(ids_of_one).endswith("keeper saves two [SEP]")
assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# %% [markdown]
# Capital letters are gone, and no word is unknown. One function turns text into ids, in training and
# in prediction, so that the two cannot drift apart.
#
# ### Where to cut
#
# A network of this kind reads no text longer than its table of positions, and its cost grows with the
# length. Where should we cut? It depends on which text it is: the one in the file or the repaired one
# ({{ chapter.cleaning }}). What `quot;` and `&lt;b&gt;` take up, the end of the text loses.
#
# `repair_frame` makes all repairs of that chapter but one: the dateline stays. "(Reuters)" says a little
# about the class in these data ({{ section("Does the source give it away?", "exploration") }}). The linear
# model and the recurrent networks of {{ chapters("exploration", "rnn") }} see it, so this one may.

# %%
sample = train.sample(min(len(train), 2000), random_state=0)
raw_texts = news.train.loc[sample.index, "text"]
lengths = {}
for name, texts in {"raw": raw_texts, "repaired": sample["text"]}.items():
    encoded = encode_for_bert(texts, tokenizer, max_length=512)
    lengths[name] = np.array([len(row) for row in encoded])
cut = pd.DataFrame({(name, limit): [(found > limit).mean(), (found - limit).clip(0).sum() / found.sum()]
                    for name, found in lengths.items() for limit in (32, 64, 96)},
                   index=["texts cut", "pieces lost"]).T
cut.round(4)

# %% tags=["author"]
few_lost = cut.loc[("repaired", 96), "pieces lost"] < 0.1
assert few_lost or not news.measured, "96 pieces are too few: raise max_length"

# %% [markdown]
# At 96 pieces {{ ag_news.cut_at_96.repaired | percent }} of the repaired texts of AG News lose their end,
# and {{ ag_news.cut_at_96.raw | percent }} of the raw ones (News Briefs:
# {{ newsbriefs.cut_at_96.repaired | percent }} and {{ newsbriefs.cut_at_96.raw | percent }}). This encoder
# was pre-trained on *repaired* texts cut at 96: its vectors for later places have never been trained. So
# it gets repaired texts, cut at 96, here and in {{ chapter.bert }}.

# %% [markdown]
# ## Pre-training
#
# A label costs somebody's time. Text is free. So let the text ask the questions: hide a piece, and
# let the network say what stood there.
#
# ### Hiding pieces
#
# 15 in 100 pieces are asked for. Most of these show `[MASK]`; but no later task will ever show that,
# so one in ten shows a random piece and one in ten the piece itself (Devlin and others, 2019). The
# network cannot be sure of any piece that it reads.

# %%
def corrupt_by_hand(ids, vocab_size, mask_id, special, generator):
    chance = torch.rand(ids.shape, generator=generator)
    asked = (chance < 0.15) & ~torch.isin(ids, special)

    fate = torch.rand(ids.shape, generator=generator)
    random_piece = torch.randint(len(special), vocab_size, ids.shape, generator=generator)
    shown = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, random_piece, ids))
    return torch.where(asked, shown, ids), torch.where(asked, ids, -100)  # -100: not asked for

# %% [markdown]
# We corrupt a million random ids. Here the first five are the special ones, which are never hidden.

# %% tags=["nbval-check-output"]
original = torch.randint(5, 8000, (2000, 500), generator=torch.Generator().manual_seed(0))
special = torch.arange(5)
read, answers = corrupt_by_hand(original, 8000, 4, special, torch.Generator().manual_seed(1))
asked = answers != -100
assert torch.equal(read[~asked], original[~asked])  # nothing else was touched
{"asked for": round(float(asked.float().mean()), 2),
 "of these [MASK]": round(float((read == 4)[asked].float().mean()), 2),
 "unchanged": round(float((read == original)[asked].float().mean()), 2)}

# %% tags=["nbval-check-output"]
from agnews_utils.bert import corrupt

same_seed = torch.Generator().manual_seed(1)
packaged, _ = corrupt(original, 8000, 4, special.tolist(), generator=same_seed)
torch.equal(packaged, read)

# %% [markdown]
# The shares are right, and the package draws the very same corruption.
#
# ### The loss asks for the hidden pieces only
#
# A common mistake is to say that BERT maximizes the product of the probabilities of *all* words. Does it?
# We compute the loss of two asked positions, then change the logits at all others.

# %% tags=["nbval-check-output"]
logits = torch.randn(1, 6, 50)  # (batch, length, pieces)
labels = torch.tensor([[-100, 7, -100, -100, 3, -100]])
by_hand = -logits.log_softmax(-1)[0, [1, 4], [7, 3]].mean()
theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten())  # leaves -100 out

logits[0, [0, 2, 3, 5]] = torch.randn(4, 50)
changed = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
print("by hand:", torch.allclose(by_hand, theirs), "the others count:", not torch.allclose(changed, theirs))

# %% [markdown]
# The loss knows the hidden pieces only. So nobody needs logits anywhere else. With thousands of pieces
# in the vocabulary the output is a large part of the work (in the course's encoder two thirds of what its
# four layers cost); computed at the asked positions alone it is cheap.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import asked_positions

positions, targets = asked_positions(labels)
print("asked at", positions.tolist(), "for the pieces", targets.tolist())

# %% [markdown]
# ### Hiding whole words
#
# *A short course may skip this section.*
#
# `un ##play ##able` with only `##play` hidden is a spelling test. An option hides all pieces of a word
# together; for that it has to know where words begin.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import word_starts

word_starts(torch.tensor([[0, 1, 2, 3]]), ["un", "##play", "##able", "match"]).tolist()

# %% [markdown]
# ### A second question
#
# `[CLS]` has to stand for the whole text, and hidden pieces do not teach it that. BERT therefore asked
# whether one sentence follows another. Our encoder was asked something closer to the news: which
# description belongs to which title? A batch gives a table of similarities, titles against
# descriptions, and the right ones stand on its diagonal.

# %% tags=["nbval-check-output"]
similar = torch.tensor([[5.0, 1.0, 0.0], [2.0, 4.0, 1.0], [0.0, 3.0, 2.0]])  # (titles, descriptions)
right = torch.arange(3)
loss = (F.cross_entropy(similar, right) + F.cross_entropy(similar.T, right)) / 2  # both directions
print("titles choose", similar.argmax(1).tolist(), f"loss {loss:.3f}, guessing costs {log(3):.3f}")

# %% [markdown]
# The third title chose the second description.

# %% [markdown]
# ## A small BERT, live
#
# We pre-train a BERT from random weights, here and now: two layers, its own vocabulary, fifteen
# hundred texts of your data, no label. A tokenizer comes first; a hundred texts are held back.

# %%
from agnews_utils.bert import Recipe, encode_rows, pieces_by_id, train_tokenizer

texts = train.sample(min(1500, len(train)), random_state=0)
held = min(100, len(texts) // 5)
own_tokenizer = train_tokenizer(texts["text"][held:], vocab_size=1500)
rows, held_back = (encode_rows(part, own_tokenizer, 64) for part in (texts[held:], texts[:held]))
own_pieces = pieces_by_id(own_tokenizer)
recipe = Recipe(hidden=64, heads=2, vocab_size=len(own_pieces), batch_size=16, round_steps=100,
                match_share=0.0, counted=False)  # hidden pieces only, and nothing but chance at first

# %% [markdown]
# `PretrainingModel` is a BERT with a head for hidden pieces. The questions about the held-back texts
# are drawn once, so that every validation asks the same.

# %%
from agnews_utils.bert import PretrainingModel, validation_batches

torch.manual_seed(0)
small = PretrainingModel(recipe.config(len(own_pieces))).eval()
questions, _ = validation_batches(held_back, recipe, own_pieces)
{name: tuple(tensor.shape) for name, tensor in questions[0].items()}

# %% [markdown]
# ### The head by hand
#
# What does the head do? At each asked position it transforms the state once more, then compares it
# with the embedding of every piece: the embeddings that read are the same that answer. One number for
# each piece is added, as frequent pieces are right more often.

# %%
def head_by_hand(states, predictions, piece_vectors):
    dense, norm = predictions.transform.dense, predictions.transform.LayerNorm
    states = layer_norm(gelu(F.linear(states, dense.weight, dense.bias)), norm.weight, norm.bias)
    return states @ piece_vectors.T + predictions.decoder.bias  # (..., pieces)

# %% [markdown]
# With `bert_by_hand` below it that is the whole network. Logits and loss against the package's:

# %% tags=["nbval-check-output"]
from agnews_utils.training import evaluate

question = questions[0]
bert, answers = small.network.bert, question["labels"]
with torch.no_grad():
    states, _ = bert_by_hand(bert, question["input_ids"], question["attention_mask"])
    which_text = torch.arange(len(states))[:, None]
    asked_states = states[which_text, question["positions"]]  # (batch, most, hidden)
    by_hand = head_by_hand(asked_states, small.network.cls.predictions, bert.embeddings.word_embeddings.weight)
    theirs = small(question["input_ids"], question["attention_mask"], question["positions"])
surprise = -by_hand.log_softmax(-1)[answers != -100].gather(1, answers[answers != -100][:, None])
torch.allclose(by_hand, theirs, atol=1e-5), abs(float(surprise.mean()) - evaluate(small, [question])["loss"]) < 1e-5

# %% [markdown]
# Forty lines of ours are a BERT that can be pre-trained. From here on the package's does the work.
#
# ### Training
#
# A network that knows nothing pays $\ln V$, where $V$ is the number of pieces: the test of
# {{ chapter.rnn }}, with many more classes. There is a cheaper way than training to do better:
# always give the frequent pieces more. What would that cost?

# %%
first_loss = evaluate(small, questions)["loss"]
counts = np.bincount(np.concatenate([row[1:-1] for row in rows.texts]), minlength=len(own_pieces))
share = counts[counts > 0] / counts.sum()
levels = {f"guessing evenly, ln {len(own_pieces):,}": log(len(own_pieces)),
          "guessing by frequency": float(-(share * np.log(share)).sum())}
{name: round(loss, 2) for name, loss in (levels | {"before training": first_loss}).items()}

# %% [markdown]
# And what does training bring?

# %%
from agnews_utils.bert import PretrainingBatches
from agnews_utils.training import fit

history = fit(small, PretrainingBatches(rows, recipe, own_pieces), questions, epochs=4,
              learning_rate=5e-3, schedule="linear", keep_best=False)
live_loss = history.epochs["valid_loss"][-1]
ax = plots.loss_and_levels(history.steps["step"], plots.smoothed(history.steps["loss"], 20), levels,
                           "First it learns which pieces are frequent", "step")
print(f"on held-back texts: {first_loss:.2f} nats before training, {live_loss:.2f} after it")

# %% tags=["author"]
if news.measured:
    assert abs(first_loss - log(len(own_pieces))) < 0.7, "the first loss should be near ln V: see the labels"
    assert live_loss < first_loss - 0.5, "the loss did not fall: look at the learning rate"

# %% [markdown]
# The first fall is only counting: the network finds out that commas are frequent. Below the dotted
# line it must use the neighbors, and there the work begins. So few steps are not enough for much of it.
#
# ### The budget
#
# `python -m tools.pretraining --data ag_news --minutes 60 --output build/pretraining` does the same
# for as long as you give it: both questions in turn, a larger network, embeddings that begin as
# counted neighbors ({{ chapter.vocabulary }}) instead of chance, a learning rate that follows the
# clock. The encoder of this course was made by it on a GPU, within minutes and with larger settings: four
# layers, texts of up to 96 pieces, twice as many words hidden as BERT hides, and whole ones. It read the
# training texts of AG News and some more news without labels, and kept a log.

# %%
from agnews_utils.bert import read_log

run = read_log(bundled_encoder())
made, end = run["recipe"], run["rounds"][-1]
axes = plots.pretraining_log(run["rounds"], made["vocab_size"], "The course's encoder while it learned")
print(f"{made['layers']} layers x {made['hidden']}, {run['parameters']:,} weights, {end['tokens']:,} tokens in "
      f"{end['seconds'] / 60:.0f} minutes ({run['environment']['device']}); hidden: {made['mask_share']:.0%} of the words")

# %% [markdown]
# A common mistake is to say that BERT was pre-trained on AG News. The BERT of Devlin and others (2019,
# sec. 3.1) read books and Wikipedia, more than three billion words. Pre-training on the texts of AG News,
# from random weights, is what *this course* does, with what the line above says.

# %% [markdown]
# ## What it knows
#
# What does such a network know? Ask it.

# %%
import transformers
from transformers import AutoModelForMaskedLM

transformers.logging.set_verbosity_error()  # else it reports that the pooler is not used here
transformers.logging.disable_progress_bar()
filler = AutoModelForMaskedLM.from_pretrained(bundled_encoder()).eval()

def fill_in(text, count=5):
    encoded = tokenizer(text, return_tensors="pt")
    place = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
    with torch.no_grad():
        logits = filler(encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits[0, place]
    best = logits.softmax(-1).topk(count)
    return {tokenizer.convert_ids_to_tokens(int(i)): round(float(p), 3) for p, i in zip(*best)}

# %%
for text in ("Crude [MASK] prices rose to a record high", "The prime [MASK] met the president for talks",
             "Shares of Google rose on the [MASK] exchange", "The Red Sox beat the New York [MASK]",
             "Paris is the capital of [MASK].", "Two plus two is [MASK].", "The cat sat on the [MASK]."):
    print(text, fill_in(text))

# %% tags=["author"]
assert "oil" in fill_in("Crude [MASK] prices rose to a record high", 20), "knows nothing about crude oil?"

# %% [markdown]
# In the first four lines it knows its world: that of the news of those years. In the last three, which
# everybody knows, it is wrong, and not always in doubt. News does not explain what a capital is, what
# two and two make and where cats sit. Whoever asks such a network for facts gets words that often
# stand nearby. For telling four kinds of news apart that may be all we need: {{ chapter.bert }} tries it.
#
# > **What could go wrong: the network has read the test rows.**
# > Even without their labels that would be an advantage, and nobody would notice it later.
#
# So a trace is kept of every text that was read: a hash of its words, from which no text can be
# recovered.

# %% tags=["nbval-check-output"]
from agnews_utils.data import text_hashes

first, same, changed_text = text_hashes(["Oil prices rise!", "OIL prices, rise", "Oil prices fall"])
bool(first == same), bool(first == changed_text)

# %% [markdown]
# A hash sees the words and nothing else. How many of your texts are among those that were read?

# %%
from agnews_utils.bert import read_hashes

stored = read_hashes(bundled_encoder())["pretraining"]
frames = {"train": train.sample(min(len(train), 2000), random_state=0), "test": test}
seen = {name: float(np.isin(text_hashes(frame["text"]), stored).mean()) for name, frame in frames.items()}
print(f"{len(stored):,} texts were read; of yours: {seen['train']:.1%} in train, {seen['test']:.1%} in test")

# %% tags=["author"]
assert seen["test"] == 0, "the encoder has read test rows: its test accuracy means nothing"

# %% [markdown]
# No test row, on either data set. Two things to know all the same. Of the training rows of AG News
# {{ ag_news.seen["train"] | percent }} were read, and the validation rows are carved out of them:
# their words are familiar to the encoder, their labels are not. And a hash sees equal words only: a
# near duplicate ({{ chapter.exploration }}) of a test row may have been read.
# `python -m tools.pretraining.check_texts` counts all rows again.

# %% tags=["author"]
from agnews_utils import runtime

of_heads = [share for name, share in neighbors.items() if name != "looking evenly"]
runtime.record("pretraining", news, {
    "neighbors": neighbors, "heads": len(of_heads), "most_near": max(of_heads), "least_near": min(of_heads),
    "near_heads": sum(share > 2 * neighbors["looking evenly"] for share in of_heads),
    "cut_at_96": {name: cut.loc[(name, 96), "texts cut"] for name in ("raw", "repaired")},
    "mean_pieces": {name: found.mean() for name, found in lengths.items()},
    "loss": [first_loss, live_loss], "levels": list(levels.values()), "seen": seen,
}, headline=f"a small BERT, live: {first_loss:.2f} -> {live_loss:.2f} nats per hidden piece", seed=0)

# %% [markdown]
# ## Exercises
#
# One star is a change of a cell, two stars are some lines of your own, three stars need thought.
#
# 1. (\*) Add a fourth key that equals the query of {{ section("Attention by hand") }}. What is its
#    weight? Predict, then compute. *Check: `0.70`.*
# 2. (\*) Leave out the division by the root of $d_k$ in `attention_by_hand`. How far is `layer_by_hand`
#    from BERT's layer now?
# 3. (\*\*) Write `[CLS] a b [SEP]` with a mask that hides `b` from `a`, but not from the others. What shape
#    must the mask have? *Check: (1, 4, 4).*
# 4. (\*\*) Swap two words of a headline and compare the pooled vectors of `bert_by_hand`. Then set all position
#    embeddings to zero and compare again.
# 5. (\*) Measure the share of the neighbors in the *last* layer. Are its heads nearer to the even share?
# 6. (\*) Cut the longest words of your data into pieces. Which of them would you have cut elsewhere?
# 7. (\*\*) Pre-train the small BERT with whole words hidden (`whole_words=True`). Why is the loss higher?
# 8. (\*) Fill in ten masks of your own. Find one where the network is sure and wrong.
#
# ## Recap
#
# - Attention is a weighted average; the weights are a softmax of products, divided by the root of $d_k$.
# - Without positions a Transformer reads a bag of words.
# - Residuals let gradients through, layer normalization keeps the numbers in size.
# - A BERT is embeddings, a stack of equal layers, and a pooler: you have written one.
# - Heads differ: look at each, and do not take a map for a reason.
# - WordPiece knows every word whose letters it knows. Tokenizer and weights belong together.
# - Pre-training asks for hidden pieces, and the loss knows only those.
# - Prove that the test rows were not read, neither by you nor by the network.
#
# ## Further reading
#
# - A. Vaswani and others (2017): *Attention is all you need*.
# - J. Ba, J. Kiros, G. Hinton (2016): *Layer normalization*.
# - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova (2019): *BERT: Pre-training of deep bidirectional
#   Transformers for language understanding*.
# - K. Clark, U. Khandelwal, O. Levy, C. Manning (2019): *What does BERT look at?* Maps of many heads.
# - S. Jain, B. Wallace (2019): *Attention is not explanation*.
# - M. Schuster, K. Nakajima (2012): *Japanese and Korean voice search*. WordPiece.
# - A. van den Oord, Y. Li, O. Vinyals (2018): *Representation learning with contrastive predictive
#   coding*. The loss of matching titles and descriptions.
