"""Chapter pretraining, what `python -m tools.pretraining` leaves behind: an encoder and its papers.

Beside weights and tokenizer: the log of the run, a model card whose numbers come from the log, and
hashes of the texts, which prove that no test text was read (`text_hashes`).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save
from transformers import BertForMaskedLM, PreTrainedTokenizerFast

from agnews_utils.bert.encoder import HASHES, LOG, save_encoder
from agnews_utils.bert.pretraining import PretrainingModel
from agnews_utils.runtime import code_version, environment

CARD = "README.md"
DROPOUT = 0.1
"""Dropout of the exported network: few rows need it, short pre-training does not."""


def export_encoder(
    model: PretrainingModel,
    tokenizer: PreTrainedTokenizerFast,
    facts: Mapping[str, Any],
    hashes: Mapping[str, np.ndarray],
    folder: Path,
) -> Path:
    """Write the encoder in half precision, with log, model card and hashes.

    Parameters
    ----------
    model, tokenizer
        The trained network and its tokenizer.
    facts : mapping
        Recipe, data, budget and the rounds of the log.
    hashes : mapping
        "pretraining" and "test": arrays of int64 from `text_hashes`.
    folder : Path
        Where to write; an encoder that is there is replaced.

    Returns
    -------
    Path
        The folder.
    """
    config = copy.deepcopy(model.network.config)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = DROPOUT
    # Fills in masks and, unlike one made by the library, keeps its pooler, which classifying needs;
    # the head of BERT's other task was never trained.
    filler = BertForMaskedLM(config)
    filler.bert, filler.cls.predictions = model.network.bert, model.network.cls.predictions
    log = {
        **facts,
        "parameters": sum(value.numel() for value in filler.parameters()),
        "environment": environment(),
        "commit": code_version(),
    }
    also = {
        LOG: (json.dumps(log, indent=1) + "\n").encode(),
        CARD: model_card(log).encode(),
        HASHES: save({name: np.sort(values) for name, values in hashes.items()}),
    }
    return save_encoder(filler, tokenizer, folder, half=True, also=also)


def model_card(log: Mapping[str, Any]) -> str:
    """Return the model card; every number in it is taken from the log."""
    recipe, rounds = log["recipe"], log["rounds"]
    first, last = rounds[0], rounds[-1]
    rows = "\n".join(_row(entry) for entry in _thinned(rounds, 12))
    share, unit = recipe.get("mask_share", 0.15), "pieces"
    if recipe["whole_words"]:
        unit = "words, all pieces of one together"
    tasks = f"masked-language modeling ({share:.0%} of the {unit}; 80/10/10)"
    if recipe["match_share"] > 0:
        tasks += (
            f", and, in {recipe['match_share']:.0%} of the steps, matching each title to its "
            f"description among {recipe['pairs']} (from the pooled [CLS]; in the place of BERT's "
            "next-sentence task)"
        )
    start = (
        "random, but for the embeddings, which begin as the singular vectors of counted "
        "neighbors in the same texts"
        if recipe["counted"]
        else "random"
    )
    return f"""---
language: en
license: other
license_name: non-commercial
library_name: transformers
pipeline_tag: fill-mask
---
# agnews-bert-mini

A small BERT that the course "AG News from scratch" pre-trained on news, to be fine-tuned in its
chapter "BERT" on a CPU. It is no general language model: it has read short news and nothing else.

| | |
|---|---|
| form | {recipe["layers"]} layers x {recipe["hidden"]}, {recipe["heads"]} heads, \
{log["parameters"]:,} parameters, stored in 16 bits |
| tokenizer | WordPiece, lower-cased, up to {recipe["vocab_size"]:,} pieces, trained on the \
same texts |
| text | {log["data"]["texts"]}: titles and descriptions, repaired as in the chapter \
"Text cleaning", with their datelines; \
{log["data"]["rows"]["train"]:,} texts to learn from, \
{log["data"]["rows"]["valid"]:,} held back to measure |
| not read | labels, but for a score in the log that teaches nothing; \
test rows (`{HASHES}` holds hashes of all texts, and a test compares them) |
| first weights | {start} |
| tasks | {tasks} |
| optimizer | AdamW, peak {recipe["learning_rate"]:g}, warm-up {recipe["warmup"]:.0%} of the time, \
then linearly to 0 |
| budget | {last["seconds"] / 60:.1f} minutes, \
{last["cpu_seconds"]:,.0f} CPU seconds, \
{last["step"]:,} steps, {last["tokens"]:,} tokens |
| hardware | {_hardware(log)} |

## Curves

Measured on texts held back from pre-training; the last row is what is shipped. Every number stands
in `{LOG}`; the last column is the accuracy of a linear model on the frozen states.

| step | tokens | minutes | masking: loss | right | matching: right of 100 | 25 rows a class |
|---|---|---|---|---|---|---|
{rows}

The loss of masking fell from {_number(first["valid_masking_loss"])} after the first round to \
{_number(last["valid_masking_loss"])} nats;
guessing evenly among the pieces is \
{np.log(recipe["vocab_size"]):.2f}.

{_unfinished(log)}## What it reaches

`make gpu-all` fine-tunes it on all rows and on few (on a CPU `make results RUN=bert_full`); the
README of the course and its chapter "BERT" show the results.

## Terms

The texts are AG's corpus of news articles, which is provided for research and other non-commercial
activity; use this model for nothing else. No text can be read back from the hashes.

## Limits

English news of a few years, with the views and gaps of its sources, read in pieces of at most
{recipe["max_length"]}. As a fill-in-the-mask model it is weak: it was trained for minutes where
BERT was trained for days, and knows topics better than grammar or facts. Do not use it where a
wrong answer would harm anybody.

## Use

```python
from agnews_utils.bert import load_encoder

model, tokenizer = load_encoder("agnews-bert-mini")  # with a new head for four classes
```

`AutoModel`, `AutoModelForMaskedLM` and `AutoTokenizer` of transformers 4 and 5 read it, too.
Made by `python -m tools.pretraining {_budget(log)}` with the settings under `recipe` in the log.
"""


def _budget(log: Mapping[str, Any]) -> str:
    return f"--steps {log['steps']}" if log.get("steps") else f"--minutes {log['minutes']:g}"


def _unfinished(log: Mapping[str, Any]) -> str:
    """Return a paragraph for a run that was cut short, while its learning rate was still high."""
    share = log["rounds"][-1]["learning_rate"] / log["recipe"]["learning_rate"]
    if share < 0.1:
        return ""
    return (
        f"The run was cut short: at its end the learning rate was still {share:.0%} of its peak, "
        "and the loss\nstill fell. More time will make a better encoder.\n\n"
    )


def _hardware(log: Mapping[str, Any]) -> str:
    device = log["environment"]["device"]
    threads = log.get("threads", 1)
    if device == "cpu":
        device = f"CPU, {threads} thread{'s' * (threads > 1)}, no GPU"
    return f"{device}; precision: {'float32' if log['precision'] == 'no' else log['precision']}"


def _thinned(rounds: list[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    if len(rounds) <= most:
        return list(rounds)
    picked = np.unique(np.linspace(0, len(rounds) - 1, most).round().astype(int))
    return [rounds[position] for position in picked]


def _row(entry: Mapping[str, Any]) -> str:
    cells = [
        f"{entry['step']:,}",
        f"{entry['tokens']:,}",
        f"{entry['seconds'] / 60:.1f}",
        _number(entry["valid_masking_loss"]),
        _percent(entry["valid_masking_accuracy"]),
        _percent(entry["valid_matching_accuracy"]),
        _percent(entry.get("few_rows_accuracy")),
    ]
    return f"| {' | '.join(cells)} |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
