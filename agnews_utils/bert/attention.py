"""Chapter pretraining, its layer by hand: attention, heads, residuals, normalization, feed-forward.

Nothing here is faster or better than torch's own layers. The functions are what the chapter builds,
and the tests hold them against `torch.nn.MultiheadAttention` and `BertLayer`, forward and gradient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Layers = Mapping[str, tuple[Tensor, Tensor]]
"""Weight and bias of each part of a layer, by name; see `layer_parameters`."""


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Average the values by how well their keys fit the query (pretraining, "Attention by hand").

    Scaled dot-product attention, softmax(Q K^T / sqrt(d_k)) V (Vaswani et al., 2017, equation 1).

    Parameters
    ----------
    query : Tensor, shape (..., queries, d_k)
        What each position looks for.
    key : Tensor, shape (..., keys, d_k)
        What each position offers.
    value : Tensor, shape (..., keys, d_v)
        What each position hands over.
    mask : Tensor, optional
        1 or True where a query may look, 0 or False where not; any shape that broadcasts to
        (..., queries, keys). A query that may look nowhere gets zeros.

    Returns
    -------
    output : Tensor, shape (..., queries, d_v)
        The averages.
    weights : Tensor, shape (..., queries, keys)
        The weights of the averages; each row adds up to 1, or to 0 where all is masked.

    Raises
    ------
    ValueError
        If query and key differ in their last size, or key and value in their number.
    """
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}: "
            "query and key need the same last size, key and value the same number of positions."
        )
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (..., queries, keys)
    if mask is None:
        weights = scores.softmax(-1)
    else:
        allowed = mask.bool()
        # The lowest number, not -inf: a row of -inf only would give nan, and nan gradients.
        scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).masked_fill(~allowed, 0.0)
    return weights @ value, weights


def split_heads(states: Tensor, heads: int) -> Tensor:
    """Cut the last size into heads: (batch, length, size) to (batch, heads, length, size/heads).

    Raises
    ------
    ValueError
        If the size cannot be cut into so many equal parts.
    """
    batch, length, size = states.shape
    if size % heads:
        raise ValueError(f"a size of {size} cannot be cut into {heads} equal heads.")
    return states.view(batch, length, heads, size // heads).transpose(1, 2)


def merge_heads(states: Tensor) -> Tensor:
    """Undo `split_heads`: (batch, heads, length, part) to (batch, length, heads * part)."""
    batch, heads, length, part = states.shape
    return states.transpose(1, 2).reshape(batch, length, heads * part)


def multi_head_attention(
    states: Tensor, layers: Layers, heads: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Let every position look at all others, in several ways at once (pretraining, "Many heads").

    Parameters
    ----------
    states : Tensor, shape (batch, length, size)
        One vector for each position.
    layers : mapping
        "query", "key", "value" and "output": each weight (size, size) and bias (size,).
    heads : int
        In how many parts of size/heads the attention is computed.
    mask : Tensor, shape (batch, length), optional
        The attention mask: 1 for a token, 0 for padding.

    Returns
    -------
    output : Tensor, shape (batch, length, size)
    weights : Tensor, shape (batch, heads, length, length)
        Who looks at whom: rows are the queries.
    """
    query, key, value = (
        split_heads(F.linear(states, *layers[name]), heads) for name in ("query", "key", "value")
    )
    # All heads and queries of a text share its mask: (batch, 1, 1, keys).
    wide = None if mask is None else mask[:, None, None, :]
    found, weights = attention(query, key, value, wide)
    return F.linear(merge_heads(found), *layers["output"]), weights


def layer_norm(states: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-12) -> Tensor:
    """Give every position mean 0 and variance 1, then scale and shift (Ba et al., 2016)."""
    centered = states - states.mean(-1, keepdim=True)
    variance = centered.square().mean(-1, keepdim=True)
    return weight * centered / torch.sqrt(variance + eps) + bias


def gelu(values: Tensor) -> Tensor:
    """Return x times the share of the normal distribution below x (Hendrycks and Gimpel, 2016)."""
    return values * 0.5 * (1 + torch.erf(values / math.sqrt(2)))


def encoder_layer(
    states: Tensor, layers: Layers, heads: int, mask: Tensor | None = None, eps: float = 1e-12
) -> Tensor:
    """Compute one layer of BERT, without dropout (pretraining, "A whole layer").

    Attention between the positions, then a small network at each position; what comes in is added
    to what comes out of each (the residual), and the sum is normalized.

    Parameters
    ----------
    states : Tensor, shape (batch, length, size)
        One vector for each position.
    layers : mapping
        As `layer_parameters` returns it.
    heads, mask
        As for `multi_head_attention`.
    eps : float
        What keeps the normalization from dividing by 0; BERT's is 1e-12.

    Returns
    -------
    Tensor, shape (batch, length, size)
    """
    looked_up, _ = multi_head_attention(states, layers, heads, mask)
    states = layer_norm(states + looked_up, *layers["attention_norm"], eps)
    thought = F.linear(gelu(F.linear(states, *layers["inner"])), *layers["outer"])
    return layer_norm(states + thought, *layers["output_norm"], eps)


_PLACES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "output_norm": "output.LayerNorm",
}


def layer_parameters(layer: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    """Return weight and bias of each part of a `BertLayer`, by the names used here."""
    parts = {name: layer.get_submodule(place) for name, place in _PLACES.items()}
    return {name: (part.weight, part.bias) for name, part in parts.items()}


def sinusoidal_positions(length: int, size: int) -> Tensor:
    """Return the position codes of the first Transformer (pretraining, "Positions").

    Sines and cosines of wavelengths from 2 pi to 10,000 times 2 pi (Vaswani et al., 2017, section
    3.5). BERT learns its positions as embeddings instead.

    Returns
    -------
    Tensor, shape (length, size)
        Sines in the even columns, cosines in the odd ones.
    """
    place = torch.arange(length).unsqueeze(1)
    rate = torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    codes = torch.zeros(length, size)
    codes[:, 0::2] = torch.sin(place * rate)
    codes[:, 1::2] = torch.cos(place * rate[: size // 2])
    return codes
