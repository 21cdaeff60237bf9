# ---
# title: Recurrent networks
# summary: Build a recurrent network and its training loop by hand, and find out what it takes to beat the linear model.
# run: rnn
# goals:
#   - compute a recurrent step and its gradient with a pencil, and prove your RNN, GRU and LSTM equal to torch's
#   - see why gates help a network to remember
#   - handle padding, so that a prediction does not depend on the neighbors in its batch
#   - write a classifier and its training loop, and know what every line is for
#   - choose an optimizer, a learning rate and a regularizer by measuring
#   - catch the bugs that a training run keeps to itself
# prerequisites:
#   - "{{ chapter.exploration.link }} and {{ chapter.vocabulary.link }}"
#   - matrix products, derivatives, a first look at torch
# data: AG News, or the bundled News Briefs
# accelerator: helpful for the full AG News
# ---

# %% [markdown]
# This is a chapter for three sittings: the network (to {{ section("Two directions") }}), its training
# (to {{ section("Regularization") }}), and its rivals. Sections that a short course may skip say so.

# %% [markdown]
# ## A recurrent step by hand
#
# The linear model of {{ chapter.exploration }} sees a bag of words: *dog bites man* and *man bites
# dog* are the same to it. A recurrent network reads one word after the other and keeps a *state*, a
# short memory of what it has read. One step makes a new state from the old one and the next word:
#
# $$h_t = f(W x_t + U h_{t-1} + b)$$
#
# With single numbers this needs a pencil only. Let every weight and the bias be 1, the first state
# be 0, $f$ the logistic function, and let the "words" be 1, 2 and 3.

# %% tags=["nbval-check-output"]
from math import exp

def logistic(x: float) -> float:
    return 1 / (1 + exp(-x))

state = 0.0
for x in (1, 2, 3):
    state = logistic(1 * x + 1 * state + 1)
    print(f"x = {x}: state {state:.4f}")

# %% [markdown]
# Check the first one: it is the logistic function of $0 + 1 + 1$. A common mistake is to forget the
# bias, and to take the logistic function of 1.
#
# In a real network $x$ and $h$ are vectors, many texts are read at once, and $f$ is mostly tanh.
# The loop stays the same. Is that all that torch's `nn.RNN` does?

# %% tags=["nbval-check-output"]
import torch
from torch import nn

torch.set_num_threads(1)  # for small matrices a second thread costs more than it gives
torch.manual_seed(0)
network = nn.RNN(input_size=3, hidden_size=5, batch_first=True)
W, U, b, c = network.parameters()  # torch keeps two biases; only their sum matters
[tuple(values.shape) for values in (W, U, b, c)]

# %% tags=["nbval-check-output"]
words = torch.randn(2, 4, 3)  # (batch, length, input_size)
state = torch.zeros(2, 5)  # (batch, hidden_size)
for t in range(4):
    state = torch.tanh(words[:, t] @ W.T + b + state @ U.T + c)

all_states, last_state = network(words)  # (batch, length, hidden_size), (1, batch, hidden_size)
torch.allclose(state, all_states[:, -1], atol=1e-6)

# %% [markdown]
# It is. `network` gives the states after *every* word; ours is the last one.

# %% [markdown]
# ## Back-propagation through time
#
# To learn, the network needs the slope of its loss by each weight. The same two weights work in every
# step, so each step has its share in both slopes. Three steps with single numbers show how the
# shares are collected. First forward, with every state kept:

# %% tags=["nbval-check-output"]
from math import tanh

w, u = 0.5, 0.8  # of the word, of the state
inputs = [1.0, -0.5, 0.8]
states = [0.0]  # the state before the first word
for x in inputs:
    states.append(tanh(w * x + u * states[-1]))
[round(h, 4) for h in states]

# %% [markdown]
# Now backward, from the last step to the first. Let the loss be the last state itself: its slope by
# that state is 1. Going back through tanh multiplies by $1 - h_t^2$; going on to the state before
# multiplies by $u$.

# %% tags=["nbval-check-output"]
slope, slope_w, slope_u = 1.0, 0.0, 0.0
for t in (2, 1, 0):
    slope = slope * (1 - states[t + 1] ** 2)  # through tanh
    slope_w += slope * inputs[t]
    slope_u += slope * states[t]
    print(f"step {t + 1}: slope {slope:.4f}, collected for w {slope_w:.4f}, for u {slope_u:.4f}")
    slope = slope * u  # to the state before

# %% [markdown]
# That is the chain rule, walked backward in time. torch's `backward()` does the same walk:

# %% tags=["nbval-check-output"]
w_torch, u_torch = torch.tensor(w, requires_grad=True), torch.tensor(u, requires_grad=True)
state = torch.tensor(0.0)
for x in inputs:
    state = torch.tanh(w_torch * x + u_torch * state)
state.backward()

assert abs(w_torch.grad.item() - slope_w) < 1e-6 and abs(u_torch.grad.item() - slope_u) < 1e-6
round(w_torch.grad.item(), 4), round(u_torch.grad.item(), 4)

# %% [markdown]
# Look at the column *slope*: each step back multiplies it by $u\,(1 - h_t^2)$, here a number below 1.
# What is left of it after fifty steps?

# %% [markdown]
# ## Why gates
#
# Little is left, as we shall measure. Two cells were made to keep more. The *long short-term memory*
# (LSTM) has a second state, the *cell*, and three gates. A gate is a vector of numbers between 0 and
# 1, computed from the word and the state, that multiplies something: 0 shuts it off, 1 lets it
# through.

# %%
from agnews_utils import plots

ax = plots.cell_diagram("lstm", "LSTM: the cell is only multiplied and added to")

# %% [markdown]
# Follow the upper line from left to right. *Forget* scales the old cell, *enter* decides how much of
# the candidate is added, *leave* how much of the cell is shown as the state. The gates are logistic;
# the candidate and the output are **tanh**. In code:

# %%
def lstm_by_hand(x, h, cell, W, U, b, c):
    enter, forget, candidate, leave = (x @ W.T + b + h @ U.T + c).chunk(4, dim=1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell  # each (batch, hidden_size)

# %% [markdown]
# The *gated recurrent unit* (GRU) makes do with one state and two gates. We use it most in this
# chapter, because it is smaller.

# %%
ax = plots.cell_diagram("gru", "GRU: one gate mixes the old state with the candidate")

# %% [markdown]
# *Update*, $z$, mixes: the new state is $z$ times the old one plus $1-z$ times the candidate. With
# $z$ near 1 the state is carried on as it is. *Reset*, $r$, says how much of the old state the
# candidate may see.

# %%
def gru_by_hand(x, h, W, U, b, c):
    word_r, word_z, word_n = (x @ W.T + b).chunk(3, dim=1)  # each (batch, hidden_size)
    state_r, state_z, state_n = (h @ U.T + c).chunk(3, dim=1)

    reset = (word_r + state_r).sigmoid()
    update = (word_z + state_z).sigmoid()
    candidate = (word_n + reset * state_n).tanh()
    return update * h + (1 - update) * candidate

# %% [markdown]
# Both against torch, over the four words from above:

# %% tags=["nbval-check-output"]
gru, lstm = nn.GRU(3, 5, batch_first=True), nn.LSTM(3, 5, batch_first=True)
gru_state = lstm_state = cell = torch.zeros(2, 5)
for t in range(4):
    gru_state = gru_by_hand(words[:, t], gru_state, *gru.parameters())
    lstm_state, cell = lstm_by_hand(words[:, t], lstm_state, cell, *lstm.parameters())

print("GRU equal: ", torch.allclose(gru_state, gru(words)[0][:, -1], atol=1e-6))
print("LSTM equal:", torch.allclose(lstm_state, lstm(words)[0][:, -1], atol=1e-6))

# %% [markdown]
# The package has these steps, too, and `run_over_time` is our loop. Its gradients are torch's as well:

# %% tags=["nbval-check-output"]
from agnews_utils.rnn import cell_weights, CELLS, run_over_time, STEPS

zero = torch.zeros(2, 5)
starts = {"rnn": zero, "gru": zero, "lstm": (zero, zero)}
for name, step in STEPS.items():
    network = CELLS[name](3, 5, batch_first=True)
    ours, _ = run_over_time(step, words, starts[name], cell_weights(network))
    theirs, _ = network(words)

    our_slopes = torch.autograd.grad(ours.square().sum(), network.parameters())
    their_slopes = torch.autograd.grad(theirs.square().sum(), network.parameters())
    close = [torch.allclose(a, b, atol=1e-4) for a, b in zip(our_slopes, their_slopes)]
    print(f"{name:5} states {torch.allclose(ours, theirs, atol=1e-6)}, gradients {all(close)}")

# %% [markdown]
# ### How far the gradient travels
#
# Now the measurement. A network reads fifty random words. How long is the gradient that its last
# state sends back to a word, by the distance of that word?

# %%
def gradient_by_distance(network: nn.Module, steps: int = 50) -> list[float]:
    torch.manual_seed(0)
    words = torch.randn(16, steps, 16, requires_grad=True)  # (batch, length, input_size)
    network(words)[0][:, -1].sum().backward()
    norms = words.grad.norm(dim=2).mean(dim=0)  # (length,)
    return norms.flip(0).tolist()  # distance 0 first

# %%
torch.manual_seed(0)
networks = {name.upper(): CELLS[name](16, 32, batch_first=True) for name in CELLS}
open_gate = nn.LSTM(16, 32, batch_first=True)
open_gate.bias_ih_l0.data[32:64] = 3.0  # the forget gate's part: sigmoid(3) is nearly 1
networks["LSTM, forget gate open"] = open_gate

# %%
norms = {name: gradient_by_distance(network) for name, network in networks.items()}
ax = plots.lines({name: (range(50), values) for name, values in norms.items()},
                 "With the forget gate open, the gradient travels fifty words",
                 "distance to the last word (words)", "norm of the gradient", log="y")

# %% tags=["author"]
ratio = {name: values[49] / values[0] for name, values in norms.items()}
assert ratio["RNN"] < 1e-6 < ratio["LSTM, forget gate open"], "gates should keep the gradient alive"

# %% [markdown]
# In the plain network nothing is left after fifty words. GRU and LSTM as torch creates them do
# little better: their gates start half closed. With the forget gate open the gradient arrives. That
# is what gates are for: *the network can learn to keep them open*.
#
# ### Small weights, large weights
#
# A histogram shows what becomes of a gradient on its way, and why. We look at the last states and at the gradients of the single
# numbers, in three networks: the plain one, the same with weights four times as large, and the LSTM with
# its open gate.

# %%
def states_and_gradients(network, steps=50):
    torch.manual_seed(0)
    words = torch.randn(16, steps, 16, requires_grad=True)
    last = network(words)[0][:, -1]  # (batch, hidden_size)
    last.sum().backward()
    sizes = words.grad.abs().clamp_min(1e-20).log10()
    return {"last states": last.detach().flatten().numpy(),
            "gradient 10 words back": sizes[:, -11].flatten().numpy()}

# %%
large_weights = nn.RNN(16, 32, batch_first=True)
large_weights.load_state_dict({name: 4 * values for name, values in networks["RNN"].state_dict().items()})
looked_at = {"RNN": networks["RNN"], "RNN, weights x 4": large_weights,
             "LSTM, gate open": open_gate}

samples = {name: states_and_gradients(network) for name, network in looked_at.items()}
axes = plots.histograms(samples, "Small weights shrink the gradient; large ones push tanh to its ends",
                        ["state", "size of the gradient (log10)"])

# %% tags=["author"]
import numpy as np

at_the_ends = {name: np.mean(np.abs(two["last states"]) > 0.95) for name, two in samples.items()}
middle = {name: np.median(two["gradient 10 words back"]) for name, two in samples.items()}
assert at_the_ends["RNN, weights x 4"] > 0.3 > at_the_ends["RNN"], "large weights should saturate tanh"
assert middle["RNN"] < middle["LSTM, gate open"] - 1, "the open gate should keep the gradient"

# %% [markdown]
# Read the rows from left to right. With torch's small weights the states keep away from the ends of
# tanh, but every step back multiplies by a small matrix: ten words back the gradient is tiny. With
# weights four times as large, about half of the states sit near -1 and 1, where tanh is flat; the
# gradients that come through are large and uneven. In the LSTM with its open gate the states keep away
# from the ends, *and* ten words back the gradient is much larger than in the first network.
#
# And the opposite failure: a matrix that stretches every vector a bit, with inputs so small that tanh
# stays steep.

# %%
stretching = nn.RNN(16, 32, batch_first=True)
stretching.weight_hh_l0.data = 1.2 * nn.init.orthogonal_(torch.empty(32, 32))
for name, values in stretching.named_parameters():
    if name != "weight_hh_l0":
        values.data *= 1e-4

exploding = gradient_by_distance(stretching)
{f"{distance} words back": f"{exploding[distance] / exploding[0]:,.0f} times" for distance in (10, 25, 49)}

# %% tags=["author"]
ratio["RNN, stretching matrix"] = exploding[49] / exploding[0]
assert ratio["RNN, stretching matrix"] > 100, "a matrix that stretches should blow the gradient up"

# %% [markdown]
# The gradient explodes. The cure is crude and works: where the gradient is too long, shorten it.

# %% tags=["nbval-check-output"]
weight = nn.Parameter(torch.zeros(2))
weight.grad = torch.tensor([30.0, 40.0])
norm = nn.utils.clip_grad_norm_([weight], max_norm=1.0)
print(f"norm {norm:.0f} before, gradient {[round(g, 3) for g in weight.grad.tolist()]} after")

# %% [markdown]
# The direction is kept, the length is 1. This is *clipping*; `fit` does it in every step.

# %% [markdown]
# ## A classifier
#
# Words become vectors (an embedding, {{ chapter.vocabulary }}), the network reads them, its states
# are pooled into one vector, and a linear layer turns it into four logits. First the data.
#
# This chapter reads the column `text`, title and description as the files have them, not repaired:
# the linear model of {{ chapter.exploration }} reads the same. Its live cells learn from a small part
# of the training rows, so that you can repeat each of them; runs on all rows were recorded and stand
# beside them.

# %%
from agnews_utils.data import load_news, train_valid_split

train, test = news = load_news()
fit_rows, valid_rows = train_valid_split(train, valid_fraction=0.1, seed=42)
fit_rows = fit_rows.sample(min(len(fit_rows), 2_000), random_state=0)
valid_rows = valid_rows.sample(min(len(valid_rows), 1_000), random_state=0)
len(fit_rows), len(valid_rows)

# %%
from agnews_utils.vocabulary import build_vocab, encode, make_loader, tokenize

vocab = build_vocab([tokenize(text) for text in fit_rows["text"]], min_freq=2)

def batches(rows, size=32, shuffle=False):
    ids = encode(rows["text"], vocab, max_length=80)
    return make_loader(ids, rows["label"], size, shuffle=shuffle)

train_batches, valid_batches = batches(fit_rows, shuffle=True), batches(valid_rows, 128)
batch = next(iter(train_batches))
{name: tuple(values.shape) for name, values in batch.items()}

# %% [markdown]
# ### Pooling without the padding
#
# The texts of a batch have different lengths; short ones are filled up with `<pad>`. A network reads
# on over the padding, and its state goes on changing. So whoever pools must know where each text
# ends. Two small texts with states that we can read:

# %% tags=["nbval-check-output"]
states = torch.arange(16.0).reshape(2, 4, 2)  # (batch, length, hidden_size)
lengths = torch.tensor([4, 2])  # the second text has two words and two paddings
states[torch.arange(2), lengths - 1]  # the state after each text's last word

# %% [markdown]
# One row number and one position for each text: the *gather* picks `[6, 7]`, the fourth state of the
# first text, and `[10, 11]`, the second state of the second. For the mean and the maximum we need a
# mask, True where there is a word.

# %% tags=["nbval-check-output"]
mask = torch.arange(4) < lengths.unsqueeze(1)  # (batch, length)
largest = states.masked_fill(~mask.unsqueeze(2), -torch.inf).amax(dim=1)
mean = (states * mask.unsqueeze(2)).sum(dim=1) / lengths.unsqueeze(1)
print(mask, largest, mean, sep="\n")

# %% [markdown]
# Padding is filled with minus infinity, which no maximum takes, or with 0, which adds nothing to a
# sum; and the sum is divided by the number of *words*. The package's function does these three:

# %%
from agnews_utils.rnn.networks import pool_states

assert torch.equal(pool_states(states, lengths, "last"), states[torch.arange(2), lengths - 1])
assert torch.equal(pool_states(states, lengths, "max"), largest)
assert torch.equal(pool_states(states, lengths, "mean"), mean)

# %% [markdown]
# ### The network as a class
#
# Embedding, network, pooling, linear layer: four lines.

# %%
classes = len(news.classes)

class SmallClassifier(nn.Module):
    def __init__(self, words, size=64, classes=classes):
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.network = nn.GRU(size, size, batch_first=True)
        self.output = nn.Linear(size, classes)

    def forward(self, input_ids, lengths):
        vectors = self.embedding(input_ids)  # (batch, length, size)
        states, _ = self.network(vectors)  # (batch, length, size)
        last = states[torch.arange(len(states)), lengths - 1]  # (batch, size)
        return self.output(last)  # (batch, classes): the logits

# %% [markdown]
# The package's `RecurrentClassifier` adds options: kind of cell, layers, directions, pooling and
# dropout. Without them it is ours, as the same weights prove.

# %% tags=["nbval-check-output"]
from agnews_utils.rnn import RecurrentClassifier

torch.manual_seed(0)
options = {"cell": "gru", "embedding_size": 64, "hidden_size": 64, "classes": classes}
model = RecurrentClassifier(len(vocab), pooling="last", **options)
by_hand = SmallClassifier(len(vocab))
for ours, theirs in zip(by_hand.parameters(), model.parameters(), strict=True):
    ours.data.copy_(theirs.data)

logits = model(batch["input_ids"], lengths=batch["lengths"])  # (batch, classes)
torch.allclose(by_hand(batch["input_ids"], batch["lengths"]), logits, atol=1e-6)

# %% [markdown]
# One difference does not show here: the package draws the embedding's first weights ten times
# smaller than torch does. Most words are rare and get few updates; large random vectors would stay
# noise.

# %% [markdown]
# > **What could go wrong: the network reads the padding.**
# > Somebody takes the state at the last *position*, `states[:, -1]`, instead of that after the last
# > *word*. We make the mistake on purpose: the same network, told that every text fills its row.

# %%
class CarelessClassifier(SmallClassifier):
    def forward(self, input_ids, lengths=None):
        every_position = torch.full((len(input_ids),), input_ids.shape[1])
        return super().forward(input_ids, every_position)

careless = CarelessClassifier(len(vocab))
careless.load_state_dict(by_hand.state_dict())

# %%
def padded(ids, extra):
    return torch.cat([ids, torch.zeros(len(ids), extra, dtype=torch.long)], dim=1)

length = batch["lengths"][:1]
one_text = batch["input_ids"][:1, :length[0]]
with torch.no_grad():
    for name, network in (("careless", careless), ("by length", by_hand)):
        print(f"{name:9}", [round(network(padded(one_text, n), length)[0, 0].item(), 4) for n in (0, 20)])

# %% [markdown]
# The same text, with and without twenty paddings behind it. The careless network gives another number;
# the other one does not. The symptom in practice: predictions that depend on the *neighbors* in the
# batch. The assert to keep:

# %%
with torch.no_grad():
    short, long = (by_hand(padded(one_text, n), length) for n in (0, 20))
assert torch.allclose(short, long, atol=1e-6), "a prediction depends on its padding: use the lengths"

# %% [markdown]
# How much accuracy does it cost? Same first weights, same batches, once with care and once without.
# Here every text is padded to eighty words. (`fit` is the package's training loop;
# {{ section("The training loop by hand") }} writes it by hand.)

# %%
from agnews_utils.training import evaluate, fit

def wide(loader, length=80):
    for batch in loader:
        extra = length - batch["input_ids"].shape[1]
        ids_and_mask = {name: padded(batch[name], extra) for name in ("input_ids", "attention_mask")}
        yield batch | ids_and_mask

wide_train, wide_valid = list(wide(train_batches)), list(wide(valid_batches))

# %%
def padding_accuracy(kind):
    network = kind(len(vocab))
    network.load_state_dict(by_hand.state_dict())
    fit(network, wide_train, epochs=3, learning_rate=4e-3, seed=1)
    return evaluate(network, wide_valid)["accuracy"]

padding_bug = {"reads padding": padding_accuracy(CarelessClassifier),
               "by length": padding_accuracy(SmallClassifier)}
padding_bug

# %% [markdown]
# On AG News, with {{ ag_news.live_rows | count }} rows to learn from, the careless network is right
# on {{ ag_news.padding_bug["reads padding"] | percent }} of the validation rows and the careful one
# on {{ ag_news.padding_bug["by length"] | percent }}; on News Briefs it is
# {{ newsbriefs.padding_bug["reads padding"] | percent }} against
# {{ newsbriefs.padding_bug["by length"] | percent }}. Nothing raised an error.

# %% [markdown]
# ## Two directions
#
# After the last word the state knows the whole text, but the state at the second word knows two words
# only. A *bidirectional* network reads the text a second time, from its end, with weights of its own,
# and puts both states of a word side by side. The catch is the padding again: turned around as a
# whole, a short text would begin with it. So each text is turned around by itself.

# %% tags=["nbval-check-output"]
def turned_around(values, lengths):  # (batch, length, size)
    turned = values.clone()
    for row, length in enumerate(lengths.tolist()):
        turned[row, :length] = values[row, :length].flip(0)  # the padding stays where it is
    return turned

turned_around(torch.tensor([[[1], [2], [3], [4]], [[1], [2], [0], [0]]]), lengths)[:, :, 0]

# %% [markdown]
# Then an ordinary network can read it, and its states are turned back. torch has one network for
# both directions, whose second set of weights ends in `_reverse`; we give its weights to two
# networks of our own.

# %%
both = nn.GRU(3, 5, batch_first=True, bidirectional=True)
there, back = nn.GRU(3, 5, batch_first=True), nn.GRU(3, 5, batch_first=True)
for name, values in both.named_parameters():
    network = back if name.endswith("_reverse") else there
    network.get_parameter(name.removesuffix("_reverse")).data.copy_(values.data)

onward = there(words)[0]  # (batch, length, hidden_size)
backward = turned_around(back(turned_around(words, lengths))[0], lengths)
ours = torch.cat([onward, backward], dim=2)  # (batch, length, 2 * hidden_size)

# %% [markdown]
# torch's own way needs *packed* input, which tells it the lengths; without that its second direction
# would read the padding first.

# %% tags=["nbval-check-output"]
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

packed = pack_padded_sequence(words, lengths, batch_first=True, enforce_sorted=False)
theirs, _ = pad_packed_sequence(both(packed)[0], batch_first=True)
not_packed, _ = both(words)
for name, states in (("packed:", theirs), ("not packed:", not_packed)):
    print(f"{name:11}", torch.allclose(ours[mask], states[mask], atol=1e-6))

# %% [markdown]
# Equal at every word, if packed. `RecurrentClassifier(..., bidirectional=True)` works like ours, since
# packing costs time on a CPU.

# %% [markdown]
# ## The training loop by hand
#
# Before any training: what should the loss be? A network that knows nothing spreads its
# probability evenly over four classes. The loss is the negative logarithm of the share that the
# right class gets.

# %%
def new_model(**changed):
    torch.manual_seed(0)
    return RecurrentClassifier(len(vocab), **(options | {"pooling": "max"} | changed))

# %%
from math import log

model = new_model()
first = evaluate(model, valid_batches)
assert abs(first["loss"] - log(classes)) < 0.2, "the first loss is off: look at labels and output layer"
print(f"loss before training {first['loss']:.3f}, ln {classes} = {log(classes):.3f}")

# %% [markdown]
# A first loss far from ln 4 means a bug that costs you a minute now and a day later. The second
# cheap test: a network must be able to learn *one* batch by heart. If it cannot, no amount of data
# will help.

# %%
import torch.nn.functional as F

optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(25):
    loss = F.cross_entropy(model(batch["input_ids"], lengths=batch["lengths"]), batch["labels"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

learned = loss < 0.05 or not news.measured  # equal texts with two labels cannot be learned by heart
assert learned, "cannot learn one batch by heart: the gradient does not reach the weights"
print(f"loss on one batch after 25 steps: {loss.item():.4f}")

# %% [markdown]
# Now the whole loop. Each line has one job.

# %%
from agnews_utils import runtime
from agnews_utils.training import build_optimizer, seed_epoch

device = runtime.pick_device()  # a GPU, if there is one
looped = new_model().to(device)
optimizer = build_optimizer("adamw", looped, learning_rate=2e-3)
for epoch in range(2):
    seed_epoch(7, epoch, train_batches)  # the order of the batches, the same in every run
    looped.train()  # dropout on
    for batch in train_batches:
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        logits = looped(batch["input_ids"], batch["attention_mask"], batch["lengths"])
        F.cross_entropy(logits, batch["labels"]).backward()  # gradients are added up ...
        nn.utils.clip_grad_norm_(looped.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()  # ... so they are cleared before the next batch

# %% [markdown]
# `fit` of the package is the same loop, with early stopping, schedules, checkpoints, several
# processes and GPUs around it. Does it give the same result? On a CPU to the last digit; a GPU adds up in
# another order each time:

# %%
from agnews_utils.training import check_evaluation_mode

fitted = new_model()
history = fit(fitted, train_batches, epochs=2, learning_rate=2e-3, schedule="constant", seed=7)
rounding = 0 if device.type == "cpu" else 0.01
same = [torch.allclose(a, b, rtol=0, atol=rounding) for a, b in zip(looped.parameters(), fitted.parameters())]
assert all(same), "the loop by hand and fit() differ"
check_evaluation_mode(fitted)
print(f"{len(same)} weight arrays, all equal; accuracy {evaluate(fitted, valid_batches)['accuracy']:.1%}")

# %% [markdown]
# The batches come from `make_loader`, which puts texts of similar length together
# ({{ chapter.vocabulary }}). That saves time: in a benchmark on AG News, one epoch of a bidirectional
# LSTM cost {{ results.bench_training_cost.ag_news.ratios["padded to the longest"] | fixed(1) }} times
# as many CPU seconds in a plain loop with random batches, padded to the longest text of all, and
# {{ results.bench_training_cost.ag_news.ratios["padded to the batch"] | fixed(1) }} times as many
# when padded to the longest text of each batch. Same model, same number of steps.

# %% [markdown]
# ## Optimizers
#
# The gradient says which way is down. How far to go? Stochastic gradient descent (SGD) takes the
# learning rate times the gradient. Momentum adds up past gradients. Adam keeps two running means, of
# the gradient and of its square, and divides the one by the root of the other, so that every weight
# moves about as fast.

# %%
def adam_by_hand(weight, gradients, learning_rate=0.1, b1=0.9, b2=0.999, decay=0.0, correct=True):
    mean = square = 0.0
    path = []
    for t, gradient in enumerate(gradients, start=1):
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        m = mean / (1 - b1**t) if correct else mean  # both start at 0, so both are too
        v = square / (1 - b2**t) if correct else square  # small at first: bias correction

        weight = weight - learning_rate * decay * weight  # AdamW: not through m and v
        weight = weight - learning_rate * m / (v**0.5 + 1e-8)
        path.append(round(weight, 4))
    return path

# %%
def with_torch(kind, gradients, **settings):
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = kind([weight], lr=0.1, **settings)
    path = []
    for gradient in gradients:
        weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        path.append(round(weight.item(), 4))
    return path

# %% tags=["nbval-check-output"]
gradients = [0.5, 0.1, -0.2]
assert with_torch(torch.optim.Adam, gradients) == adam_by_hand(1.0, gradients)
assert with_torch(torch.optim.AdamW, gradients, weight_decay=0.1) == adam_by_hand(1.0, gradients, decay=0.1)

{"SGD": with_torch(torch.optim.SGD, gradients),
 "momentum": with_torch(torch.optim.SGD, gradients, momentum=0.9),
 "Adam": adam_by_hand(1.0, gradients),
 "Adam, not corrected": adam_by_hand(1.0, gradients, correct=False)}

# %% [markdown]
# Look at the first step. The gradient is one half, and SGD moves by a tenth of that. Adam moves by
# the learning rate, whatever the size of the gradient. Without its correction it moves by another
# distance. Is that too far, or not far enough?

# %% tags=["nbval-check-output"]
for b1, b2 in ((0.9, 0.999), (0.9, 0.9), (0.99, 0.9)):
    moved = 1.0 - adam_by_hand(1.0, [0.5], b1=b1, b2=b2, correct=False)[0]
    print(f"b1 = {b1}, b2 = {b2}: first step {moved / 0.1:.2f} times the learning rate")

# %% [markdown]
# It depends. Uncorrected, the first step is $(1-\beta_1)/\sqrt{1-\beta_2}$ times as long as it should
# be. With the usual numbers that is about three times *too long*; with others it is too short. Both
# means are too small, and what matters is their ratio.
#
# ### Weight decay, twice
#
# Large weights often mean rows learned by heart, so each step may shrink the weights a bit. There are
# two ways. *L2 regularization* adds the decay times the weight to the gradient. *AdamW* shrinks the
# weight beside Adam's step (Loshchilov and Hutter, 2019). For SGD the two are the same. For Adam they
# are not, and a word shows it that is absent from three batches, so that its gradient is 0:

# %% tags=["nbval-check-output"]
absent = [0.0, 0.0, 0.0]
{"Adam, L2 of 0.01": with_torch(torch.optim.Adam, absent, weight_decay=0.01),
 "AdamW, decay of 0.01": with_torch(torch.optim.AdamW, absent, weight_decay=0.01)}

# %% [markdown]
# With L2 the decay is the whole gradient of an absent word. Adam divides it by its own size, and what
# is left is a full step of the learning rate, however small the decay: the word is dragged to zero.
# AdamW takes away a thousandth. Most words are absent from most batches, so this course uses AdamW.
#
# ### Five optimizers, each at its best learning rate
#
# A comparison is fair only if each side was tuned on the same budget. Each optimizer got five
# learning rates, about three times apart, and two epochs with each; the validation rows chose. Those
# runs were recorded:

# %%
import pandas as pd

recorded_data = "newsbriefs" if news.name == "newsbriefs" else "ag_news"
tuning = runtime.recorded("rnn_tuning", recorded_data)["optimizers"]
tried = {name: {run["learning_rate"]: run["accuracy"] for run in tuned["tried"]}
         for name, tuned in tuning.items()}
pd.DataFrame(tried).T.sort_index(axis=1).map("{:.1%}".format).replace("nan%", "")

# %% [markdown]
# Each row is an optimizer, each column a learning rate, validation accuracy in the cells: the best values
# lie orders of magnitude apart, and a factor of three can decide between learning and not learning.
# Now each at its own best, with other first weights and another order of the batches than in the
# search:

# %%
curves, optimizer_accuracy = {}, {}
for name, tuned in tuning.items():
    network, learning_rate = new_model(), tuned["best"]["learning_rate"]
    history = fit(network, train_batches, epochs=2, learning_rate=learning_rate, optimizer=name,
                  weight_decay=0.0, seed=3)
    optimizer_accuracy[name] = evaluate(network, valid_batches)["accuracy"]
    curves[f"{name}, {learning_rate:g}"] = (history.steps["step"], plots.smoothed(history.steps["loss"]))

# %%
axes = plots.small_multiples(curves, "RMSprop and Adam learn fastest, each optimizer at its best of five", "step",
                             "training loss (mean of 10 steps)")

# %% tags=["author"]
some_learned = max(optimizer_accuracy.values()) > 0.5 or not news.measured
assert some_learned, "no optimizer learned anything: look at the batches"

# %%
from agnews_utils.data import accuracy_interval

def as_ranges(accuracies, rows):
    ranges = {}
    for name, accuracy in accuracies.items():
        low, high = accuracy_interval(accuracy, rows)
        ranges[name] = (100 * low, 100 * accuracy, 100 * high)
    return ranges

ax = plots.intervals(as_ranges(optimizer_accuracy, len(valid_rows)),
                     "After two epochs RMSprop and Adam are far ahead",
                     "validation accuracy, with its 95 % interval (%)")

# %% [markdown]
# RMSprop and Adam are far ahead, Adadelta follows, SGD and momentum have hardly begun: on AG News Adam
# is right on {{ ag_news.optimizer_accuracy.adam | percent }} and momentum on
# {{ ag_news.optimizer_accuracy.momentum | percent }}, on News Briefs on
# {{ newsbriefs.optimizer_accuracy.adam | percent }} and
# {{ newsbriefs.optimizer_accuracy.momentum | percent }}. Why? Most words are rare: their vectors get a
# gradient once in many steps, and a small one. The three leaders divide by the gradient's usual size,
# so that a rare word moves as far as a frequent one. (How far SGD comes with many more epochs was not
# measured here.)
#
# Which of RMSprop and Adam is better these rows do not tell. And all five numbers are a bit too high,
# since the same rows chose the learning rates. We go on with Adam, in its form with decay, AdamW.
#
# ### Schedules
#
# Five learning rates cost five runs. A cheaper look: one run that starts far too low, raises the
# learning rate in every step, and watches the loss.

# %%
def rising(step, steps):
    return 1e-5 ** (1 - step / max(1, steps - 1))  # from 1e-5 of the peak to the peak

history = fit(new_model(), train_batches, epochs=2, learning_rate=1.0, schedule=rising, seed=3)
tested = {"loss": (history.steps["learning_rate"], plots.smoothed(history.steps["loss"], 5))}
ax = plots.lines(tested, "Too low, right, too high: one run tests all learning rates",
                 "learning rate (log)", "training loss (mean of 5 steps, log)", log="xy")

# %% [markdown]
# On the left the loss hardly moves, in the middle it falls, on the right it jumps. Each learning rate
# has a few steps only, so this test says little about the low ones: with more steps they learn, too.
# What it finds is the upper end. Stay a factor of three or more below the jump.
#
# And do not keep the learning rate for the whole run: begin gently, and end with small steps. Three
# usual shapes:

# %%
from agnews_utils.training import schedule_factor

shapes = {name: (range(300), [schedule_factor(step, 300, name) for step in range(300)])
          for name in ("one_cycle", "linear", "cosine")}
assert all(0.99 < max(values) <= 1 and values[-1] < 0.02 for _, values in shapes.values())
ax = plots.lines(shapes, "Warm up, then cool down", "step", "share of the peak learning rate")

# %% [markdown]
# `fit` uses `one_cycle` unless it is told otherwise; the learning rate that we give it is the peak.

# %% [markdown]
# ## Regularization
#
# Two thousand texts, and a network with more than a hundred thousand weights: it will learn the
# training rows by heart. What does that look like?

# %%
def train_once(epochs=5, label_smoothing=0.0, weight_decay=0.01, **changed):
    network = new_model(**changed)
    history = fit(network, train_batches, valid_batches, epochs=epochs, learning_rate=1e-2, seed=5,
                  label_smoothing=label_smoothing, weight_decay=weight_decay)
    return network, history

# %%
regularized = {"none": train_once()}
_, plain = regularized["none"]
ax = plots.learning_curves(plain, "The training loss goes to nothing, the validation loss does not follow")

# %% tags=["author"]
overfitted = plain.epochs["loss"][-1] < plain.epochs["valid_loss"][-1]
assert overfitted or not news.measured, "no overfitting: more epochs?"

# %% [markdown]
# The loss on the training rows goes to nothing. On the validation rows it stops falling, or rises
# again: the network mostly becomes *surer*, and its mistakes expensive. `fit` ends with the weights of the
# dotted epoch, the one with the best validation accuracy; that is called *early stopping*. So the
# accuracy that we read is the best of five, chosen on the very rows on which it is measured: a bit
# too high, and only good for choosing.
#
# Four more remedies: hide part of the vectors (dropout), hide whole words (word dropout), shrink the
# weights (weight decay), and ask for less than certainty (label smoothing). The last one by hand:

# %% tags=["nbval-check-output"]
example, label, share = torch.tensor([[2.0, 0.0, -1.0, 0.5]]), torch.tensor([0]), 0.1
target = torch.full((1, 4), share / 4)
target[0, label] += 1 - share  # the right class gets the rest
smoothed_loss = -(target * example.log_softmax(dim=1)).sum()
theirs = F.cross_entropy(example, label, label_smoothing=share)
[round(float(value), 3) for value in target[0]], torch.allclose(smoothed_loss, theirs)

# %%
remedies = {"dropout 0.4": {"dropout": 0.4}, "word dropout 0.3": {"word_dropout": 0.3},
            "weight decay 0.3": {"weight_decay": 0.3}, "label smoothing 0.1": {"label_smoothing": 0.1}}
regularized |= {name: train_once(**changed) for name, changed in remedies.items()}

# %% [markdown]
# What does each remedy change? The loss on the training rows after training says how much was learned
# by heart; the validation rows say whether that helped. All networks saw the same rows, so we count
# pairs: rows that a remedy wins and rows that it loses against *none*.

# %%
def right_answers(network, loader, rows):
    return predict(network, loader).argmax(axis=1) == rows["label"].to_numpy()

def p_value(wins, losses):  # McNemar's test: are the wins those of a fair coin?
    return binomtest(wins, wins + losses).pvalue if wins + losses else 1.0

# %%
from agnews_utils.training import predict
from scipy.stats import binomtest

without = right_answers(regularized["none"][0], valid_batches, valid_rows)
remedy_rows = []
for name, (network, _) in regularized.items():
    right = right_answers(network, valid_batches, valid_rows)
    wins, losses = int((right & ~without).sum()), int((without & ~right).sum())
    remedy_rows.append({"remedy": name, "loss, training rows": evaluate(network, train_batches)["loss"],
                        "loss, validation rows": evaluate(network, valid_batches)["loss"],
                        "accuracy (best of 5 epochs)": right.mean(), "wins": wins, "losses": losses,
                        "p": p_value(wins, losses)})
remedy_table = pd.DataFrame(remedy_rows).set_index("remedy")
remedy_table.round(3)

# %% [markdown]
# Read the columns one by one. The loss on the training rows is higher with dropout, word dropout and
# label smoothing than without: they do make it harder to learn rows by heart. Whether that *helps* is
# for the wins and losses to say, and there is a test for it: if a remedy made no difference, each pair
# would be a coin's toss, and p is how often a fair coin looks at least as uneven
# ({{ chapter.evaluation }} has more on this test).
# On these rows no remedy can be told from none: the smallest p of the four is
# {{ ag_news.regularized.values() | map(attribute="p") | min | fixed(2) }} on AG News and
# {{ newsbriefs.regularized.values() | map(attribute="p") | min | fixed(2) }} on News Briefs. The
# validation *loss* says a bit more: on AG News it is lower with each of the four, since a network that
# is less sure pays less for its mistakes; on News Briefs with weight decay only.
#
# So what can you use?
#
# - Stop early. It costs nothing, and was switched on in every row of the table.
# - Add a remedy where the validation loss stops falling long before training ends, and give the network more
#   epochs with it: whatever hides a part of the data also slows learning.
# - Judge it by pairs on the same rows. A better accuracy on a few hundred rows is not yet a remedy.
# - Choose again when you have more rows. The recorded networks of
#   {{ section("Peers in one table") }}, with all rows of AG News, have dropout and word dropout.

# %% [markdown]
# ### A search, and what its best value is worth
#
# *A short course may skip this section.*
#
# A larger search needs a budget and a plan; Optuna (Akiba and others, 2019) makes each trial depend
# on the ones before it. It may look at validation rows only.

# %%
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)

def one_trial(trial):
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    word_dropout = trial.suggest_float("word_dropout", 0.0, 0.6)
    _, history = train_once(epochs=2, dropout=dropout, word_dropout=word_dropout)
    return history.best["valid_accuracy"]

study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(one_trial, n_trials=2)
{name: round(value, 2) for name, value in study.best_params.items()}, round(study.best_value, 3)

# %% [markdown]
# Two trials are a demonstration. A search of {{ results.rnn_search.ag_news.trials | length }} trials
# was recorded, on {{ results.rnn_search.ag_news.rows | count }} rows of AG News, a twentieth of them
# for validation. With so few rows each value has a standard error, which the figure shows.

# %%
search = runtime.recorded("rnn_search")
searched = [trial["valid_accuracy"] for trial in search["trials"]]
search_rows = search["rows"] // 20
errors = [(value * (1 - value) / search_rows) ** 0.5 for value in searched]

ax = plots.lines({"best so far": (range(1, 17), [100 * max(searched[:n]) for n in range(1, 17)])},
                 "AG News: most trials lie within two standard errors of the best", "trial",
                 "validation accuracy (%)")
ax.errorbar(range(1, 17), [100 * value for value in searched], [100 * error for error in errors],
            fmt="o", color=plots.GREY, capsize=3, label="trial, with its standard error")
_ = ax.legend()

# %%
best, error = max(zip(searched, errors))
close_ones = [value for value in searched if best - value < 2 * error]
print(f"best {best:.1%}, standard error {error:.1%}; "
      f"{len(close_ones)} of {len(searched)} trials lie within two standard errors of it")

# %% tags=["author"]
assert len(close_ones) > 8, "the title of the figure is not true"

# %% [markdown]
# And the best value is flattered. Suppose that sixteen settings were all equally good. What would the
# best of sixteen show, on as many validation rows?

# %% tags=["nbval-check-output"]
rng = np.random.default_rng(0)
truth, rows = 0.87, 200
equal_settings = rng.binomial(rows, truth, size=(10_000, 16)) / rows  # (searches, trials)
print(f"all are right on {truth:.0%}; the best of 16 equal settings shows {equal_settings.max(axis=1).mean():.1%} on average")

# %% [markdown]
# Four points more than the truth, by luck alone. What such a search can do is to rule out the bad
# settings. For a choice among the good ones it needs more rows, and the winner's true value has to
# come from rows that chose nothing.

# %% [markdown]
# ### Two layers that normalize
#
# *A short course may skip this section.*
#
# Our network is shallow and needs no normalization; BERT has a layer of it after every block, and
# convolutional networks for images mostly have another kind. They are often mixed up, so here is the
# difference. *Batch* normalization compares a feature with the same feature of the other texts in
# the batch; *layer* normalization compares it with the other features of the same text. So only one
# of them can be asked about a single text while it learns:

# %% tags=["nbval-check-output"]
features = torch.tensor([[1.0, 2.0, 6.0], [3.0, 2.0, 1.0]])  # (batch, features)
normalized = (features[0] - features[0].mean()) / (features[0].var(unbiased=False) + 1e-5).sqrt()
assert torch.allclose(nn.LayerNorm(3)(features[:1])[0], normalized, atol=1e-6)  # a text alone will do

try:
    nn.BatchNorm1d(3)(features[:1])
except ValueError as error:
    print(str(error).split(",")[0])

# %% [markdown]
# ## Peers in one table
#
# Is a recurrent network the right choice? Two rivals read windows of words instead, and both are
# short enough to write down.
#
# ### fastText's model
#
# Take the mean of the word vectors, and a linear layer: a bag of words again, with learned vectors.
# To see a bit of order, each *pair* of neighbors gets a vector, too. There are millions of pairs, so
# nobody lists them: a hash function sends each pair to one of a fixed number of buckets, and pairs
# that meet in a bucket share a vector (Joulin and others, 2016).

# %% tags=["nbval-check-output"]
from itertools import pairwise

def pair_buckets(ids, buckets):  # the ids of one text
    return [(left * 116_049_371 + right) % buckets for left, right in pairwise(ids)]

pair_buckets([5, 7, 9], 1000), pair_buckets([7, 5, 9], 1000)

# %% [markdown]
# *5 7* and *7 5* land in different buckets: order counts. The model for one text, with the vectors of
# the buckets behind those of the words:

# %% tags=["nbval-check-output"]
from agnews_utils.rnn import BagOfEmbeddings

bag = BagOfEmbeddings(len(vocab), classes, embedding_size=64, buckets=20_000)
ids = one_text[0].tolist()
rows_of_table = ids + [len(vocab) + bucket for bucket in pair_buckets(ids, 20_000)]
text_vector = bag.embedding.weight[rows_of_table].mean(dim=0)  # (embedding_size,)
torch.allclose(bag.output(text_vector), bag(one_text)[0], atol=1e-6)

# %% [markdown]
# The package's `BagOfEmbeddings` is the same for many texts at once.
#
# ### TextCNN
#
# A *filter* is a small matrix, as wide as a window of words. Laid on a window, each number is
# multiplied by the one below it, and all are added up: a high sum says "here it is", whatever the
# filter looks for. The filter slides over the text, and the largest sum counts (Kim, 2014).

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
filters = nn.Conv1d(in_channels=3, out_channels=5, kernel_size=2)  # five filters, two words wide
example = torch.randn(4, 3)  # four words, vectors of three numbers
sums = [(filters.weight[0] * example[start : start + 2].T).sum() + filters.bias[0] for start in range(3)]
torch.allclose(torch.stack(sums), filters(example.T)[0], atol=1e-6)

# %% [markdown]
# `nn.Conv1d` slides all filters at once. TextCNN has filters for three, four and five words. A text is
# surrounded by zeros, so that its first word can be the last of a window, and windows beyond the text
# are masked.

# %%
class SmallCNN(nn.Module):
    def __init__(self, words, size=64, filters=64, classes=classes):
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(size, filters, width, padding=width - 1) for width in (3, 4, 5))
        self.output = nn.Linear(3 * filters, classes)

    def forward(self, input_ids, lengths):
        vectors = self.embedding(input_ids).transpose(1, 2)  # (batch, size, length)
        largest = []
        for layer in self.convolutions:
            windows = layer(vectors).relu()  # (batch, filters, windows)
            count = lengths + layer.kernel_size[0] - 1  # windows that touch the text
            inside = torch.arange(windows.shape[2]) < count.unsqueeze(1)
            largest.append((windows * inside.unsqueeze(1)).amax(dim=2))  # (batch, filters)
        return self.output(torch.cat(largest, dim=1))

# %% tags=["nbval-check-output"]
from agnews_utils.rnn import TextCNN

cnn = TextCNN(len(vocab), classes, embedding_size=64, filters=64, dropout=0.0)
small_cnn = SmallCNN(len(vocab))
small_cnn.load_state_dict(cnn.state_dict())
logits = cnn(batch["input_ids"], lengths=batch["lengths"])
torch.allclose(small_cnn(batch["input_ids"], batch["lengths"]), logits, atol=1e-5)

# %% [markdown]
# ### Six networks and a linear model
#
# Now all of them, on the same rows, with the same loop. Each gets the same two tries, without dropout
# and with it; the linear SVM gets two values of its `C`. The validation rows choose.

# %%
def maker(kind, **fixed):
    return lambda dropout: kind(len(vocab), classes, embedding_size=64, dropout=dropout, **fixed)

def recurrent(cell, bidirectional=False):
    return maker(RecurrentClassifier, cell=cell, bidirectional=bidirectional, hidden_size=64, pooling="max")

makers = {"bag of embeddings": maker(BagOfEmbeddings, buckets=20_000),
          "TextCNN": maker(TextCNN, filters=64), "RNN": recurrent("rnn"), "GRU": recurrent("gru"),
          "LSTM": recurrent("lstm"), "BiLSTM": recurrent("lstm", bidirectional=True)}

# %%
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

def linear_svm(c):
    tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    return make_pipeline(tfidf, LinearSVC(C=c, random_state=0)).fit(fit_rows["text"], fit_rows["label"])

svms = [linear_svm(c) for c in (0.3, 1)]
svm = max(svms, key=lambda one: one.score(valid_rows["text"], valid_rows["label"]))
svm_right = svm.predict(valid_rows["text"]) == valid_rows["label"].to_numpy()
svm_right.mean()

# %%
def one_try(make, dropout):
    torch.manual_seed(0)
    network = make(dropout)
    history = fit(network, train_batches, valid_batches, epochs=3, learning_rate=1e-2, seed=1)
    return {"network": network, "dropout": dropout, "accuracy": history.best["valid_accuracy"],
            "seconds": sum(history.epochs["cpu_seconds"]) / 3}

chosen = {}
for name, make in makers.items():
    tries = [one_try(make, dropout) for dropout in (0.0, 0.3)]
    chosen[name] = max(tries, key=lambda one: one["accuracy"])
models = {name: one["network"] for name, one in chosen.items()}

# %%
from agnews_utils.rnn import count_parameters

peer_rows = [{"model": "linear SVM, these rows", "accuracy": svm_right.mean()}]
for name, network in models.items():
    right = right_answers(network, valid_batches, valid_rows)
    wins, losses = int((right & ~svm_right).sum()), int((svm_right & ~right).sum())
    peer_rows.append({"model": name, "accuracy": right.mean(), "wins": wins, "losses": losses,
                      "p": p_value(wins, losses), "dropout": chosen[name]["dropout"], "CPU seconds an epoch": chosen[name]["seconds"],
                      "parameters": count_parameters(network)["total"]})
table = pd.DataFrame(peer_rows).set_index("model")
table.round(3).astype(object).where(table.notna(), "")

# %% tags=["author"]
assert table["accuracy"].min() > 0.35 or not news.measured, "a model did not learn: look at its learning rate"

# %% [markdown]
# No network is ahead of the linear SVM by more than chance, and the plain RNN is clearly behind. Mind
# that these are six comparisons, and each is one more chance to be fooled: only a p below a sixth of
# the usual bound counts, here below a hundredth. Dropout was rarely worth it here: the validation rows chose it for
# {{ ag_news.peers_dropout.values() | select | list | length }} of six networks on AG News and for
# {{ newsbriefs.peers_dropout.values() | select | list | length }} on News Briefs.
#
# Each accuracy is the best of three epochs and of two tries on these rows, and the best network is the
# best of six. So it is flattered. For an honest number it meets the test rows, once, beside the linear
# SVM:

# %%
winner = table["accuracy"].drop("linear SVM, these rows").idxmax()
network_right = right_answers(models[winner], batches(test, 128), test)
linear_right = svm.predict(test["text"]) == test["label"].to_numpy()
wins = int((network_right & ~linear_right).sum())
losses = int((linear_right & ~network_right).sum())
test_accuracy = {winner: network_right.mean(), "linear SVM": linear_right.mean()}
print({name: f"{accuracy:.1%}" for name, accuracy in test_accuracy.items()},
      f"{wins} wins, {losses} losses, p = {p_value(wins, losses):.2g}")

# %% [markdown]
# On AG News {{ ag_news.winner }} falls from {{ ag_news.peers[ag_news.winner] | percent }} on the
# validation rows to {{ ag_news.test_accuracy[ag_news.winner] | percent }} on the test rows, and clearly
# loses to the linear SVM with {{ ag_news.test_accuracy["linear SVM"] | percent }}; on News Briefs
# {{ newsbriefs.winner }} falls from {{ newsbriefs.peers[newsbriefs.winner] | percent }} to
# {{ newsbriefs.test_accuracy[newsbriefs.winner] | percent }}, beside
# {{ newsbriefs.test_accuracy["linear SVM"] | percent }}, which its few test rows cannot tell apart
# (p = {{ newsbriefs.test_p | fixed(2) }}). Part of such a fall is the chance of other rows; part is what
# choosing the best of many on the rows of the measurement does.
#
# On {{ results.rnn_peers.ag_news.train_rows | count }} rows of AG News the recorded runs read like
# this. Settings and epoch were chosen on validation rows, the test rows were used once; where more
# than one seed was run, the median is given.

# %%
peers = pd.DataFrame(runtime.recorded("rnn_peers")["table"]).set_index("model")
peers.round(4).astype(object).where(peers.notna(), "")

# %% tags=["author"]
assert peers["test accuracy"].between(0.8, 0.96).all()

# %% [markdown]
# The linear SVM has two rows: that of {{ chapter.exploration }}, with
# **{{ results.exploration.ag_news.linear_accuracy | percent }}**, learned from all training rows; the
# other one learned from the same rows as the networks, without the validation rows, and is their fair
# rival. The recurrent network that is best on validation rows,
# {{ results.rnn_peers.ag_news.best_recurrent }}, reaches
# **{{ results.rnn_peers.ag_news.best_recurrent_accuracy | percent }}** on the test rows, and the bag
# of embeddings {{ results.rnn_peers.ag_news.bag_accuracy | percent }}; the interval of each is plus
# or minus {{ results.rnn_peers.ag_news.half_width | points }} points.
# {{ results.rnn_peers.ag_news.reading }} So on this task, reading in order buys nothing that these test
# rows could show: single words and pairs give most topics away.

# %% [markdown]
# ## Using it
#
# A model is trained to be asked. New headlines go the same way as the training rows: the same
# tokenizer, the same vocabulary, the same limit.

# %%
headlines = ["Striker scores twice as visitors win the cup final",
             "Central bank raises interest rates as prices climb",
             "Researchers build a faster chip for computers",
             "President and opposition sign peace agreement after talks"]
if not news.measured:
    headlines = test["text"].head(4).str[:100].tolist()  # of your own

# %%
from agnews_utils.vocabulary import collate

headline_ids = encode(headlines, vocab, max_length=80)
one_batch = collate([(ids, 0) for ids in headline_ids])  # the label is not looked at
probabilities = predict(models["BiLSTM"], [one_batch])  # (headlines, classes)
ax = plots.probability_bars(probabilities, headlines, "Four new headlines, each divided among the classes",
                            names=news.classes)

# %% tags=["author"]
assert probabilities.shape == (4, classes) and abs(probabilities.sum(axis=1) - 1).max() < 1e-5

# %% [markdown]
# Max pooling takes each feature from the state where it is largest. So we can ask after which words
# these states stand, and how often: a first look into the network. Mind that a state of a recurrent
# network knows the words before it (and, backward, behind it), so it speaks of more than its word.

# %%
taken = models["BiLSTM"].cpu().picked(torch.tensor(headline_ids[:1]))[0]  # (length,)
assert int(taken.sum()) == 128  # one state for each of 2 * 64 features
sorted(zip(taken.tolist(), vocab.lookup_tokens(headline_ids[0])), reverse=True)[:5]

# %% [markdown]
# ### What could go wrong
#
# Most of these bugs of a training run raise no error; the first one does, with another message on each kind
# of machine.
# Each has a check that catches it; `fit` makes those of labels, logits and losses itself, in every
# step.
#
# | symptom | likely cause | check |
# |---|---|---|
# | an index error (CPU), a failed assertion (GPU), in the first batch with class 4 | labels run from 1 to 4 | `check_labels` |
# | loss falls to about `0.74` and stays | softmax before the cross-entropy | `check_logits` |
# | validation accuracy changes with the batch size | mean of means of unequal batches | sum, then divide |
# | predictions differ from call to call | `model.eval()` forgotten | `check_evaluation_mode` |
# | the loss jumps though the learning rate is small | `zero_grad()` forgotten | `check_no_gradients` |
# | loss stays at ln 4 | texts and labels were shuffled apart | `check_alignment` |

# %% tags=["nbval-check-output"]
from agnews_utils.training import check_alignment, check_labels, check_logits, check_no_gradients

def caught(function, *arguments) -> str:
    try:
        return f"no error: {function(*arguments)}"
    except ValueError as error:
        return str(error)

caught(check_labels, torch.tensor([1, 4, 2]), 4)

# %% tags=["nbval-check-output"]
sure = torch.tensor([[1.0, 0.0, 0.0, 0.0]])  # the best that a softmax can give
print(f"lowest possible loss with a second softmax: {F.cross_entropy(sure, torch.tensor([0])):.2f}")
print(caught(check_logits, sure, torch.tensor([0])).split(":")[0])

# %% tags=["nbval-check-output"]
answers = [[1, 1, 1, 1], [0]]  # right or wrong, in two batches, of four texts and of one
mean_of_means = sum(sum(part) / len(part) for part in answers) / len(answers)
print(f"mean of means {mean_of_means:.0%}, right: {sum(map(sum, answers)) / sum(map(len, answers)):.0%}")

# %% tags=["nbval-check-output"]
forgetful = nn.Linear(3, 4)  # any new module is in training mode
forgetful(torch.ones(1, 3)).sum().backward()
print(caught(check_evaluation_mode, forgetful).split(":")[0])
print(caught(check_no_gradients, forgetful).split(",")[0])

# %% tags=["nbval-check-output"]
apart = {"labels": torch.tensor([0, 3]), "index": torch.tensor([0, 1])}
caught(check_alignment, apart, [0, 1]).split(";")[0]

# %% [markdown]
# ## When one machine is not enough
#
# *A short course may skip this section.*
#
# The networks of this chapter train in minutes. BERT on all rows takes hours on a CPU, and then two
# questions come up: can several processes share the work, and what if the run is interrupted?
#
# A batch can be shared: each process computes the gradient of its part, and the parts are averaged.
# Is that the same? Only if the average knows how many texts each part had:

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
layer, x, y = nn.Linear(3, 4), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])

def gradient(part):
    return torch.autograd.grad(F.cross_entropy(layer(x[part]), y[part]), layer.weight)[0]

whole, first_part, second_part = gradient(slice(0, 5)), gradient(slice(0, 3)), gradient(slice(3, 5))
print("weighted by rows:", torch.allclose(whole, (3 * first_part + 2 * second_part) / 5, atol=1e-6))
print("plain average:   ", torch.allclose(whole, (first_part + second_part) / 2, atol=1e-6))

# %% [markdown]
# The engine does this when it is started in several processes. Nothing in `fit` changes:
#
# ```
# python -m agnews_utils.train --model bilstm --output runs/bilstm
# torchrun --nproc_per_node 2 -m agnews_utils.train --model bilstm --output runs/bilstm
# accelerate launch --num_processes 4 -m agnews_utils.train --model bilstm --output runs/bilstm
# ```
#
# On one GPU, `fit(..., mixed_precision="bf16")` computes in half precision.
#
# ### Checkpoints
#
# Long runs get interrupted. After every epoch the engine writes weights, the optimizer's memory, the
# state of every random generator and its place in the data into a folder, and renames it only when it
# is complete. The same command with `--resume` goes on from there and ends with the same weights, bit
# for bit, as a run that nobody interrupted; a test kills a training process in the middle of an
# epoch to prove it.

# %% tags=["author"]
runtime.record("rnn", news, {
    "live_rows": len(fit_rows), "valid_rows": len(valid_rows), "padding_bug": padding_bug,
    "optimizer_accuracy": optimizer_accuracy,
    "regularized": remedy_table.to_dict(orient="index"),
    "gradient_ratio": {name: float(f"{value:.3g}") for name, value in ratio.items()},
    "peers": {row["model"]: row["accuracy"] for row in peer_rows},
    "peers_dropout": {name: one["dropout"] for name, one in chosen.items()},
    "peers_p": {row["model"]: row["p"] for row in peer_rows[1:]},
    "winner": winner, "test_accuracy": test_accuracy, "test_p": p_value(wins, losses),
}, headline=f"best of six networks on {len(fit_rows):,} rows: test {test_accuracy[winner]:.1%}", seed=0)

# %% [markdown]
# ## Exercises
#
# One star is a change of a cell, two stars are some lines of your own, three stars need thought.
#
# 1. (\*) Compute two steps of the recurrent network of {{ section("A recurrent step by hand") }} with
#    tanh instead of the logistic function, by hand and by program. *Check: `0.9640`, then `0.9993`.*
# 2. (\*) Lengthen the example of {{ section("Back-propagation through time") }} to ten steps. What must
#    $u$ be for the slope to grow on its way back?
# 3. (\*) Set the forget gate's bias to -3 in {{ section("Why gates") }}. What do you expect? Draw it.
# 4. (\*) Leave out `zero_grad()` in the loop by hand. What does the loss do, and when would you notice?
# 5. (\*\*) Plot the learning curves of the network with both dropouts. Where does the validation loss turn?
# 6. (\*\*) Give TextCNN windows of one word only. Which other model of the table is that nearly?
# 7. (\*\*) Let the bag of embeddings do without pairs of words (`buckets=0`). Test the difference row by row.
#
# ## Recap
#
# - A recurrent step is one line; its gradient walks the same steps backward.
# - Gates that stay open keep a gradient alive over many words.
# - Padding must not be read: a prediction may not depend on its neighbors.
# - First loss ln 4, one batch by heart, then train.
# - Optimizers, learning rates and remedies are compared on the same budget and the same rows; the best
#   of many tries is a choice, not a result.
# - The linear model stays in the table. Beating it takes more than reading in order.
#
# ## Further reading
#
# - J. Elman (1990): *Finding structure in time*. The recurrent network.
# - S. Hochreiter, J. Schmidhuber (1997): *Long short-term memory*; F. Gers, J. Schmidhuber, F. Cummins
#   (2000): *Learning to forget*.
# - K. Cho and others (2014): *Learning phrase representations using RNN encoder-decoder*. The GRU.
# - M. Schuster, K. Paliwal (1997): *Bidirectional recurrent neural networks*.
# - R. Pascanu, T. Mikolov, Y. Bengio (2013): *On the difficulty of training recurrent neural networks*.
# - Y. Kim (2014): *Convolutional neural networks for sentence classification*.
# - A. Joulin and others (2016): *Bag of tricks for efficient text classification*.
# - D. Kingma, J. Ba (2015): *Adam*; I. Loshchilov, F. Hutter (2019): *Decoupled weight decay*.
# - L. Smith, N. Topin (2018): *Super-convergence*. The one-cycle schedule.
