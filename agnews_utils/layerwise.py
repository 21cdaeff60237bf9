"""Chapter 5, BERT, fine-tuning layer by layer: learning rates, freezing, attention maps."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agnews_utils.encoder_loading import quiet_transformers
from agnews_utils.training.inference import evaluation_mode
from agnews_utils.training.optimizers import parameter_groups

_LAYER = re.compile(r"(?P<stack>.*?\.layers?\.)(?P<number>\d+)\.")


def _layer_prefixes(model: PreTrainedModel) -> list[str]:
    """Return how the names of each layer's parameters begin, from the lowest layer up."""
    body = f"{model.base_model_prefix}."
    found = {}
    for name, _ in model.named_parameters():
        if name.startswith(body) and (match := _LAYER.match(name)):
            found[int(match["number"])] = match[0]
    if not found:
        raise ValueError(f"{type(model).__name__} has no layers that are named as such.")
    return [found[number] for number in sorted(found)]


def layerwise_parameter_groups(
    model: PreTrainedModel, learning_rate: float, decay: float = 0.8, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Give each layer a smaller learning rate than the one above it (chapter 5, "Layer by layer").

    The head and the pooler get `learning_rate`, the top layer `learning_rate * decay`, and so on
    down to the embeddings (Howard and Ruder, 2018; Sun et al., 2019). Frozen parameters are left
    out.

    Parameters
    ----------
    model : PreTrainedModel
        As `load_encoder` returns it.
    learning_rate : float
        Of the head.
    decay : float
        From each layer to the one below it; 1 for the same rate everywhere.
    weight_decay : float
        See `agnews_utils.training.parameter_groups`.

    Returns
    -------
    list of dict
        Groups for any optimizer of torch, such as `AdamW(groups)`, which `fit` takes.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"decay={decay}: expected more than 0 and at most 1, such as 0.8")
    trained = [name for name, value in model.named_parameters() if value.requires_grad]
    prefixes = _layer_prefixes(model)
    factors = {prefix: decay ** (i + 1) for i, prefix in enumerate(reversed(prefixes))}
    factors[f"{model.base_model_prefix}.embeddings."] = decay ** (len(prefixes) + 1)
    used = {p: f for p, f in factors.items() if any(name.startswith(p) for name in trained)}
    return parameter_groups(model, learning_rate, weight_decay, used)


def unfreeze(model: PreTrainedModel, layers: int | None = None) -> int:
    """Choose what is trained: the head, some layers, or all (chapter 5, "Layer by layer").

    Gradual unfreezing is a sequence of calls of `fit` with 0, 1, 2, ... layers.

    Parameters
    ----------
    model : PreTrainedModel
        Its parameters are frozen or unfrozen.
    layers : int, optional
        0: only the head; n: the pooler and the n top layers, too; None: everything, with the
        embeddings.

    Returns
    -------
    int
        How many numbers are trained.
    """
    prefixes = _layer_prefixes(model)
    if layers is not None and not 0 <= layers <= len(prefixes):
        raise ValueError(f"layers={layers}: the network has {len(prefixes)} of them")
    body = f"{model.base_model_prefix}."
    opened = tuple(prefixes[len(prefixes) - (layers or 0) :])
    for name, parameter in model.named_parameters():
        pooler = name.startswith(f"{body}pooler.") and bool(layers)
        free = layers is None or not name.startswith(body) or name.startswith(opened) or pooler
        parameter.requires_grad_(free)
    return sum(value.numel() for value in model.parameters() if value.requires_grad)


def attention_maps(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, max_length: int = 128
) -> tuple[list[str], Tensor]:
    """Return who looks at whom in a text (chapter 5, "A map of attention").

    Returns
    -------
    pieces : list of str
        The pieces of the text, special tokens included.
    weights : Tensor, shape (layers, heads, length, length)
        Rows are the queries; each adds up to 1.
    """
    encoded = tokenizer(text, return_tensors="pt", truncation=True, max_length=max_length)
    body = getattr(model, model.base_model_prefix)
    before = model.config._attn_implementation
    with quiet_transformers(), evaluation_mode(model):
        # The fused kernels do not keep their weights. transformers 4 cannot exchange them, warns,
        # and computes the weights all the same.
        model.set_attn_implementation("eager")
        try:
            device = next(model.parameters()).device
            found = body(
                input_ids=encoded["input_ids"].to(device),
                attention_mask=encoded["attention_mask"].to(device),
                output_attentions=True,
            )
        finally:
            model.set_attn_implementation(before)
    weights = torch.stack([layer[0].cpu() for layer in found.attentions])
    return tokenizer.convert_ids_to_tokens(encoded["input_ids"][0].tolist()), weights
