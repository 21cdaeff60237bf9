"""Chapter deployment, the way out of torch: a saved run as ONNX, with all that an answer needs.

    python -m agnews_utils.serving.export runs/bert
    python -m agnews_utils.serving.export runs/bert --int8 --output build/export

What is written is listed in `agnews_utils.serving.exported`, which reads it. A network is written
only if onnxruntime computes the same as torch, for batches of several sizes and lengths.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from agnews_utils.bert.encoder import quiet_transformers
from agnews_utils.bert.pooling import MeanPooledClassifier, mean_pool
from agnews_utils.files import file_hash, shown_path, write_text, written_whole
from agnews_utils.rnn.networks import BagOfEmbeddings, bigram_ids, text_lengths
from agnews_utils.runs import TEXT_PATHS, Encoder, Network, Run, RunError, load_run
from agnews_utils.runtime import say
from agnews_utils.serving.exported import (
    CARD,
    EXPORT_FILE,
    FORMAT,
    MODEL,
    TOKENIZER,
    ExportError,
    session_of,
)
from agnews_utils.vocabulary.vocab import PAD_INDEX, UNK_INDEX, Vocab

OPSET = 17
"""Version of ONNX' operators: old enough for every runtime of these years."""
TOLERANCE = 1e-5
"""By how much logits of torch and onnxruntime may differ, beside the size of the logits."""
_SHAPES = ((1, 1), (1, 9), (3, 2), (2, 40), (5, 17))
_INPUTS, _OUTPUT = ("input_ids", "attention_mask"), "logits"


# ----------------------------------------------------------------------- networks as ONNX has them


class BertLogits(nn.Module):
    """A BERT with its head, reading [CLS] or the mean of the states, with a mask of its own.

    How transformers makes the mask depends on its version, and newer ones decide in Python whether
    there is padding, which a traced graph would never ask again.
    """

    def __init__(self, model: BertForSequenceClassification) -> None:
        super().__init__()
        self.bert, self.classifier = model.bert, model.classifier
        self.mean = isinstance(model, MeanPooledClassifier)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        states = self.bert.embeddings(input_ids)
        hidden = 1.0 - attention_mask[:, None, None, :].to(states.dtype)
        smallest = torch.finfo(states.dtype).min
        states = self.bert.encoder(states, attention_mask=hidden * smallest)[0]
        pooled = mean_pool(states, attention_mask) if self.mean else self.bert.pooler(states)
        return self.classifier(pooled)


class TransformerLogits(nn.Module):
    """Any other network of transformers with a head for classification."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


class NetworkLogits(nn.Module):
    """A network of chapter rnn, which finds the lengths of the texts from the mask."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        return self.model(input_ids, attention_mask)


class BagLogits(nn.Module):
    """`BagOfEmbeddings` written out: ONNX has no bag that leaves padding out of its mean."""

    def __init__(self, model: BagOfEmbeddings) -> None:
        super().__init__()
        self.weight, self.output = model.embedding.weight, model.output
        self.vocab_size, self.buckets = model.vocab_size, model.buckets

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logits, shape (batch, classes)."""
        if self.buckets:
            lengths = text_lengths(input_ids, attention_mask)
            pairs = bigram_ids(input_ids, lengths, self.buckets)
            pairs = torch.where(pairs > 0, pairs + self.vocab_size - 1, PAD_INDEX)
            input_ids = torch.cat([input_ids, pairs], dim=1)
        there = (input_ids != PAD_INDEX).to(self.weight.dtype)
        vectors = F.embedding(input_ids, self.weight)
        return self.output(mean_pool(vectors, there))


def exportable(model: nn.Module) -> nn.Module:
    """Return a copy of a classifier, on the CPU, that takes ids and mask and can be exported."""
    model = deepcopy(model).cpu().float().eval()
    if isinstance(model, BagOfEmbeddings):
        return BagLogits(model).eval()
    if isinstance(model, PreTrainedModel):
        with quiet_transformers():  # plain products; transformers 4 warns that it has them already
            model.set_attn_implementation("eager")
        if isinstance(model, BertForSequenceClassification):
            return BertLogits(model).eval()
        return TransformerLogits(model).eval()
    return NetworkLogits(model).eval()


def write_onnx(
    model: nn.Module, path: Path, ids: int, *, longest: int = 40, pad: int = PAD_INDEX
) -> float:
    """Write a network of `exportable` as ONNX, and prove that onnxruntime computes the same.

    Parameters
    ----------
    model : nn.Module
        Takes `input_ids` and `attention_mask`, shape (batch, length), both of any size.
    path : Path
        The file.
    ids : int
        Number of ids that there are, for random texts.
    longest : int
        Length above which the network reads nothing.
    pad : int
        The id of padding.

    Returns
    -------
    float
        The largest difference of a logit.

    Raises
    ------
    ExportError
        If the library `onnx` is missing, the network cannot be exported, or the answers differ.
    """
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ExportError(
            "onnx is not installed: `pip install 'agnews-utils[serve]'`, or "
            "`pip install onnx onnxruntime`, brings what exporting needs."
        ) from None
    example = random_batch(2, min(7, longest), ids, pad)
    axes = {name: {0: "batch", 1: "length"} for name in _INPUTS} | {_OUTPUT: {0: "batch"}}
    # torch 2.9 made another exporter the default; the classroom's torch does not know the choice.
    choice: dict[str, Any] = {} if torch.__version__ < "2.6" else {"dynamo": False}
    try:
        with _quiet(), torch.no_grad():
            torch.onnx.export(
                model,
                example,
                str(path),
                input_names=list(_INPUTS),
                output_names=[_OUTPUT],
                dynamic_axes=axes,
                opset_version=OPSET,
                **choice,
            )
    except Exception as error:  # of many kinds, from several libraries
        raise ExportError(f"{type(model).__name__} cannot be exported: {error}") from None
    largest, size = differences(model, path, ids, longest, pad)
    if not largest <= TOLERANCE * max(1.0, size):  # not a number is no agreement
        raise ExportError(
            f"onnxruntime and torch differ by {largest:.2g} in logits of up to {size:.2g}: the "
            "network depends on something that a graph does not hold, so nothing was exported."
        )
    return largest


def differences(
    model: nn.Module, path: Path, ids: int, longest: int, pad: int
) -> tuple[float, float]:
    """Return the largest difference of a logit over some shapes, and the largest logit."""
    session, largest, size = session_of(path), 0.0, 0.0
    for number, (batch, length) in enumerate([*_SHAPES, (1, longest)]):
        given = random_batch(batch, min(length, longest), ids, pad, seed=number)
        with torch.no_grad():
            wanted = model(*given).numpy()
        found = session.run(None, dict(zip(_INPUTS, map(_array, given), strict=True)))[0]
        largest = max(largest, float(np.abs(wanted - found).max()))
        size = max(size, float(np.abs(wanted).max()))
    return largest, size


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.numpy()


def random_batch(
    batch: int, length: int, ids: int, pad: int = PAD_INDEX, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return random ids and masks, shape (batch, length); the last text has no padding."""
    draw = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (batch, 1), generator=draw)
    lengths[-1] = length
    mask = (torch.arange(length) < lengths).long()
    found = torch.randint(2, ids, (batch, length), generator=draw)
    return torch.where(mask > 0, found, pad), mask


def quantize(source: Path, target: Path) -> None:
    """Write a network with weights of 8 bits (onnxruntime's `quantize_dynamic`, QInt8).

    Weights of products and embeddings become whole numbers with one scale a matrix; what is
    multiplied with them is scaled anew for each text. Signed numbers: with unsigned ones the
    networks of the course are slower.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(source, target, weight_type=QuantType.QInt8)


@contextmanager
def _quiet() -> Any:
    """Silence what the exporter prints: warnings of tracing, which the comparison answers."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.root.setLevel(level)


# --------------------------------------------------------------------------------------- tokenizers


def word_tokenizer(vocab: Vocab, pattern: str) -> Tokenizer:
    """Return a tokenizer of the tokenizers library that does what `tokenize` and `Vocab` do.

    Parameters
    ----------
    vocab : Vocab
        The tokens.
    pattern : str
        What counts as a token, from `spelled_out`. Texts are in lower case already: Python's rules
        for that look at a letter's neighbors (a Greek word's last one), the library's do not.
    """
    unknown = vocab.lookup_token(UNK_INDEX)
    words = {token: index for index, token in enumerate(vocab.get_itos())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    return tokenizer


_WORD, _DIGIT = r"\p{L}\p{N}_", r"\p{Nd}"
# The characters themselves: each language has its own way to write their numbers.
_SPACE = "\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_SPELLED = {
    "w": f"[{_WORD}]",
    "d": _DIGIT,
    "s": f"[{_SPACE}]",
    "b": f"(?:(?<=[{_WORD}])(?![{_WORD}])|(?<![{_WORD}])(?=[{_WORD}]))",
}
_SPELLED_INSIDE = {"w": _WORD, "d": _DIGIT, "s": _SPACE}
_LETTER = (r"[^\W\d_]", r"[\p{L}\p{Nl}\p{No}]")


def spelled_out(pattern: str) -> str:
    r"""Return a verbose regular expression of Python in a form that others read alike.

    Spaces, line ends and comments go; `\w`, `\d` and `\b`, which mean other characters in other
    languages, become what they mean in Python.

    Raises
    ------
    ExportError
        If it uses a class of characters that is not known here.

    Examples
    --------
    >>> spelled_out(r"[a-z ]+  # words" "\n" r"| \d")
    '[a-z ]+|\\p{Nd}'
    """
    pattern = pattern.replace(*_LETTER)
    plain, inside, place = [], False, 0
    while place < len(pattern):
        letter = pattern[place]
        if letter == "\\":
            code = pattern[place + 1]
            known = _SPELLED_INSIDE if inside else _SPELLED
            if code in "WDSBAZ" or (code == "b" and inside):
                raise ExportError(f"the tokens are given by {pattern!r}: \\{code} is not known.")
            plain.append(known.get(code, letter + code))
            place += 2
            continue
        if not inside and letter == "#":
            end = pattern.find("\n", place)
            place = len(pattern) if end < 0 else end
            continue
        inside = letter == "[" or (inside and letter != "]")
        if inside or not letter.isspace():
            plain.append(letter)
        place += 1
    return "".join(plain)


# ---------------------------------------------------------------------------------- a whole folder


@dataclass(frozen=True)
class Parts:
    """What an export consists of.

    Attributes
    ----------
    network : nn.Module
        From `exportable`.
    tokenizer : Tokenizer
        Text to ids.
    tokens : dict
        `max_length`, `pad`, and the ids `before` and `after` those of a text; with words for
        tokens, `lower` (case first) and their `pattern`.
    classes : tuple of str
        In the order of the logits.
    texts : str
        A key of `TEXT_PATHS`.
    about : dict
        Where it comes from: model, data, metrics.
    """

    network: nn.Module
    tokenizer: Tokenizer
    tokens: dict[str, Any]
    classes: tuple[str, ...]
    texts: str
    about: dict[str, Any] = field(default_factory=dict)


def parts_of_encoder(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    classes: Sequence[str],
    max_length: int,
    texts: str = "repaired",
    about: Mapping[str, Any] | None = None,
) -> Parts:
    """Return what the export of an encoder with a tuned head consists of."""
    inner = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    inner.no_truncation()
    inner.no_padding()
    around = inner.encode("")
    # What stands around a text: [CLS] before and [SEP] after, in BERT's and most others' form.
    ids = around.ids
    cut = len(ids) // 2 + len(ids) % 2
    tokens = {
        "max_length": max_length,
        "pad": tokenizer.pad_token_id,
        "before": ids[:cut],
        "after": ids[cut:],
    }
    return Parts(exportable(model), inner, tokens, tuple(classes), texts, dict(about or {}))


def parts_of_run(run: Run) -> Parts:
    """Return what the export of a saved run consists of.

    Raises
    ------
    ExportError
        If it is the linear model, whose features are no network.
    """
    about = {name: run.about.get(name) for name in ("data", "metrics", "training", "seed")}
    about["model"] = run.model
    kind = run.classifier
    if isinstance(kind, Encoder):
        length = kind.max_length
        return parts_of_encoder(kind.model, kind.tokenizer, run.classes, length, run.texts, about)
    if isinstance(kind, Network):
        pattern = spelled_out(kind.pattern)
        tokens = {"max_length": kind.max_length, "pad": PAD_INDEX, "before": [], "after": []}
        tokens |= {"lower": True, "pattern": pattern}
        tokenizer = word_tokenizer(kind.vocab, pattern)
        return Parts(exportable(kind.model), tokenizer, tokens, run.classes, run.texts, about)
    raise ExportError(
        f"a run of {run.model!r} is no network: its features are counted words, which "
        "`python -m agnews_utils.predict` computes. Export a network or bert."
    )


def export(parts: Parts, folder: str | os.PathLike[str], *, int8: bool = False) -> Path:
    """Write an export, whole or not at all; a former one is replaced.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ExportError
        See `write_onnx`; or if the folder holds something else.
    """
    folder = Path(folder).expanduser()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / EXPORT_FILE).is_file():
        raise ExportError(
            f"{shown_path(folder)} holds something else: name a folder that is new or empty."
        )
    with written_whole(folder) as partial:
        partial.mkdir()
        ids = parts.tokenizer.get_vocab_size()
        longest = parts.tokens["max_length"]
        with tempfile.TemporaryDirectory() as scratch:
            full = Path(scratch) / MODEL if int8 else partial / MODEL
            largest = write_onnx(parts.network, full, ids, longest=longest, pad=parts.tokens["pad"])
            if int8:
                quantize(full, partial / MODEL)
        parts.tokenizer.save(str(partial / TOKENIZER), pretty=False)
        about = {
            "format": FORMAT,
            "classes": list(parts.classes),
            "texts": parts.texts,
            "steps": list(TEXT_PATHS[parts.texts]),
            "tokens": parts.tokens,
            "precision": "int8" if int8 else "fp32",
            "opset": OPSET,
            "largest_difference": largest,
            **parts.about,
        }
        (partial / CARD).write_text(card(about), encoding="utf-8", newline="\n")
        about["files"] = {
            name: {"bytes": (partial / name).stat().st_size, "sha256": file_hash(partial / name)}
            for name in (MODEL, TOKENIZER, CARD)
        }
        write_text(partial / EXPORT_FILE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
    return folder


def export_run(
    run: str | os.PathLike[str], folder: str | os.PathLike[str] | None = None, *, int8: bool = False
) -> Path:
    """Export a saved run; without a `folder` into `export/` inside of the run's.

    Raises
    ------
    RunError, ExportError
        If the run cannot be loaded, or its network not exported.
    """
    place = Path(run).expanduser()
    return export(parts_of_run(load_run(place)), folder or place / "export", int8=int8)


def card(about: Mapping[str, Any]) -> str:
    """Return the card of an export, in Markdown."""
    data, metrics = about.get("data") or {}, about.get("metrics") or {}
    rows = data.get("rows") or {}
    lines = [
        "# An exported text classifier",
        "",
        "| | |",
        "|---|---|",
        f"| model | {about.get('model', 'an encoder with a tuned head')} |",
        f"| classes | {', '.join(about['classes'])} |",
        f"| texts | {about['texts']}: {', '.join(about['steps']) or 'taken as they are'} |",
        f"| tokens | {about['tokens']['max_length']} at most |",
        f"| numbers | {about['precision']} |",
    ]
    if data:
        lines.append(f"| data | {data.get('description') or data.get('name')} |")
    for split, name in (("valid", "validation"), ("test", "test")):
        if f"{split}_accuracy" in metrics:
            count = f"{rows[split]:,} " if split in rows else ""
            share = f"{metrics[f'{split}_accuracy']:.1%}"
            lines.append(f"| right of {count}{name} rows, before the export | {share} |")
    lines += [
        "",
        "`model.onnx` takes `input_ids` and `attention_mask`, 64-bit, shape (batch, length), and "
        "returns `logits`, shape (batch, classes). `agnews_utils.serving.exported` answers texts "
        "with it, without torch.",
        "",
        "The terms of the data, and of the encoder that was tuned, hold for this folder, too.",
        "",
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- the command


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see `python -m agnews_utils.serving.export --help`."""
    parser = argparse.ArgumentParser(
        prog="python -m agnews_utils.serving.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="folder that `python -m agnews_utils.train` wrote")
    add("--output", type=Path, help="folder to write; default: RUN/export")
    add("--int8", action="store_true", help="weights of 8 bits: a quarter of the size")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 after an error that a sentence explains."""
    options = parse_arguments(arguments)
    try:
        folder = export_run(options.run, options.output, int8=options.int8)
    except (ExportError, RunError, OSError) as error:
        print(f"python -m agnews_utils.serving.export: {error}", file=sys.stderr)
        return 1
    size = (folder / MODEL).stat().st_size
    say(f"{shown_path(folder)}: {MODEL} of {size / 1e6:.1f} MB, {TOKENIZER}, {EXPORT_FILE}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
