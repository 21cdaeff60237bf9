# ---
# title: Vocabulary
# summary: Cut texts into tokens, give every token a number, and turn the numbers into vectors and batches.
# run: vocabulary
# goals:
#   - compare tokenizers by what they do to one sentence, by speed, and by the vocabulary they make
#   - explain with two power laws why no vocabulary is ever complete
#   - build a vocabulary by hand, choose its size on validation rows, and know what unknown tokens cost
#   - turn texts into one-hot vectors, bags of words, hashed vectors and TF-IDF weights
#   - see that an embedding is a matrix product that was never carried out
#   - make padded and masked batches, and waste little on padding
# prerequisites:
#   - "{{ chapter.exploration.link }} and {{ chapter.cleaning.link }}; NumPy arrays; tensors of torch by sight"
# data: AG News, or the bundled News Briefs
# accelerator: none
# teaching_minutes: 120
# ---

# %% [markdown]
# ## One sentence, eight ways to cut it
#
# A network computes with numbers. This chapter turns cleaned texts into numbers, and every later
# chapter stands on it. Vocabulary choices are choices like any other: they are made on training
# rows, and judged on validation rows that were carved out of them in {{ chapter.exploration }}. The
# test rows stay where they are.

# %%
from agnews_utils.cleaning import Cleaner
from agnews_utils.data import load_news, train_valid_split
news = load_news()
fit_rows, valid_rows = train_valid_split(news.train, valid_fraction=0.1, seed=42)
fit_texts, valid_texts = (Cleaner()(rows["text"]).tolist() for rows in (fit_rows, valid_rows))
print(f"{len(fit_texts):,} cleaned texts to fit, {len(valid_texts):,} to validate")

# %% [markdown]
# The unit that gets a number is called a **token**. What is a token? A word, everybody says. Take a
# sentence that has a bit of everything. Cut it at the white space; then keep runs of letters and digits.

# %% tags=["nbval-check-output"]
import re

sentence = "The U.S. giant's profits didn't rise; O'Neill blames $1,234.50 (3.5%) third-quarter costs..."
print(" | ".join(sentence.split()))
print(" | ".join(re.findall(r"\w+", sentence.lower())))

# %% [markdown]
# In the first line `rise;` with its semicolon is a token, and `costs...` with its dots. To a computer
# they have nothing to do with `rise` and `costs`: each spelling gets its own number, and each is
# learned anew. The second line is clean, and wrong in its own way. Read it aloud: *u s giant s profits
# didn t rise*. The country has become two letters, the dollar amount three numbers without a currency,
# and *didn't* lost its *not*.
#
# Where to cut is a decision, and libraries decide differently. NLTK has a tokenizer for newspaper
# text and one for tweets; spaCy's blank English pipeline has the rules of its tokenizer and nothing
# else. None of them needs a download.

# %%
import spacy
from nltk.tokenize import NLTKWordTokenizer, TweetTokenizer

nltk_words, nltk_tweets = NLTKWordTokenizer().tokenize, TweetTokenizer().tokenize
blank = spacy.blank("en")

def spacy_words(text: str) -> list[str]:
    return [token.text for token in blank(text)]

for function in (nltk_words, nltk_tweets, spacy_words):
    print(" | ".join(function(sentence)))

# %% [markdown]
# The first cuts *didn't* into `did` and `n't`, a convention of the Penn Treebank (1993): the negation is a
# token by itself. The second keeps the contraction, and takes `U.S.` apart. The third agrees with the
# first on most points, and cuts `third-quarter` at the hyphen.
#
# torchtext's `basic_english` stands in thousands of tutorials. It is a handful of replacements, which
# we can write down.

# %% tags=["nbval-check-output"]
def basic_english(text: str) -> list[str]:
    text = text.lower().replace('"', "").replace("<br />", " ")
    for sign in "'.,()!?":
        text = text.replace(sign, f" {sign} ")
    return text.replace(";", " ").replace(":", " ").split()
print(" | ".join(basic_english(sentence)))

# %% [markdown]
# `u . s .` again, and `$1 , 234 . 50`. Is it really what torchtext does? The library's last release,
# `0.18`, loads on torch `2.3` only, so the next cell may have to go without it.

# %%
try:
    import torchtext

    torchtext.disable_torchtext_deprecation_warning()
    from torchtext.data.utils import get_tokenizer
    from torchtext.vocab import build_vocab_from_iterator
    torchtext_words = get_tokenizer("basic_english")
    print("torchtext", torchtext.__version__, "is here")
except (ImportError, OSError) as error:
    torchtext_words, build_vocab_from_iterator = basic_english, None
    print(f"torchtext cannot be loaded ({type(error).__name__}): our own basic_english takes its place")
assert all(torchtext_words(text) == basic_english(text) for text in [sentence, *fit_texts[:1000]])

# %% [markdown]
# The last way is of another kind. **WordPiece** (Schuster and Nakajima, 2012) is *trained*: it
# starts with single characters and joins the pairs that are worth joining, until it has as many
# pieces as we allow. Frequent words end up whole; rare ones are spelled in pieces. BERT reads such
# pieces, and {{ chapter.pretraining }} comes back to them.

# %%
from tokenizers import BertWordPieceTokenizer

wordpiece = BertWordPieceTokenizer(lowercase=True)
wordpiece.train_from_iterator(fit_texts, vocab_size=8000, min_frequency=2, show_progress=False)

def wordpieces(text: str) -> list[str]:
    return wordpiece.encode(text, add_special_tokens=False).tokens

print(" | ".join(wordpieces(sentence)))

# %% [markdown]
# A piece that begins with `##` continues the word before it. Whatever a reader types, it can be
# spelled with such pieces, as long as its characters were seen in training: there are hardly any
# unknown words. The price is a longer text.
#
# ## One pattern
#
# None of them does what we want, and the good ones are slow. We write our own: lower case, one regular
# expression, a rule that fits into a sentence each. **Numbers** keep their separators and their
# currency sign. **Letters with dots** stay together if there are at least two of them, or the end of
# every sentence that stops at *I.* would look like an abbreviation.

# %% tags=["nbval-check-output"]
NUMBER = r"[$£€]?\d+(?:[.,]\d+)*\w*"  # a dot or comma counts only if a digit follows
print(re.findall(NUMBER, "$1,234.50, 3.5%, the 4th, $1.2bn in 2004."))

LETTERS_WITH_DOTS = r"(?:[^\W\d_]\.){2,}"  # [^\W\d_] is a letter of any alphabet
print(re.findall(LETTERS_WITH_DOTS, "in the u.s. at 5 p.m. so did i. sony.com"))

# %% [markdown]
# The comma after `$1,234.50` and the last dot are not part of a number: no digit follows.
# **Apostrophes:** `giant's` should share a number with `giant`, so the possessive is cut off. `didn't`
# means something else than `did`, so it stays. One pattern describes the ending, another a word that
# is not allowed to swallow one.

# %% tags=["nbval-check-output"]
ENDING = r"['’](?:s|d|m|ll|re|ve)\b"
WORD = r"\w+(?:['’](?!(?:s|d|m|ll|re|ve)\b)\w+)*"  # (?!...) means: not followed by
print(re.findall(f"{ENDING}|{WORD}", "the giant's o'neill didn't, we'll see"))

# %% [markdown]
# Together, the first alternative that fits wins, and any other sign stands by itself.

# %% tags=["nbval-check-output"]
OTHER = r"\.{2,}|-{2,}|[^\w\s]"
pattern = re.compile("|".join([LETTERS_WITH_DOTS, NUMBER, ENDING, WORD, OTHER]))
print(" | ".join(pattern.findall(sentence.lower())))

# %% [markdown]
# `third-quarter` becomes three tokens. That costs two positions and saves a great many rare words:
# first-, second-, fourth-quarter.
#
# Can it be faster? At every position the alternatives are tried in turn, and a plain word is the fourth.
# Yet most tokens are plain words. So ask for those first: letters, followed by nothing that could change
# the verdict. `(?!...)` means "not followed by".

# %%
import time
from agnews_utils.vocabulary import tokenize

shortcut = re.compile(r"[a-z]+(?![\w.'’])|" + pattern.pattern)
start = time.process_time()
direct = [pattern.findall(text.lower()) for text in fit_texts]
middle = time.process_time()
shorter = [shortcut.findall(text.lower()) for text in fit_texts]
speedup = (middle - start) / (time.process_time() - middle)
assert direct == shorter == [tokenize(text) for text in fit_texts], "a shortcut must not change a token"
print(f"the same tokens, {speedup:.1f} times as fast")

# %% [markdown]
# The package's `tokenize` is this pattern with its shortcut; the assert compares all three on every text.
# On AG News the shortcut makes it {{ ag_news.shortcut_speedup | fixed(1) }} times as fast. Now all eight
# side by side: what does one text cost, how many tokens does it become, and how many different ones are
# there?

# %%
import numpy as np
import pandas as pd
tokenizers = {"split": str.split, r"\w+": lambda text: re.findall(r"\w+", text.lower()),
              "NLTK words": nltk_words, "NLTK tweets": nltk_tweets, "spaCy blank": spacy_words,
              "basic_english": torchtext_words, "WordPiece": wordpieces, "course": tokenize}
sample = fit_texts[:10_000]
measured = {}
for name, function in tokenizers.items():
    start = time.process_time()
    lists = [function(text) for text in sample]
    cost = 1e6 * (time.process_time() - start) / len(sample)
    measured[name] = cost, np.mean([len(t) for t in lists]), len({t for tokens in lists for t in tokens})
columns = ["CPU microseconds per text", "tokens per text", "different tokens"]
comparison = pd.DataFrame.from_dict(measured, orient="index", columns=columns)
comparison.round(1)

# %%
from agnews_utils import plots
different = comparison["different tokens"].to_dict()
assert different["WordPiece"] <= 8000 < 30 * different["WordPiece"]
assert different["course"] < different["split"], "cutting punctuation off should save spellings"
ax = plots.bars(different, "The same texts, eight vocabularies", f"different tokens in {len(sample):,} texts",
                colors={"course": plots.CLASS_COLORS["World"]})

# %% [markdown]
# `split` makes by far the most tokens out of the same texts: on AG News
# {{ ag_news.different_tokens["split"] | count }} in {{ ag_news.sample | count }} texts, against
# {{ ag_news.different_tokens["course"] | count }} for ours. The tokenizers that keep upper case lie in
# between. WordPiece cannot exceed the size that it was given. And the times differ by a factor: spaCy
# and NLTK keep track of much more than we need here.
#
# ## How many words are there?
#
# Can we collect all words there are? Tokenize all rows, and count.

# %%
from collections import Counter
from agnews_utils.vocabulary import tokenize_all
fit_tokens, valid_tokens = tokenize_all(fit_texts), tokenize_all(valid_texts)
counts = Counter(token for tokens in fit_tokens for token in tokens)
once = sum(count == 1 for count in counts.values())
print(f"{counts.total():,} tokens, {len(counts):,} different ones, {once:,} of them occur once")

# %%
print(counts.most_common(12))

# %% [markdown]
# A dozen of tokens that say nothing about the news, and at the other end a crowd that occurs once:
# on AG News {{ ag_news.once_share | percent(0) }} of all different tokens, on News Briefs
# {{ newsbriefs.once_share | percent(0) }}. What happens in between? Sort the tokens by count and
# number them: rank 1 is the most frequent. Zipf (1949) saw that count times rank stays about the same.
# On two logarithmic axes such a law is a straight line with slope -1. The package's `power_law` fits a
# line to the logarithms by least squares. Over which range? Nearly all tokens are in the tail, and a fit to
# every rank would look at nothing else. So we take ranks 10 to `1000`, and of these as many from 10 to
# `100` as from there on.

# %%
from agnews_utils.vocabulary import power_law

by_rank = np.array(sorted(counts.values(), reverse=True))
ranks = np.arange(1, len(by_rank) + 1)
chosen = np.unique(np.geomspace(10, 1000, 60).astype(int))  # evenly spread on a logarithmic axis
zipf = power_law(chosen, by_rank[chosen - 1])
assert -1.5 < zipf[0] < -0.5, "not a Zipf curve: are these token counts of natural text?"
ax = plots.power_law_line(
    ranks, by_rank, zipf, (10, 1000), "A token's count falls with its rank as a power law",
    "rank of the token", "occurrences")

# %% [markdown]
# A straight line over the range that we fitted, with slope {{ ag_news.zipf_slope | fixed(2) }} on AG
# News and {{ newsbriefs.zipf_slope | fixed(2) }} on News Briefs. Further right the points fall away from
# it: the tail of a finite text is steeper than the law says.
#
# The second law asks how the vocabulary grows while we read. If it leveled off, more reading would
# complete it. A set collects what we have seen; the package's function does the same.

# %%
from agnews_utils.vocabulary import vocabulary_growth

running, distinct = vocabulary_growth(fit_tokens)  # after each text: tokens read, different tokens
assert running[9] == sum(map(len, fit_tokens[:10])) and distinct[9] == len(set().union(*fit_tokens[:10]))
points = np.unique(np.geomspace(1, len(running) - 1, 300).astype(int))  # evenly on a logarithmic axis
late = points[points > len(running) // 20]
heaps = power_law(running[late], distinct[late])
assert 0.3 < heaps[0] < 0.95, "the vocabulary should grow, but slower than the text"
ax = plots.power_law_line(
    running[points], distinct[points], heaps, (running[late[0]], running[-1]),
    "More text, more words: the curve does not level off", "tokens read", "different tokens so far")

# %% [markdown]
# Herdan (1960) and Heaps (1978): the number of different tokens grows like a power of the text's
# length. We fitted all but the first twentieth of the texts, and find an exponent of
# {{ ag_news.heaps_exponent | fixed(2) }} on AG News: there, twice the text means
# {{ ag_news.growth_by_doubling | percent(0) }} more different tokens. Earlier the curve is steeper, as it
# leaves the dotted line; so an exponent, too, belongs to a range. But it does not level off: no
# vocabulary is ever complete. Two questions remain: which tokens do we keep, and what happens to the
# others?
#
# ## Vocab
#
# A vocabulary is a list of tokens; the position in the list is the token's **index**. The most frequent
# tokens come first, so that a size limit keeps the best ones. In front of them stand two tokens that
# no text contains: `<pad>` fills up short texts, `<unk>` stands in for all that was left out. Which of
# two equally frequent tokens comes first? Any rule will do, as long as there is one.

# %% tags=["nbval-check-output"]
lists = [["oil", "up", "oil"], ["rates", "up", "again"], ["oil"]]
frequency = Counter(token for tokens in lists for token in tokens)
by_frequency = sorted(frequency, key=lambda token: (-frequency[token], token))
list(enumerate(["<pad>", "<unk>", *by_frequency]))

# %% [markdown]
# `again` and `rates` occur once each, and the alphabet decides. Without that rule the indices would
# depend on the order of the rows, and a model trained yesterday would read other words today. Now
# the other direction, from a token to its index, and some convenience.

# %% tags=["nbval-check-output"]
class HandVocab:
    def __init__(self, tokens):
        self.itos = list(tokens)  # index to string
        self.stoi = {token: index for index, token in enumerate(self.itos)}  # string to index
        self.default = None

    def __call__(self, tokens):
        if self.default is None:
            return [self.stoi[token] for token in tokens]
        return [self.stoi.get(token, self.default) for token in tokens]

by_hand = HandVocab(["<pad>", "<unk>", *by_frequency])
indices = by_hand(["rates", "up", "up"])
indices, [by_hand.itos[index] for index in indices]

# %% [markdown]
# There and back again, nothing lost. What about a token that the vocabulary has never seen?
#
# > **What could go wrong: nobody sets the default index.**
# > All training rows go through, since the vocabulary was built on them. Then comes the first
# > validation row with a new word, often after an epoch of training.

# %% tags=["nbval-check-output", "raises-exception"]
by_hand(["gas", "up"])

# %% [markdown]
# The symptom is a `KeyError` (in torchtext a `RuntimeError`) that names a harmless word. The cure is
# one line, right after the vocabulary is made. The package's `Vocab` has the methods of torchtext's, and
# `build_vocab` sets the default index by itself. Do they agree with our hand-made class?

# %% tags=["nbval-check-output"]
from agnews_utils.vocabulary import build_vocab, Vocab
by_hand.default = by_hand.stoi["<unk>"]
small = build_vocab(lists)
assert small.get_itos() == by_hand.itos and small.get_stoi() == by_hand.stoi
assert small(["gas", "up"]) == by_hand(["gas", "up"]) == [1, 3], "is the default index set?"
print(small, small["oil"], small.lookup_tokens([2, 3]), "gas" in small, small.get_default_index())

# %% [markdown]
# And with torchtext itself, index by index, on all training rows and with every kind of limit?

# %%
if build_vocab_from_iterator is None:
    print("No comparison here: torchtext 0.18, its last release, needs torch 2.3.")
else:
    for limits in ({}, {"min_freq": 3}, {"max_tokens": 500}, {"special_first": False}):
        ours = build_vocab(fit_tokens, **limits)
        theirs = build_vocab_from_iterator(fit_tokens, specials=["<pad>", "<unk>"], **limits)
        theirs.set_default_index(theirs["<unk>"])
        assert ours.get_itos() == theirs.get_itos() and ours.get_stoi() == theirs.get_stoi()
        assert all(ours(tokens) == theirs(tokens) for tokens in valid_tokens[:200])
        print(f"equal: {len(ours):,} tokens with {limits or 'no limit'}")

# %% [markdown]
# From here on we use the package's. Somebody who moves a project away from torchtext can exchange the
# one for the other, and every index stays.
#
# ## How large should it be?
#
# A token outside the vocabulary becomes `<unk>`, and its meaning is gone. **Coverage** is the share of
# running tokens that a vocabulary holds.

# %% tags=["nbval-check-output"]
from agnews_utils.vocabulary import coverage
read = [["gas", "up", "again"], ["oil", "up"]]
known = [token in small for tokens in read for token in tokens]
assert coverage(read, small) == sum(known) / len(known)
known, coverage(read, small)

# %% [markdown]
# Measured on the rows that it was built on, a complete vocabulary covers everything, which says
# nothing. So we measure on the validation rows. How much do we lose with a smaller one?

# %%
full = build_vocab(fit_tokens)
sizes = [size for size in (100, 300, 1000, 3000, 10_000, 30_000, 100_000) if size < len(full)] + [len(full)]
vocabs = [build_vocab(fit_tokens, max_tokens=size) for size in sizes]
covered = {"rows it was built on": [coverage(fit_tokens, vocab) for vocab in vocabs],
           "validation rows": [coverage(valid_tokens, vocab) for vocab in vocabs]}
ax = plots.curves(
    sizes, {name: 100 * np.array(shares) for name, shares in covered.items()},
    "A few thousand tokens cover most of the text", "size of the vocabulary", "tokens covered (%)", log_x=True)
assert covered["validation rows"][sizes.index(3000)] > 0.75
assert covered["validation rows"] == sorted(covered["validation rows"])

# %% [markdown]
# Zipf's law at work: the first thousand tokens cover a great part, each further thousand less. On AG
# News `10,000` tokens cover {{ ag_news.coverage_10000 | percent }} of the validation text, and three
# times as many {{ ag_news.coverage_30000 | percent }}. The two lines part at the right: the vocabulary
# knows its own rows by heart, and new text has new words. The other handle is the minimum frequency.

# %%
by_limit = {limit: build_vocab(fit_tokens, min_freq=limit) for limit in (1, 2, 3, 5, 10)}
pd.DataFrame([{"min_freq": limit, "size": f"{len(vocab):,}",
               "unknown in fit rows": f"{1 - coverage(fit_tokens, vocab):.2%}",
               "unknown in validation rows": f"{1 - coverage(valid_tokens, vocab):.2%}"}
              for limit, vocab in by_limit.items()]).set_index("min_freq")

# %% [markdown]
# Look at the first row. With `min_freq=1` no training row has an unknown token, so the vector of
# `<unk>` is never trained: it stays as random as it was drawn, until a validation row uses it. Leaving
# out the tokens that occur once takes away a third of the vocabulary or more, costs little coverage, and
# gives `<unk>` something to learn from. That is our choice.

# %%
vocab = by_limit[2]
assert len(vocab) < len(full) and any(1 in vocab(tokens) for tokens in fit_tokens)
unknown_share = 1 - coverage(valid_tokens, vocab)
assert 0.001 < unknown_share < 0.25, "too many unknown tokens: same tokenizer on both sides?"
print(f"{vocab}, {unknown_share:.2%} of the validation tokens are unknown to it")

# %% [markdown]
# > **What could go wrong: the vocabulary has seen the rows that we measure on.**
# > "Build the vocabulary on everything, it is only words, not labels." Here is what it does. (We leak
# > the validation rows; with the test rows it is the same, and they are none of our business yet.)

# %%
leaky = build_vocab([*fit_tokens, *valid_tokens])
honest_unknown = 1 - coverage(valid_tokens, full)
leaky_unknown = 1 - coverage(valid_tokens, leaky)
mismatch_unknown = 1 - coverage([text.split() for text in valid_texts], vocab)  # see below
print(f"unknown validation tokens: honest {honest_unknown:.2%}, leaky {leaky_unknown:.2%}")
assert leaky_unknown == 0 < honest_unknown, "an honest vocabulary does not know every new word"

# %% [markdown]
# The symptom is a number that is too good: nothing is unknown, in a language where something always
# is. A score measured like this has never met a new word, and the first day in use brings
# {{ ag_news.honest_unknown | percent(2) }} of them (AG News). The check is in the last line.
#
# That share is worth printing wherever texts are encoded, for another bug shows in it too: when a
# program loads the vocabulary and cuts its texts with `split`, {{ ag_news.mismatch_unknown | percent(0) }}
# of the tokens are unknown. No error, a worse model.
#
# ## Texts as vectors
#
# The simplest vector of a token has as many entries as there are tokens, a single 1, and zeros
# elsewhere: **one-hot**. Add those of a text and you have its **bag of words**.

# %% tags=["nbval-check-output"]
bites = build_vocab([["dog", "bites", "man"]], specials=())
dog_first, man_first = ["dog", "bites", "man"], ["man", "bites", "dog"]
one_hot = np.eye(len(bites), dtype=int)[bites(dog_first)]  # (tokens, vocabulary)
print(bites.get_itos())
print(one_hot)
one_hot.sum(axis=0).tolist(), np.bincount(bites(man_first)).tolist()

# %% [markdown]
# The last line has the two bags, one made by adding, the other by counting. They are equal: yesterday's
# accident and today's headline have the same vector, since a bag has no order.
#
# In a real vocabulary nearly all entries are 0, so libraries store the others only. scikit-learn's
# `CountVectorizer` with our tokenizer and our vocabulary does what we did.

# %%
from sklearn.feature_extraction.text import CountVectorizer

def vectorizer_options() -> dict:
    return {"tokenizer": tokenize, "lowercase": False, "token_pattern": None}

counter = CountVectorizer(vocabulary=vocab.get_stoi(), **vectorizer_options())
matrix = counter.transform(valid_texts)  # (texts, vocabulary), sparse
first = np.bincount(vocab(valid_tokens[0]), minlength=len(vocab))  # adds up one-hot vectors
assert (matrix[0].toarray()[0][2:] == first[2:]).all(), "columns 0 and 1 are <pad> and <unk>"
print(f"{matrix.shape[1]:,} columns, {matrix.nnz / np.prod(matrix.shape):.3%} of the entries are not 0")

# %% [markdown]
# Runs of neighboring tokens, called **n-grams**, keep a bit of the order.

# %%
from agnews_utils.vocabulary import ngrams
pairs = [" ".join(dog_first[start:start + 2]) for start in range(2)]
assert pairs == ngrams(dog_first, 2) == ["dog bites", "bites man"] != ngrams(man_first, 2)
different_ngrams = {n: len({gram for tokens in fit_tokens for gram in ngrams(tokens, n)}) for n in (1, 2, 3)}
assert different_ngrams[1] < different_ngrams[2] < different_ngrams[3]
print("different 1-, 2- and 3-grams:", different_ngrams)

# %% [markdown]
# Order has its price: every step multiplies the columns. And each has to be in a vocabulary, which has
# to be built, stored and shipped. Is there a way without one? The **hashing trick** (Weinberger and
# others, 2009): a hash function turns a token into a number, the remainder of a division is its
# column. Different tokens may meet in one column; a second bit of the hash decides whether a token
# counts `+1` or `-1`, so that on average they cancel.

# %% tags=["nbval-check-output"]
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils import murmurhash3_32

def hashed_counts(tokens: list[str], columns: int) -> np.ndarray:
    vector = np.zeros(columns, dtype=int)
    for token in tokens:
        number = murmurhash3_32(token)  # the same on every machine, from -2**31 to 2**31 - 1
        vector[abs(number) % columns] += 1 if number >= 0 else -1
    return vector

hasher = HashingVectorizer(n_features=1024, norm=None, **vectorizer_options())
hashed = hasher.transform(valid_texts[:200]).toarray()  # no fit: there is nothing to learn
assert (hashed == [hashed_counts(tokens, 1024) for tokens in valid_tokens[:200]]).all()
print(hashed_counts(["oil", "up", "oil", "again"], columns=12))

# %% [markdown]
# `oil` counts twice in column 0, with a minus; no vocabulary anywhere. scikit-learn's `HashingVectorizer` uses the same
# hash function, and the assert says that its vectors are ours.
#
# > **What could go wrong: Python's own `hash`.**
# > It is at hand, and it works for as long as the program runs. We start Python twice and ask for
# > the column of the same token.

# %% tags=["nbval-check-output"]
import subprocess
import sys

def column_of_oil(function: str, salt: str) -> str:
    program = f"from zlib import crc32; print({function} % 2**20)"
    return subprocess.run([sys.executable, "-c", program], env={"PYTHONHASHSEED": salt},
                          capture_output=True, text=True, check=True).stdout

print("hash :", column_of_oil("hash('oil')", "1") == column_of_oil("hash('oil')", "2"))
print("crc32:", column_of_oil("crc32(b'oil')", "1") == column_of_oil("crc32(b'oil')", "2"))

# %% [markdown]
# Python salts `hash` of a string anew at every start (here we chose the salts ourselves, to be sure
# that they differ). A model saved today would find its columns shuffled tomorrow: no error, accuracy
# at chance level. Use a hash function that is written down somewhere, such as crc32 or MurmurHash.
#
# Back to counts. Is a token that stands in every text worth as much as one that stands in three?
# **TF-IDF** (Spärck Jones, 1972) multiplies the count in a text (*term frequency*) by a weight that falls
# with the number of texts that have the token (*inverse document frequency*):
#
# $$\text{idf}(t) = \ln\frac{1 + n}{1 + n_t} + 1$$
#
# with $n$ texts, $n_t$ of them with the token. At the end each text's vector is scaled to length 1.

# %% tags=["nbval-check-output"]
from sklearn.feature_extraction.text import TfidfVectorizer

three = ["oil up", "oil down", "oil oil rates"]
tiny_counter = CountVectorizer(**vectorizer_options())
term_frequency = tiny_counter.fit_transform(three).toarray()  # (texts, tokens)
texts_with = (term_frequency > 0).sum(axis=0)
idf = np.log((1 + len(three)) / (1 + texts_with)) + 1
weights = term_frequency * idf
weights /= np.linalg.norm(weights, axis=1, keepdims=True)
assert np.allclose(TfidfVectorizer(**vectorizer_options()).fit_transform(three).toarray(), weights)
pd.DataFrame(weights.round(3), index=three, columns=tiny_counter.get_feature_names_out())

# %% [markdown]
# `oil` is in every text and has the smallest idf, 1. In the first text `up` outweighs it. scikit-learn's
# `TfidfVectorizer` has this formula as its default, says the assert.
#
# Four ways to make a vector. Which one knows the class best? The same linear classifier on each,
# fitted on the fit rows, measured on the validation rows.

# %%
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer
from sklearn.svm import LinearSVC

options = vectorizer_options()
vectorizers = {
    "bag of words": CountVectorizer(min_df=2, **options),
    "hashed, 2**10 columns": HashingVectorizer(n_features=2**10, **options),
    "hashed, 2**18 columns": HashingVectorizer(n_features=2**18, **options),
    "TF-IDF": TfidfVectorizer(min_df=2, **options),
    "TF-IDF, 1- and 2-grams": TfidfVectorizer(min_df=2, ngram_range=(1, 2), **options)}
accuracy = {}
for name, vectorizer in vectorizers.items():
    model = make_pipeline(vectorizer, Normalizer(), LinearSVC(C=0.5, random_state=0))
    accuracy[name] = model.fit(fit_texts, fit_rows["label"]).score(valid_texts, valid_rows["label"])

# %%
from agnews_utils.data import accuracy_interval
bounds = {name: accuracy_interval(share, len(valid_rows)) for name, share in accuracy.items()}
estimates = {name: (100 * low, 100 * accuracy[name], 100 * high) for name, (low, high) in bounds.items()}
assert min(accuracy.values()) > 0.5, "far too low: are labels and texts in step?"
assert accuracy["TF-IDF"] >= accuracy["hashed, 2**10 columns"] - 0.03, "1,024 columns should not win"
ax = plots.intervals(estimates, "One linear classifier, five kinds of vectors", "validation accuracy (%)")

# %% [markdown]
# On AG News TF-IDF has {{ ag_news.accuracy["TF-IDF"] | percent }}, counts
# {{ ag_news.accuracy["bag of words"] | percent }}, and hashing into a quarter of a million columns
# {{ ag_news.accuracy["hashed, 2**18 columns"] | percent }}: no vocabulary, and hardly a loss. Squeezed
# into a thousand columns it is {{ ag_news.accuracy["hashed, 2**10 columns"] | percent }}, since tokens
# share columns. Look at the intervals before you rank neighbors; on News Briefs, with its
# {{ newsbriefs.valid_rows | count }} validation rows, they overlap widely.
#
# ## An embedding is a matrix product
#
# A network wants short, dense vectors that it can learn. Let $W$ have one row a token. A one-hot vector
# times $W$ picks one row. Multiplying by all those zeros is wasted work, so `nn.Embedding` goes
# straight to the row. Is it the same?

# %% tags=["nbval-check-output"]
import torch
from torch import nn

torch.manual_seed(0)
embedding = nn.Embedding(num_embeddings=len(small), embedding_dim=4)
ids = torch.tensor(small(["oil", "up", "oil"]))  # (tokens,)
one_hot = nn.functional.one_hot(ids, num_classes=len(small)).float()  # (tokens, vocabulary)
product = one_hot @ embedding.weight  # (tokens, 4)
assert torch.allclose(embedding(ids), product)
print(f"{list(one_hot.shape)} @ {list(embedding.weight.shape)} = {list(product.shape)}")
print(f"one batch of 32 texts, 50 tokens each, with 20,000 words: one-hot "
      f"{32 * 50 * 20_000 * 4 / 1e6:.0f} MB, ids {32 * 50 * 8 / 1e3:.1f} kB")

# %% [markdown]
# The same numbers, without the zeros. Then both must learn alike, too: here is the gradient of a loss
# with respect to $W$, once through the lookup and once through the product. And one detail more: the
# row of `<pad>` should not learn anything; `padding_idx` keeps its gradient at zero.

# %% tags=["nbval-check-output"]
target = torch.arange(12.0).reshape(3, 4)
(by_lookup,) = torch.autograd.grad((embedding(ids) * target).sum(), embedding.weight)
(by_product,) = torch.autograd.grad((one_hot @ embedding.weight * target).sum(), embedding.weight)
assert torch.allclose(by_lookup, by_product)
for token, gradient in zip(small.get_itos(), by_lookup.tolist()):
    print(f"{token:6}", gradient)
padded_embedding = nn.Embedding(len(small), 4, padding_idx=small["<pad>"])
padded_embedding(torch.tensor([0, 2, 0])).sum().backward()
print("with padding_idx:", padded_embedding.weight.grad[:3].tolist())

# %% [markdown]
# Only tokens of the text get a gradient, and `oil`, which stands there twice, gets the sum of both.
# A token that never occurs in training never moves: that is why
# {{ section("How large should it be?") }} wanted `<unk>` in the training rows.

# %% [markdown]
# ## Numbers for the network
#
# ### Numericalize, pad, mask
#
# Tokenize, look up, done. Texts have different lengths, though, and a tensor is a rectangle.

# %% tags=["nbval-check-output"]
from agnews_utils.vocabulary import encode, pad_batch

sequences = encode(["Oil up again", "Oil!", "Rates up, oil up"], small)
assert sequences[0] == small(tokenize("Oil up again"))
longest = max(len(sequence) for sequence in sequences)
input_ids = torch.tensor([seq + [0] * (longest - len(seq)) for seq in sequences])  # (batch, length)
lengths = torch.tensor([len(seq) for seq in sequences])  # (batch,)
attention_mask = (torch.arange(longest) < lengths[:, None]).long()  # (batch, length)
assert all(map(torch.equal, pad_batch(sequences), (input_ids, attention_mask, lengths)))
print(sequences, input_ids, attention_mask, sep="\n")

# %% [markdown]
# Zeros fill the gaps, and the **attention mask** says where a token is real. Later chapters pass all
# three around; the package's `pad_batch` makes them, with the same result.
#
# > **What could go wrong: padding counts as words.**
# > The vector of a text is the mean of its tokens' vectors. Here every token is worth 1, and padding 0.
# > So the mean must be 1 for every text.

# %% tags=["nbval-check-output"]
values = attention_mask.float()  # (batch, length): 1 at a token, 0 at padding
naive = values.mean(dim=1)
masked = (values * attention_mask).sum(dim=1) / attention_mask.sum(dim=1)
assert torch.allclose(masked, torch.ones(3)), "divide by the number of tokens, not by the width"
[round(value, 2) for value in naive.tolist()], masked.tolist()

# %% [markdown]
# The naive mean shrinks with every neighbor that is longer: the same text has another vector in another
# batch. The symptom is an accuracy that changes with the batch size.
#
# > **What could go wrong: `<pad>` and `<unk>` share an index.**
# > Some programs give both the index 0, and find the padding by `input_ids != 0`.

# %% tags=["nbval-check-output"]
shared = {"<pad>": 0, "<unk>": 0, "not": 2, "profitable": 3}
text = ["unbelievably", "not", "profitable"]
shared_ids = torch.tensor([[shared.get(token, shared["<unk>"]) for token in text] + [shared["<pad>"]]])
assert small["<pad>"] != small["<unk>"], "padding and unknown words must be told apart"
(shared_ids != 0).long()

# %% [markdown]
# The mask has lost the first word: an unknown token is invisible now, not merely unknown. Nothing
# fails; texts with many new words become short. Two checks: the indices differ, and the mask is made
# from the lengths, never from the ids.

# %% [markdown]
# ### Dataset, collate, DataLoader
#
# torch splits the work: a `Dataset` knows the rows, a *collate* function makes a batch of some of them,
# and a `DataLoader` decides which ones. By hand it takes a few lines.

# %% tags=["nbval-check-output"]
from torch.utils.data import DataLoader, Dataset

class HandDataset(Dataset):
    def __len__(self):
        return len(sequences)
    def __getitem__(self, row):
        return sequences[row], row % 2  # the ids and a made-up label

def hand_collate(rows):
    ids, labels = zip(*rows)
    parts = zip(("input_ids", "attention_mask", "lengths"), pad_batch(ids))
    return {**dict(parts), "labels": torch.tensor(labels)}

for batch in DataLoader(HandDataset(), batch_size=2, collate_fn=hand_collate):
    print({name: list(tensor.shape) for name, tensor in batch.items()})

# %% [markdown]
# The second batch has one text and is as wide as that text needs. The package's `NewsDataset` and
# `collate` give the same batches.
#
# ### All texts
#
# `tokenize_all` and `encode` are made for many texts: within a call they cut each different chunk
# between white space only once, and remember its tokens. So from AG News' cleaned texts the package
# gets to the ids {{ results.bench_text_path.ag_news.torchtext_texts_ratio | fixed(1) }} times as fast as
# torchtext (`make bench` measures it). The tokens and ids are those of one text after the other.

# %%
from agnews_utils.vocabulary import collate, NewsDataset

(ours,) = DataLoader(HandDataset(), batch_size=3, collate_fn=hand_collate)
(theirs,) = DataLoader(NewsDataset(sequences, [0, 1, 0]), batch_size=3, collate_fn=collate)
assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

fit_ids = encode(fit_texts, vocab)
assert fit_ids == encode(fit_tokens, vocab) == [vocab(tokenize(text)) for text in fit_texts]
fit_data = NewsDataset(fit_ids, fit_rows["label"])

# %% [markdown]
# ### Less padding
#
# A batch is as wide as its longest text. With texts drawn at random, how much of it is padding?

# %%
lengths = np.array(fit_data.lengths)
order = np.random.default_rng(42).permutation(len(lengths))
random_batches = [order[start:start + 32] for start in range(0, len(order), 32)]
positions = sum(lengths[batch].max() * len(batch) for batch in random_batches)
random_share = 1 - lengths.sum() / positions
print(f"{random_share:.1%} of all positions are padding, in batches of 32 texts drawn at random")

# %% [markdown]
# Every one of these positions is computed and thrown away. Sorting all texts by length would leave next
# to no padding, but then all short texts come first, in every epoch the same, and chance is what
# training lives on. The compromise is called **bucketing**: shuffle, take a chunk of several batches,
# sort it, cut it into batches, shuffle the batches.

# %%
from agnews_utils.vocabulary import LengthBucketSampler, padding_share
def bucketed(lengths, batch_size, chunk_batches, seed):
    rng = np.random.default_rng(seed)
    order, batches = rng.permutation(len(lengths)), []
    for start in range(0, len(order), batch_size * chunk_batches):
        chunk = order[start:start + batch_size * chunk_batches]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[i:i + batch_size] for i in range(0, len(chunk), batch_size)]
    return [batches[i].tolist() for i in rng.permutation(len(batches))]

sampler = LengthBucketSampler(lengths, batch_size=32, seed=42, chunk_batches=20)
assert list(sampler) == bucketed(lengths, 32, 20, seed=[42, 0])  # the package seeds with [seed, epoch]
assert sorted(row for batch in sampler for row in batch) == list(range(len(lengths)))

# %%
def mask_of(batch):
    return pad_batch([fit_data.sequences[row] for row in batch])[1].numpy()
middle = sorted(sampler, key=lambda batch: max(lengths[batch]))[len(sampler) // 2]  # middling width
axes = plots.padding_pictures(
    {"drawn at random": mask_of(random_batches[0]), "in a bucket": mask_of(middle)},
    "One batch each: blue is a token, grey is padding")

# %%
chunk_sizes = [1, 2, 5, 10, 20, 50, 100]
shares = {f"batches of {size}": [
    100 * padding_share(lengths, LengthBucketSampler(lengths, size, chunk_batches=chunk))
    for chunk in chunk_sizes] for size in (16, 32, 64)}
ax = plots.curves(chunk_sizes, shares, "The larger the chunk, the less padding",
                  "batches per chunk (1 is random order)", "padding (%)", log_x=True)

# %% [markdown]
# Chunks of twenty batches take most of the padding away; larger ones take more, and leave less to chance.
#
# The order depends on the seed and the epoch alone. `set_epoch` chooses it; without that call every
# epoch would see the same batches.

# %%
epoch_0 = list(sampler)
sampler.set_epoch(1)
assert list(sampler) != epoch_0, "every epoch has the same order: was set_epoch called?"
masks = [batch["attention_mask"] for batch in DataLoader(fit_data, batch_sampler=sampler, collate_fn=collate)]
bucket_share = 1 - sum(mask.sum().item() for mask in masks) / sum(mask.numel() for mask in masks)
assert np.isclose(bucket_share, padding_share(lengths, sampler))
assert bucket_share < random_share / 2, "buckets should save more than half of the padding"
print(f"{len(masks):,} batches, {bucket_share:.1%} padding instead of {random_share:.1%}")

# %% [markdown]
# On AG News the padding falls from {{ ag_news.random_padding | percent }} to
# {{ ag_news.bucket_padding | percent }}, that is {{ ag_news.positions_saved | percent }} fewer positions
# to compute in every layer of a network, for one line of code.
#
# ## Save and load
#
# A model without its vocabulary is worth nothing: its embedding has rows, and the vocabulary says which
# row is which word. So the two are saved together. What happens if they do not match?

# %% tags=["nbval-check-output"]
other = build_vocab([["rates", "up", "rates"], ["oil", "again", "rates"], ["oil"]])
other.lookup_tokens(small(["oil", "up"]))

# %% [markdown]
# *Oil up* has become *rates oil*: the two vocabularies have the same size and the same words, in
# another order. No shape differs, no error is raised. A file that may change should be able to notice
# it, so we store a checksum with it.

# %% tags=["nbval-check-output"]
import json
from pathlib import Path
from tempfile import TemporaryDirectory

folder = TemporaryDirectory()
path = Path(folder.name, "vocab.json")
small.save(path)
stored = json.loads(path.read_text())
stored["sha256"] = stored["sha256"][:12] + "..."
stored

# %% tags=["nbval-check-output"]
assert Vocab.load(path) == small
text = path.read_text()
for damaged in (text[:-20], text.replace("oil", "gas"), text.replace('"again",\n"rates"', '"rates",\n"again"')):
    path.write_text(damaged)
    try:
        Vocab.load(path)
    except ValueError as error:
        print("-", str(error).split(" (")[0])
folder.cleanup()

# %% [markdown]
# Cut off, a word replaced, two words exchanged: all three are refused, with the name of the file and a
# reason. Saving is careful as well: it writes a second file beside the first and renames it at the end,
# so that a program that stops half-way leaves no half vocabulary behind.

# %%
from agnews_utils import runtime

coverage_of = dict(zip(sizes, covered["validation rows"]))
runtime.record("vocabulary", news, {
    "fit_rows": len(fit_rows), "valid_rows": len(valid_rows), "sample": len(sample),
    "different_tokens": different, "microseconds": comparison["CPU microseconds per text"].to_dict(),
    "tokens_per_text": comparison["tokens per text"].to_dict(), "shortcut_speedup": speedup,
    "running_tokens": counts.total(), "different": len(counts), "once_share": once / len(counts),
    "zipf_slope": zipf[0], "heaps_exponent": heaps[0], "growth_by_doubling": 2 ** heaps[0] - 1,
    "coverage_10000": coverage_of.get(10_000), "coverage_30000": coverage_of.get(30_000),
    "vocab_size": len(vocab), "unknown_share": unknown_share, "honest_unknown": honest_unknown,
    "mismatch_unknown": mismatch_unknown, "accuracy": accuracy, "random_padding": random_share,
    "bucket_padding": bucket_share, "positions_saved": 1 - (1 - random_share) / (1 - bucket_share),
}, headline=f"{len(vocab):,} tokens, {unknown_share:.2%} unknown in validation rows, "
            f"padding {random_share:.0%} -> {bucket_share:.0%}")

# %% [markdown]
# ## Exercises
#
# 1. Send a sentence with a web address, a score such as 3-1 and a date through all eight tokenizers.
#    Which result would you want?
# 2. Change `OTHER` so that a hyphenated word stays one token. How do the vocabulary and the
#    coverage on validation rows change?
# 3. Print the twenty most frequent tokens that are unknown to `vocab` in the validation rows. What kind
#    of words are they?
# 4. Fit Zipf's law to the ranks from `1000` on. Which slope do you get, and what does it say about
#    quoting an exponent without its range?
# 5. Build a vocabulary of WordPiece's pieces with `build_vocab`. How much of the validation text is
#    unknown to it, and how many positions does a text need now?
# 6. Write a tokenizer that keeps the tokens of each piece between white space in a dictionary and runs
#    the pattern on new pieces only. On how many does it still run? How much faster is it? We had hoped
#    for more; why is the second answer so much smaller than the first?
# 7. Replace every digit by `0` before counting. How many tokens does the vocabulary lose, and does
#    the linear classifier of {{ section("Texts as vectors") }} notice?
# 8. Count how many of the `1000` most frequent tokens share a column with another one of them, for
#    hashing into `2**10`, `2**14` and `2**18` columns. Compare with what chance predicts.
# 9. Write a batch sampler that limits the number of *positions* in a batch instead of the number of
#    texts. What is the share of padding now?
#
# ## Recap
#
# - A tokenizer is a set of decisions. Look at what it does to a hard sentence before you trust it.
# - Few tokens make up most of a text (Zipf), and new ones never stop coming (Heaps).
# - A vocabulary is an ordered list with a rule for ties, `<pad>` at 0, `<unk>` at 1, and a default index.
# - Its size is chosen on validation rows. Some training tokens must be unknown, or `<unk>` learns nothing.
# - One-hot, bag of words, hashing and TF-IDF are vectors that need no training; an embedding is a one-hot
#   vector times a matrix, without the multiplication.
# - Padding is masked by the lengths, never by the ids. Buckets of similar length save most of it.
# - A vocabulary belongs to its model. Save both, and check the file when you load it.
#
# ## Further reading
#
# - G. K. Zipf (1949): *Human behavior and the principle of least effort*.
# - G. Herdan (1960): *Type-token mathematics*; H. S. Heaps (1978): *Information retrieval*.
# - K. Spärck Jones (1972): *A statistical interpretation of term specificity*. Where idf comes from.
# - K. Weinberger and others (2009): *Feature hashing for large scale multitask learning*.
# - M. Schuster, K. Nakajima (2012): *Japanese and Korean voice search*. WordPiece.
# - R. Sennrich, B. Haddow, A. Birch (2016): *Neural machine translation of rare words with subword units*.
# - Y. Bengio and others (2003): *A neural probabilistic language model*. Learned word vectors.
