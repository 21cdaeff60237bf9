# ---
# title: Recurrent networks
# summary: Build a recurrent network and its training loop by hand, and find out what it takes to beat the linear model.
# run: rnn
# goals:
#   - compute a recurrent step with a pencil, and prove your RNN, GRU and LSTM equal to torch's
#   - see why gates help a network to remember
#   - handle padding, so that a prediction does not depend on the neighbors in its batch
#   - write a training loop, and know what every line is for
#   - choose an optimizer, a learning rate and a regularizer by measuring
#   - catch the bugs that raise no error
# prerequisites:
#   - "{{ chapter.exploration.link }} and {{ chapter.vocabulary.link }}"
#   - matrix products, derivatives, a first look at torch
# data: AG News, or the bundled News Briefs
# accelerator: helpful for the full AG News
# ---

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
# A widely read write-up of this very example prints `0.732`, `0.861` and `0.901`. Check the first:
# the logistic function of $0 + 1 + 1$. It is `0.8808`, whoever says otherwise.
#
# In a real network $x$ and $h$ are vectors, many texts are read at once, and $f$ is mostly tanh.
# The loop stays the same. Is that all that torch's `nn.RNN` does?

# %% tags=["nbval-check-output"]
import torch
from torch import nn

torch.set_num_threads(1)  # for small matrices a second thread costs more than it gives
torch.manual_seed(0)
network = nn.RNN(input_size=3, hidden_size=5, batch_first=True)
W, U, b, c = network.parameters()  # (5, 3), (5, 5), (5,), (5,): torch keeps two biases
words = torch.randn(2, 4, 3)  # (batch, length, input_size)
state = torch.zeros(2, 5)  # (batch, hidden_size)
for t in range(4):
    state = torch.tanh(words[:, t] @ W.T + b + state @ U.T + c)
all_states, last_state = network(words)  # (batch, length, hidden_size), (1, batch, hidden_size)
torch.allclose(state, all_states[:, -1], atol=1e-6)

# %% [markdown]
# It is. `network` gives the states after *every* word; ours is the last one.
#
# Two cells with a better memory follow. A long short-term memory (LSTM) keeps a second state, the
# *cell*, and three gates between 0 and 1 decide what enters it, what it forgets and what leaves.
# The gates are logistic. The candidate and the output are **tanh**, although you can read otherwise.

# %%
def lstm_by_hand(x, h, cell, W, U, b, c):
    enter, forget, candidate, leave = (x @ W.T + b + h @ U.T + c).chunk(4, dim=1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell  # each (batch, hidden_size)

# %% [markdown]
# The package has such a step for all three kinds of cell, and `run_over_time` is our loop. We check
# all three against torch, and not only the states: also the gradients. Then the LSTM against ours.

# %% tags=["nbval-check-output"]
from agnews_utils.rnn import cell_weights, CELLS, run_over_time, STEPS

for name, step in STEPS.items():
    network = CELLS[name](3, 5, batch_first=True)
    zero = torch.zeros(2, 5)
    start = (zero, zero) if name == "lstm" else zero
    ours, _ = run_over_time(step, words, start, cell_weights(network))
    theirs, _ = network(words)
    both = [torch.autograd.grad(out.square().sum(), network.parameters()) for out in (ours, theirs)]
    gap = max((a - b).abs().max() for a, b in zip(*both))
    print(f"{name:5} states {torch.allclose(ours, theirs, atol=1e-6)}, gradients {bool(gap < 1e-4)}")

# %%
h, cell = lstm_by_hand(words[:, 0], zero, zero, *cell_weights(network))  # the last one is the LSTM
assert torch.allclose(h, theirs[:, 0], atol=1e-6), "the LSTM by hand differs from torch's"

# %% [markdown]
# ## Why gates
#
# What can a network learn from a word that stands fifty words before the end? Only what the gradient
# carries back to it. Each step backward multiplies by the same matrix and by the slope of tanh,
# which is at most 1. We measure the length of the gradient at each distance.

# %%
def gradient_by_distance(network: nn.Module, steps: int = 50) -> list[float]:
    torch.manual_seed(0)
    words = torch.randn(16, steps, 16, requires_grad=True)  # (batch, length, input_size)
    network(words)[0][:, -1].sum().backward()
    norms = words.grad.norm(dim=2).mean(dim=0)  # (length,)
    return norms.flip(0).tolist()  # distance 0 first

torch.manual_seed(0)
networks = {name.upper(): CELLS[name](16, 32, batch_first=True) for name in CELLS}
open_gate = CELLS["lstm"](16, 32, batch_first=True)
open_gate.bias_ih_l0.data[32:64] = 3.0  # the forget gate's part: sigmoid(3) is nearly 1
networks["LSTM, forget gate open"] = open_gate

# %% [markdown]
# And one network that goes wrong in the other direction: its matrix stretches every vector a bit,
# and tiny weights on the input keep tanh away from its flat ends.

# %%
from agnews_utils import plots

stretching = nn.RNN(16, 32, batch_first=True)
stretching.weight_hh_l0.data = 1.2 * nn.init.orthogonal_(torch.empty(32, 32))
for name, values in stretching.named_parameters():
    if not name.startswith("weight_hh"):
        values.data *= 1e-4
networks["RNN, stretching matrix"] = stretching
norms = {name: gradient_by_distance(network) for name, network in networks.items()}
ax = plots.lines({name: (range(50), values) for name, values in norms.items()},
                 "Only an open gate lets the gradient travel far",
                 "distance to the last word (words)", "norm of the gradient", log="y")

# %%
ratio = {name: values[49] / values[0] for name, values in norms.items()}
assert ratio["RNN"] < 1e-6 < ratio["LSTM, forget gate open"], "gates should keep the gradient alive"
assert ratio["RNN, stretching matrix"] > 100, "a matrix that stretches should blow it up"
{name: f"{value:.0e}" for name, value in ratio.items()}

# %% [markdown]
# In the plain network nothing is left after fifty words. The LSTM as torch creates it does little
# better: its forget gate starts half closed. With the gate open the gradient arrives. That is what
# gates are for: *the network can learn to keep them open*. The stretching matrix shows the
# opposite failure, an exploding gradient. Its cure is crude and works: where the gradient is too
# long, shorten it.

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
# Experiments in this chapter run on a small part of the training rows, so that you can repeat each
# of them; runs on all rows were recorded and stand beside them.

# %%
from agnews_utils.vocabulary import make_loader
from agnews_utils.data import load_news, train_valid_split
from agnews_utils.vocabulary import build_vocab, encode, tokenize

train, test = news = load_news()
fit_rows, valid_rows = train_valid_split(train, valid_fraction=0.1, seed=42)
fit_rows = fit_rows.sample(min(len(fit_rows), 2_000), random_state=0)
valid_rows = valid_rows.sample(min(len(valid_rows), 1_000), random_state=0)
vocab = build_vocab([tokenize(text) for text in fit_rows["text"]], min_freq=2)
def batches(rows, size=32, shuffle=False):
    ids = encode(rows["text"], vocab, max_length=80)
    return make_loader(ids, rows["label"], size, shuffle=shuffle)
train_batches, valid_batches = batches(fit_rows, shuffle=True), batches(valid_rows, 128)
batch = next(iter(train_batches))
{name: tuple(values.shape) for name, values in batch.items()}

# %%
from agnews_utils.rnn import RecurrentClassifier

torch.manual_seed(0)
model = RecurrentClassifier(len(vocab), cell="gru", embedding_size=64, hidden_size=64, pooling="last")
logits = model(batch["input_ids"], batch["attention_mask"], batch["lengths"])
logits.shape  # (batch, classes)

# %% [markdown]
# > **What could go wrong: the network reads the padding.**
# > Texts of a batch have different lengths; short ones are filled up with `<pad>`. "The last state"
# > is then the state after a row of padding, unless somebody takes care.

# %%
class CarelessClassifier(RecurrentClassifier):
    def forward(self, input_ids):  # no mask, no lengths
        states, _ = self.forward_layers[0](self.embedding(input_ids))  # (batch, length, hidden)
        return self.output(states[:, -1])  # (batch, classes)

def padded(ids, extra):
    return torch.cat([ids, torch.zeros(len(ids), extra, dtype=torch.long)], dim=1)

one = batch["input_ids"][:1, :batch["lengths"][0]]
careless = CarelessClassifier(len(vocab), cell="gru", embedding_size=64, hidden_size=64)
careless.load_state_dict(model.state_dict())
with torch.no_grad():
    print("careless:", [careless(padded(one, n))[0, 0].item() for n in (0, 20)])
    print("masked:  ", [model(padded(one, n), lengths=batch["lengths"][:1])[0, 0].item() for n in (0, 20)])

# %% [markdown]
# The same text, with and without twenty paddings behind it. The careless network changes its mind;
# the other one does not. The symptom in practice: predictions that depend on the *neighbors* in the
# batch. The assert to keep:

# %%
with torch.no_grad():
    short, long = (model(padded(one, n), lengths=batch["lengths"][:1]) for n in (0, 20))
assert torch.allclose(short, long, atol=1e-6), "a prediction depends on its padding: use the mask"

# %% [markdown]
# How much accuracy does it cost? Same network, same batches, once with care and once without. Here
# every text is padded to eighty words, as many tutorials do. (`fit` is the package's training
# loop. {{ Section("The training loop by hand") }} writes it by hand.)

# %%
from agnews_utils.training import evaluate, fit

def wide(loader, length=80):
    return [{**b, **{name: padded(b[name], length - b[name].shape[1])
                     for name in ("input_ids", "attention_mask")}} for b in loader]

# %%
def padding_accuracy(kind):
    torch.manual_seed(0)
    model = kind(len(vocab), cell="gru", embedding_size=64, hidden_size=64, pooling="last")
    fit(model, wide(train_batches), epochs=4, learning_rate=4e-3, seed=1)
    return evaluate(model, wide(valid_batches))["accuracy"]

padding_bug = {"reads padding": padding_accuracy(CarelessClassifier),
               "with mask": padding_accuracy(RecurrentClassifier)}
padding_bug

# %% [markdown]
# On AG News, with {{ ag_news.live_rows | count }} rows to learn from, the careless network is right
# on {{ ag_news.padding_bug["reads padding"] | percent }} of the validation rows and the careful one
# on {{ ag_news.padding_bug["with mask"] | percent }}; on News Briefs it is
# {{ newsbriefs.padding_bug["reads padding"] | percent }} against
# {{ newsbriefs.padding_bug["with mask"] | percent }}. Nothing raised an error.

# %% [markdown]
# ## The training loop by hand
#
# Before any training: what should the loss be? A network that knows nothing spreads its
# probability evenly over four classes. The loss is the negative logarithm of the share that the
# right class gets.

# %%
def new_model(**options):
    torch.manual_seed(0)
    return RecurrentClassifier(len(vocab), cell="gru", embedding_size=64, hidden_size=64,
                               pooling="max", **options)

# %%
from math import log

model = new_model()
first = evaluate(model, valid_batches)
assert abs(first["loss"] - log(4)) < 0.2, "the first loss is not ln 4: look at labels and output layer"
print(f"loss before training {first['loss']:.3f}, ln 4 = {log(4):.3f}")

# %% [markdown]
# A first loss far from ln 4 means a bug that costs you a minute now and a day later. The second
# cheap test: a network must be able to learn *one* batch by heart. If it cannot, no amount of data
# will help.

# %%
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
for _ in range(25):
    loss = nn.functional.cross_entropy(model(batch["input_ids"], lengths=batch["lengths"]), batch["labels"])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
assert loss < 0.05, "cannot learn one batch by heart: the gradient does not reach the weights"
print(f"loss on one batch after 25 steps: {loss.item():.4f}")

# %% [markdown]
# Now the whole loop. Each line has one job.

# %%
import torch.nn.functional as F
from agnews_utils.training import build_optimizer, seed_epoch

by_hand = new_model()
optimizer = build_optimizer("adamw", by_hand, learning_rate=2e-3)
for epoch in range(2):
    seed_epoch(7, epoch, train_batches)  # the order of the batches, the same in every run
    by_hand.train()  # dropout on
    for batch in train_batches:
        logits = by_hand(batch["input_ids"], batch["attention_mask"], batch["lengths"])
        F.cross_entropy(logits, batch["labels"]).backward()  # gradients are added up ...
        nn.utils.clip_grad_norm_(by_hand.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()  # ... so they are cleared before the next batch

# %% [markdown]
# `fit` of the package is the same loop, with early stopping, schedules, checkpoints, several
# processes and GPUs around it. Does it give the same result? To the last digit:

# %%
from agnews_utils.training import check_evaluation_mode

by_fit = new_model()
history = fit(by_fit, train_batches, epochs=2, learning_rate=2e-3, schedule="constant", seed=7)
same = [torch.equal(a, b) for a, b in zip(by_hand.parameters(), by_fit.parameters())]
assert all(same), "the loop by hand and fit() differ"
check_evaluation_mode(by_fit)
print(f"{len(same)} weight arrays, all equal; accuracy {evaluate(by_fit, valid_batches)['accuracy']:.1%}")

# %% [markdown]
# The engine adds one thing that you do not see in the digits. Its batches hold texts of similar
# length ({{ chapter.vocabulary }}). In a benchmark on AG News, one epoch of a bidirectional LSTM
# cost {{ results.bench_training_cost.ag_news.ratios["padded to the longest"] | fixed(1) }} times as
# many CPU seconds in a plain loop with random batches, padded to the longest text, and
# {{ results.bench_training_cost.ag_news.ratios["padded to the batch"] | fixed(1) }} times as many
# when padded to the longest text of each batch. Same model, same number of steps.

# %% [markdown]
# ## Optimizers
#
# The gradient says which way is down. How far to go? Stochastic gradient descent (SGD) takes the
# learning rate times the gradient. Momentum adds up past gradients. Adam also divides by their
# typical size, so that every weight moves about as fast. AdamW shrinks the weights apart from that.

# %%
def adam_by_hand(weight, gradients, lr=0.1, b1=0.9, b2=0.999, decay=0.0, correct=True):
    mean = square = 0.0
    path = []
    for t, gradient in enumerate(gradients, start=1):
        mean = b1 * mean + (1 - b1) * gradient
        square = b2 * square + (1 - b2) * gradient**2
        m = mean / (1 - b1**t) if correct else mean  # both start at 0, so both are too
        v = square / (1 - b2**t) if correct else square  # small at first: bias correction
        weight = weight - lr * decay * weight  # AdamW: the decay does not pass through m and v
        weight = weight - lr * m / (v**0.5 + 1e-8)
        path.append(round(weight, 4))
    return path

# %%
slopes = [0.5, 0.1, -0.2]

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
assert with_torch(torch.optim.Adam, slopes) == adam_by_hand(1.0, slopes)
assert with_torch(torch.optim.AdamW, slopes, weight_decay=0.1) == adam_by_hand(1.0, slopes, decay=0.1)
{"SGD": with_torch(torch.optim.SGD, slopes),
 "momentum": with_torch(torch.optim.SGD, slopes, momentum=0.9),
 "Adam": adam_by_hand(1.0, slopes), "AdamW": adam_by_hand(1.0, slopes, decay=0.1),
 "Adam, not corrected": adam_by_hand(1.0, slopes, correct=False)}

# %% [markdown]
# Look at the first step. The gradient is one half, and SGD moves by a tenth of that. Adam moves by
# the learning rate, whatever the size of the gradient. Without its correction it moves by another
# distance. Some write-ups leave the correction out, others say that the first steps would then be
# too small. Which is it?

# %% tags=["nbval-check-output"]
for b1, b2 in ((0.9, 0.999), (0.9, 0.9), (0.99, 0.9)):
    first = 1.0 - adam_by_hand(1.0, [0.5], b1=b1, b2=b2, correct=False)[0]
    print(f"b1 = {b1}, b2 = {b2}: first step {first / 0.1:.2f} times the learning rate")

# %% [markdown]
# It depends. Uncorrected, the first step is $(1-\beta_1)/\sqrt{1-\beta_2}$ times as long as it should
# be. With the usual numbers that is about three times *too long*; with others it is too short. Both
# moments are too small, and what matters is the ratio. With the correction nobody needs to know.
#
# Six optimizers, each at a rate that suits it, on the same network and batches:

# %%
plan = {"sgd": ("sgd", 0.5, 0), "momentum": ("momentum", 0.1, 0), "rmsprop": ("rmsprop", 2e-3, 0),
        "adadelta": ("adadelta", 2.0, 0), "adam": ("adam", 3e-3, 0), "adam, L2": ("adam", 3e-3, 0.01),
        "adamw": ("adamw", 3e-3, 0.01)}  # optimizer, learning rate, weight decay
curves, optimizer_accuracy = {}, {}
for name, (optimizer, rate, decay) in plan.items():
    history = fit(model := new_model(), train_batches, epochs=2, learning_rate=rate, seed=3,
                  optimizer=optimizer, weight_decay=decay)
    curves[name] = (history.steps["step"], plots.smoothed(history.steps["loss"]))
    optimizer_accuracy[name] = evaluate(model, valid_batches)["accuracy"]
assert max(optimizer_accuracy.values()) > 0.5, "no optimizer learned anything: look at the batches"
ax = plots.lines(curves, "The optimizer decides how fast the loss falls", "step",
                 "training loss (mean of 10 steps)")
{name: f"{accuracy:.1%}" for name, accuracy in optimizer_accuracy.items()}

# %% [markdown]
# Plain SGD needs many more steps on this problem: most words are rare, so that their embeddings get
# a gradient once in many steps, and are hardly moved by it. Optimizers that scale each weight's step
# are ahead.
#
# Now compare `adam, L2` with `adamw`. Both have the same decay of `0.01`. The first one adds it to the
# gradient, as half the *squared* norm of the weights times `0.01` would (not the norm, as you can
# read). For a word that is absent from the batch the decay is then the whole gradient, Adam divides
# it by its own size, and the embedding is dragged to zero at full speed. AdamW decays the weights
# beside Adam's step (Loshchilov and Hutter, 2019). One line of the algorithm, on AG News
# {{ ag_news.optimizer_accuracy["adam, L2"] | percent }} against
# {{ ag_news.optimizer_accuracy["adamw"] | percent }} of the validation rows.
#
# ### Schedules
#
# Which learning rate? Do not guess. Start far too low, raise it in every step, and watch the loss.

# %%
def rising(step, steps):
    return 1e-5 ** (1 - step / max(1, steps - 1))  # from 1e-5 of the peak to the peak

history = fit(new_model(), train_batches, epochs=2, learning_rate=1.0, schedule=rising, seed=3)
tested = {"loss": (history.steps["learning_rate"], plots.smoothed(history.steps["loss"], 5))}
ax = plots.lines(tested, "Too low, right, too high: the rate test", "learning rate",
                 "training loss (mean of 5 steps)", log="xy")

# %% [markdown]
# On the left nothing happens, in the middle the loss falls, on the right it jumps. Take a rate where
# it falls fast, well to the left of the jump. And do not keep it for the whole run: begin gently, and
# end with small steps. Three usual shapes:

# %%
from agnews_utils.training import schedule_factor

shapes = {name: (range(300), [schedule_factor(step, 300, name) for step in range(300)])
          for name in ("one_cycle", "linear", "cosine")}
assert all(0.99 < max(values) <= 1 and values[-1] < 0.02 for _, values in shapes.values())
ax = plots.lines(shapes, "Warm up, then cool down", "step", "share of the peak learning rate")

# %% [markdown]
# ## Regularization
#
# Two thousand texts, and a network with more than a hundred thousand weights: it will learn the
# training rows by heart. What does that look like?

# %%
def train_once(epochs=4, label_smoothing=0.0, weight_decay=0.01, **options):
    return fit(new_model(**options), train_batches, valid_batches, epochs=epochs, learning_rate=4e-3,
               seed=5, label_smoothing=label_smoothing, weight_decay=weight_decay)

# %%
plain = train_once(epochs=8)
ax = plots.learning_curves(plain, "Training loss falls on, validation loss turns")
assert plain.epochs["loss"][-1] < plain.epochs["valid_loss"][-1], "no overfitting: more epochs?"

# %% [markdown]
# The loss on the training rows goes to nothing. On the validation rows it turns: from there on the
# network mostly becomes *surer*, and its mistakes expensive. `fit` keeps the weights of the dotted
# epoch, the one with the best validation accuracy; that is called early stopping. Four more remedies: hide part of the vectors (dropout), hide whole words (word
# dropout), shrink the weights (weight decay), and ask for less than certainty (label smoothing).
# The last one by hand:

# %% tags=["nbval-check-output"]
logits, label, share = torch.tensor([[2.0, 0.0, -1.0, 0.5]]), torch.tensor([0]), 0.1
target = torch.full((1, 4), share / 4)
target[0, label] += 1 - share  # the right class gets the rest
by_hand_loss = -(target * logits.log_softmax(dim=1)).sum()
theirs = F.cross_entropy(logits, label, label_smoothing=share)
[round(float(value), 3) for value in target[0]], torch.allclose(by_hand_loss, theirs)

# %%
variants = {"none": {}, "dropout": {"dropout": 0.4}, "word dropout": {"word_dropout": 0.3},
            "weight decay": {"weight_decay": 0.3}, "label smoothing": {"label_smoothing": 0.1}}
regularized = {name: train_once(**options).best["valid_accuracy"]
               for name, options in variants.items()}

# %%
from agnews_utils.data import accuracy_interval

ranges = {}
for name, accuracy in regularized.items():
    low, high = accuracy_interval(accuracy, len(valid_rows))
    ranges[name] = (100 * low, 100 * accuracy, 100 * high)
ax = plots.intervals(ranges, "One run each: read the intervals first", "validation accuracy (%)")

# %% [markdown]
# On few validation rows the intervals are wide, and one run with one seed says little. That is the
# honest reading of most tables of this kind. A larger search needs a budget and a plan; Optuna
# (Akiba and others, 2019) makes each trial depend on the ones before it. It may look at validation
# rows only.

# %%
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)

def one_trial(trial):
    dropout = trial.suggest_float("dropout", 0.0, 0.6)
    word_dropout = trial.suggest_float("word_dropout", 0.0, 0.6)
    return train_once(epochs=2, dropout=dropout, word_dropout=word_dropout).best["valid_accuracy"]

study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
study.optimize(one_trial, n_trials=3)
print({name: round(value, 2) for name, value in study.best_params.items()}, f"{study.best_value:.1%}")

# %% [markdown]
# Three trials are a demonstration. A search of {{ results.rnn_search.ag_news.trials | length }} trials
# on {{ results.rnn_search.ag_news.rows | count }} rows of AG News was recorded:

# %%
from agnews_utils import runtime

trials = runtime.recorded("rnn_search")["trials"]
values = [100 * trial["valid_accuracy"] for trial in trials]
number = range(1, len(values) + 1)
best_so_far = [max(values[:count]) for count in number]
ax = plots.lines({"trial": (number, values), "best so far": (number, best_so_far)},
                 "A search: most of the gain comes early", "trial", "validation accuracy (%)")

# %% [markdown]
# Two layers that normalize are often mixed up. *Batch* normalization compares a feature with the same
# feature of the other texts in the batch; *layer* normalization compares it with the other features
# of the same text. So only one of them can be asked about a single text while it learns:

# %% tags=["nbval-check-output"]
def caught(function, *arguments) -> str:
    try:
        return f"no error: {function(*arguments)}"
    except ValueError as error:
        return str(error)

x = torch.tensor([[1.0, 2.0, 6.0], [3.0, 2.0, 1.0]])  # (batch, features)
by_hand_norm = (x[0] - x[0].mean()) / (x[0].var(unbiased=False) + 1e-5).sqrt()
assert torch.allclose(nn.LayerNorm(3)(x[:1])[0], by_hand_norm, atol=1e-6)  # a text alone will do
print(caught(nn.BatchNorm1d(3), x[:1]).split(",")[0])

# %% [markdown]
# ## Peers in one table
#
# Is a recurrent network the right choice? Five others learn from the same rows with the same loop:
# a bag of embeddings with pairs of words (the model of fastText), a convolution over windows of
# three to five words (TextCNN), and recurrent ones of each kind.

# %%
from agnews_utils.rnn import BagOfEmbeddings, count_parameters, TextCNN

small = {"embedding_size": 64, "hidden_size": 64, "pooling": "max", "dropout": 0.3}
makers = {"bag of embeddings": lambda: BagOfEmbeddings(len(vocab), embedding_size=64, buckets=20_000),
          "TextCNN": lambda: TextCNN(len(vocab), embedding_size=64, filters=64),
          "RNN": lambda: RecurrentClassifier(len(vocab), cell="rnn", **small),
          "GRU": lambda: RecurrentClassifier(len(vocab), cell="gru", **small),
          "LSTM": lambda: RecurrentClassifier(len(vocab), cell="lstm", **small),
          "BiLSTM": lambda: RecurrentClassifier(len(vocab), cell="lstm", bidirectional=True, **small)}

# %%
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

linear = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LinearSVC(random_state=0))
linear.fit(fit_rows["text"], fit_rows["label"])
rows = [("linear model", None, None, linear.score(valid_rows["text"], valid_rows["label"]))]

# %%
models = {}
for name, make in makers.items():
    torch.manual_seed(0)
    models[name] = make()
    rate = 2e-2 if "bag" in name else 4e-3
    history = fit(models[name], train_batches, valid_batches, epochs=4, learning_rate=rate, seed=1)
    seconds = sum(history.epochs["cpu_seconds"]) / 4
    rows.append((name, count_parameters(models[name])["total"], seconds, history.best["valid_accuracy"]))

# %%
table = pd.DataFrame(rows, columns=["model", "parameters", "CPU seconds an epoch", "valid accuracy"])
table["+-95 %"] = [1.96 * (a * (1 - a) / len(valid_rows)) ** 0.5 for a in table["valid accuracy"]]
assert table["valid accuracy"].min() > 0.35, "a model did not learn: look at its learning rate"
table.set_index("model").round(3)

# %% [markdown]
# With two thousand rows the linear model is hard to beat. On
# {{ results.rnn_peers.ag_news.train_rows | count }} rows of AG News the recorded runs read like this
# (the model and the epoch were chosen on validation rows; median of
# {{ results.rnn_peers.ag_news.seeds }} seeds where more than one was run):

# %%
peers = pd.DataFrame(runtime.recorded("rnn_peers")["table"]).set_index("model")
assert peers["test accuracy"].between(0.8, 0.96).all()
peers.round(4)

# %% [markdown]
# The best recurrent network, {{ results.rnn_peers.ag_news.best_recurrent }}, reaches
# **{{ results.rnn_peers.ag_news.best_recurrent_accuracy | percent }}**, the bag of embeddings
# {{ results.rnn_peers.ag_news.bag_accuracy | percent }}, and the linear model
# ({{ chapter.exploration }}) {{ results.exploration.ag_news.linear_accuracy | percent }}. Read it
# together with the interval of plus or minus {{ results.rnn_peers.ag_news.half_width | points }}
# points. {{ results.rnn_peers.ag_news.reading }}

# %% [markdown]
# ## Using it
#
# A model is trained to be asked. New headlines go the same way as the training rows: the same
# tokenizer, the same vocabulary, the same limit.

# %%
from agnews_utils.training import predict

headlines = ["Striker scores twice as visitors win the cup final",
             "Central bank raises interest rates as prices climb",
             "Researchers build a faster chip for computers",
             "President and opposition sign peace agreement after talks"]

# %%
from agnews_utils.vocabulary import collate

ids = encode(headlines, vocab, max_length=80)
model = models["BiLSTM"]
probabilities = predict(model, [collate([(row, 0) for row in ids])])  # the label is not looked at
assert probabilities.shape == (4, 4) and abs(probabilities.sum(axis=1) - 1).max() < 1e-5
ax = plots.probability_bars(probabilities, headlines, "What the network makes of four new headlines")

# %% [markdown]
# Max pooling takes each feature from the word where it is largest. So we can ask which words were
# taken, and how often: a first look into the network.

# %%
taken = model.picked(torch.tensor(ids[:1]))[0]  # (length,)
assert int(taken.sum()) == 128  # one word for each of 2 * 64 features
words = vocab.lookup_tokens(ids[0])
sorted(zip(taken.tolist(), words), reverse=True)[:5]

# %% [markdown]
# ### What could go wrong
#
# The worst bugs of a training run raise no error. Each of these has a check that catches it; `fit`
# makes those of labels, logits and losses itself, in every step.
#
# | symptom | likely cause | check |
# |---|---|---|
# | loss is `nan`, or an index error on a GPU | labels run from 1 to 4 | `check_labels` |
# | loss falls to about `0.74` and stays | softmax before the cross-entropy | `check_logits` |
# | validation accuracy changes with the batch size | mean of means of unequal batches | sum, then divide |
# | predictions differ from call to call | `model.eval()` forgotten | `check_evaluation_mode` |
# | the loss jumps though the rate is small | `zero_grad()` forgotten | `check_no_gradients` |
# | loss stays at ln 4 | texts and labels were shuffled apart | `check_alignment` |

# %% tags=["nbval-check-output"]
from agnews_utils.training import check_alignment, check_labels, check_logits, check_no_gradients

caught(check_labels, torch.tensor([1, 4, 2]), 4)

# %% tags=["nbval-check-output"]
sure = torch.tensor([[1.0, 0.0, 0.0, 0.0]])  # the best that a softmax can give
print(f"lowest possible loss with a second softmax: {F.cross_entropy(sure, torch.tensor([0])):.2f}")
print(caught(check_logits, sure, torch.tensor([0])).split(":")[0])

# %% tags=["nbval-check-output"]
right = [[1, 1, 1, 1], [0]]  # two batches, of four texts and of one
mean_of_means = sum(sum(batch) / len(batch) for batch in right) / len(right)
print(f"mean of means {mean_of_means:.0%}, right: {sum(map(sum, right)) / sum(map(len, right)):.0%}")

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
# A batch can be shared between processes: each computes the gradient of its part, and the parts are
# averaged. Is that the same? Only if the average knows how many texts each part had:

# %% tags=["nbval-check-output"]
torch.manual_seed(0)
layer, x, y = nn.Linear(3, 4), torch.randn(5, 3), torch.tensor([0, 1, 2, 3, 0])

def gradient(rows):
    return torch.autograd.grad(F.cross_entropy(layer(x[rows]), y[rows]), layer.weight)[0]

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

# %%
runtime.record("rnn", news, {
    "live_rows": len(fit_rows), "valid_rows": len(valid_rows), "padding_bug": padding_bug,
    "optimizer_accuracy": optimizer_accuracy, "regularized": regularized,
    "gradient_ratio": {name: float(f"{value:.3g}") for name, value in ratio.items()},
    "peers": {row[0]: row[3] for row in rows},
}, headline=f"best network on {len(fit_rows):,} rows: {table['valid accuracy'][1:].max():.1%} (validation)",
    seed=0)

# %% [markdown]
# ## Exercises
#
# 1. Compute two steps of the recurrent network of {{ section("A recurrent step by hand") }} with
#    tanh instead of the logistic function, by hand and by program.
# 2. Write the step of a gated recurrent unit (GRU) by hand, and prove it equal to `gru_step`.
# 3. Set the forget gate's bias to -3 in {{ section("Why gates") }}. What do you expect? Draw it.
# 4. Leave out `zero_grad()` in the loop by hand. What does the loss do, and when would you notice?
# 5. Plot the learning curves of the network with both dropouts. Where does the validation loss turn?
# 6. Give TextCNN windows of one word only. Which other model of the table is that nearly?
# 7. Let the bag of embeddings do without pairs of words (`buckets=0`). How much is order worth here?
#
# ## Recap
#
# - A recurrent step is one line. Gates keep a gradient alive over many words.
# - Padding must not be read: a prediction may not depend on its neighbors.
# - First loss ln 4, one batch by heart, then train.
# - Optimizer, rate and regularizer are measured, on validation rows, with an interval.
# - The linear model stays in the table. Beating it takes data.
#
# ## Further reading
#
# - J. Elman (1990): *Finding structure in time*. The recurrent network.
# - S. Hochreiter, J. Schmidhuber (1997): *Long short-term memory*; F. Gers, J. Schmidhuber, F. Cummins
#   (2000): *Learning to forget*.
# - K. Cho and others (2014): *Learning phrase representations using RNN encoder-decoder*. The GRU.
# - R. Pascanu, T. Mikolov, Y. Bengio (2013): *On the difficulty of training recurrent neural networks*.
# - Y. Kim (2014): *Convolutional neural networks for sentence classification*.
# - A. Joulin and others (2016): *Bag of tricks for efficient text classification*.
# - D. Kingma, J. Ba (2015): *Adam*; I. Loshchilov, F. Hutter (2019): *Decoupled weight decay*.
# - L. Smith, N. Topin (2018): *Super-convergence*. The one-cycle schedule.
