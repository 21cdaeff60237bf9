# ---
# title: BERT
# summary: Build attention by hand, pre-train a small BERT from random weights, and fine-tune one that has read the news.
# run: bert
# goals:
#   - compute attention by hand, and prove your encoder layer equal to BERT's
#   - cut words into pieces as BERT's tokenizer does, and know what a cut costs
#   - hide pieces, ask for them, and watch a network learn from texts without labels
#   - prove that a pre-trained network has not read your test rows
#   - fine-tune with a head of your own, and choose rate and strategy by measuring
#   - say how many labeled rows pre-training is worth
#   - catch the five bugs of fine-tuning that raise no error
# prerequisites:
#   - "{{ chapter.exploration.link }}, {{ chapter.vocabulary.link }} and {{ chapter.rnn.link }}"
#   - matrix products, softmax, the training loop of {{ chapter.rnn }}
# data: AG News, or the bundled News Briefs; the encoder comes with the course
# accelerator: helpful for the full AG News and for bigger models
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
# What is new here is the *mask*: a padded position must get no weight.

# %%
def attention_by_hand(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / sqrt(query.shape[-1])  # (..., queries, keys)
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)  # softmax makes a zero of it
    return scores.softmax(-1) @ value

def gap(first, second, inputs):  # the largest difference of outputs and of gradients, relative
    results = []
    for output in (first, second):
        results.append([output, *torch.autograd.grad(output.square().sum(), inputs, retain_graph=True)])
    pairs = [(a.detach(), b.detach()) for a, b in zip(*results)]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1)) for a, b in pairs)

# %% [markdown]
# Is it torch's attention, and the package's, and are the gradients the same as well?

# %% tags=["nbval-check-output"]
from torch import nn
from torch.nn import functional as F

from agnews_utils.bert import attention

torch.manual_seed(0)
inputs = [torch.randn(2, 5, 8, requires_grad=True) for _ in range(3)]  # (batch, length, d_k) each
mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])  # the second text has three words
theirs = F.scaled_dot_product_attention(*inputs, attn_mask=mask[:, None, :].bool())
ours = attention_by_hand(*inputs, mask[:, None, :])
packaged, weights = attention(*inputs, mask[:, None, :])
gap(ours, theirs, inputs) < 1e-5, gap(packaged, theirs, inputs) < 1e-5

# %% [markdown]
# Why the root of $d_k$? A sum of $d_k$ products of random numbers has a variance of $d_k$. We measure
# what that does to the softmax: how much weight the best key gets, and how steep the softmax still is.

# %%
import numpy as np
import pandas as pd

torch.manual_seed(0)
table = {}
for size in (4, 64, 1024):
    raw = torch.randn(500, size) @ torch.randn(20, size).T  # (queries, keys)
    for name, scores in (("raw", raw), ("divided", raw / sqrt(size))):
        weights = scores.softmax(-1)
        slope = (weights * (1 - weights)).sum(-1).mean()
        table[size, name] = [scores.var(), weights.amax(-1).mean(), slope]
table = pd.DataFrame(table, index=["variance of the scores", "largest weight", "slope"]).T.astype(float)
assert table.loc[(1024, "raw"), "slope"] < 0.2 < table.loc[(1024, "divided"), "slope"]
table.round(2)

# %% [markdown]
# Undivided, with a large $d_k$, one key takes everything and the slope is nearly nothing: a softmax
# that is so sure lets no gradient through. Divided, the size makes no difference.
#
# ### Many heads
#
# One average can express one kind of looking. So the vectors are cut into parts, called heads; each
# part attends on its own, and a last matrix mixes what they found.

# %%
def multi_head_by_hand(states, layers, heads, mask):
    batch, length, size = states.shape
    parts = [F.linear(states, *layers[name]).view(batch, length, heads, size // heads).transpose(1, 2)
             for name in ("query", "key", "value")]  # each (batch, heads, length, size / heads)
    found = attention_by_hand(*parts, mask[:, None, None, :])
    return F.linear(found.transpose(1, 2).reshape(batch, length, size), *layers["output"])

# %% tags=["nbval-check-output"]
from agnews_utils.bert import multi_head_attention

network = nn.MultiheadAttention(12, num_heads=3, batch_first=True)
parts = zip(network.in_proj_weight.chunk(3), network.in_proj_bias.chunk(3))
layers = dict(zip(("query", "key", "value"), parts))
layers["output"] = (network.out_proj.weight, network.out_proj.bias)
states = torch.randn(2, 5, 12)  # (batch, length, size)
theirs, _ = network(states, states, states, key_padding_mask=mask == 0)
ours, (packaged, _) = (f(states, layers, 3, mask) for f in (multi_head_by_hand, multi_head_attention))
[gap(output, theirs, list(network.parameters())) < 1e-5 for output in (ours, packaged)]

# %% [markdown]
# ### Positions
#
# Does attention know the order of the words? Shuffle them and see.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import gelu, layer_norm, sinusoidal_positions

order, everything = torch.tensor([2, 0, 1, 4, 3]), torch.ones(2, 5)
for name, codes in (("without positions", 0), ("with positions", sinusoidal_positions(5, 12))):
    one, two = (multi_head_by_hand(x + codes, layers, 3, everything) for x in (states, states[:, order]))
    print(f"{name}: the same vectors, shuffled: {torch.allclose(one[:, order], two, atol=1e-5)}")

# %% [markdown]
# It does not: *dog bites man* and *man bites dog* would be the same bag of vectors. So something that
# depends on the place is added to each word. The first Transformer added sines and cosines; BERT
# learns a vector for each place, as it learns one for each piece.
#
# ### A whole layer
#
# A layer is attention between the positions, then a small network at each position (feed-forward).
# What comes in is added to what comes out, the *residual*, so that a gradient has a way around
# both; the sum is normalized, as in {{ chapter.rnn }}.

# %%
def layer_by_hand(states, layers, heads, mask):
    looked_up = multi_head_by_hand(states, layers, heads, mask)
    states = layer_norm(states + looked_up, *layers["attention_norm"])
    thought = F.linear(gelu(F.linear(states, *layers["inner"])), *layers["outer"])
    return layer_norm(states + thought, *layers["output_norm"])

# %% [markdown]
# Now a real BERT: the small one that comes with this course ({{ section("Pre-training") }} tells
# how it was made). Its first layer computes the second of its hidden states from the first. Do we
# get the same with its weights, forward and backward?

# %% tags=["nbval-check-output"]
from agnews_utils.bert import bundled_encoder, encoder_layer, layer_parameters, load_encoder

model, tokenizer = load_encoder()
headlines = ["Oil prices rise again as storms close ports", "Keeper saves two penalties",
             "New chip makes laptops faster", "Leaders meet for peace talks"]
inputs = tokenizer(headlines, padding=True, return_tensors="pt")
ids, mask = inputs["input_ids"], inputs["attention_mask"]  # (batch, length) each
states = model.bert(ids, mask, output_hidden_states=True).hidden_states  # (batch, length, hidden) each
layers, heads = layer_parameters(model.bert.encoder.layer[0]), model.config.num_attention_heads
weights = [tensor for pair in layers.values() for tensor in pair]
[gap(f(states[0], layers, heads, mask), states[1], weights) < 1e-4 for f in (layer_by_hand, encoder_layer)]

# %% [markdown]
# The layer by hand is BERT's layer. A BERT is embeddings, a stack of such layers, and a small
# pooler on top, which {{ section("Fine-tuning") }} takes apart.
#
# ### A map of attention
#
# The weights can be drawn: each row is a piece that looks, each column one that is looked at.

# %%
from agnews_utils import plots
from agnews_utils.bert import attention_maps

pieces, maps = attention_maps(model, tokenizer, headlines[0])  # (layers, heads, length, length)
assert torch.allclose(maps.sum(-1), torch.ones(maps.shape[:3]), atol=1e-4), "a row must add up to 1"
ax = plots.attention_map(pieces, maps[-1].mean(0), "Who looks at whom in the last layer, all heads")

# %% [markdown]
# Follow one row. Near neighbors get most of it, and nobody told the network to look there: the word
# beside a hidden word says most about it. Do not read more into the map. It shows where a vector was
# fetched, not why an answer was given (Jain and Wallace, 2019).

# %% [markdown]
# ## WordPiece by hand
#
# {{ Chapter.vocabulary }} gave every rare word the same id, *unknown*. BERT cuts it into pieces
# that it knows. The rule is greedy: take the longest beginning that is in the vocabulary, then go
# on with the rest. A piece that goes on a word begins with `##`.

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
# word of a thousand headlines?

# %%
from agnews_utils.bert import wordpiece
from agnews_utils.data import load_news, train_valid_split

train, test = news = load_news()
backend, vocab = tokenizer.backend_tokenizer, tokenizer.get_vocab()
normal = [backend.normalizer.normalize_str(title) for title in train["title"].head(1000)]
words = {word for title in normal for word, _ in backend.pre_tokenizer.pre_tokenize_str(title)}
for word in words:
    assert wordpiece_by_hand(word, vocab) == wordpiece(word, vocab) == tokenizer.tokenize(word), word
print(f"{len(words):,} words cut alike, {sum(word not in vocab for word in words):,} of them into pieces")

# %% [markdown]
# ### A vocabulary of pieces
#
# Where do the pieces come from? They are counted, like the words of {{ chapter.vocabulary }}: start
# with letters, join the two neighbors that stand together most often into a new piece, go on until
# there are enough (`train_tokenizer`). Five pieces have a job instead of letters: `[PAD]` fills up
# a batch, `[UNK]` is a word with an unknown letter, `[CLS]` opens every text, and its last state
# will stand for the whole text, `[SEP]` closes it, and `[MASK]` hides a piece.
#
# ### Into ids
#
# What becomes of a sentence?

# %%
from agnews_utils.bert import encode_for_bert

(ids,) = encode_for_bert(["Unputdownable: Reykjavik's keeper saves two"], tokenizer)
print(ids, tokenizer.convert_ids_to_tokens(ids), sep="\n")
assert tokenizer.decode(ids).endswith("keeper saves two [SEP]")
assert tokenizer.convert_ids_to_tokens(range(5)) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

# %% [markdown]
# Capital letters are gone, and no word is unknown. As in {{ chapter.rnn }} the text is read as it
# stands in the file ({{ chapter.cleaning }} measured that its repairs do not help a classifier).
# One function turns text into ids, in training and in prediction, so that the two cannot drift
# apart.
#
# A network of this kind reads no text longer than its table of positions, and its cost grows with the
# length. Where should we cut?

# %%
sample = train["text"].sample(min(len(train), 2000), random_state=0)
lengths = pd.Series([len(row) for row in encode_for_bert(sample, tokenizer, max_length=512)])
cut = pd.DataFrame({limit: [(lengths > limit).mean(), (lengths - limit).clip(lower=0).sum() / lengths.sum()]
                    for limit in (16, 32, 48, 64, 96, 128)}, index=["texts cut", "pieces lost"]).T
assert cut.loc[64, "pieces lost"] < 0.25, "64 pieces are too few for these texts: raise max_length"
cut.round(3)

# %% [markdown]
# At 64 pieces {{ ag_news.cut_at_64["texts cut"] | percent }} of the texts of AG News lose their end,
# which is {{ ag_news.cut_at_64["pieces lost"] | percent }} of all pieces (News Briefs:
# {{ newsbriefs.cut_at_64["texts cut"] | percent }} and {{ newsbriefs.cut_at_64["pieces lost"] | percent }}).
# The first sentence of a news item says most of it. And this encoder was pre-trained on texts cut at
# 64: its vectors for later places have never been trained. So 64 is our limit.

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
    chance, fate = (torch.rand(ids.shape, generator=generator) for _ in range(2))
    asked = (chance < 0.15) & ~torch.isin(ids, special)
    piece = torch.randint(len(special), vocab_size, ids.shape, generator=generator)
    shown = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, piece, ids))
    return torch.where(asked, shown, ids), torch.where(asked, ids, -100)  # -100: not asked for

# %% tags=["nbval-check-output"]
from agnews_utils.bert import corrupt

ids = torch.randint(5, 8000, (2000, 500), generator=torch.Generator().manual_seed(0))
special = torch.arange(5)  # here the first five ids are the special ones, and they are never asked for
read, labels = corrupt_by_hand(ids, 8000, 4, special, torch.Generator().manual_seed(1))
asked = labels != -100
shares = {"asked": asked.float().mean(), "[MASK]": (read == 4)[asked].float().mean(),
          "unchanged": (read == ids)[asked].float().mean()}
packaged = corrupt(ids, 8000, 4, special.tolist(), generator=torch.Generator().manual_seed(1))
{name: f"{share:.2f}" for name, share in shares.items()}, torch.equal(packaged[0], read)

# %% [markdown]
# The shares are right, nothing outside of the asked positions was touched, and the package draws the
# very same corruption. You can read that BERT "maximizes the product of the probabilities of all
# words". Does it? We compute the loss of two asked positions, then change the answers at all others.

# %% tags=["nbval-check-output"]
from agnews_utils.bert import asked_positions, word_starts

assert torch.equal(read[~asked], ids[~asked])
logits = torch.randn(1, 6, 50)  # (batch, length, pieces)
labels = torch.tensor([[-100, 7, -100, -100, 3, -100]])
by_hand = -logits.log_softmax(-1)[0, [1, 4], [7, 3]].mean()
theirs = F.cross_entropy(logits.flatten(0, 1), labels.flatten())  # leaves -100 out
logits[0, [0, 2, 3, 5]] = torch.randn(4, 50)
changed = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
print("by hand:", torch.allclose(by_hand, theirs), "the others count:", not torch.allclose(changed, theirs))
print("asked at", asked_positions(labels)[0].tolist(), "for the pieces", asked_positions(labels)[1].tolist())
print(word_starts(torch.tensor([[0, 1, 2, 3]]), ["un", "##play", "##able", "match"]).tolist())

# %% [markdown]
# The loss knows the hidden pieces only.
#
# ### Logits where they are asked for
#
# So nobody needs logits anywhere else. With thousands of pieces in the vocabulary the output costs
# more than all layers of a small network; computed at the asked positions alone it is cheap. The
# second line of the output tells where these are.
#
# ### Hiding whole words
#
# `un ##play ##able` with only `##play` hidden is a spelling test. An option hides all pieces of a word
# together; for that it has to know where words begin, as in the third line.
#
# ### A second question
#
# `[CLS]` has to stand for the whole text, and hidden pieces do not teach it that. BERT therefore asked
# whether one sentence follows another. Our encoder is asked something closer to the news: which
# description belongs to which title? A batch gives a table of similarities, titles against
# descriptions, and the right ones stand on its diagonal.

# %% tags=["nbval-check-output"]
similar = torch.tensor([[5.0, 1.0, 0.0], [2.0, 4.0, 1.0], [0.0, 3.0, 2.0]])  # (titles, descriptions)
right = torch.arange(3)
loss = (F.cross_entropy(similar, right) + F.cross_entropy(similar.T, right)) / 2  # both directions
print("titles choose", similar.argmax(1).tolist(), f"loss {loss:.3f}, guessing costs {log(3):.3f}")

# %% [markdown]
# The third title chose the second description.
#
# ### A small BERT, live
#
# We pre-train a BERT from random weights, here and now: two layers, its own vocabulary, a thousand
# and a half texts of your data, no label.

# %%
from agnews_utils.bert import (
    PretrainingBatches, PretrainingModel, Recipe, validation_batches,
)
from agnews_utils.bert import encode_rows
from agnews_utils.training import evaluate, fit, predict
from agnews_utils.bert import pieces_by_id, train_tokenizer

texts = train.sample(1500, random_state=0)
own_tokenizer = train_tokenizer(texts["text"], vocab_size=1500)
rows, held_back = (encode_rows(part, own_tokenizer, 64) for part in (texts[100:], texts[:100]))
pieces = pieces_by_id(own_tokenizer)
recipe = Recipe(hidden=64, heads=2, vocab_size=len(pieces), batch_size=16, round_steps=100,
                match_share=0.0, counted=False)  # hidden pieces only, and nothing but chance at first
questions, _ = validation_batches(held_back, recipe, pieces)  # the same ones every time
torch.manual_seed(0)
small = PretrainingModel(recipe.config(len(pieces)))
first_loss = evaluate(small, questions)["loss"]

# %% [markdown]
# Whoever knows nothing pays $\ln V$ with $V$ pieces in the vocabulary: the test of
# {{ chapter.rnn }}, with many more classes. There is a cheaper way than training to do better:
# always give the frequent pieces more. What would that cost, and what does training bring?

# %%
assert abs(first_loss - log(len(pieces))) < 0.7, "the first loss should be near ln V: look at the labels"
counts = np.bincount(np.concatenate([row[1:-1] for row in rows.texts]), minlength=len(pieces))
share = counts[counts > 0] / counts.sum()
levels = {f"guessing evenly, ln {len(pieces):,}": log(len(pieces)),
          "guessing by frequency": float(-(share * np.log(share)).sum())}
history = fit(small, PretrainingBatches(rows, recipe, pieces), questions, epochs=4,
              learning_rate=5e-3, schedule="linear", keep_best=False)
live_loss = history.epochs["valid_loss"][-1]
assert live_loss < first_loss - 0.5, "the loss did not fall: look at the learning rate"
ax = plots.loss_and_levels(history.steps["step"], plots.smoothed(history.steps["loss"], 20), levels,
                                "First it learns which pieces are frequent", "step")
print(f"on held-back texts: {first_loss:.2f} nats before training, {live_loss:.2f} after it")

# %% [markdown]
# The first fall is only counting: the network finds out that commas are frequent. Below the dotted
# line it must use the neighbors, and there the work begins. A minute is not enough for much of it.
#
# ### The budget
#
# `python -m tools.pretraining --data ag_news --minutes 60 --output build/pretraining` does the same
# for as long as you give it: both questions in turn, a larger network, embeddings that begin as
# counted neighbors ({{ chapter.vocabulary }}) instead of chance, a learning rate that follows the
# clock. It made the encoder of this course from the training rows of AG News and some more news
# without labels, and kept a log.

# %%
from agnews_utils.bert import read_hashes, read_log

run = read_log(bundled_encoder())
made, end = run["recipe"], run["rounds"][-1]
axes = plots.pretraining_log(run["rounds"], made["vocab_size"], "The course's encoder while it learned")
print(f"{run['parameters']:,} weights, {end['tokens']:,} tokens, {end['cpu_seconds'] / 60:.0f} CPU minutes")

# %% [markdown]
# You can read that "BERT is pre-trained on AG News". It is not: the BERT of Devlin and others read
# books and Wikipedia, more than three billion words. Pre-training on the texts of AG News, from
# random weights, is what *this course* does, with what the line above says.
#
# What does such a network know? Ask it.

# %%
import transformers
from transformers import AutoModelForMaskedLM

transformers.logging.set_verbosity_error()  # else it reports that the pooler is not used here
transformers.logging.disable_progress_bar()
filler = AutoModelForMaskedLM.from_pretrained(bundled_encoder()).eval()

def fill_in(text, count=5):
    inputs = tokenizer(text, return_tensors="pt")
    place = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
    with torch.no_grad():
        logits = filler(inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[0, place]
    best = logits.softmax(-1).topk(count)
    return {tokenizer.convert_ids_to_tokens(int(i)): round(float(p), 3) for p, i in zip(*best)}

# %%
for text in ("Crude [MASK] prices rose to a record high", "The prime [MASK] met the president for talks",
             "Shares of Google rose on the [MASK] exchange", "The Red Sox beat the New York [MASK]",
             "Paris is the capital of [MASK].", "Two plus two is [MASK].", "The cat sat on the [MASK]."):
    print(text, fill_in(text))
assert "oil" in fill_in("Crude [MASK] prices rose to a record high", 20), "knows nothing about crude oil?"

# %% [markdown]
# In the first four lines it knows its world: that of the news of those years. In the last three, which
# everybody knows, it is wrong, and not always in doubt. News does not explain what a capital is, what
# two and two make and where cats sit. Whoever asks such a network for facts gets words that often
# stand nearby. For telling four kinds of news apart that may be all we need.
#
# ### Has it read the test?
#
# A network that has seen the test rows, even without their labels, would have an advantage that
# nobody notices later. So a trace is kept of every text that was read: a hash of its words, from which
# no text can be recovered.

# %%
from agnews_utils.cleaning import clean_frame
from agnews_utils.data import text_hashes

first, same, other = text_hashes(["Oil prices rise!", "OIL prices, rise", "Oil prices fall"])
assert first == same != other, "a hash should see words and nothing else"
stored = read_hashes(bundled_encoder())["pretraining"]
frames = {"train": train.sample(min(len(train), 2000), random_state=0), "test": test}
seen = {name: float(np.isin(text_hashes(clean_frame(frame)["text"]), stored).mean())
        for name, frame in frames.items()}
assert seen["test"] == 0, "the encoder has read test rows: its test accuracy means nothing"
print(f"{len(stored):,} texts were read; of yours: {seen['train']:.1%} in train, {seen['test']:.1%} in test")

# %% [markdown]
# No test row, on either data set. Two things to know all the same. Of the training rows of AG News
# {{ ag_news.seen["train"] | percent }} were read, and the validation rows are carved out of them:
# their words are familiar to the encoder, their labels are not. And a hash sees equal words only: a
# near twin ({{ chapter.exploration }}) of a test row may have been read.
# `python -m tools.pretraining.check_texts` counts all rows again.

# %% [markdown]
# ## Fine-tuning
#
# The encoder turns a text into one vector for each piece. A new head makes four numbers of the one
# that belongs to `[CLS]`. By hand:

# %% tags=["nbval-check-output"]
with torch.no_grad():
    states = model.bert(**{name: inputs[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    pooled = torch.tanh(model.bert.pooler.dense(states[:, 0]))  # (batch, hidden), [CLS] only
    by_hand = model.classifier(pooled)  # (batch, classes): the new part
    theirs = model(inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
torch.allclose(by_hand, theirs, atol=1e-5), tuple(by_hand.shape)

# %% [markdown]
# Two recipes that you can find elsewhere: a head with *two* outputs for four classes, and BERT fed with
# word vectors of another library. Do they run?

# %% tags=["nbval-check-output"]
from agnews_utils.training import check_evaluation_mode, check_labels

def caught(function, *arguments, **options) -> str:
    try:
        return f"no error: {function(*arguments, **options)}"
    except (ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {error}"

print(caught(check_labels, torch.tensor([0, 3, 1]), classes=2))  # a head like Dense(2)
print(caught(model.bert, inputs_embeds=torch.randn(1, 7, 96)).split(":")[0])  # vectors of spaCy's size

# %% [markdown]
# Neither does. And vectors of the right size would help as little: the layers were trained on BERT's
# own embeddings. BERT takes its own ids, an attention mask, and a head with as many outputs as classes.
#
# ### Into batches
#
# The rows, the split and the length-sorted batches are those of
# {{ chapters("vocabulary", "rnn") }}. On a CPU we take a small sample of the training rows, on a
# GPU all of them.

# %%
from agnews_utils import runtime
from agnews_utils.bert import bert_loader, FINE_TUNING

on_gpu = runtime.pick_device().type == "cuda"
fit_rows, valid_rows = train_valid_split(train, valid_fraction=0.1, seed=42)
if not on_gpu:
    fit_rows = fit_rows.sample(min(len(fit_rows), 400), random_state=0)
    valid_rows = valid_rows.sample(min(len(valid_rows), 400), random_state=0)
train_batches = bert_loader(fit_rows["text"], fit_rows["label"], tokenizer)
valid_batches = bert_loader(valid_rows["text"], valid_rows["label"], tokenizer, 128, shuffle=False)
FINE_TUNING

# %% [markdown]
# Warm-up and linear decay: the rate rises from nothing to its peak, because a new head sends useless
# gradients into a good encoder at first; then it falls to nothing. By hand and in the package:

# %% tags=["nbval-check-output"]
from agnews_utils.training import schedule_factor

ours = [step / 4 if step < 4 else 1 - (step - 4) / 16 for step in range(20)]  # 20 steps, 4 of them up
assert ours == [schedule_factor(step, 20, "linear", warmup=0.2) for step in range(20)]
[round(factor, 2) for factor in ours[:8]]

# %% [markdown]
# ### Pre-trained against random weights
#
# The experiment of this chapter: the same network, the same rows, the same steps. One begins with the
# weights of the encoder, the other one with random numbers.

# %%
from transformers import AutoModelForSequenceClassification

def new_model(pretrained=True):
    torch.manual_seed(0)  # the head's weights
    model, _ = load_encoder()
    return model if pretrained else AutoModelForSequenceClassification.from_config(model.config)

def fine_tune(model, batches, valid=None, **changes):
    return fit(model, batches, valid, **{**FINE_TUNING, "epochs": 3, "seed": 1, **changes})

tuned = new_model()
start = evaluate(tuned, valid_batches)["loss"]
assert abs(start - log(4)) < 0.4, "the first loss is far from ln 4: is the head new?"

# %%
histories = {"pre-trained": fine_tune(tuned, train_batches, valid_batches),
             "random weights": fine_tune(new_model(pretrained=False), train_batches, valid_batches)}
accuracy = {name: history.best["valid_accuracy"] for name, history in histories.items()}
assert accuracy["pre-trained"] > 0.65, "fine-tuning learned little: look at rate and mask"
assert on_gpu or accuracy["pre-trained"] > accuracy["random weights"] + 0.1, "pre-training should help"
by_epoch = {name: (history.epochs["epoch"], [100 * a for a in history.epochs["valid_accuracy"]])
            for name, history in histories.items()}
title = f"The same network on {len(fit_rows):,} labeled rows"
ax = plots.lines(by_epoch, title, "epoch", "validation accuracy (%)")

# %% [markdown]
# With {{ ag_news.live_rows | count }} rows of AG News the pre-trained network is right on
# {{ ag_news.accuracy["pre-trained"] | percent }} of the validation rows, the other one on
# {{ ag_news.accuracy["random weights"] | percent }} (News Briefs:
# {{ newsbriefs.accuracy["pre-trained"] | percent }} and
# {{ newsbriefs.accuracy["random weights"] | percent }}, although the encoder has read none of its
# texts). Three epochs on few rows are hardly a start for random weights. With all rows, and with a
# rate and a number of epochs of their own, the labels themselves can teach them what words mean:
#
# **All {{ results.bert_full.ag_news.train_rows | count }} rows of AG News, official test:
# {{ results.bert_full.ag_news.fine_tuned_accuracy | percent }} pre-trained,
# {{ results.bert_full.ag_news.random_accuracy | percent }} from random weights**: a gap of
# {{ results.bert_full.ag_news.gap | points(1) }} points, where one accuracy has an interval of plus
# or minus {{ results.bert_full.ag_news.half_width | points(1) }}. The linear model of
# {{ chapter.exploration }} has {{ results.bert_full.ag_news.linear_accuracy | percent }}. On all of
# News Briefs it is {{ results.bert_full.newsbriefs.fine_tuned_accuracy | percent }} against
# {{ results.bert_full.newsbriefs.random_accuracy | percent }}, and
# {{ results.bert_full.newsbriefs.linear_accuracy | percent }} for the linear model. (Epochs chosen
# on validation rows; medians over {{ results.bert_full.ag_news.models["fine-tuned"].seeds }} seeds,
# but for random weights on AG News: {{ results.bert_full.ag_news.models["random"].seeds }}.)
#
# ### Overfitting
#
# The recorded run kept its losses by epoch:

# %%
curves = pd.DataFrame(runtime.recorded("bert_full")["curves"]["fine-tuned"]).set_index("epoch")
ax = plots.lines({"training rows": (curves.index, curves["loss"]),
                 "validation rows": (curves.index, curves["valid_loss"])},
                 "Fine-tuning on all rows of AG News", "epoch", "loss (nats per document)")
print(f"lowest validation loss after epoch {curves['valid_loss'].idxmin()} of {len(curves)}")

# %% [markdown]
# The training loss falls further than the validation loss can follow. `fit` keeps the weights of
# the epoch that was best on the *validation* rows, and `patience=1` would stop after the first
# epoch without a gain: early stopping, as in {{ chapter.rnn }}. A network that starts from good
# weights gets there within very few epochs, so that recipes for BERT say "two to four".
#
# ### Layer by layer
#
# Must everything be trained? One can freeze the encoder and train the head only; or give lower layers
# smaller rates, as they hold what is most general; or open the layers one after the other, from the
# top (Howard and Ruder, 2018). We try all of it on a hundred rows.

# %%
from agnews_utils.bert import layerwise_parameter_groups, unfreeze
from agnews_utils.training import AdamW

few = bert_loader(fit_rows["text"][:100], fit_rows["label"][:100], tokenizer, batch_size=16)

def try_strategy(rate, decay=1.0, stages=(None,)):  # None: everything is trained; 0: the head only
    tried = new_model()
    for layers in stages:
        unfreeze(tried, layers)
        groups = layerwise_parameter_groups(tried, rate, decay)
        fine_tune(tried, few, epochs=3 // len(stages), optimizer=AdamW(groups))
    return evaluate(tried, valid_batches)["accuracy"]

# %%
rates = sorted({group["lr"] for group in layerwise_parameter_groups(new_model(), 1e-3, decay=0.5)})
assert rates == [1e-3 * 0.5**k for k in range(len(rates))][::-1]  # head, layer by layer, embeddings
strategies = {"all layers": try_strategy(5e-4), "layer-wise": try_strategy(1e-3, decay=0.5),
              "head only": try_strategy(5e-3, stages=[0]), "gradual": try_strategy(1e-3, stages=[0, 1, None])}
assert max(strategies.values()) > 0.4, "a hundred rows should teach a pre-trained network something"
{name: f"{value:.1%}" for name, value in strategies.items()}

# %% [markdown]
# A hundred rows, three epochs, one seed: a demonstration. The recorded sweep has
# {{ results.bert_sweep.ag_news.rows | count }} rows of AG News and
# {{ results.bert_sweep.ag_news.seeds }} seeds for each point.

# %%
sweep = runtime.recorded("bert_sweep")
title = f"Best here: {sweep['best']['strategy']}, rate {sweep['best']['learning_rate']:g}"
ax = plots.accuracy_by_learning_rate(sweep["cells"], title)
sweep = pd.DataFrame(sweep["cells"]).pivot(index="strategy", columns="learning_rate", values="valid_accuracy")
assert (sweep.max(axis=1) - sweep.min(axis=1)).max() > sweep.max(axis=1).max() - sweep.max(axis=1).min()
sweep.round(3)

# %% [markdown]
# The best cell is *{{ results.bert_sweep.ag_news.best.strategy }}* at a rate of
# {{ results.bert_sweep.ag_news.best.learning_rate }}, with
# {{ results.bert_sweep.ag_news.best.valid_accuracy | percent }} of the validation rows. Compare along
# the rows of the table, then down its columns: between the best and the worst rate of a strategy lies
# more than between the best of one strategy and the best of another. Each strategy wants a rate of
# its own: a head alone stands large ones, and with layer-wise rates only the head gets the rate that
# is named. Published recipes for BERT-base take `2e-5` to `5e-5`; a network as small as ours wants
# more.
#
# > **What could go wrong: the learning rate is too high.**
# > The network does not merely learn badly. It collapses.

# %%
collapsed = new_model()
history = fine_tune(collapsed, few, learning_rate=0.1, epochs=2)
chosen = np.bincount(predict(collapsed, valid_batches).argmax(1), minlength=4) / len(valid_rows)
assert chosen.max() > 0.5, "no collapse at this rate: try a higher one"
print(f"loss {history.epochs['loss'][-1]:.2f}, ln 4 = {log(4):.2f}; predicted {chosen.round(2).tolist()}")

# %% [markdown]
# The symptom: a loss that stays at ln 4 or above, and (nearly) the same answer for every text. The
# large step has destroyed what pre-training had put into the weights, and a smaller rate does not
# bring it back: load the encoder again.
#
# ### On a GPU
#
# Two settings of `fit` matter there. `mixed_precision="bf16"` computes in 16 bits. What is lost?

# %% tags=["nbval-check-output"]
for kind in (torch.float32, torch.float16, torch.bfloat16):
    third = torch.tensor(1 / 3).to(kind).item()
    print(f"{kind!s:15} one third is {third:.6f}, the largest number {torch.finfo(kind).max:.0e}")

# %% [markdown]
# Half of the memory and of the traffic, at the price of digits (`bfloat16`) or of range (`float16`,
# which therefore needs its loss scaled; `fit` does that). Weights stay in 32 bits. The other
# setting, `accumulate=4`, adds up the gradients of four batches before each step, for batches that
# do not fit into the memory: the same sum as in
# {{ section("When one machine is not enough", "rnn") }}, over time instead of over processes.
#
# One saving needs no GPU. In a benchmark on AG News the Trainer of the transformers library, with every
# text padded to the longest that the network can read, as in its tutorials, needed
# {{ results.bench_fine_tuning.ag_news.cheaper | fixed(1) }} times the CPU seconds of `fit` for an epoch
# of the same model; padded to our limit it was
# {{ results.bench_fine_tuning.ag_news.cheaper_same_length | fixed(1) }} times. What lies between the two
# numbers is padding.

# %% [markdown]
# ### What could go wrong
#
# Four more bugs of fine-tuning. None of them raises an error.
#
# > **No attention mask.** The padding is read as if it were text.

# %%
def padded(batches, with_mask, length=64):
    for batch in batches:
        extra = (0, length - batch["input_ids"].shape[1])
        wide = {"input_ids": F.pad(batch["input_ids"], extra), "labels": batch["labels"]}
        yield wide | ({"attention_mask": F.pad(batch["attention_mask"], extra)} if with_mask else {})

narrow = list(valid_batches)  # padded to the longest of each batch only
masked, unmasked = (predict(tuned, padded(narrow, mask)).argmax(1) for mask in (True, False))
assert (masked == predict(tuned, narrow).argmax(1)).mean() > 0.99, "a prediction depends on its padding"
unmasked = {"changed": float((unmasked != masked).mean()),
            "accuracy": evaluate(tuned, padded(valid_batches, False))["accuracy"]}
unmasked

# %% [markdown]
# With the mask, padding changes nothing; the assert keeps watch. Without it
# {{ ag_news.unmasked["changed"] | percent }} of the answers on AG News changed and
# {{ ag_news.unmasked["accuracy"] | percent }} were right, instead of
# {{ ag_news.flattered["validation rows"] | percent }}. The symptom: an answer depends on how long the
# neighbors in its batch are.
#
# > **The wrong tokenizer for the weights.** Any tokenizer gives ids, and any ids in range are accepted.

# %%
other_tokenizer = train_tokenizer(fit_rows["text"], vocab_size=len(tokenizer))
other_batches = bert_loader(valid_rows["text"], valid_rows["label"], other_tokenizer, 128, shuffle=False)
wrong_tokenizer = evaluate(tuned, other_batches)["accuracy"]
wrong, right = (encode_for_bert(headlines[:1], each)[0] for each in (other_tokenizer, tokenizer))
print(f"accuracy {wrong_tokenizer:.1%}; what the network reads: {tokenizer.decode(wrong)[:60]}")
assert tokenizer.decode(right) == f"[CLS] {headlines[0].lower()} [SEP]", "not the tokenizer of these weights"

# %% [markdown]
# The same words, other numbers, and the network reads nonsense. The check: decode what you encoded,
# with the tokenizer that stands beside the weights. `load_encoder` returns both from one place, and
# refuses a tokenizer whose ids go beyond the embeddings.
#
# > **`eval()` forgotten.** In training mode dropout is on, and a prediction is drawn at random.

# %% tags=["nbval-check-output"]
def twice(network):
    return torch.equal(*(network(inputs["input_ids"], inputs["attention_mask"]).logits for _ in range(2)))

print("in training mode twice the same:", twice(model.train()))
print(caught(check_evaluation_mode, model).split(":", 1)[1].strip())
print("in evaluation mode:", twice(model.eval()))

# %% [markdown]
# > **Evaluated on the training rows.** A network that learned them by heart looks splendid.

# %%
flattered = {"training rows": evaluate(tuned, train_batches)["accuracy"],
             "validation rows": evaluate(tuned, valid_batches)["accuracy"]}
assert flattered["training rows"] > flattered["validation rows"] - 0.05
{name: f"{value:.1%}" for name, value in flattered.items()}

# %% [markdown]
# On AG News {{ ag_news.flattered["training rows"] | percent }} against
# {{ ag_news.flattered["validation rows"] | percent }}. Only the second number says how the network will
# do on texts that it has not seen.
#
# | symptom | likely cause | check |
# |---|---|---|
# | predictions depend on the batch | no attention mask | pad more, compare |
# | accuracy near chance with good weights | tokenizer and weights do not belong together | decode what you encoded |
# | loss stays at ln 4, one class for all | rate too high: collapse | count the predicted classes |
# | two calls, two answers | `eval()` forgotten | `check_evaluation_mode` |
# | too good | evaluated on rows it was trained on, or on rows it was pre-trained on | split, hashes |
# | a sentence about labels | `Dense(2)` for four classes, or labels from 1 | `check_labels` |

# %% [markdown]
# ## What pre-training buys
#
# ### Few labels
#
# How many labels is it worth? Take ten rows of each class, forty labels in all, an hour of
# somebody's work. Besides fine-tuning there are cheaper ways to use an encoder. *Frozen*: its pooled
# `[CLS]` is computed once for each text, and a linear classifier learns on these vectors.
# *Self-trained*: that classifier labels the texts that nobody has labeled, learns from the answers of
# which it is surest, and repeats (Yarowsky, 1995; Lee, 2013). And words without any encoder:

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC
from agnews_utils.bert import pooled_states, self_train

encoder = new_model().to(runtime.pick_device())
states, valid_states = (pooled_states(encoder, tokenizer, list(rows["text"]))
                        for rows in (fit_rows, valid_rows))
def linear_models(rows):  # three linear classifiers, on words and on the encoder's vectors
    own, words = fit_rows.index.isin(rows.index), TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    linear = LinearSVC(random_state=0).fit(words.fit_transform(rows["text"]), rows["label"])
    scores = {"linear": linear.score(words.transform(valid_rows["text"]), valid_rows["label"])}
    for name, rounds in (("frozen", 0), ("self-trained", 5)):
        head = self_train(states[own], fit_rows["label"][own], states[~own], rounds)
        scores[name] = head.score(valid_states, valid_rows["label"])
    return scores

# %%
few_rows = []
for rows in [fit_rows.groupby("label").sample(10, random_state=seed) for seed in (1, 2)]:
    networks = {"fine-tuned": new_model(), "random": new_model(pretrained=False)}
    loader = bert_loader(rows["text"], rows["label"], tokenizer, batch_size=8)
    for network in networks.values():
        fine_tune(network, loader, epochs=6)
    scores = {name: evaluate(network, valid_batches)["accuracy"] for name, network in networks.items()}
    few_rows.append(scores | linear_models(rows))
few_rows = pd.DataFrame(few_rows, index=["first draw", "second draw"])
assert few_rows["fine-tuned"].mean() > few_rows["random"].mean() + 0.1, "no gain from pre-training?"
few_rows.round(3)

# %% [markdown]
# Read both lines: which forty rows you happen to label matters, too. The recorded runs have
# {{ results.bert_curves.ag_news.few_draws }} draws for the smallest number of rows, and go on to all of
# them. The bands are 95 % intervals.

# %%
points = runtime.recorded("bert_curves")["points"]
assert {"fine-tuned", "frozen", "random", "linear"} <= {point["model"] for point in points}
ax = plots.accuracy_by_rows(points, "AG News: what labels and pre-training are worth")

# %% [markdown]
# With ten rows a class the pre-trained network, fine-tuned, reaches
# {{ results.bert_curves.ag_news.few_fine_tuned | percent }} of the test rows; frozen
# {{ results.bert_curves.ag_news.few_frozen | percent }}; frozen and self-trained
# {{ results.bert_curves.ag_news.few_self_trained | percent }}; the linear model on words
# {{ results.bert_curves.ag_news.few_linear | percent }}; random weights
# {{ results.bert_curves.ag_news.few_random | percent }}, where guessing gives a quarter. Go from left to
# right: the curves come together. What pre-training teaches, enough labels teach as well. The fewest
# rows that were tried with which the fine-tuned network reaches what random weights reach with all:
# {{ (results.bert_curves.ag_news.same_as_random_all | count) if results.bert_curves.ag_news.same_as_random_all else "none below all of them" }}.
# Self-training pays where labels are fewest. From thirty rows a class on it brings nothing, and then
# it harms: the network's own errors come back to it as labels.
# And the linear model, which costs a second, stays a serious opponent where labels are many: draw
# these curves before you rent a GPU.

# %% [markdown]
# ## Bigger models
#
# Everything above runs with any encoder of that family; only the name changes. What would
# `bert-base-uncased` cost? Count its weights by hand, and compare with the library's.

# %% tags=["nbval-check-output"]
from transformers import BertConfig, BertModel

def count_weights(layers, hidden, pieces=30_522, positions=512):
    embeddings = (pieces + positions + 2) * hidden + 2 * hidden  # and two segments, and a norm
    one_layer = 4 * (hidden**2 + hidden) + (8 * hidden**2 + 5 * hidden) + 4 * hidden
    return embeddings + layers * one_layer + (hidden**2 + hidden)  # the pooler

with torch.device("meta"):  # shapes without memory
    base = BertModel(BertConfig())
assert count_weights(12, 768) == sum(weight.numel() for weight in base.parameters())
f"{count_weights(12, 768):,}"

# %%
own, epochs = model.config, histories["pre-trained"].epochs
bigger = 12 * 768**2 / (own.num_hidden_layers * own.hidden_size**2)  # the layers do nearly all the work
seconds = 120_000 * min(epochs["cpu_seconds"]) / epochs["documents"][0]  # one epoch of ours
print(f"{bigger:.0f} times the arithmetic of ours. One epoch over 120,000 texts on this computer:")
print(f"{seconds / 60:.0f} CPU minutes for ours, {seconds * bigger / 3600:.0f} CPU hours for BERT-base")

# %% [markdown]
# On a GPU it is minutes. What to change: the name, a smaller rate, 16 bits. It downloads some hundred
# megabytes once, so the cell is switched off. (Without a network `load_encoder` says so within seconds,
# and names the encoder that is there.)

# %%
RUN_BIG = False  # True on a Colab GPU; on a CPU see the hours above
BIG = "bert-base-uncased"  # or "distilbert-base-uncased", "roberta-base", "google/bert_uncased_L-4_H-256_A-4"

if RUN_BIG:
    big, big_tokenizer = load_encoder(BIG)
    big_train, big_valid = (bert_loader(rows["text"], rows["label"], big_tokenizer, shuffle=rows is fit_rows)
                            for rows in (fit_rows, valid_rows))
    history = fit(big, big_train, big_valid, epochs=3, learning_rate=3e-5, schedule="linear", warmup=0.1,
                  mixed_precision="fp16" if on_gpu else None)
    print(f"{BIG}: {history.best['valid_accuracy']:.1%} of the validation rows")

# %% [markdown]
# What to expect is published. Ours and theirs, and which is which:
#
# | model | training rows | AG News test | |
# |---|---|---|---|
# | linear model ({{ chapter.exploration }}) | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.bert_full.ag_news.linear_accuracy | percent }} | measured here |
# | our BERT, random weights | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.bert_full.ag_news.random_accuracy | percent }} | measured here |
# | our BERT, pre-trained on news | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.bert_full.ag_news.fine_tuned_accuracy | percent }} | measured here |
# | {{ published.readme_rows[1].model }} | {{ published.readme_rows[1].training }} | {{ published.readme_rows[1].accuracy }}% | published: {{ published.readme_rows[1].source }} |
# | {{ published.readme_rows[2].model }} | {{ published.readme_rows[2].training }} | {{ published.readme_rows[2].accuracy }}% | published: {{ published.readme_rows[2].source }} |
# | {{ published.readme_rows[3].model }} | {{ published.readme_rows[3].training }} | {{ published.readme_rows[3].accuracy }}% | published: {{ published.readme_rows[3].source }} |
#
# The last one has read billions of words before it saw a label, and was trained on all official
# rows. That, and not a better head, is where its points come from.
#
# ## What you will read elsewhere
#
# | claim | what this chapter shows |
# |---|---|
# | "BERT is pre-trained on AG News" | on books and Wikipedia; on AG News only here: {{ section("Pre-training") }} |
# | it "maximizes the product over all words" | over the hidden ones: {{ section("Pre-training") }} |
# | `Dense(2)` on top | four classes need four outputs: {{ section("Fine-tuning") }} |
# | BERT takes spaCy's vectors | it takes its own ids and a mask: {{ section("Fine-tuning") }} |
# | `tf.keras.applications.Bert` | there is no such thing; that module holds networks for images |
# | fine-tune on the test data | that is leakage, and so is pre-training on it: {{ section("Pre-training") }} |

# %% [markdown]
# ## Using it
#
# ### Save and load
#
# Weights, configuration and tokenizer belong together, so they are saved together; in half precision
# the file is half as large. What do we lose?

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

from agnews_utils.bert import predict_texts, save_encoder

with TemporaryDirectory() as folder:
    saved = save_encoder(tuned.cpu(), tokenizer, Path(folder, "mine"), half=True)
    megabytes = (saved / "model.safetensors").stat().st_size / 1e6
    loaded, its_tokenizer = load_encoder(saved)
texts = valid_rows["text"]
probabilities = predict_texts(loaded, its_tokenizer, texts)  # (rows, classes)
change = np.abs(probabilities - predict_texts(tuned, tokenizer, texts)).max()
assert change < 0.05, "half precision should change next to nothing"
print(f"{megabytes:.1f} MB; largest change of a probability {change:.4f}")

# %% [markdown]
# Every file is listed with its size and hash; `load_encoder` refuses one that was cut off or
# exchanged, and says which. Now: is a text that comes in later treated as those in training were?
# Texts go one way here, the batches of {{ section("Fine-tuning") }} another one.

# %%
right = (probabilities.argmax(1) == valid_rows["label"]).mean()
assert abs(right - evaluate(tuned, valid_batches)["accuracy"]) < 0.01, "training and use differ"
shorter = (predict_texts(loaded, its_tokenizer, texts, max_length=12).argmax(1) == valid_rows["label"]).mean()
print(f"right {right:.1%}; with texts cut at 12 pieces instead of 64: {shorter:.1%}")

# %% [markdown]
# The same accuracy as in training. Cut at another length the texts are other texts, and nothing warns
# of it: the limit belongs to the model like its tokenizer.

# %% [markdown]
# ### A new article

# %%
new_articles = ["Striker scores twice as visitors win the cup final",
                "Central bank raises interest rates as prices climb",
                "Researchers build a faster chip for computers",
                "President and opposition sign peace agreement after talks"]
ax = plots.probability_bars(predict_texts(tuned, tokenizer, new_articles), new_articles,
                            "What the network makes of four new headlines")

# %%
runtime.record("bert", news, {
    "live_rows": len(fit_rows), "cut_at_64": cut.loc[64].to_dict(), "loss": [first_loss, live_loss], "seen": seen,
    "accuracy": accuracy, "strategies": strategies, "collapse_share": chosen.max(), "unmasked": unmasked,
    "wrong_tokenizer": wrong_tokenizer, "flattered": flattered, "few_rows": few_rows.to_dict("list"),
}, headline=f"fine-tuned on {len(fit_rows):,} rows: {accuracy['pre-trained']:.1%} (validation)", seed=0)

# %% [markdown]
# ## Exercises
#
# 1. Add a fourth key that equals the query of {{ section("Attention by hand") }}. What is its
#    weight? Predict, then compute.
# 2. Leave out the division by the root of $d_k$ in `layer_by_hand`. How far is it from BERT's layer?
# 3. Write `[CLS] a b [SEP]` with a mask that hides `b` from `a`, but not from the others. What shape
#    must the mask have?
# 4. Cut the longest words of your data into pieces. Which of them would you have cut elsewhere?
# 5. Pre-train the small BERT with whole words hidden (`whole_words=True`). Why is the loss higher?
# 6. Fill in ten masks of your own. Find one where the network is sure and wrong.
# 7. Fine-tune with a head on the mean of all states instead of `[CLS]`. Which one is better with forty
#    rows, which one with all?
# 8. Repeat the cell with forty labels for ten draws and give each mean its interval. Which differences
#    remain?
# 9. Pre-train for ten minutes with the command of {{ section("Pre-training") }} and fine-tune what
#    comes out (`load_encoder` takes its folder). Where in the plot of
#    {{ section("What pre-training buys") }} does it lie?
#
# ## Recap
#
# - Attention is a weighted average; the weights are a softmax of products, divided by the root of $d_k$.
# - Without positions a Transformer reads a bag of words.
# - WordPiece knows every word whose letters it knows. Tokenizer and weights belong together.
# - Pre-training asks for hidden pieces, and the loss knows only those.
# - The fewer labels, the more it buys. Draw the curve, with the linear model in it.
# - The learning rate matters more than the strategy; too high a rate destroys the encoder.
# - Prove that the test rows were not read, neither by you nor by the network.
#
# ## Further reading
#
# - A. Vaswani and others (2017): *Attention is all you need*.
# - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova (2019): *BERT: Pre-training of deep bidirectional
#   Transformers for language understanding*.
# - M. Schuster, K. Nakajima (2012): *Japanese and Korean voice search*. WordPiece.
# - D. Yarowsky (1995): *Unsupervised word sense disambiguation rivaling supervised methods*; D.-H. Lee
#   (2013): *Pseudo-label*. Self-training.
# - J. Howard, S. Ruder (2018): *Universal language model fine-tuning for text classification*.
# - C. Sun, X. Qiu, Y. Xu, X. Huang (2019): *How to fine-tune BERT for text classification?*
# - A. van den Oord, Y. Li, O. Vinyals (2018): *Representation learning with contrastive predictive
#   coding*. The loss of matching titles and descriptions.
# - S. Jain, B. Wallace (2019): *Attention is not explanation*.
# - M. Mosbach, M. Andriushchenko, D. Klakow (2021): *On the stability of fine-tuning BERT*.
