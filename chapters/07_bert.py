# ---
# title: BERT fine-tuning
# summary: Give a pre-trained encoder a head and four classes, and measure what pre-training is worth in labels.
# run: bert
# goals:
#   - fine-tune with a head of your own, on the text that the encoder was pre-trained on
#   - choose learning rate and strategy by measuring, and know what the measurement can tell apart
#   - say how many labeled rows pre-training is worth
#   - catch the bugs of fine-tuning that raise no error
#   - save, load and use a fine-tuned network
# prerequisites:
#   - "{{ chapter.pretraining.link }} and {{ chapter.rnn.link }}"
#   - the training loop, validation rows, early stopping
# data: AG News, or the bundled News Briefs; the encoder comes with the course
# accelerator: helpful for the full AG News and for bigger models
# ---

# %% [markdown]
# ## Fine-tuning
#
# The encoder of {{ chapter.pretraining }} turns a text into one vector for each piece, and the pooler
# makes one of the vector that belongs to `[CLS]`. A new head turns it into four numbers, one a class.

# %%
import torch

from agnews_utils.bert import load_encoder

torch.set_num_threads(1)  # enough for a small network; leave it out for long runs on many cores
torch.manual_seed(0)  # the head is new: its weights are drawn here
model, tokenizer = load_encoder()
headlines = ["Oil prices rise again as storms close ports", "Keeper saves two penalties",
             "New chip makes laptops faster", "Leaders meet for peace talks"]
batch = tokenizer(headlines, padding=True, return_tensors="pt")
ids, mask = batch["input_ids"], batch["attention_mask"]  # (batch, length) each

# %% [markdown]
# By hand, the head is one matrix on top of the pooler:

# %% tags=["nbval-check-output"]
with torch.no_grad():
    states = model.bert(ids, mask).last_hidden_state  # (batch, length, hidden)
    pooled = torch.tanh(model.bert.pooler.dense(states[:, 0]))  # (batch, hidden), [CLS] only
    by_hand = model.classifier(pooled)  # (batch, classes): the new part
    theirs = model(ids, attention_mask=mask).logits
torch.allclose(by_hand, theirs, atol=1e-5), tuple(by_hand.shape)

# %% [markdown]
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
# Neither does. And vectors of the right size would help as little: the layers were trained on BERT's
# own embeddings. BERT takes its own ids, an attention mask, and a head with as many outputs as classes.
#
# ### Raw or cleaned?
#
# {{ Chapter.pretraining }} trained the encoder on *cleaned* texts. A raw text still has its `#39;` and
# its datelines, and loses more of its end at the cut. So this chapter cleans its texts in the same way:
# title and description apart, then joined, by the one function `clean_frame` of {{ chapter.cleaning }}.
#
# Does it matter? We measured it once, on {{ results.bert_text_path.newsbriefs.rows | count }} rows of
# News Briefs with {{ results.bert_text_path.newsbriefs.seeds }} seeds, each seed with the same rows, raw
# and cleaned: {{ results.bert_text_path.newsbriefs.accuracy.cleaned | percent }} of the
# {{ results.bert_text_path.newsbriefs.test_rows | count }} test rows right on cleaned texts,
# {{ results.bert_text_path.newsbriefs.accuracy.raw | percent }} on raw ones. The difference is
# {{ results.bert_text_path.newsbriefs.difference | points(1) }} points, with a paired 95% interval from
# {{ results.bert_text_path.newsbriefs.low | points(1) }} to
# {{ results.bert_text_path.newsbriefs.high | points(1) }}: if it matters here, it is by less than
# these rows can tell. We keep to one path all the same: it costs nothing, and leaves one thing less to wonder about.
#
# > **The recorded runs read raw texts.** The long runs that this chapter quotes and plots
# > (`bert_full`, `bert_curves`, `bert_sweep`) fine-tuned on raw texts, before the two paths were made
# > one. Their tables and titles say *raw*. What runs live here reads cleaned texts.
#
# ### Into batches
#
# The rows, the split and the length-sorted batches are those of
# {{ chapters("vocabulary", "rnn") }}. On a CPU we take a small sample of the training rows, on a
# GPU all of them.

# %%
from agnews_utils import runtime
from agnews_utils.cleaning import clean_frame
from agnews_utils.data import load_news, train_valid_split

news = load_news()
on_gpu = runtime.pick_device().type == "cuda"
fit_rows, valid_rows = train_valid_split(news.train, valid_fraction=0.1, seed=42)
if not on_gpu:
    fit_rows = fit_rows.sample(min(len(fit_rows), 240), random_state=0)
    valid_rows = valid_rows.sample(min(len(valid_rows), 400), random_state=0)
fit_rows, valid_rows = clean_frame(fit_rows), clean_frame(valid_rows)
len(fit_rows), len(valid_rows)

# %%
from agnews_utils.bert import FINE_TUNING, FROM_RANDOM, bert_loader

train_batches = bert_loader(fit_rows["text"], fit_rows["label"], tokenizer)
valid_batches = bert_loader(valid_rows["text"], valid_rows["label"], tokenizer, 128, shuffle=False)
FINE_TUNING, FROM_RANDOM

# %% [markdown]
# The two recipes of this chapter for a few thousand rows: one for an encoder that has read texts, one for
# the same network from random weights, which needs more and larger steps. Both were chosen on
# validation rows of the recorded runs.
#
# The learning rate rises from nothing to its peak, because a new head sends useless gradients into a
# good encoder at first; then it falls to nothing. By hand and in the package:

# %% tags=["nbval-check-output"]
from agnews_utils.training import schedule_factor

ours = [step / 4 if step < 4 else 1 - (step - 4) / 16 for step in range(20)]  # 20 steps, 4 of them up
assert ours == [schedule_factor(step, 20, "linear", warmup=0.2) for step in range(20)]
[round(factor, 2) for factor in ours[:8]]

# %% [markdown]
# ## Pre-trained against random weights
#
# The experiment of this chapter: the same network and the same rows. One begins with the weights of the
# encoder, the other one with random numbers, and each gets the recipe that suits it.

# %%
from transformers import AutoModelForSequenceClassification

def new_model(pretrained=True):
    torch.manual_seed(0)  # the head's weights
    model, _ = load_encoder()
    return model if pretrained else AutoModelForSequenceClassification.from_config(model.config)

# %% [markdown]
# Before the first step the loss should be that of guessing among four classes, $\ln 4$:

# %%
from math import log

from agnews_utils.training import evaluate, fit, predict

tuned, from_random = new_model(), new_model(pretrained=False)
start = evaluate(tuned, valid_batches)["loss"]
print(f"first loss {start:.2f}, ln 4 = {log(4):.2f}")

# %% tags=["author"]
assert abs(start - log(4)) < 0.4, "the first loss is far from ln 4: is the head new?"

# %%
history = fit(tuned, train_batches, **FINE_TUNING, seed=1)
fit(from_random, train_batches, **FROM_RANDOM, seed=1)
networks = {"pre-trained": tuned, "random weights": from_random}
accuracy = {name: evaluate(network, valid_batches)["accuracy"] for name, network in networks.items()}
accuracy

# %% [markdown]
# These are the networks after their last epoch: `fit` saw no validation rows, so none was chosen on the
# rows that judge. Could chance have made the difference? Both answered the same rows, so only those count where one
# is right and the other is wrong. If the two were equally good, each of these would be the toss of a coin.

# %%
from scipy.stats import binomtest

right = {name: predict(network, valid_batches).argmax(1) == valid_rows["label"].to_numpy()
         for name, network in networks.items()}
wins = int((right["pre-trained"] & ~right["random weights"]).sum())
losses = int((~right["pre-trained"] & right["random weights"]).sum())
print(f"only pre-trained right: {wins}, only random right: {losses}, "
      f"p = {binomtest(wins, wins + losses).pvalue:.1e}")

# %% tags=["author"]
assert accuracy["pre-trained"] > 0.65, "fine-tuning learned little: look at learning rate and mask"
assert on_gpu or wins > losses, "pre-training should help on few rows"

# %% [markdown]
# With {{ ag_news.live_rows | count }} rows of AG News the pre-trained network is right on
# {{ ag_news.accuracy["pre-trained"] | percent }} of the validation rows, the other one on
# {{ ag_news.accuracy["random weights"] | percent }} (News Briefs:
# {{ newsbriefs.accuracy["pre-trained"] | percent }} and
# {{ newsbriefs.accuracy["random weights"] | percent }}, although the encoder has read none of its
# texts). {{ Chapter.evaluation }} tells more about this test.
#
# With all rows the labels themselves can teach random weights what words mean. Do they catch up?
#
# | all rows, raw texts, test accuracy | AG News, {{ results.bert_full.ag_news.train_rows | count }} rows | News Briefs, {{ results.bert_full.newsbriefs.train_rows | count }} rows |
# |---|---|---|
# | pre-trained, median of {{ results.bert_full.ag_news.models["fine-tuned"].seeds }} seeds | {{ results.bert_full.ag_news.fine_tuned_accuracy | percent }} | {{ results.bert_full.newsbriefs.fine_tuned_accuracy | percent }} |
# | random weights ({{ results.bert_full.ag_news.models["random"].seeds }} seed on AG News, {{ results.bert_full.newsbriefs.models["random"].seeds }} on News Briefs) | {{ results.bert_full.ag_news.random_accuracy | percent }} | {{ results.bert_full.newsbriefs.random_accuracy | percent }} |
# | pre-trained minus random, points, 95% interval | {{ results.bert_full.ag_news.paired.random.difference | points(1) }} ({{ results.bert_full.ag_news.paired.random.low | points(1) }} to {{ results.bert_full.ag_news.paired.random.high | points(1) }}) | {{ results.bert_full.newsbriefs.paired.random.difference | points(1) }} ({{ results.bert_full.newsbriefs.paired.random.low | points(1) }} to {{ results.bert_full.newsbriefs.paired.random.high | points(1) }}) |
# | largest p of its seeds (McNemar) | {{ "%.0e" | format(results.bert_full.ag_news.paired.random.largest_p) }} | {{ "%.0e" | format(results.bert_full.newsbriefs.paired.random.largest_p) }} |
# | pre-trained minus linear model (predictions of {{ chapter.evaluation }}), points | {{ results.bert_full.ag_news.paired.linear.difference | points(1) }} ({{ results.bert_full.ag_news.paired.linear.low | points(1) }} to {{ results.bert_full.ag_news.paired.linear.high | points(1) }}) | {{ results.bert_full.newsbriefs.paired.linear.difference | points(1) }} ({{ results.bert_full.newsbriefs.paired.linear.low | points(1) }} to {{ results.bert_full.newsbriefs.paired.linear.high | points(1) }}) |
#
# Not even with all rows: the gap is small on AG News, but it is there. (Epochs were chosen on
# validation rows. Random weights had one seed on AG News and were best in their last epoch: a longer
# run might narrow the gap. The intervals speak of other test rows, not of other seeds.) The last line is
# sobering: against the linear model, which trains in seconds, the interval holds zero on both data sets.

# %% [markdown]
# ## What fine-tuning changes
#
# The pooled `[CLS]` stands for the text. Let us draw it for the validation rows, before and after: from
# all its dimensions we take the two along which the texts differ most (principal components).

# %%
from sklearn.decomposition import PCA

from agnews_utils import plots
from agnews_utils.bert import pooled_states

device = runtime.pick_device()
encoders = {"before": new_model().to(device), "after": tuned}
maps = {when: pooled_states(encoder, tokenizer, list(valid_rows["text"]))  # (rows, hidden)
        for when, encoder in encoders.items()}
flat = {when: PCA(2, random_state=0).fit_transform(states) for when, states in maps.items()}
axes = plots.scatters_by_class(flat, valid_rows["class_name"], "Fine-tuning pulls the classes apart")

# %% [markdown]
# Two of so many dimensions can mislead. So we count in all of them: how often has the nearest other
# text the same class?

# %%
import numpy as np

same_class = {}
for when, states in maps.items():
    cosine = states @ states.T
    np.fill_diagonal(cosine, -2)  # not itself
    labels = valid_rows["label"].to_numpy()
    same_class[when] = float((labels[cosine.argmax(1)] == labels).mean())
{when: f"{share:.1%}" for when, share in same_class.items()}

# %% tags=["author"]
assert same_class["after"] > same_class["before"], "fine-tuning did not pull the classes apart"

# %% [markdown]
# On AG News {{ ag_news.same_class.before | percent }} before and {{ ag_news.same_class.after | percent }}
# after (News Briefs {{ newsbriefs.same_class.before | percent }} and
# {{ newsbriefs.same_class.after | percent }}). Without a single label the encoder already had most texts
# beside one of their own class; the labels brought some more of them there.
#
# ### Overfitting
#
# The recorded run kept its losses by epoch:

# %%
import pandas as pd

curves = pd.DataFrame(runtime.recorded("bert_full")["curves"]["fine-tuned"]).set_index("epoch")
ax = plots.lines({"training rows": (curves.index, curves["loss"]),
                 "validation rows": (curves.index, curves["valid_loss"])},
                 "All rows of AG News, raw: the losses part", "epoch", "loss (nats per text)")
print(f"lowest validation loss after epoch {curves['valid_loss'].idxmin()} of {len(curves)}")

# %% [markdown]
# The training loss falls further than the validation loss can follow. `fit` keeps the weights of
# the epoch that was best on the *validation* rows if it is given any, and `patience=1` would
# stop after the first epoch without a gain: early stopping, as in {{ chapter.rnn }}. A network that
# starts from good weights gets there within very few epochs: Devlin and others (2019, sec. A.3)
# recommend two to four.

# %% [markdown]
# ## Layer by layer
#
# *A short course may skip this section.*
#
# Must everything be trained? One can freeze the encoder and train the head only; or give lower layers
# smaller learning rates, as they hold what is most general; or open the layers one after the other, from
# the top (Howard and Ruder, 2018). We try all of it on a hundred rows.

# %%
from agnews_utils.bert import layerwise_parameter_groups, unfreeze
from agnews_utils.training import AdamW

few = bert_loader(fit_rows["text"][:100], fit_rows["label"][:100], tokenizer, batch_size=16)

def try_strategy(learning_rate, decay=1.0, stages=(None,)):  # None: everything is trained; 0: the head only
    tried = new_model()
    for layers in stages:
        unfreeze(tried, layers)
        groups = layerwise_parameter_groups(tried, learning_rate, decay)
        settings = FINE_TUNING | {"epochs": 3 // len(stages), "optimizer": AdamW(groups)}
        fit(tried, few, **settings, seed=1)
    return evaluate(tried, valid_batches)["accuracy"]

# %% [markdown]
# With a decay of one half each layer learns half as fast as the one above it:

# %%
sorted({group["lr"] for group in layerwise_parameter_groups(new_model(), 1e-3, decay=0.5)}, reverse=True)

# %%
strategies = {"all layers": try_strategy(5e-4), "layer-wise": try_strategy(1e-3, decay=0.5),
              "head only": try_strategy(5e-3, stages=[0]), "gradual": try_strategy(1e-3, stages=[0, 1, None])}
{name: f"{value:.1%}" for name, value in strategies.items()}

# %% tags=["author"]
assert max(strategies.values()) > 0.4, "a hundred rows should teach a pre-trained network something"

# %% [markdown]
# A hundred rows, three epochs, one seed: it shows how to do it, and ranks nothing. The recorded sweep has
# {{ results.bert_sweep.ag_news.rows | count }} raw rows of AG News, {{ results.bert_sweep.ag_news.seeds }}
# seeds for each point, and {{ results.bert_sweep.ag_news.valid_rows | count }} validation rows.

# %%
sweep = runtime.recorded("bert_sweep")
ax = plots.accuracy_by_learning_rate(sweep["cells"], "AG News, raw: the best learning rate for the head harms all layers")

# %%
cells = pd.DataFrame(sweep["cells"])
best = cells.loc[cells.groupby("strategy")["valid_accuracy"].idxmax()].set_index("strategy")
half_width = 1.96 * (best["valid_accuracy"].max() * (1 - best["valid_accuracy"].max()) / sweep["valid_rows"]) ** 0.5
print(f"each plus or minus {100 * half_width:.1f} points")
best[["learning_rate", "valid_accuracy", "low", "high"]].sort_values("valid_accuracy")

# %% tags=["author"]
top_three = best["valid_accuracy"].nlargest(3)
rate_table = cells.pivot(index="strategy", columns="learning_rate", values="valid_accuracy")
tenth_costs = (rate_table[1e-3] - rate_table[1e-4])[top_three.index].min()
assert set(best.loc[top_three.index, "learning_rate"]) == {1e-3}
assert rate_table.loc["head only"].idxmax() > rate_table.loc["all layers"].idxmax()
assert top_three.max() - top_three.min() < half_width

# %% [markdown]
# Each strategy at the best of {{ ag_news.sweep_rates | count }} learning rates: three of them lie within
# {{ ag_news.sweep_top_spread | points(2) }} points of each other, far less than these validation rows can
# tell apart, and the winner was the best of {{ ag_news.sweep_cells | count }} cells on the same rows. The head alone stays
# {{ ag_news.sweep_head_behind | points(1) }} points behind, at the edge of what was tried. So do not ask
# for the best strategy, ask for its learning rate: at a tenth of its best, each of the three loses
# {{ ag_news.sweep_tenth_costs | points(1) }} points or more. Devlin and others (2019, sec. A.3) take `2e-5` to
# `5e-5` for BERT-base; a network as small as ours wants more.
#
# > **What could go wrong: the learning rate is too high.**
# > The network does not merely learn badly. It collapses.

# %%
collapsed = new_model()
broken = fit(collapsed, few, **FINE_TUNING | {"learning_rate": 0.1, "epochs": 2}, seed=1)
chosen = np.bincount(predict(collapsed, valid_batches).argmax(1), minlength=4) / len(valid_rows)
print(f"loss {broken.epochs['loss'][-1]:.2f}, ln 4 = {log(4):.2f}; predicted {chosen.round(2).tolist()}")

# %% tags=["author"]
assert chosen.max() > 0.5, "no collapse at this learning rate: try a higher one"

# %% [markdown]
# The symptom: a loss that stays at ln 4 or above, and (nearly) the same answer for every text. The
# large step has destroyed what pre-training had put into the weights, and a smaller learning rate does
# not bring it back: load the encoder again.

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
# ## What could go wrong
#
# Four more bugs of fine-tuning. None of them raises an error.
#
# > **No attention mask.** The padding is read as if it were text.

# %%
from torch.nn import functional as F

def padded(batches, with_mask, length=64):
    for batch in batches:
        extra = (0, length - batch["input_ids"].shape[1])
        wide = {"input_ids": F.pad(batch["input_ids"], extra), "labels": batch["labels"]}
        if with_mask:
            wide["attention_mask"] = F.pad(batch["attention_mask"], extra)
        yield wide

# %%
from transformers.utils import logging

logging.set_verbosity_error()  # the library warns of a missing mask, once; here it is on purpose
narrow = list(valid_batches)  # padded to the longest of each batch only
masked, unmasked = (predict(tuned, padded(narrow, with_mask)).argmax(1) for with_mask in (True, False))
without_mask = {"changed": float((unmasked != masked).mean()),
                "accuracy": evaluate(tuned, padded(narrow, False))["accuracy"]}
without_mask

# %% tags=["author"]
assert (masked == predict(tuned, narrow).argmax(1)).mean() > 0.99, "a prediction depends on its padding"

# %% [markdown]
# With the mask, padding changes nothing. Without it {{ ag_news.unmasked["changed"] | percent }} of the
# answers on AG News changed and {{ ag_news.unmasked["accuracy"] | percent }} were right, instead of
# {{ ag_news.flattered["validation rows"] | percent }} (News Briefs:
# {{ newsbriefs.unmasked["changed"] | percent }} changed). The symptom: an answer depends on how long
# its neighbors in the batch are.
#
# > **The wrong tokenizer for the weights.** Any tokenizer gives ids, and any ids in range are accepted.

# %%
from agnews_utils.bert import encode_for_bert, train_tokenizer

other_tokenizer = train_tokenizer(fit_rows["text"], vocab_size=len(tokenizer))
other_batches = bert_loader(valid_rows["text"], valid_rows["label"], other_tokenizer, 128, shuffle=False)
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
    first, second = (network(ids, attention_mask=mask).logits for _ in range(2))
    return torch.equal(first, second)

print("in training mode twice the same:", twice_the_same(model.train()))
print(caught(check_evaluation_mode, model).split(":", 1)[1].strip())
print("in evaluation mode:", twice_the_same(model.eval()))

# %% [markdown]
# > **Evaluated on the training rows.** A network that learned them by heart looks splendid.

# %%
flattered = {"training rows": evaluate(tuned, train_batches)["accuracy"],
             "validation rows": evaluate(tuned, valid_batches)["accuracy"]}
{name: f"{value:.1%}" for name, value in flattered.items()}

# %% tags=["author"]
assert flattered["training rows"] > flattered["validation rows"] - 0.05

# %% [markdown]
# On AG News {{ ag_news.flattered["training rows"] | percent }} against
# {{ ag_news.flattered["validation rows"] | percent }}. Only the second number says how the network will
# do on texts that it has not seen.
#
# | symptom | likely cause | check |
# |---|---|---|
# | predictions depend on the batch | no attention mask | pad more, compare |
# | accuracy near chance with good weights | tokenizer and weights do not belong together | decode what you encoded |
# | loss stays at ln 4, one class for all | learning rate too high: collapse | count the predicted classes |
# | two calls, two answers | `eval()` forgotten | `check_evaluation_mode` |
# | too good | evaluated on rows it was trained on, or on rows it was pre-trained on | split, hashes |
# | an error that names labels | a head with two outputs for four classes, or labels from 1 | `check_labels` |
# | worse in use than in training | raw texts in the one, cleaned in the other; another cut | one function for both |

# %% [markdown]
# ## What pre-training buys
#
# How many labels is it worth? Take ten rows of each class: forty labels, some ten minutes of somebody's
# work. Besides fine-tuning there are cheaper ways to use an encoder. *Frozen*: its pooled `[CLS]` is
# computed once for each text, and a linear classifier learns on these vectors. *Self-trained*: that
# classifier labels the texts that nobody has labeled, learns from the answers of which it is surest, and
# repeats (Yarowsky, 1995; Lee, 2013). And a linear model on words, without any encoder:

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from agnews_utils.bert import self_train

fit_states = pooled_states(encoders["before"], tokenizer, list(fit_rows["text"]))

def linear_models(rows):  # three linear classifiers, on words and on the encoder's vectors
    own, words = fit_rows.index.isin(rows.index), TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    linear = LinearSVC(random_state=0).fit(words.fit_transform(rows["text"]), rows["label"])
    scores = {"linear": linear.score(words.transform(valid_rows["text"]), valid_rows["label"])}
    for name, rounds in (("frozen", 0), ("self-trained", 5)):
        head = self_train(fit_states[own], fit_rows["label"][own], fit_states[~own], rounds)
        scores[name] = head.score(maps["before"], valid_rows["label"])
    return scores

# %% [markdown]
# With so few rows fine-tuning wants another recipe, the one of the recorded runs: many passes, and learning
# rates that fall steeply from the head to the embeddings. (Random weights hardly beat guessing on forty
# labels, as the figure below shows; we do not wait for them here.)

# %%
from agnews_utils.bert import FEW_LABELS

def tune_on_few(rows, learning_rate, decay, batch_size, epochs):
    network = new_model()
    loader = bert_loader(rows["text"], rows["label"], tokenizer, batch_size)
    groups = layerwise_parameter_groups(network, learning_rate, decay)
    fit(network, loader, **FINE_TUNING | {"epochs": epochs}, optimizer=AdamW(groups), seed=1)
    return evaluate(network, valid_batches)["accuracy"]

FEW_LABELS["pre-trained"]

# %%
few_rows = []
for seed in (1, 2):
    rows = fit_rows.groupby("label").sample(10, random_state=seed)
    few_rows.append({"fine-tuned": tune_on_few(rows, **FEW_LABELS["pre-trained"])} | linear_models(rows))
few_rows = pd.DataFrame(few_rows, index=["first draw", "second draw"])
few_rows.round(3)

# %% tags=["author"]
assert few_rows["fine-tuned"].mean() > 0.4, "forty labels should teach a pre-trained network something"

# %% [markdown]
# Read both lines: which forty rows you happen to label matters, too. So the recorded runs (raw texts of
# AG News, official test rows, more unlabeled texts for self-training) have
# {{ results.bert_curves.ag_news.few_draws }} draws for the smallest number of rows; the larger the
# number, the fewer the draws. A dot is a draw. We plot errors on a logarithmic axis, so that the end where
# all curves are good is not squeezed.

# %%
points = runtime.recorded("bert_curves")["points"]
ax = plots.error_by_rows(points, "AG News, raw: the fewer labels, the more pre-training buys")

# %% tags=["author"]
assert {"fine-tuned", "frozen", "random", "linear"} <= {point["model"] for point in points}

# %% [markdown]
# With ten rows a class the pre-trained network, fine-tuned, reaches
# {{ results.bert_curves.ag_news.few_fine_tuned | percent }} of the test rows; frozen
# {{ results.bert_curves.ag_news.few_frozen | percent }}; frozen and self-trained
# {{ results.bert_curves.ag_news.few_self_trained | percent }}; the linear model on words
# {{ results.bert_curves.ag_news.few_linear | percent }}; random weights
# {{ results.bert_curves.ag_news.few_random | percent }}, where guessing gives a quarter.
#
# ### Worth how many labels?
#
# Read the figure sideways: at the height of a blue dot go right until you meet random weights. So many
# labels would they need. Between two measured points we interpolate.

# %%
curves_by_rows = pd.DataFrame(points).pivot(index="rows", columns="model", values="mean")
random_curve = curves_by_rows["random"].dropna()
needed = 10 ** np.interp(curves_by_rows["fine-tuned"], random_curve, np.log10(random_curve.index), right=np.nan)
worth = pd.DataFrame({"random weights need": needed, "times": needed / curves_by_rows.index},
                     index=curves_by_rows.index)
worth.round(0)

# %% tags=["author"]
times = worth["times"].dropna()
assert times.iloc[0] > 10 and times.iloc[-1] < 5, "the text says: the fewer, the more"

# %% [markdown]
# That is the answer to the question of this chapter, for this encoder and AG News: with
# {{ ag_news.worth_first.rows | count }} labels pre-training is worth about
# {{ ag_news.worth_first.times | fixed(0) }} times as many, with
# {{ ag_news.worth_last.rows | count }} about {{ ag_news.worth_last.times | fixed(0) }} times as many. (A
# rough figure: random weights have few draws.) With all rows the question has no answer, as nobody has more:
# there the pre-trained network is {{ results.bert_full.ag_news.paired.random.difference | points(1) }}
# points ahead ({{ results.bert_full.ag_news.paired.random.low | points(1) }} to
# {{ results.bert_full.ag_news.paired.random.high | points(1) }}, see above). Labels did not teach all
# that pre-training teaches.
#
# ### Two cheaper ways
#
# Is self-training better than frozen alone, and frozen than fine-tuned? The draws have the same rows, so we
# look at the difference in each draw, and give its mean an interval (Student's, over the draws).

# %%
from scipy.stats import t

draws = {(point["model"], point["rows"]): np.array(point["accuracies"]) for point in points}

def paired_difference(first, second, rows):
    gained = 100 * (draws[first, rows] - draws[second, rows])
    reach = t.ppf(0.975, len(gained) - 1) * gained.std(ddof=1) / len(gained) ** 0.5
    return f"{gained.mean():+.1f} ({gained.mean() - reach:+.1f} to {gained.mean() + reach:+.1f})"

repeated = sorted(rows for model, rows in draws if model == "self-trained")
pd.DataFrame({f"{a} minus {b}": {rows: paired_difference(a, b, rows) for rows in repeated}
              for a, b in (("self-trained", "frozen"), ("fine-tuned", "frozen"))})

# %% tags=["author"]
gains = [(draws["self-trained", rows] - draws["frozen", rows]).mean() for rows in repeated]
assert gains[0] > 0.05 and gains[2] < -0.02, "the text says: it pays, then it harms"

# %% [markdown]
# In points of test accuracy. Self-training pays where labels are fewest. With thirty rows a class its
# gain cannot be told from nothing, and with a hundred it harms: the network's own errors come back to it
# as labels. (With two or three draws, in the last lines, an interval is wide.) On forty labels fine-tuning
# even loses to the frozen encoder; with one and with three hundred rows a class it wins. And the linear model on
# words, which
# costs a second, is close wherever labels are many: draw these curves before you rent a GPU.

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
# On a GPU it is minutes. What to change: the name, a smaller learning rate, 16 bits. It downloads some hundred
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
# | our BERT, random weights, raw texts | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.bert_full.ag_news.random_accuracy | percent }} | measured here |
# | our BERT, pre-trained on news, raw texts | {{ results.bert_full.ag_news.train_rows | count }} | {{ results.bert_full.ag_news.fine_tuned_accuracy | percent }} | measured here |
# | {{ published.readme_rows[1].model }} | {{ published.readme_rows[1].training }} | {{ published.readme_rows[1].accuracy }}% | published: {{ published.readme_rows[1].source }} |
# | {{ published.readme_rows[2].model }} | {{ published.readme_rows[2].training }} | {{ published.readme_rows[2].accuracy }}% | published: {{ published.readme_rows[2].source }} |
# | {{ published.readme_rows[3].model }} | {{ published.readme_rows[3].training }} | {{ published.readme_rows[3].accuracy }}% | published: {{ published.readme_rows[3].source }} |
#
# The last one has read billions of words before it saw a label, and was trained on all official
# rows. That, and not a better head, is where its points come from.
#
# ### Common mistakes
#
# | claim | what these chapters show |
# |---|---|
# | a head with two outputs, as in many examples for two classes | four classes need four outputs: {{ section("Fine-tuning") }} |
# | BERT takes spaCy's vectors | it takes its own ids and a mask: {{ section("Fine-tuning") }} |
# | `tf.keras.applications.Bert` | that module holds networks for images |
# | fine-tune on the test data | that is leakage, and so is pre-training on it: {{ section("What it knows", "pretraining") }} |

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

# %% tags=["author"]
behind = best["valid_accuracy"].max() - best.loc["head only", "valid_accuracy"]
runtime.record("bert", news, {
    "live_rows": len(fit_rows), "accuracy": accuracy, "live_wins": [wins, losses], "same_class": same_class,
    "strategies": strategies, "collapse_share": chosen.max(), "unmasked": without_mask,
    "wrong_tokenizer": wrong_tokenizer, "flattered": flattered, "few_rows": few_rows.to_dict("list"),
    "sweep_rates": cells["learning_rate"].nunique(), "sweep_cells": len(cells),
    "sweep_top_spread": top_three.max() - top_three.min(), "sweep_head_behind": behind,
    "sweep_tenth_costs": tenth_costs,
    "worth_first": {"rows": times.index[0], "times": times.iloc[0]},
    "worth_last": {"rows": times.index[-1], "times": times.iloc[-1]},
}, headline=f"fine-tuned on {len(fit_rows):,} rows: {accuracy['pre-trained']:.1%} (validation)", seed=0)

# %% [markdown]
# ## Exercises
#
# 1. Fine-tune on raw texts instead of cleaned ones, with three seeds each. Test the difference as in
#    {{ section("Pre-trained against random weights") }}. Does your data tell more than ours?
# 2. Draw the map of {{ section("What fine-tuning changes") }} for the *training* rows. What do you
#    conclude from it, and what not?
# 3. Fine-tune with a head on the mean of all states instead of `[CLS]`. Which one is better with forty
#    rows, which one with all?
# 4. Repeat the cell with forty labels for ten draws, and give each paired difference its interval. Which
#    differences remain?
# 5. Give random weights the recipe of the pre-trained network, and the other way round. How much of the
#    gap is the recipe?
# 6. Pre-train for ten minutes with the command of {{ section("The budget", "pretraining") }} and
#    fine-tune what comes out (`load_encoder` takes its folder). Where in the plot of
#    {{ section("What pre-training buys") }} does it lie?
#
# ## Recap
#
# - A head is one matrix on the pooled `[CLS]`. Tokenizer, weights and *text path* belong together.
# - Two networks on the same rows: count the rows where one is right and the other wrong.
# - Each side of a comparison gets a recipe of its own.
# - The fewer labels, the more pre-training buys. Draw the curve, with the linear model in it.
# - Choose the learning rate before the strategy; too high a one destroys the encoder.
# - Judge on rows that neither you nor the network has read.
#
# ## Further reading
#
# - J. Devlin, M.-W. Chang, K. Lee, K. Toutanova (2019): *BERT: Pre-training of deep bidirectional
#   Transformers for language understanding*.
# - D. Yarowsky (1995): *Unsupervised word sense disambiguation rivaling supervised methods*; D.-H. Lee
#   (2013): *Pseudo-label*. Self-training.
# - J. Howard, S. Ruder (2018): *Universal language model fine-tuning for text classification*.
# - C. Sun, X. Qiu, Y. Xu, X. Huang (2019): *How to fine-tune BERT for text classification?*
# - M. Mosbach, M. Andriushchenko, D. Klakow (2021): *On the stability of fine-tuning BERT*.
