"""Chapter pretraining, its tokenizer: WordPiece by hand, trained on own texts, and read from files.

WordPiece cuts a word into the longest pieces that its vocabulary knows; a piece that goes on a word
begins with "##" (Schuster and Nakajima, 2012; Wu et al., 2016). No word is unknown as long as its
letters are known.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
"""BERT's special tokens by the names of transformers; their ids are 0 to 4, in this order."""

LONGEST_WORD = 100
"""Letters above which a word becomes [UNK] as a whole, as in BERT."""


def wordpiece(word: str, vocab: Collection[str]) -> list[str]:
    """Cut one word into pieces, the longest match first (pretraining, "WordPiece by hand").

    Parameters
    ----------
    word : str
        A word as the tokenizer's normalizer and pre-tokenizer leave it: lower case, no space.
    vocab : collection of str
        The pieces; those inside of a word begin with "##". A set or dict makes it fast.

    Returns
    -------
    list of str
        The pieces, ["[UNK]"] if a part of the word fits no piece, [] for an empty word.
    """
    if len(word) > LONGEST_WORD:
        return ["[UNK]"]
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocab), None)
        if end is None:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def train_tokenizer(texts: Iterable[str], vocab_size: int = 8000) -> PreTrainedTokenizerFast:
    """Train a lower-casing WordPiece tokenizer (pretraining, "A vocabulary of pieces").

    Parameters
    ----------
    texts : iterable of str
        Training texts; never those of the test split.
    vocab_size : int
        Number of pieces, special tokens included; fewer if the texts do not have so many.

    Returns
    -------
    PreTrainedTokenizerFast
        Adds [CLS] and [SEP] and pads with [PAD], as BERT's own tokenizer does.

    Raises
    ------
    TypeError
        If the texts are one string.
    ValueError
        If they hold nothing to learn from.
    """
    if isinstance(texts, str):
        raise TypeError("texts is one string: give a list or a column of texts.")
    tokenizer = Tokenizer(
        models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=LONGEST_WORD)
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = list(SPECIAL_TOKENS.values())
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size, special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    if tokenizer.get_vocab_size() <= len(special):
        raise ValueError("the texts hold no word: there is nothing to train a tokenizer on.")
    cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", cls), ("[SEP]", sep)],
    )
    tokenizer.decoder = decoders.WordPiece()
    return wrap_tokenizer(tokenizer)


def wrap_tokenizer(tokenizer: Tokenizer, max_length: int = 128) -> PreTrainedTokenizerFast:
    """Return a tokenizer of the tokenizers library as one of transformers."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        clean_up_tokenization_spaces=True,
        **SPECIAL_TOKENS,
    )


def pieces_by_id(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the piece of each id, in the order of the ids."""
    vocab = tokenizer.get_vocab()
    return sorted(vocab, key=vocab.__getitem__)
