# ---
# title: Vocabulary
# summary: Cut texts into tokens, give every token a number, and turn the numbers into vectors and batches.
# run: vocabulary
# goals:
#   - tell a text's tokens from its types, and compare tokenizers by what they cut and by what they lower-case
#   - train BPE and WordPiece by hand on ten words, and say what bytes are good for
#   - explain with two power laws why no vocabulary is ever complete
#   - build a vocabulary by hand, choose its size on validation rows, and measure what unknown tokens cost
#   - turn texts into bags of words, hashed vectors and TF-IDF weights, and find a headline's neighbors
#   - see that an embedding is a matrix product that was never carried out
#   - make truncated, padded and masked batches, and waste little on padding
# prerequisites:
#   - "{{ chapter.exploration.link }} and {{ chapter.cleaning.link }}; NumPy arrays; what a tensor is"
# data: AG News, or the bundled News Briefs
# accelerator: none
# ---

# %% [markdown]
# ## From a text to a tensor
#
# A network computes with numbers. How does a headline become numbers? The picture shows the whole way;
# this chapter walks it step by step.

# %%
from agnews_utils import plots

ax = plots.way_to_a_tensor(
    "Oil up again, gas up", tokens=["oil", "up", "again", ",", "gas", "up"],
    ids=[2, 3, 4, 5, 1, 3], length=8, title="A text becomes a row of a tensor in four steps")

# %% [markdown]
# The text is cut into **tokens**. Each token is looked up in a **vocabulary**, a numbered list, and becomes
# an **id**. This vocabulary has never seen *gas*, so it gets 1, the id of everything unknown. The row is
# filled up with zeros to the width of its batch, and a **mask** says which positions are real.
#
# Which texts do we read? Repaired ones: `clean_frame` of {{ chapter.cleaning }} repairs title and
# description apart, *then* joins them. Validation rows are carved out afterwards, so that no near
# duplicate of a *repaired* text lies on the other side. Every number of this chapter is measured on
# these texts. The test rows stay where they are.

# %%
from agnews_utils.cleaning import clean_frame
from agnews_utils.data import load_news, train_valid_split

news = load_news()
rows = clean_frame(news.train)  # repair the fields, then join them
fit_rows, valid_rows = train_valid_split(rows, valid_fraction=0.1, seed=42)
fit_texts, valid_texts = fit_rows["text"].tolist(), valid_rows["text"].tolist()
print(f"{len(fit_texts):,} texts to fit, {len(valid_texts):,} to validate")

# %% [markdown]
# > **What could go wrong: join first, clean later.**
# > The column `text` is joined already, so one call would do. Here are both orders on one row.

# %% tags=["nbval-check-output"]
import pandas as pd
from agnews_utils.cleaning import Cleaner

one_row = pd.DataFrame({"title": ["Stocks Seen Opening Higher"],
                        "description": ["NEW YORK (Reuters) - U.S. stocks were set to gain."]})

joined = (one_row["title"] + " " + one_row["description"])[0]
print("joined first :", Cleaner()(joined))
print("cleaned first:", clean_frame(one_row)["text"][0])

# %% [markdown]
# The title is gone: in front of *(Reuters) -* it looks like the name of a place. No error, a text that
# reads well. How often does that happen?

# %%
joined_first = Cleaner()(news.train.loc[fit_rows.index, "text"])
differ = (joined_first != fit_rows["text"]).mean()
lost_titles = sum(title not in text for title, text in zip(fit_rows["title"], joined_first))
print(f"{differ:.1%} of the texts differ, {lost_titles:,} titles are lost")

# %% [markdown]
# On AG News {{ ag_news.joined_first_differ | percent(0) }} of the texts would differ, and
# {{ ag_news.lost_titles | count }} titles would be lost.
#
# ## One sentence, six ways to cut it
#
# What is a token? A word, you might say. Take a sentence that has a bit of everything. Cut it at the
# white space; then keep runs of letters and digits.

# %% tags=["nbval-check-output"]
import re

sentence = "The U.S. giant's profits didn't rise; O'Neill blames $1,234.50 (3.5%) third-quarter costs..."

print(" | ".join(sentence.split()))
print(" | ".join(re.findall(r"\w+", sentence.lower())))

# %% [markdown]
# In the first line `rise;` with its semicolon is a token, and `costs...` with its dots. To a computer
# they have nothing to do with `rise` and `costs`: each spelling gets its own number, and each is
# learned anew. The second line is tidy, and wrong in its own way. Read it aloud: *u s giant s profits
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
# The sixth is torchtext's `basic_english`, known from many tutorials. It is a handful of replacements,
# which we can write down.

# %% tags=["nbval-check-output"]
def basic_english(text: str) -> list[str]:
    text = text.lower().replace('"', "").replace("<br />", " ")

    for sign in "'.,()!?":
        text = text.replace(sign, f" {sign} ")

    return text.replace(";", " ").replace(":", " ").split()

print(" | ".join(basic_english(sentence)))

# %% [markdown]
# `u . s .` again, and `$1 , 234 . 50`. Six ways, six results, and none keeps the country, the amount and
# the negation together and the punctuation apart.
#
# ## One pattern
#
# So we write our own: lower case, one regular expression, a rule that fits into a sentence each.
# **Numbers** keep their separators and their currency sign. **Letters with dots** stay together if
# there are at least two of them, or the end of every sentence that stops at *I.* would look like an
# abbreviation.

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
# first-, second-, fourth-quarter. The package's `tokenize` is this pattern; for speed it asks for plain
# words first. Does that change a token?

# %%
from agnews_utils.vocabulary import tokenize

assert all(tokenize(text) == pattern.findall(text.lower()) for text in fit_texts)

# %% [markdown]
# Not one, in all texts that we fit.
#
# ## Pieces of words
#
# All seven tokenizers share a weakness: `trader`, `traders` and `trading` are three strangers, and a word
# that was not in the training rows is lost. The way out is of another kind: *train* the tokenizer. Start
# with single letters and join what often stands together. Frequent words end up whole, rare ones are
# spelled in **pieces**.
#
# ### Byte-pair encoding on ten words
#
# Here are ten words and how often each was read. At first every letter is a piece. Which two
# neighbors meet most often?

# %% tags=["nbval-check-output"]
from collections import Counter
from itertools import pairwise

word_counts = {"trade": 6, "trades": 5, "trader": 4, "traders": 3, "rate": 6, "rates": 4, "rated": 2,
               "market": 5, "markets": 4, "marketed": 2}

def count_pairs(spelled: dict[str, list[str]]) -> Counter:
    pairs = Counter()
    for word, pieces in spelled.items():
        for pair in pairwise(pieces):
            pairs[pair] += word_counts[word]
    return pairs

letters = {word: list(word) for word in word_counts}
count_pairs(letters).most_common(4)

# %% [markdown]
# `r` comes just before `a` in seven of the ten. Wherever it does, the two become one piece, `ra`.

# %% tags=["nbval-check-output"]
def merge(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    merged = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece.removeprefix("##")  # the sign ## is explained below
        else:
            merged.append(piece)
    return merged

merge(list("trader"), ("r", "a"))

# %% [markdown]
# Count again, merge the best again: that is all of **byte-pair encoding** (BPE; Sennrich and others,
# 2016). One question is open. In the first count three pairs share the second place. Which
# one goes first? The library numbers the pieces, letters in alphabetical order and then each new piece,
# and takes the pair with the smallest numbers. We do the same.

# %% tags=["nbval-check-output"]
spelled, merges = letters, []
number = {letter: place for place, letter in enumerate(sorted(set("".join(word_counts))))}

for _ in range(12):
    pairs = count_pairs(spelled)
    best = min(pairs, key=lambda pair: (-pairs[pair], number[pair[0]], number[pair[1]]))
    ties = sum(count == pairs[best] for count in pairs.values())

    merges.append(best)
    number.setdefault("".join(best), len(number))
    spelled = {word: merge(pieces, best) for word, pieces in spelled.items()}
    print(f"{pairs[best]:3} times {' + '.join(best):10} {ties} pair(s) with this count")

# %% [markdown]
# `trade` was complete after four merges, `rate` after six. How are the ten words spelled now?

# %% tags=["nbval-check-output"]
" | ".join(" ".join(pieces) for pieces in spelled.values())

# %% [markdown]
# Stems and endings have come apart, and nobody has told the program any grammar. Only `marketed` is
# still cut at a strange place. Does the library learn the same twelve merges, in the same order?

# %%
import json
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

ten_words = [" ".join([word] * count) for word, count in word_counts.items()]
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
bpe.train_from_iterator(ten_words, trainers.BpeTrainer(vocab_size=len(number), show_progress=False))

assert [tuple(pair) for pair in json.loads(bpe.to_str())["model"]["merges"]] == merges

# %% [markdown]
# It does. A new word is cut by carrying out the merges, in the order in which they were learned.

# %% tags=["nbval-check-output"]
def bpe_pieces(word: str) -> list[str]:
    pieces = list(word)
    for pair in merges:
        pieces = merge(pieces, pair)
    return pieces

for word in ("traded", "marketer", "skated"):
    assert bpe_pieces(word) == bpe.encode(word).tokens
    print(word, "->", " ".join(bpe_pieces(word)))

# %% [markdown]
# None of the three was among the ten words. `traded` comes out as one would wish; `marketer` is cut at odd
# places, and `skated`, a stranger, nearly into letters. But none of them is unknown.
#
# ### WordPiece: the same, with another score
#
# *A short course may run these cells without talking about them.*
#
# **WordPiece** (Schuster and Nakajima, 2012) changes two things. A piece inside a word begins with `##`,
# so that the ending `##s` and the first letter `s` are different pieces. And a pair must be more frequent
# than its parts would lead us to expect: its count is divided by the counts of both.

# %% tags=["nbval-check-output"]
def pair_scores(spelled: dict[str, list[str]]) -> dict[tuple[str, str], float]:
    pairs, single = count_pairs(spelled), Counter()
    for word, pieces in spelled.items():
        for piece in pieces:
            single[piece] += word_counts[word]
    return {(a, b): count / (single[a] * single[b]) for (a, b), count in pairs.items()}

marked = {word: [word[0], *("##" + letter for letter in word[1:])] for word in word_counts}
scores = pair_scores(marked)
best = min(scores, key=lambda pair: (-scores[pair], pair))  # of equals the first in the alphabet
for pair in [best, ("##d", "##e")]:
    print(pair, "count", count_pairs(marked)[pair], "score", round(scores[pair], 4))

# %% [markdown]
# `k` stands in the market's words only, and always behind an `r`: such a pair wins, although `##d` `##e` is
# more frequent. We merge twelve times again.

# %% tags=["nbval-check-output"]
by_score = marked
for _ in range(12):
    scores = pair_scores(by_score)
    best = min(scores, key=lambda pair: (-scores[pair], pair))
    by_score = {word: merge(pieces, best) for word, pieces in by_score.items()}

" | ".join(" ".join(pieces) for pieces in by_score.values())

# %% [markdown]
# Another vocabulary from the same ten words: rare letters are swallowed first, and frequent ones such as
# `##e` stay apart for long. Google never published its training program; the score is the one that the
# [course of Hugging Face](https://huggingface.co/learn/llm-course/chapter6/6) gives. And what does the
# library's own `WordPieceTrainer` do? Let it learn a single merge.

# %%
by_library = Tokenizer(models.WordPiece(unk_token="[UNK]"))
by_library.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
alphabet = set("".join(word_counts)) | {piece for pieces in marked.values() for piece in pieces}
by_library.train_from_iterator(
    ten_words, trainers.WordPieceTrainer(vocab_size=len(alphabet) + 1, show_progress=False))

counted = count_pairs(marked)
most = max(counted.values())
most_frequent = {a + b.removeprefix("##") for (a, b), count in counted.items() if count == most}
(learned,) = set(by_library.get_vocab()) - alphabet
assert learned in most_frequent
print(learned, "is one of the most frequent pairs:", sorted(most_frequent))

# %% [markdown]
# It counts, as BPE does, and only *writes* its pieces in WordPiece's form. What it trains has WordPiece's
# spelling and BPE's merges; {{ chapter.pretraining }} uses it. Now at full size: eight thousand pieces,
# from at most ten thousand texts.

# %%
from tokenizers import BertWordPieceTokenizer

sample = fit_texts[:10_000]
wordpiece = BertWordPieceTokenizer(lowercase=True)
wordpiece.train_from_iterator(sample, vocab_size=8000, min_frequency=2, show_progress=False)

def wordpieces(text: str) -> list[str]:
    return wordpiece.encode(text, add_special_tokens=False).tokens

print(" | ".join(wordpieces(sentence)))

# %% [markdown]
# That the apostrophe of *didn't* stands by itself is not WordPiece's doing: before any piece is looked up,
# BERT's tokenizer cuts at every punctuation sign. Whatever a reader types can be spelled with such
# pieces, as long as its letters and signs were seen in training (a word with a new one becomes `[UNK]`).
# The price is a longer text.
#
# ## Eight tokenizers compared
#
# To compare, we need two words. *The oil price and the gas price* has seven **tokens**, the running
# words, but five **types**, the different ones. Positions of a tensor are tokens, rows of a vocabulary are types.

# %% tags=["nbval-check-output"]
tokens = tokenize("The oil price and the gas price")
len(tokens), len(set(tokens)), sorted(set(tokens))

# %% [markdown]
# Some tokenizers lower-case, others do not. That is another decision than where to cut, so we tell the
# two apart: the types as they are, and once more with all of them in lower case.

# %%
import time
import numpy as np

def measure(function) -> dict[str, float]:
    start = time.process_time()
    token_lists = [function(text) for text in sample]
    seconds = time.process_time() - start

    types = {token for tokens in token_lists for token in tokens}
    return {"CPU microseconds per text": 1e6 * seconds / len(sample),
            "tokens per text": np.mean([len(tokens) for tokens in token_lists]),
            "types": len(types), "types in lower case": len({token.lower() for token in types})}

# %%
tokenizers = {"split": str.split, r"\w+": lambda text: re.findall(r"\w+", text.lower()),
              "NLTK words": nltk_words, "NLTK tweets": nltk_tweets, "spaCy blank": spacy_words,
              "basic_english": basic_english, "WordPiece": wordpieces, "course": tokenize}

comparison = pd.DataFrame({name: measure(function) for name, function in tokenizers.items()}).T
comparison.round(1)

# %%
ax = plots.before_and_after(
    {name: (line["types"], line["types in lower case"]) for name, line in comparison.iterrows()},
    "Cutting at white space alone makes the most types, in lower case too",
    f"types in {len(sample):,} texts", ("as cut", "in lower case"))

# %% tags=["author"]
types, lower_types = comparison["types"], comparison["types in lower case"]
if news.measured:
    assert types["WordPiece"] <= 8000 < 30 * types["WordPiece"]
    assert lower_types["course"] < lower_types["split"], "cutting punctuation off saves spellings"
    assert lower_types.idxmax() == "split" == types.idxmax(), "the title"
    assert comparison["tokens per text"].idxmin() == "split", "the text below"

# %% [markdown]
# `split` makes the *fewest tokens* and the *most types*: a word with its comma is one token, and another
# type than the word. On AG News it finds {{ ag_news.types["split"] | count }} types in
# {{ ag_news.sample | count }} texts; lower case leaves {{ ag_news.lower_types["split"] | count }} of them, and
# our pattern, which lower-cases too, {{ ag_news.types["course"] | count }}. In lower case the tokenizers that
# cut punctuation off lie close together. WordPiece cannot exceed the size that it was given, and pays
# with tokens. The times differ by a factor: NLTK runs a list of replacements over each text, and spaCy
# makes an object of each token.
#
# ## How many words are there?
#
# *A short course may run these cells without talking about them.*
#
# Can we collect all words there are? Tokenize all rows, and count.

# %%
from agnews_utils.vocabulary import tokenize_all

fit_tokens, valid_tokens = tokenize_all(fit_texts), tokenize_all(valid_texts)
counts = Counter(token for tokens in fit_tokens for token in tokens)
once = sum(count == 1 for count in counts.values())
print(f"{counts.total():,} tokens of {len(counts):,} types; {once:,} types occur once")

# %%
print(counts.most_common(12))

# %% [markdown]
# Twelve types that say nothing about the news, and at the other end a crowd that occurs once:
# on AG News {{ ag_news.once_share | percent(0) }} of all types, on News Briefs
# {{ newsbriefs.once_share | percent(0) }}. What happens in between? Sort the types by count and
# number them: rank 1 is the most frequent. Zipf (1949) saw that count times rank stays about the same.
# On two logarithmic axes such a law is a straight line with slope -1. The package's `power_law` fits a
# line to the logarithms by least squares. Over which range? Nearly all types are in the tail, and a fit to
# every rank would look at nothing else. So we take ranks 10 to `1000`, and of these as many from 10 to
# `100` as from there on.

# %%
from agnews_utils.vocabulary import power_law

by_rank = np.array(sorted(counts.values(), reverse=True))
ranks = np.arange(1, len(by_rank) + 1)
last = min(1000, len(by_rank))  # your own texts may have fewer types
first = min(10, last // 2)
fitted_ranks = np.unique(np.geomspace(first, last, 60).astype(int))  # even on a logarithmic axis
zipf = power_law(fitted_ranks, by_rank[fitted_ranks - 1])

ax = plots.power_law_line(
    ranks, by_rank, zipf, (first, last), "A type's count falls with its rank as a power law",
    "rank of the type", "occurrences")

# %% tags=["author"]
assert -1.5 < zipf[0] < -0.5 or not news.measured, "not a Zipf curve: are these token counts of natural text?"

# %% [markdown]
# A straight line over the range that we fitted, with slope {{ ag_news.zipf_slope | fixed(2) }} on AG
# News and {{ newsbriefs.zipf_slope | fixed(2) }} on News Briefs. On AG News the points further right fall
# below the dotted line: with many texts the tail is steeper than the law says. The smaller News Briefs
# end before that shows.
#
# The second law asks how the number of types grows while we read. If it leveled off, more reading would
# complete the vocabulary. A set collects what we have seen; the package's function does the same.

# %%
from agnews_utils.vocabulary import vocabulary_growth

tokens_read, types_seen = vocabulary_growth(fit_tokens)  # after each text
assert tokens_read[9] == sum(map(len, fit_tokens[:10]))
assert types_seen[9] == len(set().union(*fit_tokens[:10]))

# %%
points = np.unique(np.geomspace(1, len(tokens_read) - 1, 300).astype(int))
late = points[points > len(tokens_read) // 20]
heaps = power_law(tokens_read[late], types_seen[late])

ax = plots.power_law_line(
    tokens_read[points], types_seen[points], heaps, (tokens_read[late[0]], tokens_read[-1]),
    "More text, more types: the curve does not level off", "tokens read", "types so far")

# %% tags=["author"]
assert 0.3 < heaps[0] < 0.95 or not news.measured, "the vocabulary should grow, but slower than the text"

# %% [markdown]
# Herdan (1960) and Heaps (1978): the number of types grows like a power of the text's
# length. We fitted all but the first twentieth of the texts, and find an exponent of
# {{ ag_news.heaps_exponent | fixed(2) }} on AG News: there, twice the text means
# {{ ag_news.growth_by_doubling | percent(0) }} more types. Earlier the curve is steeper, as it
# leaves the dotted line; so an exponent, too, belongs to a range. But it does not level off: no
# vocabulary is ever complete. Two questions remain: which types do we keep, and what happens to the
# others?
#
# ## Vocab
#
# A vocabulary is a list of types; the position in the list is the type's **index**, or id. The most
# frequent ones come first, so that a size limit keeps the best. In front of them stand two that
# no text contains: `<pad>` fills up short texts, `<unk>` stands in for all that was left out. Which of
# two equally frequent types comes first? Any rule will do, as long as there is one.

# %% tags=["nbval-check-output"]
headlines = [["oil", "up", "oil"], ["rates", "up", "again"], ["oil"]]
frequency = Counter(token for tokens in headlines for token in tokens)
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
small = build_vocab(headlines)
assert small.get_itos() == by_hand.itos and small.get_stoi() == by_hand.stoi
assert small(["gas", "up"]) == by_hand(["gas", "up"]) == [1, 3], "is the default index set?"

print(small, small["oil"], small.lookup_tokens([2, 3]), "gas" in small, small.get_default_index())

# %% [markdown]
# ### The same vocabulary in torchtext
#
# *A short course may run these cells without talking about them.*
#
# Many programs were written with torchtext. Its last release, `0.18`, loads on torch `2.3` only, so the next
# cell may have to go without it. Where it loads: is its `basic_english` ours, and are its vocabularies
# ours, index by index, with every kind of limit?

# %%
try:
    import torchtext
    torchtext.disable_torchtext_deprecation_warning()
    from torchtext.data.utils import get_tokenizer
    from torchtext.vocab import build_vocab_from_iterator
except (ImportError, OSError) as error:
    torchtext = None
    print(f"no comparison here, torchtext cannot be loaded ({type(error).__name__})")

# %%
some_tokens = fit_tokens[:10_000]
for limits in [{}, {"min_freq": 3}, {"max_tokens": 500}, {"special_first": False}] if torchtext else []:
    ours = build_vocab(some_tokens, **limits)
    theirs = build_vocab_from_iterator(some_tokens, specials=["<pad>", "<unk>"], **limits)
    theirs.set_default_index(theirs["<unk>"])

    assert ours.get_itos() == theirs.get_itos() and ours.get_stoi() == theirs.get_stoi()
    assert all(ours(tokens) == theirs(tokens) for tokens in valid_tokens[:200])
    print(f"equal: {len(ours):,} types with {limits or 'no limit'}")

if torchtext:
    assert all(get_tokenizer("basic_english")(text) == basic_english(text) for text in sample[:1000])

# %% [markdown]
# Somebody who moves a project away from torchtext can exchange the one for the other, and every index
# stays. From here on we use the package's.
#
# ## What it covers
#
# A token outside the vocabulary becomes `<unk>`, and its meaning is gone. **Coverage** is the share of
# tokens that a vocabulary holds.

# %% tags=["nbval-check-output"]
from agnews_utils.vocabulary import coverage

unseen = [["gas", "up", "again"], ["oil", "up"]]
known = [token in small for tokens in unseen for token in tokens]
assert coverage(unseen, small) == sum(known) / len(known)
known, coverage(unseen, small)

# %% [markdown]
# Measured on the rows that it was built on, a complete vocabulary covers everything, which says
# nothing about new text. So we measure on the validation rows, too. How many tokens are unknown to a
# smaller one? (For the fit rows the counts of Zipf's figure are enough, less `<pad>` and `<unk>`.)

# %%
full = build_vocab(fit_tokens)
sizes = [size for size in (100, 300, 1000, 3000, 10_000, 30_000) if size < len(full)] + [len(full)]
unknown = {"rows it was built on": [], "validation rows": []}
for size in sizes:
    limited = Vocab(full.get_itos()[:size])  # the most frequent types stand in front
    unknown["rows it was built on"].append(1 - by_rank[:size - 2].sum() / by_rank.sum())
    unknown["validation rows"].append(1 - coverage(valid_tokens, limited))

# %%
ax = plots.curves(
    sizes, {name: 100 * np.array(shares) for name, shares in unknown.items()},
    "The rows it was built on make a vocabulary look better than it is",
    "size of the vocabulary (types)", "unknown tokens (%)", log_x=True, log_y=True)

# %% tags=["author"]
in_fit_rows = 1 - coverage(fit_tokens, Vocab(full.get_itos()[:sizes[0]]))
assert np.isclose(unknown["rows it was built on"][0], in_fit_rows)
assert not news.measured or unknown["validation rows"][sizes.index(3000)] < 0.25
assert unknown["validation rows"] == sorted(unknown["validation rows"], reverse=True)

# %% [markdown]
# Both axes are logarithmic. Zipf's law at work: the first thousand types cover a great part, each further
# thousand less. On AG News `10,000` types leave {{ ag_news.unknown_10000 | percent }} of the validation tokens
# unknown, and three times as many {{ ag_news.unknown_30000 | percent }}. The two lines part at the right:
# the full vocabulary knows its own rows by heart (zero, which a logarithmic axis cannot show), and of
# new text it misses {{ ag_news.unknown_full | percent(2) }} on AG News and
# {{ newsbriefs.unknown_full | percent }} on News Briefs. The other handle is the minimum frequency.

# %%
by_limit = {limit: build_vocab(fit_tokens, min_freq=limit) for limit in (1, 2, 5)}
pd.DataFrame([{"min_freq": limit, "size": f"{len(limited):,}",
               "unknown in fit rows": f"{1 - coverage(fit_tokens, limited):.2%}",
               "unknown in validation rows": f"{1 - coverage(valid_tokens, limited):.2%}"}
              for limit, limited in by_limit.items()]).set_index("min_freq")

# %% [markdown]
# Look at the first row. With `min_freq=1` no fit row has an unknown token, so a network would never
# train its vector of `<unk>`: it stays as random as it was drawn, until a new text uses it. Leaving
# out the types that occur once takes away a third of the vocabulary or more, costs little coverage, and
# gives `<unk>` something to learn from. What the unknown tokens *cost* is a question of accuracy;
# {{ section("How large should it be?") }} measures it.
#
# ## Other scripts, and bytes
#
# News is full of names, and not all of them are spelled with the letters of English. Three examples.

# %% tags=["nbval-check-output"]
foreign = ["Zürich", "東京", "📈"]
for word in foreign:
    print(word, len(word), "characters,", len(word.encode()), "bytes:", list(word.encode()))

# %% [markdown]
# In a file there are only bytes: UTF-8 writes a letter of English as one, *ü* as two, a Japanese
# character as three, an emoji as four. What do our tokenizers make of the words?

# %%
pd.DataFrame([{"word": word, "tokens": tokenize(word), "ids": by_limit[2](tokenize(word)),
               "WordPiece": wordpieces(word)} for word in foreign]).set_index("word")

# %% [markdown]
# Id 1 is `<unk>`: what the word vocabulary has not seen is lost, and three different words become
# one. BERT's tokenizer takes the accent off and writes *zurich*, which it may know or spell; the others
# it does not know at all, since their characters were not in the training texts. And there is a second
# trouble: Japanese and Chinese are written without spaces.

# %% tags=["nbval-check-output"]
tokenize("東京の株価が上がった。")  # "Share prices in Tokyo rose."

# %% [markdown]
# A whole sentence is one token. Our pattern is made for languages with spaces.
#
# **Byte-level BPE** (Radford and others, 2019) solves the first trouble: it starts with the `256` bytes instead
# of letters, and merges as before. Every text of every language can be spelled.

# %%
from tokenizers import ByteLevelBPETokenizer

byte_level = ByteLevelBPETokenizer()
byte_level.train_from_iterator(sample, vocab_size=8000, min_frequency=2, show_progress=False)

for word in [" market", *(" " + word for word in foreign)]:  # a piece holds the space in front, too
    piece_ids = byte_level.encode(word).ids
    assert byte_level.decode(piece_ids) == word
    print(f"{len(piece_ids)} pieces, back again:{byte_level.decode(piece_ids)}")

# %% [markdown]
# Nothing is unknown, and everything comes back. The price stands in the number of pieces: a common word of
# English is one piece, while the space and the two characters of Tokyo are spelled byte by byte, since
# the training texts gave no reason to merge them. A vocabulary is always one *of some texts*.
#
# ## Texts as vectors
#
# The simplest vector of a token has as many entries as there are types, a single 1, and zeros
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

options = {"tokenizer": tokenize, "lowercase": False, "token_pattern": None}
counter = CountVectorizer(vocabulary=full.get_stoi(), **options)
fit_counts, valid_counts = counter.transform(fit_texts), counter.transform(valid_texts)

known_ids = [index for index in full(valid_tokens[0]) if index != full["<unk>"]]
by_counting = np.bincount(known_ids, minlength=len(full))  # adds up one-hot vectors
assert (valid_counts[0].toarray()[0] == by_counting).all()
not_zero = fit_counts.nnz / np.prod(fit_counts.shape)
print(f"{fit_counts.shape[1]:,} columns, {not_zero:.3%} of the entries are not 0")

# %% [markdown]
# scikit-learn drops a token that the vocabulary does not hold; there is no `<unk>`. Runs of neighboring
# tokens, called **n-grams**, keep a bit of the order.

# %%
from agnews_utils.vocabulary import ngrams

by_two = [" ".join(dog_first[start:start + 2]) for start in range(2)]
assert by_two == ngrams(dog_first, 2) == ["dog bites", "bites man"] != ngrams(man_first, 2)

{n: len({gram for tokens in some_tokens for gram in ngrams(tokens, n)}) for n in (1, 2, 3)}

# %% [markdown]
# So many different 1-, 2- and 3-grams stand in (at most) ten thousand texts: order has its price, every
# step multiplies the columns. And each has to be in a vocabulary, which has to be built, stored and
# shipped. Is there a way without one? The **hashing trick** (Weinberger and others, 2009): a hash
# function turns a token into a number, the remainder of a division is its column. Different types may
# meet in one column; a second bit of the hash decides whether a token counts `+1` or `-1`, so that on
# average they cancel.

# %% tags=["nbval-check-output"]
from sklearn.utils import murmurhash3_32

def hashed_counts(tokens: list[str], columns: int) -> np.ndarray:
    vector = np.zeros(columns, dtype=int)
    for token in tokens:
        code = murmurhash3_32(token)  # the same on every machine, from -2**31 to 2**31 - 1
        vector[abs(code) % columns] += 1 if code >= 0 else -1
    return vector

print(hashed_counts(["oil", "up", "oil", "again"], columns=12))

# %% [markdown]
# `oil` counts twice in column 0, with a minus; no vocabulary anywhere. scikit-learn's
# `HashingVectorizer` uses the same hash function. Are its vectors ours?

# %%
from sklearn.feature_extraction.text import HashingVectorizer

hasher = HashingVectorizer(n_features=1024, norm=None, **options)
hashed = hasher.transform(valid_texts[:200]).toarray()  # no fit: there is nothing to learn
assert (hashed == [hashed_counts(tokens, 1024) for tokens in valid_tokens[:200]]).all()

# %% [markdown]
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
tiny_counter = CountVectorizer(**options)
term_frequency = tiny_counter.fit_transform(three).toarray()  # (texts, types)
texts_with = (term_frequency > 0).sum(axis=0)
idf = np.log((1 + len(three)) / (1 + texts_with)) + 1

weights = term_frequency * idf
weights /= np.linalg.norm(weights, axis=1, keepdims=True)
assert np.allclose(TfidfVectorizer(**options).fit_transform(three).toarray(), weights)
pd.DataFrame(weights.round(3), index=three, columns=tiny_counter.get_feature_names_out())

# %% [markdown]
# `oil` is in every text and has the smallest idf, 1. In the first text `up` outweighs it. scikit-learn's
# `TfidfVectorizer` has this formula as its default, says the assert.
#
# ### Which vector knows the class best?
#
# A fair comparison gives each vector the same classifier and the same care. The linear classifier has a
# setting, `C`, that says how closely it follows its training rows. We choose it for each vector from the same
# four values, on fit rows alone: two thirds of (at most) `24,000` learn, one third judges. Then it learns
# from all fit rows, and the validation rows have no part in any choice. (On News Briefs some vectors take the
# largest of the four. We tried `10` and `30` there for TF-IDF and the bag of words: no better.)

# %%
from sklearn.svm import LinearSVC

C_VALUES = (0.1, 0.3, 1.0, 3.0)
fit_labels, valid_labels = fit_rows["label"].to_numpy(), valid_rows["label"].to_numpy()
third = min(len(fit_labels), 24_000) // 3
learn, judge = slice(0, 2 * third), slice(2 * third, 3 * third)

def best_c(features) -> float:
    scores = {}
    for value in C_VALUES:
        model = LinearSVC(C=value, random_state=0).fit(features[learn], fit_labels[learn])
        scores[value] = model.score(features[judge], fit_labels[judge])
    return max(scores, key=scores.get)

# %%
from sklearn.preprocessing import normalize

vectorizers = {
    "TF-IDF": TfidfVectorizer(min_df=2, **options),
    "bag of words": CountVectorizer(min_df=2, **options),
    "hashed, 2**10 columns": HashingVectorizer(n_features=2**10, **options),
    "hashed, 2**18 columns": HashingVectorizer(n_features=2**18, **options),
    "TF-IDF, 1- and 2-grams": TfidfVectorizer(min_df=2, ngram_range=(1, 2), **options)}

right, chosen_c = {}, {}
for name, vectorizer in vectorizers.items():
    features = normalize(vectorizer.fit_transform(fit_texts))  # every row has length 1
    chosen_c[name] = best_c(features)
    model = LinearSVC(C=chosen_c[name], random_state=0).fit(features, fit_labels)
    right[name] = model.predict(normalize(vectorizer.transform(valid_texts))) == valid_labels

# %% [markdown]
# `right` says of every validation row whether the classifier got it right. All five were asked about
# the *same* rows, so we compare row by row: 1 where only the first is right, -1 where only the second is,
# else 0. The mean of these numbers is the difference of the two accuracies, and their spread gives its interval.

# %%
def paired_difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    points = 100 * (first.astype(float) - second)  # (rows,): 100, 0 or -100
    half = 1.96 * points.std(ddof=1) / np.sqrt(len(points))
    return points.mean() - half, points.mean(), points.mean() + half

def shown(interval: tuple[float, float, float]) -> str:
    low, middle, high = interval
    return f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"

# %%
against_tfidf = {name: paired_difference(right[name], right["TF-IDF"]) for name in list(right)[1:]}

table = pd.DataFrame({"C": chosen_c, "accuracy": {name: f"{right[name].mean():.1%}" for name in right}})
table["minus TF-IDF (points)"] = {name: shown(interval) for name, interval in against_tfidf.items()}
table.fillna("")

# %%
ax = plots.intervals(
    against_tfidf, "Squeezing all types into 1,024 columns costs accuracy",
    f"validation accuracy minus that of TF-IDF (points, {len(valid_rows):,} rows)")
_ = ax.axvline(0, color="black", linewidth=0.8)

# %% tags=["author"]
accuracy = {name: float(flags.mean()) for name, flags in right.items()}
if news.measured:
    assert min(accuracy.values()) > 0.5, "far too low: are labels and texts in step?"
    assert against_tfidf["hashed, 2**10 columns"][2] < 0, "1,024 columns should not win"

# %% [markdown]
# An interval that does not touch the line at zero shows a difference. Squeezed into a thousand columns,
# where many types share one, accuracy falls by {{ (-ag_news.against_tfidf["hashed, 2**10 columns"][1]) | fixed(1) }}
# points on AG News. There TF-IDF has {{ ag_news.accuracy["TF-IDF"] | percent }}, counts
# {{ ag_news.accuracy["bag of words"] | percent }}, and a quarter of a million hashed columns, with no vocabulary at
# all, {{ ag_news.accuracy["hashed, 2**18 columns"] | percent }}: small losses, but both show. That pairs of
# neighboring tokens help does not show on either data set. On News Briefs, with its
# {{ newsbriefs.valid_rows | count }} validation rows, an interval is several points wide: read it before you
# rank. And four comparisons at once have four chances to be wrong; {{ chapter.evaluation }} comes back
# to that.
#
# ## How large should it be?
#
# Now the size. Each candidate vocabulary gets TF-IDF, the classifier, and its own `C`, as above.
# The columns stand in the order of frequency, so a smaller vocabulary is the matrix with fewer
# columns. The candidates hold types that occur at least twice; the last is the full vocabulary.

# %%
from sklearn.feature_extraction.text import TfidfTransformer

def tfidf_model(size: int):
    columns = slice(2, size)  # without <pad> and <unk>
    weighting = TfidfTransformer().fit(fit_counts[:, columns])
    features = weighting.transform(fit_counts[:, columns])
    model = LinearSVC(C=best_c(features), random_state=0).fit(features, fit_labels)
    return lambda text_counts: model.predict(weighting.transform(text_counts[:, columns])) == valid_labels

twice = len(by_limit[2])
smaller = {size for size in (300, 1000, 3000, 10_000, 30_000) if size < twice}
candidates = sorted({*smaller, twice, len(full)})
judges = {size: tfidf_model(size) for size in candidates}
right_at = {size: judges[size](valid_counts) for size in candidates}

# %%
against_full = {size: paired_difference(right_at[size], right_at[len(full)]) for size in candidates[:-1]}
pd.DataFrame([{"size": f"{size:,}", "accuracy": f"{right_at[size].mean():.1%}",
               "minus full (points)": shown(interval)} for size, interval in against_full.items()],
             columns=["size", "accuracy", "minus full (points)"]).set_index("size")

# %%
ax = plots.intervals(
    {f"{size:,} types": interval for size, interval in against_full.items()},
    "A few hundred types are too few; without the rarest no loss shows",
    f"validation accuracy minus that of all {len(full):,} types (points)")
_ = ax.axvline(0, color="black", linewidth=0.8)

# %% [markdown]
# Too few types cost accuracy, and what a further step can win shrinks. Which one do we take? Our rule:
# the smallest that the validation rows cannot tell from the full one, that is, whose interval holds zero.

# %%
alike = [size for size, (low, _, high) in against_full.items() if low <= 0 <= high]
chosen_size = min([*alike, len(full)])
vocab = Vocab(full.get_itos()[:chosen_size], default_index=full["<unk>"])
unknown_share = 1 - coverage(valid_tokens, vocab)
print(f"{vocab}: {unknown_share:.2%} of the validation tokens are unknown")

# %% tags=["author"]
if news.measured:
    assert against_full[300][2] < 0, "300 types should be too few"
    assert against_full[twice][0] <= 0 <= against_full[twice][2], "the title of the figure"
    assert 0.001 < unknown_share < 0.35, "too many unknown tokens: same tokenizer on both sides?"
    assert any(1 in vocab(tokens) for tokens in fit_tokens), "<unk> must occur in the fit rows"

# %% [markdown]
# On AG News that is {{ ag_news.chosen_size | count }} of {{ ag_news.full_size | count }} types, chosen among
# {{ ag_news.candidates | count }} on {{ ag_news.valid_rows | count }} validation rows; on News Briefs
# {{ newsbriefs.chosen_size | count }} of {{ newsbriefs.full_size | count }}, on
# {{ newsbriefs.valid_rows | count }}. Fewer rows see only larger losses, so the rule chooses too small
# rather than too large a vocabulary when rows are few. And it has judged a *linear* model: a network may want
# another size, and the same table with its accuracies is the way to find out. {{ Chapter.rnn }} keeps
# every type that occurs twice.
#
# Do the unknown tokens do the harm? Then it must sit in texts that have many. We take a
# vocabulary of a thousand, sort the validation texts by their number of unknown tokens, and cut them
# into thirds.

# %%
limit = max(size for size in candidates if size <= max(1000, candidates[0]))  # 1,000 if there are so many
thousand = Vocab(full.get_itos()[:limit], default_index=full["<unk>"])
unknown_per_text = np.array([thousand(tokens).count(1) for tokens in valid_tokens])
thirds = np.array_split(np.argsort(unknown_per_text, kind="stable"), 3)

unknown_cost = [paired_difference(right_at[limit][part], right_at[len(full)][part]) for part in thirds]
pd.DataFrame([{"fewest unknown": unknown_per_text[part].min(), "most": unknown_per_text[part].max(),
               f"accuracy with {limit:,} types": f"{right_at[limit][part].mean():.1%}",
               "with all": f"{right_at[len(full)][part].mean():.1%}", "difference (points)": shown(cost)}
              for part, cost in zip(thirds, unknown_cost)])

# %% [markdown]
# On AG News the small vocabulary costs {{ (-ag_news.unknown_cost[0][1]) | fixed(1) }} points in the third with
# the fewest unknown tokens, and {{ (-ag_news.unknown_cost[2][1]) | fixed(1) }} in the third with the most: the
# harm grows with them. (These are different texts, so the two costs differ if they are further apart than
# $\sqrt 2$ times the half-width of an interval. They are.) On News Briefs a third has sixty texts: look at
# the intervals before you see a trend.
#
# > **What could go wrong: a model with its vocabulary, but another tokenizer.**
# > A program loads both, and cuts new texts with `split`. Every index is valid, nothing fails.

# %%
other_cut = CountVectorizer(vocabulary=full.get_stoi(), analyzer=str.split).transform(valid_texts)
right_mismatch = judges[chosen_size](other_cut)
mismatch_unknown = 1 - coverage([text.split() for text in valid_texts], vocab)
mismatch_cost = paired_difference(right_mismatch, right_at[chosen_size])

print(f"unknown tokens {unknown_share:.1%} -> {mismatch_unknown:.1%}, "
      f"accuracy {right_at[chosen_size].mean():.1%} -> {right_mismatch.mean():.1%}")

# %% tags=["author"]
harm = mismatch_unknown > unknown_share + 0.1 and mismatch_cost[2] < 0
assert harm or not news.measured, "split should do harm"

# %% [markdown]
# The symptom is a worse model and no error: on AG News {{ (-ag_news.mismatch_cost[1]) | fixed(1) }} points are gone.
# The check is the share of unknown tokens: print it wherever texts are encoded, and compare it with the
# one of the validation rows. For the same reason the vocabulary is built on the fit rows alone. Types that
# only validation rows have would not help a linear model (no fit row gives them a weight), but the
# share of unknown tokens would be zero, and the one alarm that we have would be switched off.
#
# ## Which texts are neighbors?
#
# A vector has a direction. Two texts are alike if theirs are: their **cosine similarity** is the
# dot product divided by both lengths, 1 for the same direction and 0 for texts without a common token.

# %% tags=["nbval-check-output"]
def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))

trio = ["oil prices rise", "oil prices fall", "crude costs climb"]
vectors = CountVectorizer(**options).fit_transform(trio).toarray()
[(text, round(cosine(vectors[0], vector), 2)) for text, vector in zip(trio, vectors)]

# %% [markdown]
# Read that again. *Oil prices fall* says the opposite and scores high; *crude costs climb* says the same
# and scores zero. To these vectors a token is a column, and two columns have nothing in common, whatever the
# words mean. Scaled to length 1, as TF-IDF rows are, the cosine is the dot product alone. So the
# neighbors of a headline take one product with the matrix of all texts.

# %%
from sklearn.metrics.pairwise import cosine_similarity

neighbor_space = TfidfVectorizer(min_df=2, **options)
fit_tfidf = neighbor_space.fit_transform(fit_texts)

headline = neighbor_space.transform(["Oil prices rise as producers cut output"])
similarity = (fit_tfidf @ headline.T).toarray().ravel()  # (texts,)
assert np.allclose(similarity, cosine_similarity(headline, fit_tfidf)[0])

# %%
nearest = np.argsort(-similarity)[:5]
asked_for = set(tokenize("Oil prices rise as producers cut output"))
shared = [" ".join(sorted(asked_for & set(fit_tokens[place]))) for place in nearest]

shown_column = "title" if (fit_rows["title"] != "").any() else "text"  # your own may have no titles
neighbors = fit_rows.iloc[nearest][["class_name", shown_column]]
neighbors.assign(similarity=similarity[nearest].round(2), shared=shared).reset_index(drop=True)

# %% [markdown]
# The last column is all that counts: rare tokens that both texts have. Whether prices *rise* in each of them
# was not asked. How often does the nearest text have the same class? We ask for `500` validation texts at most.

# %%
from sklearn.neighbors import NearestNeighbors

asked = min(500, len(valid_texts))
search = NearestNeighbors(n_neighbors=1, metric="cosine", algorithm="brute").fit(fit_tfidf)
distance, place = search.kneighbors(neighbor_space.transform(valid_texts[:asked]))
same_class = fit_labels[place[:, 0]] == valid_labels[:asked]

# %%
from agnews_utils.data import accuracy_interval

nearest_low, nearest_high = accuracy_interval(same_class.mean(), asked)
same_rows = paired_difference(right["TF-IDF"][:asked], same_class)
print(f"{same_class.mean():.1%} of {asked}, 95% interval {nearest_low:.1%} to {nearest_high:.1%}")
print(f"the linear classifier on the same rows: {shown(same_rows)} points")

# %% [markdown]
# The nearest text has the right class {{ ag_news.nearest_same_class | percent(0) }} of the time on AG News and
# {{ newsbriefs.nearest_same_class | percent(0) }} on News Briefs, without any training; the classifier, which
# learned what each token is worth, is better on the same rows. Which tokens mislead the neighbor? Here
# are the two most similar pairs of different classes, with what they share.

# %%
misled = np.flatnonzero(~same_class)
for text_number in misled[np.argsort(distance[misled, 0])[:2]]:
    neighbor = place[text_number, 0]
    common = set(valid_tokens[text_number]) & set(fit_tokens[neighbor])
    for frame, row in ((valid_rows, text_number), (fit_rows, neighbor)):
        print(frame["class_name"].iloc[row], "|", frame[shown_column].iloc[row][:90])
    print("  share:", sorted(common, key=counts.get)[:10], "\n")

# %% [markdown]
# A name, a place, a few ordinary words. What such neighbors miss is synonyms (no common token), negation and
# direction (*rise* or *fall* is one token among many), and order. Vectors that *learn* which tokens
# mean the same begin in the next section.
#
# ## An embedding is a matrix product
#
# A network wants short, dense vectors that it can learn. Let $W$ have one row for each type. A one-hot
# vector times $W$ picks one row. Multiplying by all those zeros is wasted work, so `nn.Embedding` goes
# straight to the row. Is it the same?

# %% tags=["nbval-check-output"]
import torch
from torch import nn

torch.manual_seed(0)
embedding = nn.Embedding(num_embeddings=len(small), embedding_dim=4)
ids = torch.tensor(small(["oil", "up", "oil"]))  # (tokens,)
one_hot_ids = nn.functional.one_hot(ids, num_classes=len(small)).float()  # (tokens, vocabulary)
product = one_hot_ids @ embedding.weight  # (tokens, 4)

assert torch.allclose(embedding(ids), product)
print(f"{list(one_hot_ids.shape)} @ {list(embedding.weight.shape)} = {list(product.shape)}")

# %% [markdown]
# The same numbers, without the zeros. How much memory does that save, for a batch of 32 texts with
# 50 tokens each and 20 thousand types?

# %% tags=["nbval-check-output"]
print(f"one-hot {32 * 50 * 20_000 * 4 / 1e6:.0f} MB, ids {32 * 50 * 8 / 1e3:.1f} kB")

# %% [markdown]
# Then both must learn alike, too: here is the gradient of a loss with respect to $W$, once through the
# lookup and once through the product.

# %% tags=["nbval-check-output"]
target = torch.arange(12.0).reshape(3, 4)
(by_lookup,) = torch.autograd.grad((embedding(ids) * target).sum(), embedding.weight)
(by_product,) = torch.autograd.grad((one_hot_ids @ embedding.weight * target).sum(), embedding.weight)
assert torch.allclose(by_lookup, by_product)

for token, gradient in zip(small.get_itos(), by_lookup.tolist()):
    print(f"{token:6}", gradient)

# %% [markdown]
# Only tokens of the text get a gradient, and `oil`, which stands there twice, gets the sum of both.
# A type that never occurs in training never moves: that is why {{ section("What it covers") }} wanted
# `<unk>` in the fit rows. And the row of `<pad>` should not learn anything; `padding_idx` keeps its
# gradient at zero.

# %% tags=["nbval-check-output"]
padded_embedding = nn.Embedding(len(small), 4, padding_idx=small["<pad>"])
padded_embedding(torch.tensor([0, 2, 0])).sum().backward()
padded_embedding.weight.grad[:3].tolist()

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
input_ids = torch.tensor([sequence + [0] * (longest - len(sequence)) for sequence in sequences])
lengths = torch.tensor([len(sequence) for sequence in sequences])  # (batch,)
attention_mask = (torch.arange(longest) < lengths[:, None]).long()  # (batch, length)
print(sequences, input_ids, attention_mask, sep="\n")

# %% [markdown]
# Zeros fill the gaps, and the **attention mask** says where a token is real. Later chapters pass all
# three around; the package's `pad_batch` makes them. Are they the same?

# %%
assert all(map(torch.equal, pad_batch(sequences), (input_ids, attention_mask, lengths)))

# %% [markdown]
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
# The naive mean shrinks with every neighbor in the batch that is longer: the same text has another vector
# in another batch. The symptom is an accuracy that changes with the batch size.
#
# > **What could go wrong: `<pad>` and `<unk>` share an index.**
# > Some programs give both the index 0, and find the padding by `input_ids != 0`.

# %% tags=["nbval-check-output"]
one_index = {"<pad>": 0, "<unk>": 0, "not": 2, "profitable": 3}
review = ["unbelievably", "not", "profitable", "<pad>"]
confused_ids = torch.tensor([[one_index.get(token, one_index["<unk>"]) for token in review]])
assert small["<pad>"] != small["<unk>"], "padding and unknown words must be told apart"

(confused_ids != 0).long()

# %% [markdown]
# The mask has lost the first word: an unknown token is invisible now, not merely unknown. Nothing
# fails; texts with many new words become short. Two checks: the indices differ, and the mask is made
# from the lengths, never from the ids.
#
# ### Cut long texts
#
# One very long text makes a whole batch wide. `encode` has a `max_length`: a longer text keeps its first
# tokens. How many texts does a length keep whole, and which share of all tokens?

# %%
text_lengths = np.array([len(tokens) for tokens in fit_tokens])
cut_after = [16, 24, 32, 40, 48, 56, 64, 80, 96, 128]
whole = {limit: (text_lengths <= limit).mean() for limit in cut_after}
tokens_kept = {limit: np.minimum(text_lengths, limit).sum() / text_lengths.sum() for limit in cut_after}
kept = {"texts kept whole": 100 * np.array(list(whole.values())),
        "tokens kept": 100 * np.array(list(tokens_kept.values()))}
ax = plots.curves(cut_after, kept, f"Sixty-four tokens keep {whole[64]:.0%} of the texts whole",
                  "length after which a text is cut (tokens)", "share of the fit rows (%)")

# %% tags=["author"]
whole_64 = whole[64]
assert whole_64 > 0.95 or not news.measured

# %% [markdown]
# The longest text has {{ ag_news.longest_text | count }} tokens on AG News and
# {{ newsbriefs.longest_text | count }} on News Briefs; 64 tokens keep
# {{ ag_news.whole_64 | percent }} and {{ newsbriefs.whole_64 | percent }} of the texts whole. What is cut
# is the end of the description, since the title comes first. A limit, too, is a choice: make it on
# training rows, and let it show what it costs.
#
# ### Dataset, collate, DataLoader
#
# torch splits the work: a `Dataset` knows the rows, a *collate* function makes a batch of some of them,
# and a `DataLoader` decides which ones. By hand it takes a few lines.

# %% tags=["nbval-check-output"]
from torch.utils.data import DataLoader, Dataset

class HandDataset(Dataset):
    def __len__(self):
        return len(sequences)

    def __getitem__(self, place):
        return sequences[place], place % 2  # the ids and a made-up label

def hand_collate(examples):
    id_lists, labels = zip(*examples)
    input_ids, attention_mask, lengths = pad_batch(id_lists)
    return {"input_ids": input_ids, "attention_mask": attention_mask, "lengths": lengths,
            "labels": torch.tensor(labels)}

for batch in DataLoader(HandDataset(), batch_size=2, collate_fn=hand_collate):
    print({name: list(tensor.shape) for name, tensor in batch.items()})

# %% [markdown]
# The second batch has one text and is as wide as that text needs. The package's `NewsDataset` and
# `collate` give the same batches.

# %%
from agnews_utils.vocabulary import collate, NewsDataset

(ours,) = DataLoader(HandDataset(), batch_size=3, collate_fn=hand_collate)
(theirs,) = DataLoader(NewsDataset(sequences, [0, 1, 0]), batch_size=3, collate_fn=collate)
assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

# %% [markdown]
# Now all texts. `tokenize_all` and `encode` are made for many: within a call they cut each different
# chunk between white space only once. The ids are those of one text after the other.

# %%
fit_ids = encode(fit_tokens, vocab)
assert encode(sample, vocab) == fit_ids[:len(sample)] == [vocab(tokenize(text)) for text in sample]

# %% [markdown]
# ### Less padding
#
# A batch is as wide as its longest text. With texts drawn at random, how much of it is padding?

# %%
order = np.random.default_rng(42).permutation(len(text_lengths))
random_batches = [order[start:start + 32] for start in range(0, len(order), 32)]
positions = sum(text_lengths[batch].max() * len(batch) for batch in random_batches)
random_share = 1 - text_lengths.sum() / positions
print(f"{random_share:.1%} of all positions are padding, in batches of 32 texts drawn at random")

# %% [markdown]
# Every one of these positions is computed and thrown away. Sorting all texts by length would leave next
# to no padding, but then all short texts come first, the same in every epoch, and training is better off
# with chance. The compromise is called **bucketing**: shuffle, take a chunk of several batches,
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

# %%
sampler = LengthBucketSampler(text_lengths, batch_size=32, seed=42, chunk_batches=20)
assert list(sampler) == bucketed(text_lengths, 32, 20, seed=[42, 0])  # the package: [seed, epoch]
assert sorted(place for batch in sampler for place in batch) == list(range(len(text_lengths)))

# %%
def mask_of(batch):
    return pad_batch([fit_ids[place] for place in batch])[1].numpy()

def middling(batches):  # the batch in the middle, by the share of padding
    filled = [text_lengths[batch].mean() / text_lengths[batch].max() for batch in batches]
    return list(batches)[np.argsort(filled)[len(filled) // 2]]

axes = plots.padding_pictures(
    {"drawn at random": mask_of(middling(random_batches)), "in a bucket": mask_of(middling(list(sampler)))},
    "A middling batch of each: blue is a token, grey is padding")

# %%
chunk_sizes = [1, 2, 5, 10, 20, 50, 100]
padding = {f"batches of {size}": [
    100 * padding_share(text_lengths, LengthBucketSampler(text_lengths, size, chunk_batches=chunk))
    for chunk in chunk_sizes] for size in (16, 64)}
ax = plots.curves(chunk_sizes, padding, "Chunks of twenty batches take most of the padding away",
                  "batches per chunk (1 is random order)", "padding (%)", log_x=True)

# %% [markdown]
# Larger chunks take more of it, and leave less to chance. The order depends on the seed and the epoch
# alone. `set_epoch` chooses it; without that call every epoch would see the same batches.

# %%
epoch_0 = list(sampler)
sampler.set_epoch(1)
assert list(sampler) != epoch_0, "every epoch has the same order: was set_epoch called?"

bucket_share = padding_share(text_lengths, sampler)
print(f"{len(sampler):,} batches, {bucket_share:.1%} padding instead of {random_share:.1%}")

# %% tags=["author"]
if news.measured:
    assert bucket_share < random_share / 2, "buckets should save more than half of the padding"
    for name, shares in padding.items():
        assert shares[4] < shares[0] / 2 and shares == sorted(shares, reverse=True), name

# %% [markdown]
# On AG News the padding falls from {{ ag_news.random_padding | percent }} to
# {{ ag_news.bucket_padding | percent }}, that is {{ ag_news.positions_saved | percent }} fewer positions
# to compute in every layer of a network. The package's `make_loader` puts dataset, sampler and collate
# function together, in one line.
#
# ## Save and load
#
# *A short course may run these cells without talking about them.*
#
# A model without its vocabulary is worth nothing: its embedding has rows, and the vocabulary says which
# row is which word. So the two are saved together. What happens if they do not match?

# %% tags=["nbval-check-output"]
another = build_vocab([["rates", "up", "rates"], ["oil", "again", "rates"], ["oil"]])
another.lookup_tokens(small(["oil", "up"]))

# %% [markdown]
# *Oil up* has become *rates oil*: the two vocabularies have the same size and the same words, in
# another order. No shape differs, no error is raised. So keep a vocabulary in one folder with its model.
# Damage is another danger: against that one the file carries a checksum. What does a damaged one say?

# %% tags=["nbval-check-output"]
from pathlib import Path
from tempfile import TemporaryDirectory

with TemporaryDirectory() as folder:
    path = Path(folder, "vocab.json")
    small.save(path)
    assert Vocab.load(path) == small

    stored = path.read_text()
    for damaged in (stored[:-20], stored.replace("oil", "gas")):
        path.write_text(damaged)
        try:
            Vocab.load(path)
        except ValueError as error:
            print("-", str(error).split(" (")[0])

# %% [markdown]
# Cut off, or a word replaced: both are refused, with the name of the file and a reason.

# %% tags=["author"]
from agnews_utils import runtime

later = {
    "accuracy": accuracy, "chosen_c": chosen_c, "against_tfidf": against_tfidf,
    "unknown_cost": unknown_cost, "mismatch_unknown": mismatch_unknown, "mismatch_cost": mismatch_cost,
    "nearest_same_class": same_class.mean(), "nearest_rows": asked, "linear_minus_nearest": same_rows,
    "longest_text": text_lengths.max(), "whole_64": whole_64, "random_padding": random_share,
    "bucket_padding": bucket_share, "positions_saved": 1 - (1 - random_share) / (1 - bucket_share),
}

# %% tags=["author"]
unknown_at = dict(zip(sizes, unknown["validation rows"]))
runtime.record("vocabulary", news, {
    "fit_rows": len(fit_rows), "valid_rows": len(valid_rows), "sample": len(sample),
    "joined_first_differ": differ, "lost_titles": lost_titles,
    "types": types.to_dict(), "lower_types": lower_types.to_dict(),
    "microseconds": comparison["CPU microseconds per text"].to_dict(),
    "tokens_per_text": comparison["tokens per text"].to_dict(),
    "running_tokens": counts.total(), "different": len(counts), "once_share": once / len(counts),
    "zipf_slope": zipf[0], "heaps_exponent": heaps[0], "growth_by_doubling": 2 ** heaps[0] - 1,
    "unknown_10000": unknown_at.get(10_000), "unknown_30000": unknown_at.get(30_000),
    "unknown_full": unknown_at[len(full)], "full_size": len(full), "chosen_size": chosen_size,
    "candidates": len(candidates), "unknown_share": unknown_share, **later,
    "accuracy_by_size": {str(size): float(flags.mean()) for size, flags in right_at.items()},
    "against_full": {str(size): interval for size, interval in against_full.items()},
}, headline=f"{len(vocab):,} of {len(full):,} types, {unknown_share:.2%} unknown in validation rows, "
            f"padding {random_share:.0%} -> {bucket_share:.0%}")

# %% [markdown]
# ## Exercises
#
# One star is a change of a cell, two stars are some lines of your own, three stars need thought.
#
# 1. (\*) Send a sentence with a web address, a score such as 3-1 and a date through all eight tokenizers.
#    Which result would you want?
# 2. (\*\*) Change `OTHER` so that a hyphenated word stays one token. How do the number of types and the
#    coverage on validation rows change?
# 3. (\*) Add an eleventh word to the ten, such as `trading`. Which merges change?
# 4. (\*) Print the twenty most frequent tokens that are unknown to `vocab` in the validation rows. What kind
#    of words are they?
# 5. (\*) Fit Zipf's law to the ranks from `1000` on. Which slope do you get, and what does it say about
#    quoting an exponent without its range? *Check: steeper than -0.90 on AG News.*
# 6. (\*\*) Build a vocabulary of WordPiece's pieces with `build_vocab`. How much of the validation text is
#    unknown to it, and how many positions does a text need now?
# 7. (\*\*) Replace every digit by `0` before counting. How many types does the vocabulary lose, and does
#    the linear classifier notice? Compare row by row.
# 8. (\*\*) Count how many of the `1000` most frequent types share a column with another one of them, for
#    hashing into `2**10`, `2**14` and `2**18` columns. Compare with what chance predicts.
#    *Hint: chance leaves `columns * (1 - (1 - 1/columns)**1000)` columns in use.*
# 9. (\*) Ask for the neighbors of a headline of your own, and of its opposite. How many of the ten do both
#    share?
# 10. (\*\*) Cut every text after its first 16 tokens and measure the linear classifier again, row by row. How much of
#     its accuracy comes from the title?
# 11. (\*\*\*) Write a batch sampler that limits the number of *positions* in a batch instead of the number of
#     texts. What is the share of padding now?
#
# ## Recap
#
# - Repair the fields, join them, then split: one text for the whole chapter.
# - A tokenizer is a set of decisions. Look at what it does to a hard sentence before you trust it. Where to
#   cut and whether to lower-case are two of them.
# - BPE merges the most frequent pair again and again; WordPiece divides by the counts of the parts. Bytes
#   can spell every text.
# - Few types make up most of a text (Zipf), and new ones never stop coming (Heaps).
# - A vocabulary is an ordered list with a rule for ties, `<pad>` at 0, `<unk>` at 1, and a default index.
# - Its size is chosen on validation rows, by a rule, with paired intervals.
# - Bags of words, hashing and TF-IDF make vectors without training. Their neighbors share words,
#   not meaning.
# - An embedding is a one-hot vector times a matrix, without the multiplication.
# - Padding is masked by the lengths, never by the ids. Buckets of similar length save most of it.
# - A vocabulary belongs to its model and its tokenizer. Save them together.
#
# ## Further reading
#
# - G. K. Zipf (1949): *Human behavior and the principle of least effort*.
# - G. Herdan (1960): *Type-token mathematics*; H. S. Heaps (1978): *Information retrieval*.
# - K. Spärck Jones (1972): *A statistical interpretation of term specificity*. Where idf comes from.
# - K. Weinberger and others (2009): *Feature hashing for large scale multitask learning*.
# - M. Schuster, K. Nakajima (2012): *Japanese and Korean voice search*. WordPiece.
# - R. Sennrich, B. Haddow, A. Birch (2016): *Neural machine translation of rare words with subword units*. BPE.
# - A. Radford and others (2019): *Language models are unsupervised multitask learners*. Byte-level BPE.
# - Y. Bengio and others (2003): *A neural probabilistic language model*. Learned word vectors.
