"""Chapter pretraining, the texts of `python -m tools.pretraining`: read, clean, hash, encode.

What is prepared stays in the folder of the run, so that an interrupted run resumes in seconds and
with the same tokenizer, rows and order.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from agnews_utils.bert.pretraining import EncodedRows, encode_rows
from agnews_utils.bert.wordpiece import train_tokenizer, wrap_tokenizer
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.duplicates import text_hashes
from agnews_utils.data.loading import News
from agnews_utils.files import file_hash, written_whole

EXTRA_FILE = "unlabelled_extra.csv"
"""Further rows in the format of AG News, read for pre-training only."""

VALIDATION_ROWS = 1000
"""Rows held back from pre-training to measure it, or a tenth of a small data set."""

_PARTS = ("titles", "descriptions", "texts")


@dataclass(frozen=True)
class Prepared:
    """What a pre-training run reads.

    Attributes
    ----------
    train, valid : EncodedRows
        The rows to learn from, and those held back.
    tokenizer : PreTrainedTokenizerFast
        Trained on the rows of `train`.
    hashes : dict of str to array
        "pretraining" and "test": see `text_hashes`.
    facts : dict
        Where the texts come from and how many there are.
    """

    train: EncodedRows
    valid: EncodedRows
    tokenizer: PreTrainedTokenizerFast
    hashes: dict[str, np.ndarray]
    facts: dict[str, Any]


def prepare(news: News, folder: Path, *, vocab_size: int, max_length: int, seed: int) -> Prepared:
    """Prepare the texts of a run, or read what an interrupted run has prepared from the same ones.

    Parameters
    ----------
    news : News
        The training rows are read, and those of `unlabelled_extra.csv` in the same folder; the
        test rows only to leave out what equals one of them.
    folder : Path
        Keeps what was prepared.
    vocab_size, max_length : int
        Pieces of the tokenizer, and pieces per text.
    seed : int
        Chooses the rows that are held back.

    Raises
    ------
    ValueError
        If the folder was prepared from other texts or with other settings, or there are too few
        texts.
    """
    extra = news.folder / EXTRA_FILE
    source = {
        "md5": news.md5 | ({EXTRA_FILE: file_hash(extra, "md5")} if extra.is_file() else {}),
        "vocab_size": vocab_size,
        "max_length": max_length,
        "seed": seed,
    }
    if (folder / "facts.json").is_file():
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        if facts["source"] != source:
            raise ValueError(
                f"{folder} was prepared from other texts or with other settings: use the same "
                "data, vocabulary, length and seed, or another output folder."
            )
        return _load(folder, facts)
    prepared = _prepare(news, source)
    _save(prepared, folder)
    return prepared


def _prepare(news: News, source: dict[str, Any]) -> Prepared:
    rows, origins = read_texts(news)
    hashes, test = text_hashes(rows["text"]), text_hashes(repair_frame(news.test)["text"])
    kept = (~np.isin(hashes, test)) & (rows["text"].str.len() > 0).to_numpy()
    rows = rows[kept].reset_index(drop=True)
    order = np.random.default_rng(source["seed"]).permutation(len(rows))
    held_back = min(VALIDATION_ROWS, len(rows) // 10)
    if held_back == 0:
        raise ValueError(f"{news.folder} holds too few texts to learn from: {len(rows)}.")
    valid, train = rows.iloc[order[:held_back]], rows.iloc[np.sort(order[held_back:])]
    tokenizer = train_tokenizer(train["text"], source["vocab_size"])
    length = source["max_length"]
    facts = {
        "source": source,
        "name": news.name,
        "description": news.description,
        "texts": origins,
        "left_out": int((~kept).sum()),
        "rows": {"train": len(train), "valid": len(valid)},
    }
    stored = {"pretraining": np.unique(hashes[kept]), "test": np.unique(test)}
    encoded = encode_rows(train, tokenizer, length), encode_rows(valid, tokenizer, length)
    return Prepared(*encoded, tokenizer, stored, facts)


def read_texts(news: News) -> tuple[pd.DataFrame, str]:
    """Return the cleaned training texts (no label), and a phrase about where they come from."""
    frames = {"train.csv": news.train}
    if (news.folder / EXTRA_FILE).is_file():
        frames[EXTRA_FILE] = read_news_csv(news.folder / EXTRA_FILE)
    cleaned = [repair_frame(frame)[["title", "description", "text"]] for frame in frames.values()]
    origins = " and ".join(f"{len(frame):,} rows of {name}" for name, frame in frames.items())
    return pd.concat(cleaned, ignore_index=True), origins


def _save(prepared: Prepared, folder: Path) -> None:
    arrays = {}
    for split in ("train", "valid"):
        for part in _PARTS:
            sequences = getattr(getattr(prepared, split), part)
            arrays[f"{split}.{part}.ids"] = np.concatenate(sequences)
            arrays[f"{split}.{part}.lengths"] = np.array([len(ids) for ids in sequences])
    with written_whole(folder) as partial:
        partial.mkdir()
        save_file(arrays, partial / "rows.safetensors")
        save_file(prepared.hashes, partial / "hashes.safetensors")
        prepared.tokenizer.backend_tokenizer.save(str(partial / "tokenizer.json"))
        (partial / "facts.json").write_text(json.dumps(prepared.facts, indent=1), encoding="utf-8")


def _load(folder: Path, facts: dict[str, Any]) -> Prepared:
    arrays = load_file(folder / "rows.safetensors")

    def rows(split: str) -> EncodedRows:
        parts = []
        for part in _PARTS:
            ends = np.cumsum(arrays[f"{split}.{part}.lengths"])[:-1]
            parts.append(np.split(arrays[f"{split}.{part}.ids"], ends))
        return EncodedRows(*parts)

    tokenizer = wrap_tokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
    hashes = load_file(folder / "hashes.safetensors")
    return Prepared(rows("train"), rows("valid"), tokenizer, hashes, facts)
