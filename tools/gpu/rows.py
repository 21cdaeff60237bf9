"""What the jobs read: texts as ids by both tokenizers, the same rows as all reference runs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerFast

from agnews_utils.bert.encoder import load_encoder
from agnews_utils.bert.fine_tuning import MAX_LENGTH, encode_for_bert
from agnews_utils.cleaning.pipeline import repair_frame
from agnews_utils.data.ag_news_csv import read_news_csv
from agnews_utils.data.loading import News, load_news
from agnews_utils.files import written_whole
from tools.pretraining.texts import EXTRA_FILE
from tools.reference import store
from tools.reference.draws import Rows


def frames(news: News) -> dict[str, pd.DataFrame]:
    """Return the rows to learn from, for validation and test, and those used without labels."""
    fit, valid = store.split(news)
    parts = {"fit": fit, "valid": valid, "test": news.test}
    if (news.folder / EXTRA_FILE).is_file():
        parts["extra"] = read_news_csv(news.folder / EXTRA_FILE)
    return {name: repair_frame(frame) for name, frame in parts.items()}


def encode_rows(
    parts: dict[str, pd.DataFrame],
    tokenizer: PreTrainedTokenizerFast,
    path: Path,
    max_length: int = MAX_LENGTH,
) -> None:
    """Write the ids and labels of all parts into one file."""
    arrays = {}
    for name, frame in parts.items():
        ids = encode_for_bert(frame["text"].tolist(), tokenizer, max_length)
        arrays[f"{name}.ids"] = np.concatenate([np.array(row, dtype=np.int32) for row in ids])
        arrays[f"{name}.lengths"] = np.array([len(row) for row in ids], dtype=np.int32)
        arrays[f"{name}.labels"] = frame["label"].to_numpy().astype(np.int64)
    with written_whole(path) as partial:
        save_file(arrays, partial)


@lru_cache(maxsize=2)
def read_rows(path: Path) -> dict[str, Rows]:
    """Read what `encode_rows` wrote."""
    arrays = load_file(path)
    parts = {}
    for name in sorted({key.split(".")[0] for key in arrays}):
        ends = np.cumsum(arrays[f"{name}.lengths"])[:-1]
        ids = [row.tolist() for row in np.split(arrays[f"{name}.ids"], ends)]
        parts[name] = Rows(ids, arrays[f"{name}.labels"])
    return parts


def prepare(data: dict[str, str], encoders: dict[str, Path], folder: Path) -> None:
    """Encode data sets (name -> source) with the tokenizers of encoders (name -> folder)."""
    for name, source in data.items():
        parts = None
        for encoder, place in encoders.items():
            path = folder / f"{name}.{encoder}.safetensors"
            if not path.is_file():
                parts = parts or frames(load_news(source))
                encode_rows(parts, load_encoder(place)[1], path)
