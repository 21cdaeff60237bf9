"""Chapter deployment, an exported model: read its folder and answer texts, without torch.

    model = load_export("runs/bert/export")
    model.predict(["Oil prices rise again"])  # ['Business']

The folder (`python -m agnews_utils.serving.export` writes it):

    export.json       classes, how texts are prepared and cut, where it comes from; size and SHA-256
                      of the other files
    model.onnx        the network: `input_ids` and `attention_mask` to `logits`
    tokenizer.json    of the tokenizers library: text to ids
    README.md         a card for people
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from agnews_utils.cleaning.pipeline import DEFAULT_STEPS, Cleaner
from agnews_utils.files import file_hash, shown_path

EXPORT_FILE, MODEL, TOKENIZER, CARD = "export.json", "model.onnx", "tokenizer.json", "README.md"
FORMAT = "agnews_utils export 1"
_AGAIN = "Export the run once more."


class ExportError(ValueError):
    """A model cannot be exported, or a folder is no whole export; the message says why."""


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """A network of onnxruntime with all that it needs to answer texts.

    Attributes
    ----------
    session : onnxruntime.InferenceSession
        What computes.
    tokenizer : Tokenizer
        Text to ids, without special tokens.
    about : dict
        What `export.json` says.
    """

    session: Any
    tokenizer: Tokenizer
    about: Mapping[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return tuple(self.about["classes"])

    def prepare(self, text: str) -> str:
        """Repair a text as those that the model learned from were repaired."""
        steps = {step.name: step for step in DEFAULT_STEPS}
        return Cleaner([steps[name] for name in self.about["steps"]])(text)

    def ids(self, prepared: str) -> list[int]:
        """Return the ids of a prepared text, cut and with special tokens; never none."""
        tokens = self.about["tokens"]
        around = len(tokens["before"]) + len(tokens["after"])
        prepared = prepared.lower() if tokens.get("lower") else prepared
        found = self.tokenizer.encode(prepared, add_special_tokens=False).ids
        found = found[: tokens["max_length"] - around]
        return [*tokens["before"], *found, *tokens["after"]]

    def predict_proba(self, texts: Iterable[str]) -> np.ndarray:
        """Return the probability of each class for each text, shape (texts, classes).

        One text at a time: where numbers have 8 bits, texts that are computed together share their
        scale, so that an answer would depend on its neighbors.

        Raises
        ------
        TypeError
            If it is a single string, or holds something that is no text.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one string: give a list of texts, such as [text].")
        answers = [softmax(self.logits(self.ids(self.prepare(text)))) for text in texts]
        return np.stack(answers) if answers else np.zeros((0, len(self.classes)))

    def predict(self, texts: Iterable[str]) -> list[str]:
        """Return the name of the most probable class of each text."""
        return [self.classes[number] for number in self.predict_proba(texts).argmax(axis=1)]

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Return the logits for the ids of one text, shape (classes,)."""
        # A text without a token is one of padding, as in training.
        given = np.array([list(ids) or [self.about["tokens"]["pad"]]], dtype=np.int64)
        mask = np.full_like(given, 1 if len(ids) else 0)
        return self.session.run(None, {"input_ids": given, "attention_mask": mask})[0][0]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities that add up to 1, in 64 bits."""
    powers = np.exp(logits.astype(np.float64) - logits.max())
    return powers / powers.sum()


def session_of(path: str | os.PathLike[str]) -> Any:
    """Open a network with onnxruntime, on one thread of the CPU.

    Raises
    ------
    ExportError
        If onnxruntime is not installed, or does not read the file.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ExportError(
            "onnxruntime is not installed: `pip install 'agnews-utils[serve]'`, or "
            "`pip install onnx onnxruntime`, brings what exported models need."
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            os.fspath(path), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common class of their own
        raise ExportError(f"{shown_path(path)} cannot be read by onnxruntime: {error}") from None


def read_about(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read `export.json`, and check that all files that it lists are whole.

    Raises
    ------
    ExportError
        If the folder is no export, or a file is missing, damaged or exchanged.
    """
    folder = Path(folder).expanduser()
    path, shown = folder / EXPORT_FILE, shown_path(folder)
    if not path.is_file():
        raise ExportError(
            f"{shown} has no {EXPORT_FILE}: name a folder that "
            "`python -m agnews_utils.serving.export` wrote."
        )
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r} instead of {FORMAT!r}")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ExportError(f"{shown_path(path)} is damaged ({error}). {_AGAIN}") from None
    for name, listed in about["files"].items():
        file = folder / name
        if not file.is_file():
            raise ExportError(f"{shown} lacks {name}. {_AGAIN}")
        if file.stat().st_size != listed["bytes"] or file_hash(file) != listed["sha256"]:
            raise ExportError(f"{shown_path(file)} was changed, cut off or exchanged. {_AGAIN}")
    return about


def load_export(folder: str | os.PathLike[str]) -> ExportedModel:
    """Load an exported model; torch is not needed.

    Raises
    ------
    ExportError
        See `read_about` and `session_of`.
    """
    folder = Path(folder).expanduser()
    about = read_about(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return ExportedModel(session_of(folder / MODEL), tokenizer, about)
