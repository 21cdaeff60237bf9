"""Chapter "Vocabulary": from texts to tokens, from tokens to ids, from ids to batches.

`vocab` holds the tokenizer, `Vocab` and the laws of word counts; `batching` pads, sorts and
shuffles.
"""

from agnews_utils.vocabulary.batching import (
    LengthBucketSampler,
    NewsDataset,
    collate,
    make_loader,
    pad_batch,
    padding_share,
)
from agnews_utils.vocabulary.vocab import (
    Vocab,
    build_vocab,
    coverage,
    encode,
    ngrams,
    power_law,
    tokenize,
    tokenize_all,
    vocabulary_growth,
)

__all__ = [
    "LengthBucketSampler",
    "NewsDataset",
    "Vocab",
    "build_vocab",
    "collate",
    "coverage",
    "encode",
    "make_loader",
    "ngrams",
    "pad_batch",
    "padding_share",
    "power_law",
    "tokenize",
    "tokenize_all",
    "vocabulary_growth",
]
