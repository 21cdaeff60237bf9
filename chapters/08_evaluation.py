# ---
# title: Evaluation
# summary: Put all models of the course on the same test rows, and find out which differences are real, where the errors are, and what each point costs.
# run: evaluation
# goals:
#   - compute accuracy, precision, recall, F1 and areas under curves by hand, and say what each one hides
#   - tell whether a model knows when it does not know, and repair its confidence
#   - decide whether one model beats another, or was lucky
#   - read errors in groups, and find wrong labels
#   - test a model on news from somewhere else
#   - choose a model by what it costs
#   - recognize the three ways in which a score comes out too good
# prerequisites:
#   - "{{ chapter.exploration.link }} and {{ chapter.rnn.link }}; {{ chapter.bert.link }} for the last two models"
#   - averages, percentages, a coin that is tossed many times
# data: AG News, or the bundled News Briefs
# accelerator: none
# ---

# %% [markdown]
# ## One table for all models
#
# The chapters so far have left us with a row of models. Each was trained once (some of them with several
# seeds), and its probabilities on the test rows were stored. In this chapter we only look at them:
# the same rows for all, so that every comparison is fair.

# %%
from agnews_utils.data import load_news
from agnews_utils.evaluation import PredictionError, quick_predictions, stored_predictions

train, test = news = load_news()
try:
    stored = stored_predictions(news)
except PredictionError as error:
    print(error, "Two small models are trained here instead.")
    stored = quick_predictions(news)
{name: len(runs) for name, runs in stored.items()}

# %% [markdown]
# The number beside each name says how many runs, with different seeds, there are. Now the first
# table: for each model the median accuracy of its runs, with the interval of
# {{ chapter.exploration }}.

# %%
import numpy as np
import pandas as pd
from agnews_utils.data import accuracy_interval, CLASS_NAMES

labels = test["label"].to_numpy()
accuracies = {name: [(run.test.argmax(axis=1) == labels).mean() for run in runs]
              for name, runs in stored.items()}
middle = {name: np.median(values) for name, values in accuracies.items()}
lines = [(stored[name][0].label, value, *accuracy_interval(value, len(test)))
         for name, value in middle.items()]
table = pd.DataFrame(lines, columns=["model", "accuracy", "low", "high"], index=list(stored))
assert table["accuracy"].between(0.3, 0.99).all(), "a model guesses: are the rows in their order?"
table.round(4)

# %% [markdown]
# On AG News (trained on {{ ag_news.train_rows | count }} rows) the medians run from
# {{ ag_news.worst_accuracy | percent }} to {{ ag_news.best_accuracy | percent }}; on News Briefs from
# {{ newsbriefs.worst_accuracy | percent }} to {{ newsbriefs.best_accuracy | percent }}.
#
# Are stored predictions to be trusted? We train one of the models here and compare row by row.

# %%
from agnews_utils import runtime
from agnews_utils.data import train_valid_split
from agnews_utils.evaluation import LinearClassifier

fit_rows, _ = train_valid_split(train, 0.05, seed=42)  # what every stored model was trained on
linear = LinearClassifier(c=runtime.recorded("exploration")["linear_c"])
linear.fit(fit_rows["text"], fit_rows["label"])
here = linear.predict_proba(test["text"]).argmax(axis=1)
same = (here == stored["linear"][0].test.argmax(axis=1)).mean()
assert same > 0.9, "the stored predictions are not those of this model on these rows"
print(f"{same:.2%} of the {len(test):,} answers are the same")

# %% [markdown]
# The probabilities were stored with few digits; where two classes are nearly tied, an answer may flip.
#
# ### Four numbers a class
#
# One accuracy for four classes is a summary of a summary. We start smaller: ten headlines, three
# classes, and a table that counts how often each class was taken for each other.

# %% tags=["nbval-check-output"]
true = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
said = [0, 0, 0, 1, 1, 1, 0, 2, 1, 1]
counts = np.zeros((3, 3), dtype=int)
for t, s in zip(true, said):
    counts[t, s] += 1  # true class: row, answer: column
print(counts)

# %% [markdown]
# The diagonal holds the right answers. Read it along a *row*: of the three texts of the last class,
# one was found. That share is its **recall**. Read it along a *column*: of the five texts called
# class 1, two were. That share is its **precision**. A model can have one without the other, so F1
# asks for both: their harmonic mean, which stays near the smaller one.

# %% tags=["nbval-check-output"]
right = counts.diagonal()
precision = right / counts.sum(axis=0)
recall = right / counts.sum(axis=1)
f1 = 2 * precision * recall / (precision + recall)
pd.DataFrame({"precision": precision, "recall": recall, "F1": f1}).round(3)

# %% [markdown]
# Three averages of them are in use. *Macro*: the plain mean over classes. *Weighted*: a class counts
# by its rows. *Micro*: all answers in one pot; and since each text has one label and gets one
# answer, that is the accuracy under another name.

# %% tags=["nbval-check-output"]
rows = counts.sum(axis=1)
averages = {"macro": f1.mean(), "weighted": (f1 * rows).sum() / rows.sum(),
            "micro": right.sum() / rows.sum()}
pd.Series(averages).round(3)

# %% [markdown]
# At work you will not write these lines again: scikit-learn has them, under names that everybody
# knows. Does it count as we do?

# %%
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

assert (confusion_matrix(true, said) == counts).all()
assert np.allclose(precision_recall_fscore_support(true, said)[:3], [precision, recall, f1])
for average, by_hand in averages.items():
    assert np.isclose(f1_score(true, said, average=average), by_hand)

# %% [markdown]
# It does. So it goes through this chapter: each measure is computed once by hand, held against
# scikit-learn's, and imported from then on.
#
# > **What could go wrong: one side counts from 1.**
# > scikit-learn takes any labels. Here four answers, all of them right, count from 0 as Python does,
# > and the labels count from 1 as the files do.

# %% tags=["nbval-check-output"]
labels_in_file, answers = [1, 2, 3, 4], [0, 1, 2, 3]
print(confusion_matrix(labels_in_file, answers))

# %% [markdown]
# Five classes, no right answer, and no error. One assert says what we believe about both sides. From
# here on we look at one model, the best on the validation rows.

# %%
best = max(stored, key=lambda name: np.median([(run.valid.argmax(1) == run.valid_labels).mean()
                                               for run in stored[name]]))  # by validation rows
model = stored[best][0]
predicted = model.test.argmax(axis=1)
assert {*labels, *predicted} <= {0, 1, 2, 3}, "labels and answers have to count from 0 to 3"
print(f"best on the validation rows, and looked at from here on: {model.label}, seed {model.seed}")

# %%
from sklearn.metrics import classification_report

print(classification_report(labels, predicted, target_names=CLASS_NAMES, digits=3, zero_division=0))

# %% [markdown]
# `support` is the number of rows. The micro average stands there under its other name, accuracy.

# %%
from agnews_utils import plots

counts = confusion_matrix(labels, predicted)
missed = counts * (1 - np.eye(4, dtype=int))
taken, for_what = np.unravel_index(missed.argmax(), missed.shape)
assert counts.diagonal().sum() > missed.sum(), "more wrong than right"
title = f"{CLASS_NAMES[taken]} taken for {CLASS_NAMES[for_what]} is the most frequent mistake"
ax = plots.confusion_map(counts, title)

# %% [markdown]
# On AG News {{ ag_news.most_missed[0] }} is taken for {{ ag_news.most_missed[1] }}
# {{ ag_news.most_missed[2] | count }} times, more than any other pair. A company that sells computers
# is both; somebody had to put it somewhere. Sports stands alone.
#
# ### What accuracy hides
#
# Our classes are equally frequent. Yours may not be. Suppose a news desk on an ordinary day: for one
# text of each other class come ten of the first. What is a model worth that has learned nothing
# but to say *World*?

# %% tags=["nbval-check-output"]
true = np.repeat([0, 1, 2, 3], [100, 10, 10, 10])
lazy = np.zeros_like(true)
was_right = true == lazy
recalls = [was_right[true == k].mean() for k in range(4)]
print(f"accuracy {was_right.mean():.0%}, mean recall {np.mean(recalls):.0%}")

# %% [markdown]
# The accuracy praises it. The mean recall of the classes, called *balanced accuracy*, does not.

# %% tags=["nbval-check-output"]
from sklearn.metrics import accuracy_score, balanced_accuracy_score

assert accuracy_score(true, lazy) == was_right.mean()
assert balanced_accuracy_score(true, lazy) == np.mean(recalls)
print(f"macro F1 {f1_score(true, lazy, average='macro'):.2f}")

# %% [markdown]
# Macro F1 is not impressed either. Now we do the same to the test rows: keep every World text, and one
# in ten of the others.

# %%
rng = np.random.default_rng(0)
others = np.flatnonzero(labels != 0)
tenth = rng.choice(others, len(others) // 10, replace=False)
kept = np.concatenate([np.flatnonzero(labels == 0), tenth])
scores = {}
for desk, chosen in {"all rows": np.arange(len(test)), "mostly World": kept}.items():
    for name, answers in {best: predicted, "always World": np.zeros_like(labels)}.items():
        pair = labels[chosen], answers[chosen]
        scores[desk, name] = {"accuracy": accuracy_score(*pair),
                              "balanced": balanced_accuracy_score(*pair),
                              "macro F1": f1_score(*pair, average="macro")}
assert scores["mostly World", "always World"]["accuracy"] > 0.6
pd.DataFrame(scores).T.round(3)

# %% [markdown]
# The same answers, other rows. The accuracy of the lazy model trebles, its balanced accuracy stays
# where it was. So: report accuracy where classes are balanced, and something else where they are not.

# %% [markdown]
# ## Scores behind the decision
#
# A model says more than a class; it says *how sure* it is. Two models with the same accuracy can
# differ in that. Two losses take it into account. The log-loss is the one that training minimized.
# The Brier score is a squared distance.

# %% tags=["nbval-check-output"]
said = np.array([[0.7, 0.2, 0.1], [0.4, 0.5, 0.1], [0.01, 0.01, 0.98]])
true = np.array([0, 0, 1])
log_losses = -np.log(said[[0, 1, 2], true])
brier = ((said - np.eye(3)[true]) ** 2).sum(axis=1)
pd.DataFrame({"log-loss": log_losses, "Brier": brier}).round(3)

# %% [markdown]
# Two wrong answers, in the second and the third row. The one that was nearly certain costs many
# times as much, and for the log-loss there is no upper limit. scikit-learn takes the mean over the
# rows; it wants to be told of classes that no row has, and its Brier score looks at one class at a
# time.

# %%
from sklearn.metrics import brier_score_loss, log_loss

assert np.isclose(log_loss(true, said, labels=[0, 1, 2]), log_losses.mean())
class_by_class = [brier_score_loss(true == k, said[:, k], pos_label=True) for k in range(3)]
assert np.isclose(sum(class_by_class), brier.mean())

# %% [markdown]
# What if the threshold is ours to choose? A sports desk may want every sports text and accept some
# others. Go down with the threshold: each step finds sports texts, or raises false alarms. Six texts,
# half of them sports:

# %% tags=["nbval-check-output"]
is_sports, scores = np.array([1, 1, 0, 1, 0, 0]) == 1, np.array([0.9, 0.8, 0.7, 0.6, 0.6, 0.1])
thresholds = np.unique(scores)[::-1]  # each score once, the highest first
found = np.array([(is_sports & (scores >= t)).sum() for t in thresholds])
alarms = np.array([(~is_sports & (scores >= t)).sum() for t in thresholds])
pd.DataFrame({"threshold": thresholds, "found": found, "false alarms": alarms})

# %% [markdown]
# Two texts share a score, so they are one step. As shares, of the sports texts and of the others, the
# last two columns are the two axes of the *ROC curve*. The area under it has a plain meaning: take a
# sports text and another one at random. How often does the sports text have the higher score?

# %% tags=["nbval-check-output"]
true_rate, false_rate = np.append(0, found / found[-1]), np.append(0, alarms / alarms[-1])
area = (np.diff(false_rate) * (true_rate[1:] + true_rate[:-1]) / 2).sum()  # of trapezoids

pairs = scores[is_sports][:, None] - scores[~is_sports]  # (sports texts, others)
by_pairs = (pairs > 0).mean() + (pairs == 0).mean() / 2  # a tie is half a success
print(f"{by_pairs:.4f} by pairs, {area:.4f} under the curve")

# %% [markdown]
# The same counts give the other curve, precision against recall. Its mean height, where each step
# counts by the recall that it adds, is called *average precision*.

# %% tags=["nbval-check-output"]
precision, recall = found / (found + alarms), found / found[-1]
average_precision = (np.diff(recall, prepend=0) * precision).sum()
print(f"average precision {average_precision:.4f}")

# %% [markdown]
# scikit-learn returns both curves and both areas. Its precision-recall curve runs the other way, from
# the lowest threshold to the highest, and ends in a point that no threshold gives.

# %%
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

assert np.allclose(roc_curve(is_sports, scores, drop_intermediate=False)[:2], [false_rate, true_rate])
assert np.isclose(roc_auc_score(is_sports, scores), area)
assert np.isclose(average_precision_score(is_sports, scores), average_precision)
their_precision, their_recall, _ = precision_recall_curve(is_sports, scores)
assert np.allclose(their_precision[-2::-1], precision) and np.allclose(their_recall[-2::-1], recall)

# %% [markdown]
# All are equal. Now each class against the rest, on the test rows:

# %%
areas = {}
for k, name in enumerate(CLASS_NAMES):
    of_class, score = labels == k, model.test[:, k]
    areas[name] = {"ROC area": roc_auc_score(of_class, score),
                   "average precision": average_precision_score(of_class, score)}
pd.DataFrame(areas).T.round(4)

# %%
curves = {}
for k, name in enumerate(CLASS_NAMES):
    precision, recall, _ = precision_recall_curve(labels == k, model.test[:, k])
    curves[name] = (100 * recall, 100 * precision)
ax = plots.class_curves(curves, "What the last texts of a class cost in precision",
                        "recall: share of the class found (%)", "precision (%)")

# %% [markdown]
# Why two kinds of curve? The rates of the ROC are each a share *within* the sports texts or within
# the others, so it does not change if sports texts become rare. Precision does: among a hundred times
# as many others there are a hundred times as many false alarms. Where the wanted class is rare, look
# at precision and recall.
#
# ### Calibration
#
# If a model is 90 in 100 sure of each of a hundred texts, about ninety of these should be right.
# Then it is *calibrated*. To check, collect answers of similar confidence and compare. By hand, with
# two bins:

# %% tags=["nbval-check-output"]
confidence = np.array([0.55, 0.65, 0.75, 0.95, 0.95, 0.95])
was_right = np.array([1, 0, 1, 1, 1, 0])
gaps = []
for low, high in ((0.5, 0.8), (0.8, 1.0)):
    inside = (low < confidence) & (confidence <= high)
    gap = abs(confidence[inside].mean() - was_right[inside].mean())
    gaps.append(inside.mean() * gap)
    print(f"{low} to {high}: sure {confidence[inside].mean():.2f}, right {was_right[inside].mean():.2f}")
print(f"expected calibration error {sum(gaps):.3f}")

# %% [markdown]
# The last line weighs the gap of each bin by its rows. Too sure or not sure enough? One number can
# mend either. Divide the logits by a *temperature* before the softmax: above 1 the model becomes more
# modest, below 1 bolder, and the order of the classes stays as it is. The temperature is fitted on
# validation rows, by the log-loss.

# %%
from agnews_utils.evaluation import (
    apply_temperature, expected_calibration_error, fit_temperature, reliability_bins,
)

lines, cooled = {}, {}
for name, (run, *_) in stored.items():
    temperature = fit_temperature(run.valid_labels, run.valid)
    cooled[name] = apply_temperature(run.test, temperature)
    assert (cooled[name].argmax(1) == run.test.argmax(1)).mean() > 0.999, "an answer changed"
    lines[name] = {"temperature": temperature}
    for when, answers in {"before": run.test, "after": cooled[name]}.items():
        lines[name][f"log-loss {when}"] = log_loss(labels, answers)
        lines[name][f"error {when}"] = expected_calibration_error(labels, answers)
calibration = pd.DataFrame(lines).T
calibration.round(3)

# %%
farthest = calibration["error before"].idxmax()
before, after = calibration.loc[farthest, ["error before", "error after"]]
pair = {"as stored": stored[farthest][0].test, "with temperature": cooled[farthest]}
bins = {when: reliability_bins(labels, answers) for when, answers in pair.items()}
ax = plots.reliability_diagram(bins, f"'{farthest}': calibration error {before:.1%}, then {after:.1%}")

# %% [markdown]
# Below the dotted line a model is too sure, above it not sure enough. On AG News the farthest from
# it is `{{ ag_news.farthest }}`, with an error of {{ ag_news.farthest_before | points(1) }} points
# before and {{ ag_news.farthest_after | points(1) }} after. The margins of the linear model are the
# extreme case: a support vector machine never meant them to be logits, and through a softmax they
# make a model that is often right and never sure. Networks that were trained with label smoothing
# ({{ chapter.rnn }}) were asked for less than certainty, and the temperature takes that back. On
# News Briefs there are few validation rows, so that the temperature itself is uncertain. The dot in
# a bin with few rows jumps about; look at the large ones.

# %% [markdown]
# ## How sure are we?
#
# {{ Chapter.exploration }} gave an interval for an accuracy. What about the macro F1, for which
# there is no formula? Draw a new test set from the one that we have, row by row and with
# replacement, and compute the score again. Do this many times. That is the *bootstrap*.

# %% tags=["nbval-check-output"]
was_right = np.repeat([1, 0], [34, 6])  # 34 of 40
rng = np.random.default_rng(0)
drawn = [was_right[rng.integers(40, size=40)].mean() for _ in range(2_000)]
low, high = np.percentile(drawn, [2.5, 97.5])
wilson = accuracy_interval(34 / 40, 40)
print(f"bootstrap {low:.0%} to {high:.0%}, Wilson {wilson[0]:.0%} to {wilson[1]:.0%}")

# %% [markdown]
# For an accuracy both say about the same. Any other score goes the same way:

# %%
def macro_f1(true, answers):
    return f1_score(true, answers, average="macro")

drawn = []
for _ in range(400):
    rows = rng.integers(len(labels), size=len(labels))  # drawn with replacement
    drawn.append(macro_f1(labels[rows], predicted[rows]))
low, high = np.percentile(drawn, [2.5, 97.5])
print(f"macro F1 {macro_f1(labels, predicted):.3f}: {low:.3f} to {high:.3f}")

# %% [markdown]
# scipy has this loop. `paired` says that labels and answers are drawn together.

# %%
from scipy.stats import bootstrap

scipys = bootstrap((labels, predicted), macro_f1, paired=True, vectorized=False, n_resamples=400,
                   method="percentile", random_state=0).confidence_interval
assert np.allclose([low, high], scipys, atol=0.25 * (high - low)), "two bootstraps disagree"
print(f"scipy: {scipys.low:.3f} to {scipys.high:.3f}")

# %% [markdown]
# ### Who beats whom
#
# Two models, one right on 92 in 100 rows, the other on 91. Their intervals overlap. Does that mean
# that they cannot be told apart? No. Both were tested on the *same* rows, and most rows are easy for
# both. Only the rows on which exactly one of them is right tell anything. If the models were equally
# good, each such row would be a fair coin. Twelve for one and four for the other: how often does a
# coin do that?

# %% tags=["nbval-check-output"]
from math import comb
from scipy.stats import binomtest, chi2

at_most_four = sum(comb(16, heads) for heads in range(5)) / 2**16
exact = binomtest(4, 16).pvalue
assert np.isclose(exact, 2 * at_most_four)  # or the other way round: two sides
corrected = chi2.sf((abs(12 - 4) - 1) ** 2 / (12 + 4), df=1)
print(f"p = {exact:.3f}, by the chi-squared approximation {corrected:.3f}")

# %% [markdown]
# This is McNemar's test (1947). Eight points apart on a hundred rows, and still about one coin in
# thirteen does as much. The package counts the rows, and tosses scipy's coin:

# %% tags=["nbval-check-output"]
from agnews_utils.evaluation import mcnemar

first = np.repeat([True, False, True], [12, 4, 84])
second = np.repeat([False, True, True], [12, 4, 84])
test_of_both = mcnemar(first, second)
assert np.isclose(test_of_both.p_value, exact)
print(f"{test_of_both.only_a} to {test_of_both.only_b}, p = {test_of_both.p_value:.3f}")

# %% [markdown]
# The bootstrap can be paired as well: draw rows, and compare the two models on the drawn rows. It
# gives an interval for the *difference*, which is what we want to know.

# %%
right = {name: runs[0].test.argmax(axis=1) == labels for name, runs in stored.items()}
rival = max((name for name in stored if name != best), key=lambda name: accuracies[name][0])

gaps = right[best].astype(int) - right[rival]  # 1: only the best is right, -1: only the rival
drawn = [gaps[rng.integers(len(gaps), size=len(gaps))].mean() for _ in range(2_000)]
low, high = np.percentile(drawn, [2.5, 97.5])
print(f"{best} minus {rival}: {100 * gaps.mean():+.2f} points ({100 * low:+.2f} to {100 * high:+.2f})")

# %% [markdown]
# A drawn difference depends only on *how many* ones and minus ones were drawn. The package draws these
# two numbers instead of thousands of rows, which is the same and takes no time.

# %%
from agnews_utils.evaluation import paired_bootstrap

paired = paired_bootstrap(right[best], right[rival])
slack = 0.1 * (high - low) + 1 / len(test)  # luck of the draws, and one row
assert np.allclose([paired.low, paired.high], [low, high], atol=slack), "two bootstraps disagree"
print(f"{best} minus {rival}: {100 * paired.difference:+.2f} points "
      f"({100 * paired.low:+.2f} to {100 * paired.high:+.2f}), p = {paired.p_value:.3f}")

# %% [markdown]
# Now all pairs. With many comparisons, some succeed by luck: at a level of 5 in 100, about one in
# twenty. Suppose nine models of exactly the same quality, each right on 92 in 100 rows. How often does
# somebody who compares all pairs find a winner? Fifty repetitions, on a thousand rows:

# %% tags=["nbval-check-output"]
from agnews_utils.evaluation import compare_all

rng = np.random.default_rng(1)
plain = corrected = 0
for _ in range(50):
    luck = compare_all({str(number): rng.random(1_000) < 0.92 for number in range(9)})
    plain += bool((luck["p_value"] < 0.05).any())
    corrected += bool((luck["p_holm"] < 0.05).any())
print(f"a 'winner' among equals in {plain} of 50 tries; with Holm's correction in {corrected}")

# %%
comparisons = compare_all(right)
order = sorted(right, key=lambda name: -right[name].mean())
real = int((comparisons["p_holm"] < 0.05).sum())
ax = plots.win_map(comparisons, order, f"{real} of {len(comparisons)} differences are more than luck (*)")

# %% [markdown]
# Read a row: by how many points does this model lead each other one? A star stands where luck is no
# good explanation, with Holm's correction (1979) for the number of comparisons. Pairs with a star:
# {{ ag_news.real_differences }} of {{ ag_news.comparisons }} on AG News, and
# {{ newsbriefs.real_differences }} of {{ newsbriefs.comparisons }} on News Briefs, where the models are
# further apart, since some of them need more rows to learn from. No star does not mean *equal*. It means that these rows cannot tell.
#
# ### Another seed
#
# So far each model was one run. Train it again with another seed and the score moves, though the test
# rows are the same. Both kinds of luck, side by side:

# %%
several = {name: values for name, values in accuracies.items() if len(values) > 1}
spread = pd.DataFrame({"over seeds": {name: np.std(v, ddof=1) for name, v in several.items()},
                       "over test rows": {name: np.sqrt(np.mean(v) * (1 - np.mean(v)) / len(test))
                                          for name, v in several.items()}})
(100 * spread).round(2)

# %% [markdown]
# Standard deviations in points. The interval of an accuracy knows the second column only. If somebody
# claims that a *method* is better, not this one trained network, then the first column counts too, and
# one run is not enough.
#
# ### How many test rows does it take?
#
# Turn the question around. One model is right on 92 in 100 texts in the long run, another one on 92 and
# a half. How many test rows are needed to find the better one, in four experiments out of five?

# %% tags=["nbval-check-output"]
from agnews_utils.evaluation import rows_to_tell

print(f"each model on rows of its own: {rows_to_tell(0.92, 0.925):,} rows for each")
for disagreement in (0.02, 0.05, 0.10):
    rows = rows_to_tell(0.92, 0.925, disagreement)
    print(f"both on the same rows, disagreeing on {disagreement:.0%} of them: {rows:,}")

# %% [markdown]
# AG News has {{ ag_news.test_rows | count }} test rows. Two *similar* models, which disagree
# rarely, can be told apart on so many; two different ones with the same half point between them
# cannot. Many tables of published results rank models by less.

# %% [markdown]
# ## Where is it wrong?
#
# Numbers tell how many. To learn why, read. First the mistakes of which the model is most sure:

# %%
import textwrap
from agnews_utils.evaluation import read_closely

def show(chosen, width=180):
    for line in chosen.itertuples():
        print(f"{line.true}, model says {line.predicted} ({line.confidence:.0%} sure)")
        short = textwrap.shorten(line.text, width, placeholder=" ...")
        print(textwrap.fill(short, 95, initial_indent="    ", subsequent_indent="    "))

show(read_closely(test, model.test, count=6))

# %% [markdown]
# Which of these would you have got right? Three groups come up again and again. (1) The label is
# wrong, or at least another one would do: the model is punished for being right. (2) The text belongs
# to two classes: the business of a company that makes chips, the politics of a sport. (3) One word has
# led the model by the nose, a name that stood for one class in the training rows. Group (1) gets a
# section of its own below. Now the other end, hits that were nearly misses:

# %%
show(read_closely(test, model.test, count=6, mistakes=False))

# %% [markdown]
# Texts with two subjects, and texts whose words could stand anywhere. Are these the weaknesses of one
# model, or of all? Here is the surest mistake and the least sure hit of every model:

# %%
for run, *_ in stored.values():
    print(f"--- {run.label}")
    show(read_closely(test, run.test, count=1), width=90)
    show(read_closely(test, run.test, count=1, mistakes=False), width=90)

# %% [markdown]
# Where the same text appears more than once, models that share nothing but the data agree on an
# answer that counts as wrong. How many rows does *no* model get right?

# %%
hits = sum(flags.astype(int) for flags in right.values())  # (test rows,)
nobody = (hits == 0).mean()
assert nobody < 0.3, "a third of the rows beats every model: are labels and texts aligned?"
print(f"{(hits == len(right)).mean():.1%} of the rows are right for all, {nobody:.1%} for none "
      f"of {len(right)} models")

# %% [markdown]
# On AG News {{ ag_news.nobody | percent }} of the rows defeat every model. No combination of these
# models can do better on them.
#
# ### Slices
#
# A hypothesis about *groups* can be counted: are short texts harder? Does an agency's name help? Do
# words hurt that no training row had? And is a test row easier if a near twin of it was in the
# training rows?

# %%
from agnews_utils.data import news_source
from agnews_utils.evaluation import slice_table, twins_in_train, unknown_words

words = test["text"].str.split().str.len()
source = news_source(test).replace("", "none")
has_twin = twins_in_train(fit_rows["text"], test["text"])
new_words = unknown_words(fit_rows["text"], test["text"])
most = np.inf
slices = {"words": pd.cut(words, [0, 25, 40, 55, most], labels=["to 25", "26-40", "41-55", "more"]),
          "agency": source.where(source.isin(["none", "Reuters", "AP", "AFP"]), "other"),
          "unknown words": pd.cut(new_words, [-1, 0, 2, 5, most], labels=["0", "1-2", "3-5", "more"]),
          "near twin": np.where(has_twin, "in train", "none")}
sliced = slice_table(right[best], slices)
assert sliced.groupby("slice")["rows"].sum().eq(len(test)).all(), "a row is in no slice"

# %%
estimates = {}
for (name, value), line in sliced.iterrows():
    in_percent = 100 * line[["low", "accuracy", "high"]]
    estimates[f"{name}: {value} ({line['rows']:,.0f} rows)"] = tuple(in_percent)
ax = plots.intervals(estimates, f"Where is '{best}' weak?", "test accuracy (%)")

# %% [markdown]
# Read the width before the height: a slice of a few rows proves nothing, and among so many slices one
# or two stick out by luck. On AG News the rows with a near twin are right in
# {{ ag_news.twin_accuracy | percent }} of the cases, the others in
# {{ ag_news.no_twin_accuracy | percent }}. Does the twin help, or are rows that have twins of another kind?
# A slice cannot say. The experiment at the end of the chapter takes the twins away.
#
# ### Plain and hard briefs
#
# Of News Briefs we know more than a file can tell. Its authors wrote some of the briefs to be hard: a
# text on a sports club's bankruptcy, say. The side file of the corpus says which.

# %%
from agnews_utils.evaluation import brief_facts

briefs = news if news.name == "newsbriefs" else load_news("newsbriefs")
facts, brief_labels = brief_facts("test"), briefs.test["label"].to_numpy()
try:
    brief_runs = stored_predictions(briefs)
except PredictionError:
    brief_runs = quick_predictions(briefs)
kinds = {name: pd.Series(runs[0].test.argmax(1) == brief_labels).groupby(facts["hard"]).mean()
         for name, runs in brief_runs.items()}
by_kind = pd.DataFrame(kinds).T.rename(columns={False: "plain", True: "hard"})
assert (by_kind["plain"] > by_kind["hard"]).mean() > 0.7, "hard briefs should be hard for most models"
by_kind.round(3)

# %% [markdown]
# The score of a test set is the score of a mixture. With more of the hard ones in it, the same models
# would look worse, and nothing about them would have changed.

# %% [markdown]
# ## Wrong labels
#
# Some of the surest mistakes were not the model's. Can it find wrong labels for us? The naive way is
# to suspect every row where model and label disagree. But a weak model disagrees often. *Confident
# learning* (Northcutt, Jiang and Chuang, 2021) asks for more. Each class gets a threshold: how sure
# the model is, on average, of the texts that carry this label. A row is suspect if it passes the
# threshold of another class. Five texts, two classes:

# %% tags=["nbval-check-output"]
given = np.array([0, 0, 0, 1, 1])
said = np.array([[0.9, 0.1], [0.7, 0.3], [0.1, 0.9], [0.2, 0.8], [0.4, 0.6]])
thresholds = np.array([said[given == k, k].mean() for k in (0, 1)])
passed = said >= thresholds
print("thresholds", thresholds.round(3).tolist())
print("suspect rows", [row for row in range(5) if passed[row, 1 - given[row]]])

# %% [markdown]
# Row 2 carries label 0, and the model is surer of class 1 than it usually is of true members. The
# last row passes no threshold at all; nothing is said about it. The package does this for any number
# of classes, ranks the suspects, and counts them by pairs.

# %% tags=["nbval-check-output"]
from agnews_utils.evaluation import confident_joint, suspect_rows

assert suspect_rows(given, said).tolist() == [2]
print(confident_joint(given, said))  # given label: row, confident class: column

# %% [markdown]
# One rule must hold: the model may not have seen the row that it judges, or it has learned the wrong
# label by heart. So the training rows are cut into five folds, each judged by a model of the other
# four; near twins stay in one fold. On News Briefs the wrong labels were planted, so that we can count
# how many are found. (This is always done on the bundled News Briefs, whatever data is loaded.)

# %%
from agnews_utils.evaluation import out_of_fold_probabilities

planted = brief_facts("train")["wrong_label"].to_numpy()
given = briefs.train["label"].to_numpy()
unseen = out_of_fold_probabilities(LinearClassifier, briefs.train["text"], given)
found = {"model and label disagree": np.flatnonzero(unseen.argmax(axis=1) != given),
         "confident learning": suspect_rows(given, unseen)}
quality = {name: {"suspects": len(rows), "precision": planted[rows].mean(),
                  "recall": planted[rows].sum() / planted.sum()} for name, rows in found.items()}
assert quality["confident learning"]["precision"] > quality["model and label disagree"]["precision"]
pd.DataFrame(quality).T.round(3)

# %% [markdown]
# {{ newsbriefs.planted | count }} labels were changed. Confident learning names
# {{ newsbriefs.noise["confident learning"].suspects | count }} suspects and finds {{ newsbriefs.noise["confident learning"].recall | percent(0) }} of the
# changed labels among them; reading all rows where model and label disagree finds more, at the price of
# reading many more. How much reading buys how much?

# %%
from agnews_utils.evaluation import label_quality

read = np.arange(1, 201)
curves = {}
for method in ("normalized_margin", "self_confidence"):
    worst_first = np.argsort(label_quality(given, unseen, method), kind="stable")
    curves[method.replace("_", " ")] = (read, planted[worst_first[:200]].cumsum())
curves["reading at random"] = (read, read * planted.mean())
assert curves["normalized margin"][1][-1] > 3 * curves["reading at random"][1][-1]
found_at = curves["normalized margin"][1][-1]
title = f"The {len(read)} worst-looking labels hold {found_at} of {planted.sum()} wrong ones"
ax = plots.lines(curves, title, "labels read", "wrong labels found")

# %% [markdown]
# There is a library for this, *cleanlab*, by the authors of the paper. The course does not depend on
# it, since the method is short enough to read; its tests hold the functions above against stored
# outputs of cleanlab. If you have it installed, compare for yourself:

# %%
import importlib.util

if importlib.util.find_spec("cleanlab"):
    from cleanlab.filter import find_label_issues
    theirs = find_label_issues(given, unseen, filter_by="confident_learning", n_jobs=1)
    ours = np.isin(np.arange(len(given)), found["confident learning"])
    print(f"cleanlab and we agree on {(theirs == ours).mean():.1%} of the rows")
else:
    print("cleanlab is not installed here; the package's tests compare with its stored outputs")

# %% [markdown]
# Now the loaded data, and its *test* rows, which no model has trained on. Here nobody knows the truth:
# what follows is a list to look at, not a list of errors.

# %%
suspects = suspect_rows(labels, cooled[best])
print(f"{len(suspects)} of {len(test):,} test rows are suspect")
worst = suspects[:8]
show(read_closely(test.iloc[worst], cooled[best][worst], count=8))

# %% [markdown]
# Do not "clean" a test set with the model that is to be tested on it: that only removes its own
# mistakes. Let a person read the list without seeing who said what.

# %% [markdown]
# ## Another domain
#
# All scores so far were measured on news of the same making as the training rows. What happens with
# news from elsewhere? The two data sets of the course have the same four classes. AG News is agency
# news of the years around 2004; News Briefs was written for this course, with other names in
# it. Each model below was trained at home and tested away. These runs were recorded; with AG News
# loaded, the linear model repeats its part here.

# %%
away = {}
if news.name == "ag_news":
    few, _ = train_valid_split(briefs.train, 0.05, seed=42)
    small = LinearClassifier().fit(few["text"], few["label"])
    for name, fitted, rows in (("AG News -> News Briefs", linear, briefs.test),
                               ("News Briefs -> AG News", small, test)):
        away[name] = (fitted.predict_proba(rows["text"]).argmax(axis=1) == rows["label"]).mean()
print({name: f"{value:.1%}" for name, value in away.items()} or "AG News is not loaded: recorded runs only")
transfer = pd.DataFrame(runtime.recorded("transfer")["rows"])
assert transfer["away_accuracy"].between(0.25, 0.99).all(), "worse than guessing: same classes?"
columns = ["label", "trained_on", "tested_on", "home_accuracy", "away_accuracy"]
transfer[columns].set_index("label").round(3)

# %% [markdown]
# Everybody loses. The linear model of AG News is right on
# {{ ag_news.away_linear["AG News -> News Briefs"] | percent }} of the briefs; the one that learned from the
# few briefs is right on {{ ag_news.away_linear["News Briefs -> AG News"] | percent }} of AG News. The interval that we computed with such care says nothing about this. It answers: *what
# if other rows of the same kind had been drawn?* It does not answer: *what if the world changes?*

# %% [markdown]
# ## What does it cost?
#
# Half a point more, for how much work? Each stored run has its costs with it: numbers that were
# learned, megabytes, CPU seconds of training, and how many documents it reads in a second on one core.

# %%
from agnews_utils.evaluation import pareto_front

costs = pd.DataFrame({name: runs[0].cost for name, runs in stored.items()}).T.astype(float)
costs["accuracy"] = table["accuracy"]
whole = ["parameters", "train_cpu_seconds", "documents_per_second"]
costs.round(dict.fromkeys(whole, 0)).astype(dict.fromkeys(whole, "Int64")).round(4)

# %%
timed = costs.dropna(subset=["documents_per_second"])
seconds = (1_000 / timed["documents_per_second"]).to_dict()  # for a thousand documents
front = timed.index[pareto_front(list(seconds.values()), timed["accuracy"])]
ax = plots.cost_map(seconds, (100 * timed["accuracy"]).to_dict(), front, "What a point costs",
                    "CPU seconds for 1,000 documents (one core)", "test accuracy (%)")

# %% [markdown]
# A model below the line is beaten: another one is at least as good and at least as cheap. The costs
# of BERT are those of fine-tuning; its pre-training was paid before, once for everybody. Which model,
# then? Five situations, answered by the table, not by taste:

# %%
chosen = {"cheapest to train": costs["train_cpu_seconds"].idxmin(),
          "most documents in a second": costs["documents_per_second"].idxmax(),
          "smallest file": costs["megabytes"].idxmin(),
          "highest accuracy on validation rows": best}
alike = comparisons[comparisons["p_holm"] >= 0.05]
alike = {best, *alike.loc[alike["b"] == best, "a"], *alike.loc[alike["a"] == best, "b"]}
enough = costs.loc[list(alike), "train_cpu_seconds"].idxmin()
chosen["cheapest that these test rows cannot tell from it"] = enough
which = pd.DataFrame({"model": chosen})
which.assign(accuracy=which["model"].map(costs["accuracy"]).round(4))

# %% [markdown]
# On AG News the cheapest model that cannot be told from the best is `{{ ag_news.enough }}`.

# %% [markdown]
# ## What could go wrong
#
# A score can be too good without any bug in the code. Three ways, measured.
#
# > **What could go wrong: the epoch is picked on the test rows.**
# > Many published scores are the best epoch *on the test split*. How much does that flatter? A bag of
# > embeddings, a few seeds, and after each epoch the answers on test rows:

# %%
import torch
from agnews_utils.vocabulary import make_loader
from agnews_utils.rnn import BagOfEmbeddings
from agnews_utils.training import fit, predict
from agnews_utils.vocabulary import build_vocab, encode, tokenize_all

torch.set_num_threads(1)
few = fit_rows.sample(min(len(fit_rows), 2_000), random_state=0)
looked_at = test.sample(min(len(test), 400), random_state=0)
tokens = [tokenize_all(rows["text"]) for rows in (few, looked_at)]
vocab = build_vocab(tokens[0], min_freq=2)
learn = make_loader(encode(tokens[0], vocab, max_length=80), few["label"], 32)
look = make_loader(encode(tokens[1], vocab, max_length=80), looked_at["label"], 128, shuffle=False)

# %%
answers = np.zeros((5, 10, len(looked_at)), dtype=bool)  # (seeds, epochs, rows): right or not

def note(history, network):
    now = predict(network, look).argmax(axis=1)
    answers[seed, history.epochs["epoch"][-1] - 1] = now == looked_at["label"].to_numpy()

for seed in range(5):
    torch.manual_seed(seed)
    network = BagOfEmbeddings(len(vocab), embedding_size=16, buckets=5_000, word_dropout=0.2)
    fit(network, learn, epochs=10, learning_rate=1e-2, schedule="constant", seed=seed, on_epoch=note)

# %% [markdown]
# Split these test rows into two halves at random, pick the epoch on one half, and look at the other.
# The difference is what the picking has added. Then pick the seed as well:

# %%
rng = np.random.default_rng(0)
added = {"epoch": [], "epoch and seed": []}
for _ in range(300):
    order = rng.permutation(len(looked_at))
    picked, fresh = (answers[:, :, half].mean(axis=2) for half in np.array_split(order, 2))
    epoch = picked.argmax(axis=1)  # for each seed
    added["epoch"].append((picked.max(axis=1) - fresh[np.arange(5), epoch]).mean())
    top = np.unravel_index(picked.argmax(), picked.shape)
    added["epoch and seed"].append(picked[top] - fresh[top])
flattery = {name: float(np.mean(values)) for name, values in added.items()}
assert 0 < flattery["epoch"] < flattery["epoch and seed"] < 0.1, "picking should flatter a little"
print({name: f"{100 * value:+.1f} points" for name, value in flattery.items()})

# %% [markdown]
# On {{ ag_news.picking_rows | count }} rows picked from, the best of ten epochs looks
# {{ ag_news.flattery["epoch"] | points(1) }} points better than it is on AG News, and the best of
# fifty candidates {{ ag_news.flattery["epoch and seed"] | points(1) }}. With more test rows the
# gift is smaller, with more candidates it is larger. The cure is in {{ chapter.exploration }}: pick
# on validation rows.
#
# > **What could go wrong: the test row was in the training rows.**
# > Near twins across the split let a model answer from memory. We train the linear model once with
# > the twins of test rows, once with as many other rows in their place.

# %%
is_leak = twins_in_train(test["text"], fit_rows["text"])  # which rows of train have a twin in test
rest = fit_rows[~is_leak].sample(min((~is_leak).sum(), 20_000), random_state=0)
swapped = pd.concat([rest[is_leak.sum():], fit_rows[is_leak]])  # as many rows, some of them twins
leak = {}
for name, rows in {"with twins": swapped, "without": rest}.items():
    leaky = LinearClassifier().fit(rows["text"], rows["label"])
    flags = leaky.predict_proba(test["text"]).argmax(axis=1) == labels
    leak[name] = {"rows with a twin": flags[has_twin].mean() if has_twin.any() else np.nan,
                  "other rows": flags[~has_twin].mean(), "all rows": flags.mean()}
flattered = pd.Series(leak["with twins"]) - pd.Series(leak["without"])
assert abs(flattered["all rows"]) < 0.05, "near twins change the score by points: split again"
pd.DataFrame(leak | {"difference": flattered}).T.round(4)

# %% [markdown]
# On AG News the twins add {{ ag_news.leak["rows with a twin"] | points(1) }} points on the rows that have one, and
# {{ ag_news.leak["all rows"] | points(2) }} over all rows; on News Briefs {{ newsbriefs.leak["rows with a twin"] | points(1) }}
# and {{ newsbriefs.leak["all rows"] | points(2) }}. Small here, since twins are few. With a split that was drawn
# from a collection full of copies it is the whole result.
#
# > **What could go wrong: the mean over batches.**
# > A loop that averages the accuracies of its batches gives the texts in a small last batch more
# > weight. Sorted by length, as our batches are, the last ones are also of a special kind.

# %% tags=["nbval-check-output"]
flags = np.repeat([1, 0], [520, 8])  # the eight longest texts come last, and are wrong
batches = [flags[start:start + 64] for start in range(0, len(flags), 64)]
mean_of_means = np.mean([batch.mean() for batch in batches])
assert abs(flags.mean() - mean_of_means) > 0.03
f"last batch: {len(batches[-1])} texts; mean over batches {mean_of_means:.1%}, over texts {flags.mean():.1%}"

# %% [markdown]
# | symptom | likely cause | check |
# |---|---|---|
# | high accuracy, low macro F1 | unequal classes | look at the confusion matrix |
# | the score falls when the model is used | test rows picked from, twins, another domain | the boxes above |
# | a score changes with the batch size | mean of means | sum, then divide |
# | two tables disagree on the same model | another seed, other test rows | give both spreads |
# | sure and wrong | not calibrated | temperature, on validation rows |

# %%
facts_of_run = {
    "train_rows": len(train), "test_rows": len(test), "models": accuracies, "best": best,
    "best_label": model.label, "best_accuracy": max(middle.values()), "same_as_stored": same,
    "worst_accuracy": min(middle.values()), "enough": enough, "calibration": calibration.to_dict("index"),
    "most_missed": [CLASS_NAMES[taken], CLASS_NAMES[for_what], int(missed.max())],
    "farthest": farthest, "farthest_before": before, "farthest_after": after, "nobody": nobody,
    "real_differences": real, "comparisons": len(comparisons), "flattery": flattery,
    "picking_rows": len(looked_at) // 2, "noise": quality, "planted": planted.sum(),
    "twin_accuracy": right[best][has_twin].mean() if has_twin.any() else None,
    "no_twin_accuracy": right[best][~has_twin].mean(), "away_linear": away,
    "leak": flattered.dropna().to_dict(), "hard": by_kind.to_dict("index"),
    "front": list(front),
}

# %%
runtime.record("evaluation", news, facts_of_run, seed=0,
    headline=f"{len(stored)} models; best on validation rows: {best}, {right[best].mean():.1%} on test rows")

# %% [markdown]
# ## Exercises
#
# 1. Compute precision and recall of a model that says *Sports* to everything, by hand, then by program.
# 2. Draw the ROC curve of each class. Why does it look so much better than the precision-recall curve?
# 3. Reweigh the test rows so that half of them are Sci/Tech. Which model gains, and why?
# 4. Fit the temperature on the test rows. How much better does the log-loss become? Why is that cheating?
# 5. Write the paired bootstrap with rows drawn one by one, and compare its interval with the package's.
# 6. Average the probabilities of two models. Does the pair beat the better one? Test it.
# 7. Read the list of suspects without looking at the model's answers and label them. How often do you
#    agree with the file, how often with the model?
# 8. Add ten exact copies of test rows to the training rows. What does the score do, and the slice?
#
# ## Recap
#
# - A confusion matrix first; every score is a ratio of its cells.
# - Accuracy is for balanced classes. For others there are recall, precision and their averages.
# - A model has a confidence; check it, and mend it on validation rows.
# - Compare models on the same rows, with the rows on which they differ, and correct for many looks.
# - Read mistakes. Some of them are the label's.
# - A test set answers for its own kind of news only.
# - The best model is the cheapest one that is good enough.
#
# ## Further reading
#
# - Q. McNemar (1947): *Note on the sampling error of the difference between correlated proportions*.
# - B. Efron (1979): *Bootstrap methods: another look at the jackknife*.
# - S. Holm (1979): *A simple sequentially rejective multiple test procedure*.
# - T. Dietterich (1998): *Approximate statistical tests for comparing supervised classification learning
#   algorithms*.
# - T. Fawcett (2006): *An introduction to ROC analysis*.
# - T. Saito, M. Rehmsmeier (2015): *The precision-recall plot is more informative than the ROC plot when
#   evaluating binary classifiers on imbalanced datasets*.
# - C. Guo, G. Pleiss, Y. Sun, K. Weinberger (2017): *On calibration of modern neural networks*.
# - R. Dror and others (2018): *The hitchhiker's guide to testing statistical significance in natural
#   language processing*.
# - C. Northcutt, L. Jiang, I. Chuang (2021): *Confident learning: estimating uncertainty in dataset labels*.
