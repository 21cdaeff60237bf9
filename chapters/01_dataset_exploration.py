# ---
# title: Dataset exploration
# summary: Read the raw files, count what is in them, find the traps, and set the score to beat.
# run: exploration
# goals:
#   - read a raw data file by eye and by program, and check what you believe about it
#   - map labels without being off by one
#   - count classes, lengths, gaps, dirt and duplicates before you trust a data set
#   - find the words that mark a class with a proper statistic
#   - carve out a validation split, and say how sure a measured accuracy is
#   - set a baseline that a neural network has to beat
# prerequisites:
#   - Python basics, lists and dictionaries; a first look at pandas helps
# data: AG News, or the bundled News Briefs
# accelerator: none
# ---

# %% [markdown]
# ## Get the data, and read it by eye
#
# ### Get the data
#
# Every later chapter trains a model on news articles. This one trains almost nothing. It looks.
#
# The course runs on either of two data sets that have the same format. **AG News** was cut by
# Zhang, Zhao and LeCun (2015) from a collection of news that Antonio Gulli began to gather in 2004.
# **News Briefs** is small, was written for this course and comes with it. Which one do we have?

# %%
from agnews_utils.data import load_news

news = load_news()
train, test = news

# %% [markdown]
# One line says what was loaded, from where, and how many rows. Read it every time: a puzzling
# result is often the right code on the wrong file.
#
# Numbers in the text below are marked with the data set that they were measured on, so that they
# stay true when you run the chapter on the other one.

# %%
import numpy as np
import pandas as pd

train.head(4)

# %% [markdown]
# Five columns. Three of them were in the file; `class_name` and `text` were added. How do we know
# what was in the file? We look at it.

# %% [markdown]
# ### Fields: the file before any program touched it
#
# The first bytes of a file answer questions that a table hides: is there a header, what separates
# the fields, what encloses them?

# %%
with open(news.folder / "train.csv", encoding="utf-8") as file:
    for line in [next(file) for _ in range(3)]:
        print(line[:90].rstrip())

# %% [markdown]
# No header. Three fields, every one in double quotes, a comma between them. Is it safe to split a
# line at its commas? Here is a record of the same format, made up to be awkward.

# %% tags=["nbval-check-output"]
record = r'"3","Oil, gas soar","Traders said ""not again"" as prices rose\past $50, \the highest yet."'
record.split(",")

# %% [markdown]
# Five pieces instead of three: commas inside quotes separate nothing. Quotes inside a field are
# doubled. Python's `csv` module knows both rules.

# %% tags=["nbval-check-output"]
import csv

(fields,) = csv.reader([record])
fields

# %% [markdown]
# Three fields, and the inner quotes are single again. The backslashes are still there, and that is
# right: the readme of AG News says that line breaks are written as a backslash and an n, but
# the file has a *bare* backslash that glues two words together. Some tutorials tell the reader that
# the backslash is an escape character. What does that do?

# %% tags=["nbval-check-output"]
(escaped,) = csv.reader([record], escapechar="\\")
escaped[2]

# %% [markdown]
# The backslashes are gone, and with them the only sign that a word ends there: `rosepast` is no
# word. So we read with the defaults, and {{ chapter.cleaning }} turns each backslash into a space.
#
# > **What could go wrong: pandas finds a missing value where there is text.**
# > `pd.read_csv` turns some ordinary words into "not a number".

# %% tags=["nbval-check-output"]
import io

awkward = io.StringIO('"1","None","Nobody was hurt."\n"4","null","A bug of one word."\n')
pd.read_csv(awkward, header=None, names=["class", "title", "description"])

# %% [markdown]
# Two titles have become `NaN`. The symptom comes much later: a `float` where a tokenizer expects a
# string. The cure is to say that nothing stands for a missing value, and one assert that catches it.

# %% tags=["nbval-check-output"]
awkward.seek(0)
table = pd.read_csv(awkward, header=None, names=["class", "title", "description"],
                    keep_default_na=False)
assert table["title"].map(type).eq(str).all(), "a title is not text: read with keep_default_na=False"
table["title"].tolist()

# %% [markdown]
# The package reads with `csv`, and checks each row. Its titles are text, all of them.

# %%
from agnews_utils.data import read_news_csv

with open(news.folder / "test.csv", encoding="utf-8", newline="") as file:
    by_hand = list(csv.reader(file))
by_package = read_news_csv(news.folder / "test.csv")
assert [row[1] for row in by_hand] == by_package["title"].tolist()
assert [row[2] for row in by_hand] == by_package["description"].tolist()
print(f"{len(by_hand):,} rows read twice, with the same result")

# %% [markdown]
# ## Labels: from 1 to 4, or from 0 to 3?
#
# The first field is the class. What values does it have in the raw file?

# %%
sorted({row[0] for row in by_hand})

# %% [markdown]
# Strings, and the smallest is `"1"`. A Python list begins at 0. So somebody has to subtract one,
# exactly once, and everybody else has to know that it was done.

# %% tags=["nbval-check-output"]
class_names = ["World", "Sports", "Business", "Sci/Tech"]
{label: class_names[int(label) - 1] for label in ["1", "2", "3", "4"]}

# %% [markdown]
# > **What could go wrong: nobody subtracts.**
# > The next cell uses the number in the file as a position in the list. Here are three headlines.

# %% tags=["nbval-check-output"]
headlines = [("1", "Peace talks resume"), ("2", "Keeper saves two penalties"), ("3", "Bank lifts rates")]
[(class_names[int(label)], title) for label, title in headlines]

# %% [markdown]
# No error. Every class is wrong, by one place: peace talks are sports news now. The symptom that
# might have saved us comes only with a row of the last class.

# %% tags=["nbval-check-output", "raises-exception"]
class_names[int("4")]

# %% [markdown]
# Three quarters of the rows never raise this error. So we do not wait for it: one assert states
# what we believe about the column. The package checks the same thing, row by row, in every file.

# %%
from agnews_utils.data import CLASS_NAMES

assert class_names == CLASS_NAMES
assert set(train["label"]) == set(test["label"]) == {0, 1, 2, 3}
assert (train["class_name"] == train["label"].map(lambda label: CLASS_NAMES[label])).all()

# %% [markdown]
# From here on `label` runs from 0 to 3, in every chapter. What does the package say to a file
# whose labels run from 0 already, as those of the Hugging Face copy do?

# %% tags=["nbval-check-output"]
from pathlib import Path
from tempfile import TemporaryDirectory

with TemporaryDirectory() as folder:
    path = Path(folder, "mine.csv")
    path.write_text('"2","Keeper saves two","A late goal."\n"0","Talks resume","In Geneva."\n')
    try:
        read_news_csv(path)
    except ValueError as error:
        print(str(error).split(", ", 1)[1])  # without the name of the temporary file

# %% [markdown]
# It names the line, says what it expected, and guesses what happened.

# %% [markdown]
# ## Balance, gaps, lengths
#
# ### Are the classes balanced, and is anything missing?
#
# Accuracy is a fair measure only while the classes are about equally frequent. Are they?

# %%
counts = pd.DataFrame({"train": train["class_name"].value_counts(),
                       "test": test["class_name"].value_counts()}).loc[CLASS_NAMES]
shares = train["class_name"].value_counts(normalize=True)
assert shares.between(0.2, 0.3).all(), f"classes are unbalanced, accuracy will mislead: {shares}"
counts

# %% [markdown]
# The official AG News has exactly the same number of rows in each class; the course's own runs
# use {{ ag_news.train_rows | count }} of its training rows and stay close to that. The
# assert keeps watch over it, in a wide band, since your own data may be less even.

# %%
majority_accuracy = shares.max()
print(f"Always saying {shares.idxmax()!r} is right for {majority_accuracy:.1%} of the training rows")

# %% [markdown]
# That is the floor under every model: always giving the same answer. Now the gaps. An empty
# description is no error for the reader of the file, it is a row with a title only.

# %%
empty = {column: int(train[column].str.strip().eq("").sum()) for column in ("title", "description")}
assert (train["text"].str.len() > 0).all(), "a row without any text: nothing can be learned from it"
print(empty)
train.loc[train["description"].str.strip().eq(""), "title"].head(3).tolist()

# %% [markdown]
# On AG News {{ ag_news.missing_descriptions | count }} training rows have no description; on News
# Briefs {{ newsbriefs.missing_descriptions | count }} were made so on purpose. We keep them: a title
# alone can be enough to tell the class.

# %% [markdown]
# ### How long is an article?
#
# The length decides how much memory a batch takes and where a model has to cut. We count words
# separated by white space, which is crude, and good enough to choose a limit.

# %%
lengths = train["text"].str.split().str.len()
by_class = lengths.groupby(train["class_name"]).describe(percentiles=[0.5, 0.95])
by_class.loc[CLASS_NAMES, ["mean", "50%", "95%", "max"]].round(1)

# %%
from agnews_utils import plots

ax = plots.length_histograms(
    lengths, train["class_name"], "Most articles have between 20 and 60 words",
    longest=int(lengths.quantile(0.999)),
)

# %% [markdown]
# These are headlines with one or two sentences, not articles. On AG News the mean is
# {{ ag_news.mean_words | fixed(1) }} words, and {{ ag_news.words_95 | count }} words hold all of the
# text in 95 of 100 rows. The classes have nearly the same lengths: length alone will not tell them
# apart. A limit somewhat above the 95th percentile loses next to nothing.

# %%
limit = int(lengths.quantile(0.95))
cut = (lengths > limit).mean()
lost = (lengths - limit).clip(lower=0).sum() / lengths.sum()
assert lost < 0.05, "the long tail is heavy: choose the limit by hand"
print(f"A limit of {limit} words cuts {cut:.1%} of the articles and loses {lost:.1%} of all words")

# %% [markdown]
# ## Dirt in the texts
#
# Let us read some rows, not the first ones but those that look unusual: with a character that
# plain English rarely needs.

# %%
unusual = train.loc[train["text"].str.contains(r"[#\\;<&]"), "text"]
for text in unusual.head(5):
    print("·", text[:90])

# %% [markdown]
# `#39;` was `&#39;`, the HTML code for an apostrophe, before somebody removed the ampersands.
# `quot;` was a quotation mark. `&lt;b&gt;` was a tag. Who would count these by eye? Regular
# expressions do. First on two made-up texts, where we can check the answer.

# %% tags=["nbval-check-output"]
import re

bare_apostrophe = re.compile(r"(?<!&)#39;")  # "#39;" that is not preceded by "&"
texts = ["Oil giant #39;s profit", "A proper entity: &#39;", "No entity, but issue #39"]
[bool(bare_apostrophe.search(text)) for text in texts]

# %% [markdown]
# Only the first one counts: the second is a complete entity, the third lacks its semicolon. The
# package has such a pattern for each kind of dirt.

# %%
from agnews_utils.data import artifact_counts, ARTIFACTS

assert ARTIFACTS["#39;"].pattern == bare_apostrophe.pattern
artifacts = artifact_counts(train)
assert train["text"].str.contains(bare_apostrophe).sum() == artifacts.loc["#39;", "total"]
in_business = artifacts.loc["fullquote", "Business"] / max(1, artifacts.loc["fullquote", "total"])
assert in_business > 0.9 or artifacts.loc["fullquote", "total"] == 0
ax = plots.bars(artifacts["percent"].to_dict(), "Dirt in the training rows",
                "rows that hold it (%)", number_format="{:.1f}")
artifacts.round(1)

# %% [markdown]
# On AG News {{ ag_news.apostrophe_percent | fixed(1) }} in 100 training rows hold a broken
# apostrophe, and {{ ag_news.backslash_percent | fixed(1) }} in 100 a backslash. News Briefs was
# given about the same dirt, with one difference: there we know where each piece was put, so that
# {{ chapter.cleaning }} can measure how much a cleaning step finds.
#
# Look at the last columns of the table. Dirt is not spread evenly: `fullquote`, left over from a
# box with a share price, stands in one class only. A model may read the dirt instead of the news.

# %% [markdown]
# ## Near twins: have we seen this text before?
#
# A test row that also stands in the training data measures memory, not skill. Exact repeats are
# easy: a set knows them.

# %%
repeated = train["text"].duplicated().sum()
in_both = test["text"].isin(set(train["text"])).sum()
print(f"exact repeats: {repeated} within train; {in_both} test rows stand in train")

# %% [markdown]
# But news is sent again with another first sentence, or with one figure updated. Are these two
# the same?
#
# > Oil prices rose to a record on Monday after a storm closed ports
#
# > Update 1: Oil prices rose to a record on Tuesday after a storm closed ports
#
# Not to a computer. So we need a measure of *how much* two texts share. Cut each into all
# sequences of three words, called shingles, and compare the two sets: what they share, divided by
# what they have together. This is the Jaccard similarity.

# %% tags=["nbval-check-output"]
first = "Oil prices rose to a record on Monday after a storm closed ports"
second = "Update 1: Oil prices rose to a record on Tuesday after a storm closed ports"

def three_word_shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    return set(zip(words, words[1:], words[2:]))

a, b = three_word_shingles(first), three_word_shingles(second)
len(a), len(b), len(a & b), round(len(a & b) / len(a | b), 3)

# %% [markdown]
# The sets share eight of their fifteen shingles, so the similarity is 8/15, although the texts
# differ in three places. We call two texts *near duplicates* from one half on. The package agrees
# with our count; then it does something that we cannot do by hand: compare all texts with all.

# %%
from agnews_utils.data import jaccard, near_duplicate_pairs, shingles

assert shingles(first) == a and shingles(second) == b
assert jaccard(a, b) == len(a & b) / len(a | b)
everything = pd.concat([train, test], ignore_index=True)
pairs = near_duplicate_pairs(everything["text"])  # (pairs, 2) row numbers
print(f"{len(pairs):,} pairs of near duplicates among {len(everything):,} texts")

# %% [markdown]
# Comparing every text with every other would be billions of comparisons. The trick that avoids it
# (MinHash) gets its own section in {{ chapter.cleaning }}. What did it find? One pair, each with
# its first words:

# %%
one, other = pairs[len(pairs) // 2]
print("1:", everything.loc[one, "text"][:90])
print("2:", everything.loc[other, "text"][:90])

# %%
is_test = np.arange(len(everything)) >= len(train)
across = pairs[is_test[pairs[:, 0]] != is_test[pairs[:, 1]]]  # one in train, one in test
twins_in_train = np.unique(across[is_test[across]]) if len(across) else np.array([], dtype=int)
share = len(twins_in_train) / len(test)
print(f"{len(twins_in_train):,} of {len(test):,} test rows ({share:.1%}) have a near twin in train")

# %% [markdown]
# On AG News that is {{ ag_news.test_twins_share | percent }} of the test rows, counted on
# {{ ag_news.train_rows | count }} training rows. Somebody who counts with another measure finds
# another number: by similarity of meaning, the makers of *semhash* report
# {{ published.semhash_test_twins_percent }}% on the complete file. A number of duplicates means
# nothing without its definition. {{ Chapter.evaluation }} measures how much these twins flatter a
# model.
#
# One kind of twin is worse than the others: the same text with two different labels.

# %%
labels = everything["label"].to_numpy()
conflicts = pairs[labels[pairs[:, 0]] != labels[pairs[:, 1]]]
print(f"{len(conflicts):,} of {len(pairs):,} near twins carry different labels, for example:")
for row in conflicts[0] if len(conflicts) else []:
    print("·", everything.loc[row, "class_name"], "|", everything.loc[row, "title"][:70])
titles = test.groupby("title")["label"].agg(["size", "nunique"])
print(f"test: {(titles['size'] > 1).sum()} titles occur more than once, "
      f"{(titles['nunique'] > 1).sum()} of them with more than one label")

# %% [markdown]
# No model can be right on both. Such pairs put a ceiling on every score: nobody reaches 100 in 100.

# %% [markdown]
# ## Telling words
#
# Which words mark a class? The most frequent ones do not: `the` leads in all four. The largest
# *ratio* does not either: a word that occurs once, in one class, has an infinite ratio. We need a
# statistic that asks for both a difference and enough evidence. Four words, two groups:

# %% tags=["nbval-check-output"]
terms = ["the", "goal", "market", "zebra"]
sports = np.array([500.0, 40.0, 10.0, 1.0])  # occurrences in sports news
others = np.array([1500.0, 20.0, 150.0, 0.0])  # occurrences in all other news
with np.errstate(divide="ignore"):
    ratio = (sports / sports.sum()) / (others / others.sum())
dict(zip(terms, ratio.round(2).tolist()))

# %% [markdown]
# One single zebra beats forty goals. Monroe, Colaresi and Quinn (2008) pull each count toward what
# is usual, by pretending to have seen each word a little already (the *prior*), and divide the
# difference of the log-odds by its standard error. The result is a z-score.

# %% tags=["nbval-check-output"]
prior = 10 * (sports + others) / (sports + others).sum()  # ten imaginary words, shared out

def log_odds_of(counts):
    smoothed = counts + prior
    return np.log(smoothed / (smoothed.sum() - smoothed))

variance = 1 / (sports + prior) + 1 / (others + prior)
z = (log_odds_of(sports) - log_odds_of(others)) / np.sqrt(variance)
dict(zip(terms, z.round(1).tolist()))

# %% [markdown]
# Now `goal` leads by far, `market` speaks against sports, and the zebra is what it is: one
# sighting. The package's function gives the same, and works on all words and classes at once.

# %%
from agnews_utils.data import class_log_odds, log_odds
from sklearn.feature_extraction.text import CountVectorizer

assert np.allclose(log_odds(sports, others, prior), z)
vectorizer = CountVectorizer(ngram_range=(1, 2), min_df=5, dtype=np.int32)
matrix = vectorizer.fit_transform(train["text"])  # (documents, words and pairs of words)
one_hot = np.eye(4, dtype=np.int32)[train["label"]]  # (documents, classes)
per_class = one_hot.T @ matrix  # (classes, terms)
scores = class_log_odds(per_class)
scores.shape

# %%
vocabulary = vectorizer.get_feature_names_out()
best = {name: {vocabulary[i]: scores[label, i] for i in np.argsort(-scores[label])[:14]}
        for label, name in enumerate(CLASS_NAMES)}
assert all(score > 1.96 for words in best.values() for score in words.values())
axes = plots.marking_words(best, "Words and pairs of words that mark each class", "z-score")

# %% [markdown]
# Each list reads like its class; that is the first sign that the task can be solved from words
# alone. Now ask the same scores about words that should tell nothing: an article, a broken
# apostrophe, the rest of a tag, two news agencies.

# %%
suspects = [term for term in ("the", "39", "lt", "reuters", "afp") if term in vectorizer.vocabulary_]
columns = [vectorizer.vocabulary_[term] for term in suspects]
pd.DataFrame(scores[:, columns].round(1), index=CLASS_NAMES, columns=suspects)

# %% [markdown]
# Anything beyond two or so is more than luck. Style marks a class, dirt marks a class, and the
# agency does. A model will use all three if we let it. Is the last one cheating?
#
# ### Does the source give it away?
#
# Many texts name their agency: `(Reuters)` after the title, `AP -` in front of the first sentence.
# Suppose we hide everything else. How well can the class be guessed?

# %% tags=["nbval-check-output"]
from agnews_utils.data import news_source

examples = pd.Series(["Shares slip (Reuters)", "AP - A storm closed the port.", "No agency here"])
news_source(examples).tolist()

# %%
table = pd.crosstab(news_source(train), train["class_name"])[CLASS_NAMES]
table.loc[table.sum(axis=1).sort_values(ascending=False).index].head(8)

# %% [markdown]
# The first row, without a name, holds the texts that state no source. The simplest classifier
# there is says for each source the class that is most frequent with it.

# %%
most_frequent = table.idxmax(axis=1)
guess = news_source(test).map(most_frequent).fillna(most_frequent[""])
source_accuracy = (guess == test["class_name"]).mean()
title_table = pd.crosstab(news_source(train["title"]), train["class_name"]).idxmax(axis=1)
title_guess = news_source(test["title"]).map(title_table).fillna(title_table[""])
title_source_accuracy = (title_guess == test["class_name"]).mean()
assert majority_accuracy - 0.05 < source_accuracy < 0.6, "the source should help, not decide"
print(f"class from the source: {source_accuracy:.1%}, from the title's alone: "
      f"{title_source_accuracy:.1%}, by chance: {majority_accuracy:.1%}")

# %% [markdown]
# On AG News {{ ag_news.source_accuracy | percent }} of the test rows are guessed from the source,
# against {{ ag_news.majority_accuracy | percent }} for a constant answer. So the source leaks a
# little. A model that will meet other agencies should not lean on it; {{ chapter.cleaning }}
# measures what removing it costs.

# %% [markdown]
# ## A picture of all documents
#
# Each article is a point in a space with one axis a word. Can we look at it? TF-IDF gives every
# word a weight, large where it is frequent in this text and rare elsewhere
# ({{ chapter.vocabulary }} builds it by hand), and a singular value decomposition (SVD) finds the
# few directions that tell most.

# %%
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

def main_directions(texts):
    tfidf = TfidfVectorizer(sublinear_tf=True, min_df=3, stop_words="english")
    weights = tfidf.fit_transform(texts)  # (documents, words)
    svd = TruncatedSVD(n_components=4, random_state=0)
    points, names = svd.fit_transform(weights), tfidf.get_feature_names_out()
    for direction in (1, 2):
        order = np.argsort(svd.components_[direction])
        print(f"direction {direction + 1}: {' '.join(names[order[:6]])} <-> {' '.join(names[order[-6:]])}")
    return points  # (documents, 4)

# %% [markdown]
# What do the directions mean? The words at their two ends say it. (The first direction is left
# out: it measures mostly how ordinary the words of an article are.)

# %%
points = main_directions(train["text"])

# %% [markdown]
# On AG News one of them runs from ordinary words to `href`, `fullquote`, `lt` and `gt`. The strongest
# contrast in the whole collection, after ordinariness, is whether a text carries HTML. One rough
# expression removes tags, entities and figures; what is left?

# %%
dirt = r"&lt;.*?&gt;|#\d+;|quot;|\d+"
points = main_directions(train["text"].str.replace(dirt, " ", regex=True))
on_circle = points / np.linalg.norm(points, axis=1, keepdims=True).clip(1e-9)  # length 1 each
chosen = np.random.default_rng(0).choice(len(points), size=min(6000, len(points)), replace=False)
ax = plots.scatter_by_class(on_circle[chosen][:, 1:3], train["class_name"].iloc[chosen],
                            "Two directions out of thousands already group the classes",
                            "second direction of the SVD", "third direction of the SVD")

# %% [markdown]
# Every dot is an article; nobody told the method what a class is, the colors were added at the end.
# They form regions all the same, with a busy border where they meet. So the classes are in the
# words. A model has to find the border.

# %% [markdown]
# ## How sure can we be?
#
# ### Carve a validation split
#
# AG News comes with a training and a test split, and no third one. Every choice, such as which
# model or how many epochs, has to be made by measuring on *something*. If that is the test split,
# then the final score has been chosen to look good. Many published scores were obtained that way.
# So we carve a **validation split** out of the training rows and leave the test rows alone.
#
# Two things are kept in mind: each class has the same share on both sides, and near twins of
# {{ section("Near twins: have we seen this text before?") }} stay together, or the validation rows
# would leak into training.

# %%
from agnews_utils.data import train_valid_split

fit_rows, valid_rows = train_valid_split(train, valid_fraction=0.1, seed=42)
shares = pd.DataFrame({"fit": fit_rows["class_name"].value_counts(normalize=True),
                       "valid": valid_rows["class_name"].value_counts(normalize=True)})
assert np.allclose(shares["fit"], shares["valid"], atol=0.02)
print(f"{len(fit_rows):,} rows to fit, {len(valid_rows):,} to validate")
together = pd.concat([fit_rows, valid_rows], ignore_index=True)
twins = near_duplicate_pairs(together["text"])
crossing = (twins < len(fit_rows)).sum(axis=1) == 1
assert crossing.sum() == 0, "near twins on both sides: the validation score would flatter"
print(f"{len(twins):,} near twins, {crossing.sum()} of them across the border")

# %% [markdown]
# ### How wide is a score?
#
# Now a question that comes before every comparison: how much would an accuracy change if other
# test rows had been drawn? Suppose a model is right on 92 of 100 articles in the long run. We draw
# a test set of the size of AG News, count, and repeat.

# %% tags=["nbval-check-output"]
draws = np.random.default_rng(7).binomial(n=7_600, p=0.92, size=20_000) / 7_600
low, high = np.percentile(draws, [2.5, 97.5])
print(f"95 % of the draws lie between {low:.1%} and {high:.1%}")
half_width = 1.96 * np.sqrt(0.92 * (1 - 0.92) / 7_600)
print(f"by the formula: 92.0% +- {100 * half_width:.2f} points")

# %% [markdown]
# The same model, between those two scores, by luck alone. The last line gets there without drawing:
# the standard error of a share $p$ on $n$ rows is $\sqrt{p(1-p)/n}$, and about two of them to
# either side hold 95 %. Two results that differ by less than that may well be the same. The package uses Wilson's interval
# (1927), which also behaves near 0 and 1, where the simple formula claims certainty.

# %% tags=["nbval-check-output"]
from agnews_utils.data import accuracy_interval

low, high = accuracy_interval(0.92, rows=7_600)
assert abs((high - low) / 2 - half_width) < 1e-4
for right in (10, 9):
    low, high = accuracy_interval(right / 10, rows=10)
    print(f"{right} of 10 right: between {low:.0%} and {high:.0%}")

# %% [markdown]
# ## The score to beat
#
# Before any network: how far does a linear model come? TF-IDF weights of words and pairs of words,
# and a linear support vector machine on top. It has one knob, `C`, how hard it tries to fit the
# training rows. The knob is turned on the validation rows.

# %%
from sklearn.svm import LinearSVC

features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2, dtype=np.float32)
fit_matrix = features.fit_transform(fit_rows["text"])  # (rows, terms)
valid_matrix = features.transform(valid_rows["text"])
valid_accuracy = {}
for c in (0.1, 0.3, 1.0):
    model = LinearSVC(C=c, random_state=0).fit(fit_matrix, fit_rows["label"])
    valid_accuracy[c] = model.score(valid_matrix, valid_rows["label"])
{c: round(accuracy, 4) for c, accuracy in valid_accuracy.items()}

# %%
best_c = max(valid_accuracy, key=valid_accuracy.get)
final = LinearSVC(C=best_c, random_state=0).fit(features.fit_transform(train["text"]), train["label"])
predicted = final.predict(features.transform(test["text"]))
test_accuracy = (predicted == test["label"]).mean()
low, high = accuracy_interval(test_accuracy, len(test))
print(f"linear model, C={best_c}: {test_accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})")

# %% [markdown]
# This was the one look at the test rows. On AG News, trained on {{ ag_news.train_rows | count }} of
# its {{ published.ag_news_train_rows | count }} training rows, the linear model is right on
# **{{ ag_news.linear_accuracy | percent }}**; on News Briefs on
# {{ newsbriefs.linear_accuracy | percent }}. {{ Chapters("rnn", "bert") }} have to beat these
# numbers, and by more than the interval, or their cost is not worth it.

# %%
assert test_accuracy > source_accuracy + 0.2, "a linear model should do far better than the source"
right = predicted == test["label"]
estimates = {"always the same class": (majority_accuracy,) * 3}
for name, accuracy in (("source alone", source_accuracy), ("TF-IDF + linear", test_accuracy)):
    low, high = accuracy_interval(accuracy, len(test))
    estimates[name] = (low, accuracy, high)
ax = plots.intervals({name: tuple(100 * v for v in values) for name, values in estimates.items()},
                     "The bar is high before any network is trained", "test accuracy (%)")

# %% [markdown]
# Where is it wrong? A table of true class against predicted class tells more than one number.

# %%
confusion = pd.crosstab(test["class_name"], [CLASS_NAMES[label] for label in predicted])
confusion = confusion.reindex(index=CLASS_NAMES, columns=CLASS_NAMES, fill_value=0)
missed = confusion.to_numpy() * (1 - np.eye(4, dtype=int))
row, column = np.unravel_index(missed.argmax(), missed.shape)
print(f"most frequent mistake: {CLASS_NAMES[row]} taken for {CLASS_NAMES[column]}, {missed.max()} times")
confusion.rename_axis(index="true class", columns="predicted")

# %% [markdown]
# ## What you will read elsewhere
#
# Widely read tutorials on this data set make claims that one count can settle. We have counted.
#
# | claim | what the files say |
# |---|---|
# | AG News has six classes | four: {{ section("Labels: from 1 to 4, or from 0 to 3?") }} |
# | it has `1.6 million` articles, one text file a class | two CSV files with {{ published.ag_news_rows | count }} rows together; the course's runs use {{ ag_news.train_rows | count }} + {{ ag_news.test_rows | count }} of them |
# | it is downloaded from `ai.stanford.edu/~amaas/data/sentiment` | that address is IMDb's: films, not news |
# | it covers 2000 to 2016 | the collection began in 2004, this version is dated 2015 |
# | line breaks are written `\n` | they are bare backslashes: {{ section("Get the data, and read it by eye") }} |
# | fine-tune on the test data | that is leakage; {{ section("How sure can we be?") }} carves a validation split |
# | there are no duplicates | exact ones no; near ones {{ ag_news.near_pairs | count }} pairs: {{ section("Near twins: have we seen this text before?") }} |

# %%
claims = {"six classes": train["label"].nunique() == 6,
          "1.6 million rows": len(train) + len(test) == 1_600_000,
          "no near duplicates": len(pairs) == 0}
assert not any(claims.values())
claims

# %%
from agnews_utils import runtime

runtime.record("exploration", news, {
    "train_rows": len(train), "test_rows": len(test), "majority_accuracy": majority_accuracy,
    "missing_descriptions": empty["description"], "mean_words": lengths.mean(),
    "words_95": lengths.quantile(0.95), "apostrophe_percent": artifacts.loc["#39;", "percent"],
    "backslash_percent": artifacts.loc["backslash", "percent"], "artifacts": artifacts.to_dict("index"),
    "near_pairs": len(pairs), "conflicting_pairs": len(conflicts), "test_twins_share": share,
    "source_accuracy": source_accuracy, "title_source_accuracy": title_source_accuracy,
    "linear_accuracy": test_accuracy, "linear_c": best_c,
    "linear_valid_accuracy": valid_accuracy[best_c],
    "readme_rows": [{"model": "TF-IDF, words and pairs, linear SVM (chapter exploration)",
                     "accuracy": test_accuracy, "interval": accuracy_interval(test_accuracy, len(test))}],
}, headline=f"TF-IDF + linear model: {test_accuracy:.1%} on the test rows")

# %% [markdown]
# ## Exercises
#
# 1. Change one label in a copy of `test.csv` to 5 and read the file. Which line does the error name?
# 2. Print the three longest and the three shortest texts. Would you keep all of them?
# 3. Which class has most backslashes per row? Suggest where they come from.
# 4. Lower the threshold for near duplicates to `0.3` and read ten pairs. Are they still the same news?
#    At which threshold would you stop?
# 5. Compute the marking words with chi-squared (`sklearn.feature_selection.chi2`) and compare the
#    first twenty with those of {{ section("Telling words") }}. Which list would you show to a
#    colleague?
# 6. Train the linear model on titles only, then on descriptions only. Which one knows more?
# 7. How many test rows are needed until the 95 % interval of an accuracy of `0.92` is narrower than
#    plus or minus a quarter of a point?

# %% [markdown]
# ## Recap
#
# - Look at the raw file first. A format is known when it has been read by eye *and* checked by code.
# - Labels run from 1 to 4 in the file and from 0 to 3 in Python. One place subtracts; an assert guards it.
# - Count classes, gaps, lengths, dirt and duplicates *before* the first model. A definition belongs
#   to every count.
# - A statistic for telling words needs both a difference and enough evidence.
# - There is no validation split: carve one out, and keep near twins on one side.
# - An accuracy has an interval. Differences inside it are not differences.
# - The linear model is the score to beat.
#
# ## Further reading
#
# - X. Zhang, J. Zhao, Y. LeCun (2015): *Character-level convolutional networks for text
#   classification*. The paper that made this version of AG News.
# - B. Monroe, M. Colaresi, K. Quinn (2008): *Fightin' words*. The log-odds with a prior.
# - A. Broder (1997): *On the resemblance and containment of documents*. Shingles and MinHash.
# - E. B. Wilson (1927): *Probable inference, the law of succession, and statistical inference*.
# - L. Brown, T. Cai, A. DasGupta (2001): *Interval estimation for a binomial proportion*.
# - T. Gebru and others (2021): *Datasheets for datasets*. What a data card should say.
