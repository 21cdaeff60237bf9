# ---
# title: BERT fine-tuning
# summary: Use a pre-trained encoder frozen, half open and whole, and measure what pre-training is worth in labels.
# run: bert
# goals:
#   - use the states of a frozen encoder, and pool them by hand
#   - fine-tune the head, the top layers or everything, and know what the measurement can tell apart
#   - learn from ten rows a class with pairs of texts
#   - look at what an encoder sees, in neighbors, maps, and the words that an answer hangs on
#   - catch the bugs of fine-tuning that raise no error; save, load and use a network
# prerequisites:
#   - "{{ chapter.pretraining.link }} and {{ chapter.rnn.link }}"
#   - the training loop, validation rows, early stopping
# data: AG News, or the bundled News Briefs; the encoder that the set-up fetches, else the one that comes with the course
# accelerator: helpful for all rows of AG News and for bigger models
# ---

# %% [markdown]
# ## Fine-tuning
#
# {{ Chapter.pretraining }} made a small BERT from random numbers. Here we take one that has read far
# more, if the set-up fetched it: all-MiniLM-L6-v2. Without it `load_encoder` takes the small one, and
# every cell below runs with either. Which one is it?

# %%
import torch

from agnews_utils.bert import load_encoder
from agnews_utils.data import load_news

torch.set_num_threads(1)  # enough for a small network; leave it out for long runs on many cores
torch.manual_seed(0)  # the head is new: its weights are drawn here
news = load_news()
model, tokenizer = load_encoder(classes=news.classes)

# %% [markdown]
# It makes a vector, a *state*, of each piece of a text. How do many states become one answer?
#
# ### Pooling
#
# BERT's own way: the state of `[CLS]` goes through one more matrix, the pooler, and a new head turns
# the result into one number for each class.

# %%
headlines = ["Oil prices rise again as storms close ports", "Keeper saves two penalties",
             "New chip makes laptops faster", "Leaders meet for peace talks"]
batch = tokenizer(headlines, padding=True, return_tensors="pt")
ids, mask = batch["input_ids"], batch["attention_mask"]  # (batch, length) each

# %% tags=["nbval-check-output"]
with torch.no_grad():
    states = model.bert(ids, attention_mask=mask).last_hidden_state  # (batch, length, hidden)
    pooled = torch.tanh(model.bert.pooler.dense(states[:, 0]))  # (batch, hidden), [CLS] only
    by_hand = model.classifier(pooled)  # (batch, classes): the new part
    theirs = model(ids, attention_mask=mask).logits
torch.allclose(by_hand, theirs, atol=1e-5)

# %% [markdown]
# The other way is the mean of all states. Padding is no part of a text, so it must not count:

# %% tags=["nbval-check-output"]
from agnews_utils.bert import mean_pool

real = mask.unsqueeze(-1)  # (batch, length, 1): 1 for a piece, 0 for padding
mean_by_hand = (states * real).sum(1) / real.sum(1)
torch.allclose(mean_by_hand, mean_pool(states, mask), atol=1e-6)

# %% [markdown]
# MiniLM was trained to put the meaning of a text into that mean (Reimers and Gurevych, 2019), so it is
# what we use from here on. A network that does so with a head of its own:

# %% tags=["nbval-check-output"]
from agnews_utils.bert import MeanPooledClassifier

network = MeanPooledClassifier.of(model).eval()
with torch.no_grad():
    same = torch.allclose(network(ids, mask).logits, network.classifier(mean_by_hand), atol=1e-5)
same

# %% [markdown]
# Does the pooling matter after fine-tuning on many rows? Recorded on a GPU, both encoders on
# {{ results.students.ag_news.rows | count }} rows of AG News, with all recipes that were tried:

# %%
import pandas as pd

from agnews_utils import plots, runtime

recipes = pd.DataFrame(runtime.recorded("bert_recipes")["recipes"]).set_index(["encoder", "recipe"])
recipes[["valid_accuracies", "test_accuracies"]].map(lambda runs: ", ".join(f"{100 * run:.2f}" for run in runs))

# %% tags=["author"]
for encoder in ("bundled", "minilm"):
    mean, cls = (recipes.loc[encoder, name] for name in ("as chosen before", "[CLS] instead of the mean"))
    (cls_run,) = cls["valid_accuracies"]
    assert min(mean["valid_accuracies"]) - 0.002 < cls_run < max(mean["valid_accuracies"]), encoder

# %% [markdown]
# In percent, a run for each seed. One run of `[CLS]` lies among the three runs of the mean, for both encoders: from
# these no difference can be told. Of the other recipes of the small encoder only the one with twice the learning rate lies
# below all three, on validation and on test rows. *R-Drop* (Liang and others, 2021) shows each text to MiniLM twice, with other dropout, and asks both answers to agree; its one run is
# the best on validation rows and took twice the steps. On frozen states, where nothing adapts to the head, pooling
# may be another matter.
#
# Two common mistakes are a head with *two* outputs for four classes, and BERT fed with word vectors
# of another library. Do they run?

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
# Neither does. BERT takes its own ids, an attention mask, and a head with as many outputs as classes.
#
# ### Raw or cleaned?
#
# All encoders of this chapter, but for that of one recorded sweep, read *repaired* texts: title and description cleaned apart and joined,
# as `clean_frame` of {{ chapter.cleaning }} does, but with dateline and agency left in.

# %% tags=["nbval-check-output"]
from agnews_utils.cleaning import clean_frame, repair_frame

example = pd.DataFrame({"title": ["Oil #39;up#39; (Reuters)"], "description": ["LONDON (Reuters) - Prices rose."]})
print(repair_frame(example)["text"][0])
print(clean_frame(example)["text"][0])

# %% [markdown]
# Broken characters help nobody. But who wrote an article says something about its class in these data,
# and models that we compare with have read it. For news of other sources it is a clue that will fail:
# there `clean_frame` is the safer choice. The encoder that comes with the course was pre-trained on
# such repaired texts, too ({{ section("Where to cut", "pretraining") }}).
#
# ### Into batches
#
# Few rows are enough for the live part of this chapter. The recorded runs have all of them.

# %%
from agnews_utils.data import train_valid_split

on_gpu = runtime.pick_device().type == "cuda"
fit_rows, valid_rows = train_valid_split(news.train, valid_fraction=0.1, seed=42)
fit_rows = fit_rows.sample(min(len(fit_rows), 2_000 if on_gpu else 160), random_state=0)
valid_rows = valid_rows.sample(min(len(valid_rows), 1_000 if on_gpu else 200), random_state=0)
fit_rows, valid_rows = repair_frame(fit_rows), repair_frame(valid_rows)
fit_labels, valid_labels = (rows["label"].to_numpy(copy=True) for rows in (fit_rows, valid_rows))
len(fit_rows), len(valid_rows)

# %%
from agnews_utils.bert import MAX_LENGTH, bert_loader

train_batches = bert_loader(fit_rows["text"], fit_labels, tokenizer, batch_size=16)
valid_batches = bert_loader(valid_rows["text"], valid_labels, tokenizer, 64, shuffle=False)
{name: tuple(values.shape) for name, values in next(iter(train_batches)).items()}

# %% [markdown]
# ## Frozen
#
# The cheapest way to use an encoder: leave it as it is, read each text once, and keep the states. Many
# experiments can then use them. Beside the states of the last layer we keep what the top layers
# receive, for later.

# %%
top = max(1, model.config.num_hidden_layers // 3)  # how many layers count as "top" here

def read(encoder, texts, size=64):
    encoded = tokenizer(list(texts), truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
    kept = []
    with torch.no_grad():
        for part in zip(encoded["input_ids"].split(size), encoded["attention_mask"].split(size)):
            ids, mask = (values.to(encoder.device) for values in part)
            hidden = encoder(ids, attention_mask=mask, output_hidden_states=True).hidden_states
            kept.append(torch.stack([hidden[-1 - top], hidden[-1]]).cpu())
    lower, last = torch.cat(kept, dim=1)  # (texts, length, hidden) each
    return {"lower": lower, "last": last, "mask": encoded["attention_mask"]}

# %%
encoder = model.bert.to(runtime.pick_device())
fit_read, valid_read = read(encoder, fit_rows["text"]), read(encoder, valid_rows["text"])
fit_read["last"].shape, valid_read["last"].shape

# %% [markdown]
# A linear classifier on the pooled states is all that learns. The same with a network of random
# weights, and on words (TF-IDF) instead of states:

# %%
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

def pooled(kept, pooling="mean"):
    vectors = mean_pool(kept["last"], kept["mask"]) if pooling == "mean" else kept["last"][:, 0]
    return F.normalize(vectors, dim=-1).numpy()  # (texts, hidden), each of length 1

def linear_head(vectors, labels):
    return LogisticRegression(C=10, max_iter=2_000).fit(vectors, labels)

# %%
from transformers import AutoModel

torch.manual_seed(0)
random_encoder = AutoModel.from_config(model.config).eval()
random_fit, random_valid = read(random_encoder, fit_rows["text"]), read(random_encoder, valid_rows["text"])

# %%
from sklearn.feature_extraction.text import TfidfVectorizer

words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(fit_rows["text"])
inputs = {"frozen, mean": (pooled(fit_read), pooled(valid_read)),
          "frozen, [CLS]": (pooled(fit_read, "cls"), pooled(valid_read, "cls")),
          "random weights, mean": (pooled(random_fit), pooled(random_valid)),
          "words": (words.transform(fit_rows["text"]), words.transform(valid_rows["text"]))}
answers = {name: linear_head(left, fit_labels).predict(right) for name, (left, right) in inputs.items()}
frozen_accuracy = {name: float((answer == valid_labels).mean()) for name, answer in answers.items()}
frozen_accuracy

# %% [markdown]
# Could chance have made these differences? All answered the same rows, so only those count where one is
# right and the other is wrong. If two were equally good, each of these rows would be the toss of a coin.

# %%
from scipy.stats import binomtest

def compare(first, second):
    only_first = int(((first == valid_labels) & (second != valid_labels)).sum())
    only_second = int(((first != valid_labels) & (second == valid_labels)).sum())
    unequal = only_first + only_second
    p = float(binomtest(only_first, unequal).pvalue) if unequal else 1.0
    return {"only the first right": only_first, "only the second right": only_second, "p": p}

pd.DataFrame({f"frozen, mean / {name}": compare(answers["frozen, mean"], answers[name])
              for name in list(answers)[1:]}).T

# %% tags=["author"]
assert not news.measured or frozen_accuracy["frozen, mean"] > frozen_accuracy["random weights, mean"] + 0.1

# %% [markdown]
# With {{ ag_news.live_rows | count }} rows of AG News, {{ ag_news.encoder }}, frozen and pooled by the mean, is right on
# {{ ag_news.frozen_accuracy["frozen, mean"] | percent }} of {{ ag_news.valid_rows | count }} validation
# rows, random weights on {{ ag_news.frozen_accuracy["random weights, mean"] | percent }}, words on
# {{ ag_news.frozen_accuracy["words"] | percent }} (News Briefs:
# {{ newsbriefs.frozen_accuracy["frozen, mean"] | percent }},
# {{ newsbriefs.frozen_accuracy["random weights, mean"] | percent }} and
# {{ newsbriefs.frozen_accuracy["words"] | percent }}). With `[CLS]` in the place of the mean it is
# {{ ag_news.frozen_accuracy["frozen, [CLS]"] | percent }} and {{ newsbriefs.frozen_accuracy["frozen, [CLS]"] | percent }}. The last column above tells which of the
# differences these rows can carry. {{ Chapter.evaluation }} tells more about this test.
#
# ### Neighbors of a headline
#
# The vectors have length 1, so the product of two is their cosine. Which training texts lie nearest to
# a headline of our own?

# %%
from agnews_utils.bert import pooled_states

query = pooled_states(model, tokenizer, ["Keeper saves two penalties in cup final"], pooling="mean")
cosines = pooled(fit_read) @ query[0]
nearest = cosines.argsort()[::-1][:5]
pd.DataFrame({"cosine": cosines[nearest].round(2), "class": fit_rows["class_name"].iloc[nearest],
              "title": fit_rows["title"].iloc[nearest].str[:70]}).reset_index(drop=True)

# %% [markdown]
# No label was used. Read down the titles: do they share words with the headline, or a subject?

# %% tags=["author"]
assert torch.allclose(torch.from_numpy(pooled_states(model, tokenizer, list(valid_rows["text"][:8]), pooling="mean")),
                      torch.from_numpy(pooled(valid_read)[:8]), atol=1e-4)

# %% [markdown]
# ## Layer by layer
#
# What is frozen can be opened: the head only, the top layers, or everything.
#
# ### Top layers on stored states
#
# If the lower layers do not change, neither does what they hand up. So we let the top layers learn on
# the states that we kept, and never compute the lower ones again.

# %%
import copy

from torch import nn

class TopLayers(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.layers = copy.deepcopy(model.bert.encoder.layer[-top:])
        self.head = nn.Linear(model.config.hidden_size, len(news.classes))

    def states(self, lower, attention_mask):
        hidden, padding = lower, (1.0 - attention_mask[:, None, None, :]) * -1e9
        for layer in self.layers:
            found = layer(hidden, padding)
            hidden = found[0] if isinstance(found, tuple) else found  # depends on transformers' version
        return mean_pool(hidden, attention_mask)

    def forward(self, lower, attention_mask):
        return self.head(self.states(lower, attention_mask))

# %% [markdown]
# Before it learns, it must compute what the whole encoder computes:

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
upper = TopLayers(model.cpu()).eval()
with torch.no_grad():
    whole = mean_pool(valid_read["last"][:16], valid_read["mask"][:16])
    rebuilt = upper.states(valid_read["lower"][:16], valid_read["mask"][:16])
torch.allclose(whole, rebuilt, atol=1e-4)

# %% [markdown]
# `fit` takes any network and any list of batches whose names are those that `forward` asks for:

# %%
from agnews_utils.training import evaluate, fit, predict

def stored_batches(kept, labels, size=16):
    parts = zip(kept["lower"].split(size), kept["mask"].split(size), torch.from_numpy(labels).split(size))
    return [{"lower": lower, "attention_mask": mask, "labels": part} for lower, mask, part in parts]

small = model.config.hidden_size < 300  # the encoder of the course wants larger steps than MiniLM
PEAK = 1e-3 if small else 3e-4
recipe = {"epochs": 5 if small else 3, "learning_rate": PEAK, "schedule": "linear", "warmup": 0.1, "seed": 1}
top_history = fit(upper, stored_batches(fit_read, fit_labels), **recipe)
answers["top layers"] = predict(upper, stored_batches(valid_read, valid_labels)).argmax(1)

# %% [markdown]
# ### All layers
#
# Now nothing can be stored: each step reads its texts through the whole network, forward and backward.
# The learning rate rises from nothing to its peak, because a new head sends useless gradients into a
# good encoder at first; then it falls to nothing. By hand and in the package:

# %% tags=["nbval-check-output"]
from agnews_utils.training import schedule_factor

ours = [step / 4 if step < 4 else 1 - (step - 4) / 16 for step in range(20)]  # 20 steps, 4 of them up
assert ours == [schedule_factor(step, 20, "linear", warmup=0.2) for step in range(20)]
[round(factor, 2) for factor in ours[:8]]

# %% [markdown]
# Lower layers hold what is most general, so they may learn more slowly than the ones above them (Howard
# and Ruder, 2018). Each layer gets a fixed share of what the one above it gets:

# %%
from agnews_utils.bert import layerwise_parameter_groups
from agnews_utils.training import AdamW

torch.manual_seed(0)
tuned = MeanPooledClassifier.of(load_encoder(classes=news.classes, quiet=True)[0])
groups = layerwise_parameter_groups(tuned, PEAK, decay=0.7)
sorted({round(group["lr"], 6) for group in groups}, reverse=True)

# %% [markdown]
# Before the first step the loss should be near that of guessing, the logarithm of the number of classes:

# %%
from math import log

first_batch = next(iter(train_batches))
with torch.no_grad():
    first_loss = F.cross_entropy(tuned(first_batch["input_ids"], first_batch["attention_mask"]).logits,
                                 first_batch["labels"]).item()
print(f"first loss {first_loss:.2f}, guessing {log(len(news.classes)):.2f}")

# %%
history = fit(tuned, train_batches, **recipe, optimizer=AdamW(groups))
probabilities = predict(tuned, valid_batches)
answers["all layers"] = probabilities.argmax(1)
tuned_accuracy = {name: float((answers[name] == valid_labels).mean())
                  for name in ("frozen, mean", "top layers", "all layers")}
cost = {"top layers": sum(top_history.epochs["cpu_seconds"]), "all layers": sum(history.epochs["cpu_seconds"])}
tuned_accuracy, {name: round(value, 1) for name, value in cost.items()}

# %%
pd.DataFrame({"all layers / frozen": compare(answers["all layers"], answers["frozen, mean"]),
              "all layers / top layers": compare(answers["all layers"], answers["top layers"])}).T

# %% tags=["author"]
assert tuned_accuracy["all layers"] > 0.5 or not news.measured, "fine-tuning learned little: look at learning rate and mask"

# %% [markdown]
# CPU seconds are below the accuracies. On AG News the frozen encoder had
# {{ ag_news.tuned_accuracy["frozen, mean"] | percent }}, the top layers
# {{ ag_news.tuned_accuracy["top layers"] | percent }}, all layers
# {{ ag_news.tuned_accuracy["all layers"] | percent }} (News Briefs:
# {{ newsbriefs.tuned_accuracy["frozen, mean"] | percent }},
# {{ newsbriefs.tuned_accuracy["top layers"] | percent }} and
# {{ newsbriefs.tuned_accuracy["all layers"] | percent }}): one seed and few rows; the table above says for two pairs
# what so few rows can tell apart. With all rows of AG News the median of {{ results.bert_full.ag_news.models.minilm.seeds }}
# fine-tuned MiniLM networks is right on {{ results.bert_full.ag_news.models.minilm.test_accuracy | percent(2) }} of the test rows.
#
# ### Learning rates
#
# *A short course may skip this section.*
#
# Is one strategy better than another? Ask first whether each has its own best learning rate. Two more strategies
# come in: *gradual* opens one layer more in each epoch, *layer-wise* gives each layer half the learning rate of the
# one above. The recorded sweep, with an earlier, smaller encoder of the course, has
# {{ results.bert_sweep.ag_news.rows | count }} raw
# rows of AG News, {{ results.bert_sweep.ag_news.seeds }} seeds for each point, and
# {{ results.bert_sweep.ag_news.valid_rows | count }} validation rows.

# %%
sweep = runtime.recorded("bert_sweep")
ax = plots.accuracy_by_learning_rate(sweep["cells"], "AG News, raw, earlier encoder: the best learning rate for the head harms all layers")

# %%
cells = pd.DataFrame(sweep["cells"])
best = cells.loc[cells.groupby("strategy")["valid_accuracy"].idxmax()].set_index("strategy")
best[["learning_rate", "valid_accuracy", "low", "high"]].sort_values("valid_accuracy")

# %% tags=["author"]
top_three = best["valid_accuracy"].nlargest(3)
rate_table = cells.pivot(index="strategy", columns="learning_rate", values="valid_accuracy")
tenth_costs = (rate_table[1e-3] - rate_table[1e-4])[top_three.index].min()
behind = best["valid_accuracy"].max() - best.loc["head only", "valid_accuracy"]
assert set(best.loc[top_three.index, "learning_rate"]) == {1e-3}

# %% [markdown]
# Each strategy at the best of {{ ag_news.sweep_rates | count }} learning rates, the best of
# {{ ag_news.sweep_cells | count }} cells on the same rows: three of them lie within
# {{ ag_news.sweep_top_spread | points(2) }} points of each other, and the head alone stays
# {{ ag_news.sweep_head_behind | points(1) }} points behind, with the largest learning rate that was tried. (`low` and
# `high` are the two seeds.) But at a tenth of its best learning rate each of
# the three loses {{ ag_news.sweep_tenth_costs | points(1) }} points or more. So do not ask for the best
# strategy, ask for its learning rate. It depends on the network: Devlin and others (2019, sec. A.3) take
# `2e-5` to `5e-5` for BERT-base; smaller ones want more.
#
# > **What could go wrong: the learning rate is too high.**
# > The network does not merely learn badly. It collapses.

# %%
import numpy as np

torch.manual_seed(0)
collapsed = TopLayers(load_encoder(classes=news.classes, quiet=True)[0])
broken = fit(collapsed, stored_batches(fit_read, fit_labels), **recipe | {"learning_rate": 0.3, "epochs": 1})
collapsed_answers = predict(collapsed, stored_batches(valid_read, valid_labels)).argmax(1)
chosen = np.bincount(collapsed_answers, minlength=len(news.classes)) / len(valid_rows)
print(f"loss {broken.epochs['loss'][-1]:.2f}; share of each class among the answers {chosen.round(2).tolist()}")

# %% tags=["author"]
assert chosen.max() > 0.5 or not news.measured, "no collapse at this learning rate: try a higher one"

# %% [markdown]
# The symptom: a loss at or above that of guessing, and (nearly) the same answer for every text. The
# large steps have destroyed what pre-training had put into the weights, and a smaller learning rate does
# not bring it back: load the encoder again.

# %% [markdown]
# ## What fine-tuning changes
#
# Let us draw the pooled states of the validation rows before and after. Of all dimensions we take the two
# along which the texts differ most: the first two directions of a singular value decomposition.

# %%
maps = {"before": pooled(valid_read),
        "after": pooled_states(tuned, tokenizer, list(valid_rows["text"]), pooling="mean")}

def two_dimensions(vectors):
    centered = vectors - vectors.mean(0)
    _, _, directions = np.linalg.svd(centered, full_matrices=False)
    return centered @ directions[:2].T  # (rows, 2)

flat = {when: two_dimensions(vectors) for when, vectors in maps.items()}
axes = plots.scatters_by_class(flat, valid_rows["class_name"], "The same texts before and after fine-tuning")

# %% [markdown]
# Two of so many dimensions can mislead. So we count in all of them: how often has the nearest other
# text the same class?

# %%
same_class = {}
for when, vectors in maps.items():
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -2)  # not itself
    same_class[when] = float((valid_labels[cosine.argmax(1)] == valid_labels).mean())
{when: f"{share:.1%}" for when, share in same_class.items()}

# %% [markdown]
# On AG News {{ ag_news.same_class.before | percent }} before and {{ ag_news.same_class.after | percent }}
# after (News Briefs {{ newsbriefs.same_class.before | percent }} and
# {{ newsbriefs.same_class.after | percent }}). Without a label the encoder already had most texts
# beside one of their own class.

# %% [markdown]
# ### Which words the answer hangs on
#
# A small step of each embedding in the direction of its gradient changes the logit. Gradient times
# embedding, summed over the dimensions, says how much of the logit hangs on each piece, to first order.

# %%
def attribution(network, text):
    encoded = tokenizer(text, return_tensors="pt").to(network.device)
    vectors = network.bert.embeddings.word_embeddings(encoded["input_ids"]).detach().requires_grad_()
    states = network.bert(inputs_embeds=vectors, attention_mask=encoded["attention_mask"])[0]
    logits = network.classifier(mean_pool(states, encoded["attention_mask"]))[0]
    winner = logits.argmax()
    (gradient,) = torch.autograd.grad(logits[winner], vectors)
    return encoded.tokens(), (gradient * vectors).sum(-1)[0].detach().cpu().numpy(), int(winner)

sentence = "Keeper saves two penalties as visitors win the cup final"
pieces, shares, winner = attribution(tuned.eval(), sentence)
ax = plots.bars(dict(zip(pieces[1:-1], 100 * shares[1:-1])), f"What the answer {news.classes[winner]} hangs on",
                "gradient times embedding, hundredths of a logit", number_format="{:+,.1f}")

# %% [markdown]
# Is the gradient right? Scale one embedding by a little more and by a little less, and measure:

# %%
def logit_with(network, text, position, factor, winner):
    encoded = tokenizer(text, return_tensors="pt").to(network.device)
    vectors = network.bert.embeddings.word_embeddings(encoded["input_ids"]).clone()
    vectors[0, position] *= factor
    states = network.bert(inputs_embeds=vectors, attention_mask=encoded["attention_mask"])[0]
    return network.classifier(mean_pool(states, encoded["attention_mask"]))[0, winner].item()

with torch.no_grad():
    up, down = (logit_with(tuned, sentence, 1, factor, winner) for factor in (1.01, 0.99))
print(f"{pieces[1]}: measured {(up - down) / 0.02:.3f}, by gradient {shares[1]:.3f}")
assert abs((up - down) / 0.02 - shares[1]) < 0.02 + 0.05 * abs(shares[1])

# %% [markdown]
# The two agree. A gradient speaks of small steps only, though. Hide a piece altogether (`[MASK]` in its
# place), and see whether the order stays:

# %%
def hidden_pieces(network, text, winner):
    encoded = tokenizer(text, return_tensors="pt").to(network.device)
    rows = encoded["input_ids"].repeat(encoded["input_ids"].shape[1] - 2, 1)
    for row in range(len(rows)):
        rows[row, row + 1] = tokenizer.mask_token_id
    with torch.no_grad():
        whole = network(**{name: encoded[name] for name in ("input_ids", "attention_mask")}).logits[0, winner]
        return (whole - network(rows, torch.ones_like(rows)).logits[:, winner]).cpu().numpy()

lost = hidden_pieces(tuned, sentence, winner)
pd.DataFrame({"piece": pieces[1:-1], "gradient": shares[1:-1].round(3), "lost if hidden": lost.round(3)})

# %% [markdown]
# Compare the two columns before you tell anybody *why* a network decided: two fair questions, "what if a
# little" and "what if not at all", need not have the same answer.

# %% [markdown]
# ## Regularization
#
# *A short course may skip this section.*
#
# A network with millions of weights can learn a few rows by heart. The recorded run on all rows of AG News
# kept its losses by epoch:

# %%
curve = pd.DataFrame(runtime.recorded("bert_full")["curves"]["minilm"]).set_index("epoch")
ax = plots.lines({"training rows": (curve.index, curve["loss"]), "validation rows": (curve.index, curve["valid_loss"])},
                 "All rows of AG News, MiniLM: validation loss stops falling first", "epoch", "loss (nats per text)")
print(f"lowest validation loss after epoch {curve['valid_loss'].idxmin()} of {len(curve)}")

# %% [markdown]
# (The training loss is above the validation loss because of what follows: it is measured with hidden
# pieces and smoothed targets.) `fit` keeps the weights of the epoch that was best on the *validation* rows if
# it is given any. The run had two more remedies. *Smoothing* spreads a share of each target over all
# classes; with four classes and a tenth to spread:

# %% tags=["nbval-check-output"]
logits, label = torch.tensor([[2.0, 0.0, -1.0, 0.5]]), torch.tensor([0])
target = torch.full((1, 4), 0.1 / 4)
target[0, 0] += 0.9
smoothed = -(target * logits.log_softmax(-1)).sum(-1).mean()
torch.isclose(smoothed, F.cross_entropy(logits, label, label_smoothing=0.1)).item()

# %% [markdown]
# *Word dropout* hides a share of the pieces anew in each epoch, so that no single word may decide:

# %%
from agnews_utils.bert import HiddenPieces

hiding = HiddenPieces(train_batches, 0.1, tokenizer.mask_token_id, tokenizer.all_special_ids, len(tokenizer))
torch.manual_seed(0)
shown = next(iter(hiding))
print(tokenizer.decode(shown["input_ids"][0])[:160])
hidden = (shown["input_ids"] == tokenizer.mask_token_id).sum() / shown["attention_mask"].sum()
print(f"{hidden:.1%} of the pieces are hidden")

# %% [markdown]
# It is used as any batches are, `fit(network, hiding, ..., label_smoothing=0.1)`. What the two are worth was not
# measured apart here, so we claim nothing.

# %% [markdown]
# ## Few labels
#
# Ten rows of each class: forty labels, some ten minutes of somebody's work. But forty texts make
# hundreds of *pairs*, and of each pair we know whether the two have the same class. So teach the encoder to put
# texts of one class close to each other, and those of others apart; a linear head does the rest. That is
# the idea of SetFit (Tunstall and others, 2022).
#
# Each text asks which of the others is of its class. The answer is a softmax over the cosines, divided by a
# *temperature*; the loss is the mean surprise (Khosla and others, 2020):

# %%
def pair_loss(vectors, labels, temperature=0.1):
    unit = F.normalize(vectors, dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool)  # no text asks itself
    scores = (unit @ unit.T / temperature).masked_fill(itself, float("-inf"))
    log_share = scores.log_softmax(1).masked_fill(itself, 0)
    same = (labels[:, None] == labels[None, :]) & ~itself
    return -((log_share * same).sum(1) / same.sum(1).clamp(min=1)).mean()  # one of its class: no pair

# %% tags=["nbval-check-output"]
from agnews_utils.bert import contrastive_loss

generator = torch.Generator().manual_seed(0)
vectors = torch.randn(8, 5, generator=generator)
labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
round(pair_loss(vectors, labels).item(), 4), round(contrastive_loss(vectors, labels).item(), 4)

# %% [markdown]
# By hand equals the package. A page of code makes a method of it. The top layers learn on the stored states,
# dropout is on, and the head comes last:

# %%
def tune_by_pairs(kept, labels, rows, steps, seed):
    torch.manual_seed(seed)
    body = TopLayers(load_encoder(classes=news.classes, quiet=True)[0]).train()
    optimizer = AdamW(body.layers.parameters(), lr=PEAK / 3)
    lower, mask, known = kept["lower"][rows], kept["mask"][rows], torch.from_numpy(labels[rows])
    for _ in range(steps):
        loss = pair_loss(body.states(lower, mask), known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return body.eval()

def vectors_of(body, kept):
    with torch.no_grad():
        return F.normalize(body.states(kept["lower"], kept["mask"]), dim=-1).numpy()

# %%
per_class = min(10, max(2, np.unique(fit_labels, return_counts=True)[1].min()))
rng = np.random.default_rng(1)
rows = np.concatenate([rng.permutation(np.flatnonzero(fit_labels == one))[:per_class] for one in np.unique(fit_labels)])
by_pairs = tune_by_pairs(fit_read, fit_labels, rows, steps=12, seed=1)
pair_head = linear_head(vectors_of(by_pairs, fit_read)[rows], fit_labels[rows])
few_answers = {"by pairs": pair_head.predict(vectors_of(by_pairs, valid_read)),
               "frozen": linear_head(pooled(fit_read)[rows], fit_labels[rows]).predict(pooled(valid_read))}
few_accuracy = {name: float((answer == valid_labels).mean()) for name, answer in few_answers.items()}
few_accuracy, compare(few_answers["by pairs"], few_answers["frozen"])

# %% [markdown]
# One draw of forty rows, and which forty you happen to label matters, too. `contrastive_tuning` of
# the package tunes all layers. Recorded, MiniLM on AG News, official test rows: twenty draws with ten rows a class and six
# with a hundred. Each draw taught both, so we look at the difference in each draw, and give its mean an
# interval (Student's, over the draws).

# %%
from scipy.stats import t

few = pd.DataFrame(runtime.recorded("few_labels")["points"])
draws = {(point.encoder, point.way, point.per_class): np.array(point.accuracies) for point in few.itertuples()}

def paired_difference(first, second):
    gained = 100 * (draws[first] - draws[second])
    reach = t.ppf(0.975, len(gained) - 1) * gained.std(ddof=1) / len(gained) ** 0.5
    return f"{gained.mean():+.1f} ({gained.mean() - reach:+.1f} to {gained.mean() + reach:+.1f})"

pairs = {"by pairs - frozen": ("contrastive", "frozen"), "self-trained - frozen": ("frozen, self-trained", "frozen"),
         "by pairs - self-trained": ("contrastive", "frozen, self-trained")}
pd.DataFrame({name: {size: paired_difference(("minilm", a, size), ("minilm", b, size)) for size in (1, 10, 100)
                     if ("minilm", a, size) in draws and ("minilm", b, size) in draws}
              for name, (a, b) in pairs.items()}).fillna("")

# %% tags=["author"]
pair_gain = {size: float((draws["minilm", "contrastive", size] - draws["minilm", "frozen", size]).mean())
             for size in (10, 100)}
assert min(pair_gain.values()) > 0.02, "the text says: pairs gain"
gap = draws["minilm", "contrastive", 10] - draws["minilm", "frozen, self-trained", 10]
assert abs(gap.mean()) < 2.1 * gap.std(ddof=1) / len(gap) ** 0.5, "the text says: cannot be told apart"

# %% [markdown]
# In points of test accuracy, by rows a class. With one row a class there are no pairs, and nothing is gained. Pairs gain {{ ag_news.pair_gain["10"] | points(1) }} points with ten rows a
# class, and still {{ ag_news.pair_gain["100"] | points(1) }} with a hundred. *Self-trained* is a cheaper
# remedy, if you have texts without labels: the linear head labels them, learns from the answers of which it is surest,
# and repeats (Yarowsky, 1995; Lee, 2013; `self_train`). With ten rows a class it
# gains so nearly the same that twenty draws cannot tell the two apart (last column), and it costs no backward pass.
# With the small encoder of the course pairs may gain nothing, or lose: it was not made to compare texts.

# %% [markdown]
# ## What pre-training buys
#
# How many labels is it worth, and where does it stop paying? Each dot is a draw of training rows. We plot
# errors on a logarithmic axis, so that the end where all curves are good is not squeezed.

# %%
points = runtime.recorded("few_labels")["curves"]
shown = ["words linear", "minilm frozen", "minilm contrastive", "minilm fine-tuned"]
ax = plots.error_by_rows([point for point in points if point["model"] in shown],
                         "AG News, repaired: a frozen encoder beats words until words have enough labels")

# %% tags=["author"]
assert {"words linear", "minilm frozen", "minilm contrastive"} <= {point["model"] for point in points}
ladder = {f"{encoder} {way}": {str(size): float(draws[encoder, way, size].mean()) for size in (10, 100, 1000)
                               if (encoder, way, size) in draws} for encoder, way, _ in draws}
assert ladder["words linear"]["10"] < ladder["minilm frozen"]["10"] - 0.1
assert ladder["words linear"]["1000"] > ladder["minilm frozen"]["1000"]
all_rows = max(point["rows"] for point in points)
assert {point["model"] for point in points if point["rows"] == all_rows} >= {"minilm fine-tuned", "bundled random"}

# %% [markdown]
# With ten rows a class the linear model on words is right on {{ ag_news.ladder["words linear"]["10"] | percent }} of the
# test rows, MiniLM frozen on {{ ag_news.ladder["minilm frozen"]["10"] | percent }}, tuned by pairs on
# {{ ag_news.ladder["minilm contrastive"]["10"] | percent }}. With a thousand rows a class the frozen encoder has
# {{ ag_news.ladder["minilm frozen"]["1000"] | percent }} and the linear model
# {{ ag_news.ladder["words linear"]["1000"] | percent }}: a frozen encoder no longer pays once words have
# enough labels to learn from. *Fine-tuned*, MiniLM has
# {{ ag_news.ladder["minilm fine-tuned"]["10"] | percent }} with ten and
# {{ ag_news.ladder["minilm fine-tuned"]["1000"] | percent }} with a thousand rows a class. On all rows it has
# {{ results.bert_full.ag_news.models.minilm.test_accuracy | percent(2) }}, and the
# linear model of {{ chapter.exploration }} {{ results.exploration.ag_news.linear_accuracy | percent(2) }};
# {{ chapter.evaluation }} compares the two row by row.
#
# ### Against random weights
#
# What would the labels alone teach? The encoder of the course, fine-tuned, against the same network from random
# weights, which got its own learning rate and more epochs:

# %%
small = [point for point in points if point["model"] in ("bundled random", "bundled fine-tuned")]
ax = plots.error_by_rows(small, "AG News, repaired, the encoder of the course: labels catch up slowly")

# %% [markdown]
# Read the figure sideways: at the height of a dot of the pre-trained network go right until you meet the other curve. So many
# labels would random weights need. Between two measured points we interpolate.

# %%
table = pd.DataFrame(small).assign(mean=lambda points: points["accuracies"].map(np.mean))
curves_by_rows = table.pivot(index="rows", columns="model", values="mean")
random_curve = curves_by_rows["bundled random"].dropna()
needed = 10 ** np.interp(curves_by_rows["bundled fine-tuned"], random_curve, np.log10(random_curve.index), right=np.nan)
worth = pd.DataFrame({"random weights need": needed, "times": needed / curves_by_rows.index},
                     index=curves_by_rows.index)
worth.round(0)

# %% tags=["author"]
times = worth["times"].dropna()
assert times.min() > 5 and times.iloc[-1] < times.max() / 2, "the text says: worth less with thousands of labels"
all_paired = runtime.recorded("bert_full")["paired"]
assert all_paired["random"]["largest_p"] < 0.001 and all_paired["linear"]["low"] > 0

# %% [markdown]
# With {{ ag_news.worth_first.rows | count }} labels pre-training is worth about
# {{ ag_news.worth_first.times | fixed(0) }} times as many, with {{ ag_news.worth_most.rows | count }} about
# {{ ag_news.worth_most.times | fixed(0) }} times, with
# {{ ag_news.worth_last.rows | count }} about {{ ag_news.worth_last.times | fixed(0) }} times as many. (Rough
# figures, interpolated between few points.) With all rows the pre-trained network is still
# {{ results.bert_full.ag_news.paired.random.difference | points(1) }} points ahead
# ({{ results.bert_full.ag_news.paired.random.low | points(1) }} to
# {{ results.bert_full.ag_news.paired.random.high | points(1) }}; the interval speaks of other test rows). Each has
# {{ results.bert_full.ag_news.models.random.seeds }} seeds, and McNemar's test tells the two apart with every one.
# So on all rows pre-training still pays; where the gap closes was not reached. Against the linear model that left out the same validation rows the small network is ahead, too:
# by {{ results.bert_full.ag_news.paired.linear.difference | points(1) }} points
# ({{ results.bert_full.ag_news.paired.linear.low | points(1) }} to
# {{ results.bert_full.ag_news.paired.linear.high | points(1) }}).

# %% [markdown]
# ## What could go wrong
#
# Four more bugs of fine-tuning. None of them raises an error. A hundred rows are enough to see them.
#
# > **No attention mask.** The padding is read as if it were text.

# %%
some, some_labels = list(valid_rows["text"][:100]), valid_labels[:100]
encoded = tokenizer(some, truncation=True, max_length=MAX_LENGTH, padding="max_length", return_tensors="pt")
answer_of = {}
for name, mask_used in (("with mask", encoded["attention_mask"]), ("without", torch.ones_like(encoded["attention_mask"]))):
    one_batch = [{"input_ids": encoded["input_ids"], "attention_mask": mask_used, "labels": torch.from_numpy(some_labels)}]
    answer_of[name] = predict(tuned, one_batch).argmax(1)
without_mask = {"changed": float((answer_of["without"] != answer_of["with mask"]).mean()),
                "accuracy with": float((answer_of["with mask"] == some_labels).mean()),
                "accuracy without": float((answer_of["without"] == some_labels).mean())}
without_mask

# %% tags=["author"]
assert (answer_of["with mask"] == answers["all layers"][:100]).mean() > 0.98, "a prediction depends on its padding"

# %% [markdown]
# With the mask, padding changes nothing. Without it {{ ag_news.unmasked["changed"] | percent }} of the
# answers on AG News changed (News Briefs: {{ newsbriefs.unmasked["changed"] | percent }}). The symptom: an answer
# depends on how long its neighbors in the batch are.
#
# > **The wrong tokenizer for the weights.** Any tokenizer gives ids, and any ids in range are accepted.

# %%
from agnews_utils.bert import encode_for_bert, train_tokenizer

other_tokenizer = train_tokenizer(fit_rows["text"], vocab_size=1_000)
other_batches = bert_loader(some, some_labels, other_tokenizer, 64, shuffle=False)
wrong_tokenizer = evaluate(tuned, other_batches)["accuracy"]
(wrong_ids,) = encode_for_bert(headlines[:1], other_tokenizer)
print(f"accuracy {wrong_tokenizer:.1%}; what the network reads: {tokenizer.decode(wrong_ids)[:60]}")

# %% tags=["author"]
(right_ids,) = encode_for_bert(headlines[:1], tokenizer)
assert tokenizer.decode(right_ids) == f"[CLS] {headlines[0].lower()} [SEP]", "not the tokenizer of these weights"

# %% [markdown]
# The same words, other numbers, and the network reads nonsense. The check: decode what you encoded,
# with the tokenizer that stands beside the weights. `load_encoder` returns both from one place, and
# refuses a tokenizer whose ids go beyond the embeddings.
#
# > **`eval()` forgotten.** In training mode dropout is on, and a prediction is drawn at random.

# %% tags=["nbval-check-output"]
def twice_the_same(network):
    ids, mask = (batch[name].to(network.device) for name in ("input_ids", "attention_mask"))
    first, second = (network(ids, attention_mask=mask).logits for _ in range(2))
    return torch.equal(first, second)

print("in training mode twice the same:", twice_the_same(model.train()))
print(caught(check_evaluation_mode, model).split(":", 1)[1].strip())
print("in evaluation mode:", twice_the_same(model.eval()))

# %% [markdown]
# > **Evaluated on the training rows.** A network that learned them by heart looks splendid.

# %%
flattered = {"training rows": evaluate(tuned, train_batches)["accuracy"],
             "validation rows": tuned_accuracy["all layers"]}
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
# | loss stays where guessing is, one class for all | learning rate too high: collapse | count the predicted classes |
# | two calls, two answers | `eval()` forgotten | `check_evaluation_mode` |
# | too good | evaluated on rows it was trained on, or on rows it was pre-trained on | split, hashes |
# | an error that names labels | a head with two outputs for four classes, or labels from 1 | `check_labels` |
# | worse in use than in training | other repairs in the one than in the other; another cut | one function for both |

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

from agnews_utils.bert import save_encoder

with TemporaryDirectory() as folder:
    saved = save_encoder(tuned.cpu(), tokenizer, Path(folder, "mine"), half=True)
    megabytes = (saved / "model.safetensors").stat().st_size / 1e6
    loaded, its_tokenizer = load_encoder(saved, classes=news.classes, quiet=True)

# %%
from agnews_utils.bert import predict_texts

again = predict_texts(loaded, its_tokenizer, some)  # (rows, classes)
change = np.abs(again - probabilities[:100]).max()
assert change < 0.05, "half precision should change next to nothing"
shorter = (predict_texts(loaded, its_tokenizer, some, max_length=12).argmax(1) == some_labels).mean()
print(f"{megabytes:.1f} MB; largest change of a probability {change:.4f}")
print(f"right {(again.argmax(1) == some_labels).mean():.1%}; with texts cut at 12 pieces instead of {MAX_LENGTH}: {shorter:.1%}")

# %% [markdown]
# Every file is listed with its size and hash; `load_encoder` refuses one that was cut off or exchanged, and
# says which. It also sees in the configuration that this head reads the mean; a loader that does not know of it, such
# as `AutoModelForSequenceClassification`, would read `[CLS]`, and answer without a warning. Texts that come in later go the same way as those in training: same answers. Cut at another
# length they are other texts, and nothing warns of it: the limit belongs to the model like its tokenizer, and
# so does the pooling.

# %% [markdown]
# ### A new article

# %%
new_articles = ["Striker scores twice as visitors win the cup final",
                "Central bank raises interest rates as prices climb",
                "Researchers build a faster chip for computers",
                "President and opposition sign peace agreement after talks"]
ax = plots.probability_bars(predict_texts(tuned, tokenizer, new_articles), new_articles,
                            "What the network makes of four new headlines", names=news.classes)

# %% [markdown]
# ## On a GPU
#
# *A short course may skip this section.*
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
# ## Bigger models
#
# *A short course may skip this section.*
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
own, epochs = model.config, history.epochs
bigger = 12 * 768**2 / (own.num_hidden_layers * own.hidden_size**2)  # the layers do nearly all the work
seconds = 120_000 * min(epochs["cpu_seconds"]) / epochs["documents"][0]  # one epoch of ours
print(f"{bigger:.0f} times the arithmetic of ours. One epoch over 120,000 texts on this computer:")
print(f"{seconds / 60:.0f} CPU minutes for ours, {seconds * bigger / 3600:.0f} CPU hours for BERT-base")

# %% [markdown]
# On a GPU it is minutes. Recorded on one {{ results.gpu_speed.ag_news.device }}: MiniLM had its
# {{ results.bert_full.ag_news.models.minilm.epochs }} epochs over all rows in
# {{ results.bert_full.ag_news.models.minilm.minutes | fixed(1) }} minutes (median; other jobs ran beside it), and answers
# {{ results.gpu_speed.ag_news.best.documents_per_second | count }} texts a second in large batches. That is
# {{ results.gpu_speed.ag_news.best.share_of_matrix_rate | percent }} of the rate at which the device multiplies large
# matrices in 16 bits: so small a network cannot fill it. For BERT-base, what to change: the name, a smaller learning rate, 16 bits. It downloads some hundred
# megabytes once, so the cell is switched off. (Without a network `load_encoder` says so within seconds,
# and names the encoder that is there.)

# %%
RUN_BIG = False  # True on a Colab GPU; on a CPU see the hours above
BIG = "bert-base-uncased"  # or "distilbert-base-uncased", "roberta-base", "google/bert_uncased_L-4_H-256_A-4"

if RUN_BIG:
    big, big_tokenizer = load_encoder(BIG)
    big_train, big_valid = (bert_loader(rows["text"], rows["label"], big_tokenizer, shuffle=rows is fit_rows)
                            for rows in (fit_rows, valid_rows))
    big_history = fit(big, big_train, big_valid, epochs=3, learning_rate=3e-5, schedule="linear", warmup=0.1,
                  mixed_precision="fp16" if on_gpu else None)
    print(f"{BIG}: {big_history.best['valid_accuracy']:.1%} of the validation rows")

# %% [markdown]
# What to expect is published. Ours and theirs, and which is which:
#
# | model | training rows | AG News test | |
# |---|---|---|---|
# | linear model ({{ chapter.exploration }}) | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.exploration.ag_news.linear_accuracy | percent }} | measured here |
# | our BERT, random weights, median of 3 seeds | {{ results.students.ag_news.rows | count }} | {{ results.bert_full.ag_news.random_accuracy | percent(2) }} | measured here |
# | our BERT, pre-trained on news, median of 3 seeds | {{ results.students.ag_news.rows | count }} | {{ results.bert_full.ag_news.fine_tuned_accuracy | percent(2) }} | measured here |
# | MiniLM fine-tuned, median of 3 seeds | {{ results.students.ag_news.rows | count }} | {{ results.bert_full.ag_news.models.minilm.test_accuracy | percent(2) }} | measured here |
# | {{ published.readme_rows[1].model }} | {{ published.readme_rows[1].training }} | {{ published.readme_rows[1].accuracy }}% | published: {{ published.readme_rows[1].source }} |
# | {{ published.readme_rows[2].model }} | {{ published.readme_rows[2].training }} | {{ published.readme_rows[2].accuracy }}% | published: {{ published.readme_rows[2].source }} |
# | {{ published.readme_rows[3].model }} | {{ published.readme_rows[3].training }} | {{ published.readme_rows[3].accuracy }}% | published: {{ published.readme_rows[3].source }} |
#
# All published models learned from the whole official training file; the last one has also read far more text
# before it saw a label.

# %% tags=["author"]
runtime.record("bert", news, {
    "encoder": Path(str(model.name_or_path)).name, "live_rows": len(fit_rows), "valid_rows": len(valid_rows),
    "frozen_accuracy": frozen_accuracy, "tuned_accuracy": tuned_accuracy, "cpu_seconds_of": cost,
    "same_class": same_class, "few_accuracy": few_accuracy, "pair_gain": {str(k): v for k, v in pair_gain.items()},
    "ladder": ladder,
    "collapse_share": chosen.max(), "unmasked": without_mask, "wrong_tokenizer": wrong_tokenizer,
    "flattered": flattered, "sweep_rates": cells["learning_rate"].nunique(), "sweep_cells": len(cells),
    "sweep_top_spread": top_three.max() - top_three.min(), "sweep_head_behind": behind,
    "sweep_tenth_costs": tenth_costs,
    "worth_first": {"rows": times.index[0], "times": times.iloc[0]},
    "worth_most": {"rows": times.idxmax(), "times": times.max()},
    "worth_last": {"rows": times.index[-1], "times": times.iloc[-1]},
}, headline=f"fine-tuned on {len(fit_rows):,} rows: {tuned_accuracy['all layers']:.1%} (validation)", seed=0)

# %% [markdown]
# ## Exercises
#
# One star is a change of a cell, two stars are some lines of your own, three stars need thought.
#
# 1. (\*\*\*) Fine-tune on texts of `clean_frame` instead, with three seeds each. Test the difference as in
#    {{ section("Frozen") }}. Does your data tell more than ours?
# 2. (\*) Draw the map of {{ section("What fine-tuning changes") }} for the *training* rows. What do you
#    conclude from it, and what not?
# 3. (\*\*) Open one layer more, and one less, in {{ section("Layer by layer") }}. Is any difference more than chance?
# 4. (\*\*) Repeat {{ section("Few labels") }} for ten draws, and give the paired difference its interval.
# 5. (\*\*) Train with `HiddenPieces` and without, on the same rows with the same seeds.
# 6. (\*\*) Compare gradient and hiding for a text that the network gets wrong. Which words misled it?
#
# ## Recap
#
# - Tokenizer, weights, pooling and *text path* belong together.
# - A frozen encoder is read once; what it says can be used in many experiments.
# - Two networks on the same rows: count the rows where one is right and the other wrong.
# - Few labels make many pairs. Pre-training buys most where labels are few, tens to hundreds; draw the curve, with the
#   linear model in it.
# - Choose the learning rate before the strategy; too high a one destroys the encoder.
# - Judge on rows that neither you nor the network has read.
#
# ## Further reading
#
# - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova (2019): *BERT: Pre-training of deep bidirectional
#   Transformers for language understanding*.
# - N. Reimers, I. Gurevych (2019): *Sentence-BERT: Sentence embeddings using Siamese BERT-networks*.
# - P. Khosla and others (2020): *Supervised contrastive learning*; L. Tunstall and others (2022): *Efficient
#   few-shot learning without prompts* (SetFit).
# - D. Yarowsky (1995): *Unsupervised word sense disambiguation rivaling supervised methods*; D.-H. Lee
#   (2013): *Pseudo-label*. Self-training.
# - J. Howard, S. Ruder (2018): *Universal language model fine-tuning for text classification*.
# - M. Mosbach, M. Andriushchenko, D. Klakow (2021): *On the stability of fine-tuning BERT*.
