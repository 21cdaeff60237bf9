"""Chapter rnn, cells step by step: the equations of RNN, GRU and LSTM, written out.

The parameters are laid out as in `nn.RNN`, `nn.GRU` and `nn.LSTM`, which compute the same faster;
the tests prove both equal, forward and gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

State = Tensor | tuple[Tensor, Tensor]
Step = Callable[..., State]


def rnn_step(
    inputs: Tensor,
    hidden: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
) -> Tensor:
    """Return the next state of a plain recurrent cell (rnn, "A recurrent step by hand").

    `h' = tanh(W x + b + U h + c)` (Elman, 1990), with the parameters laid out as in `nn.RNN`.

    Parameters
    ----------
    inputs : Tensor, shape (batch, input_size)
        x, the words at this position.
    hidden : Tensor, shape (batch, hidden_size)
        h, the state so far.
    weight_ih, weight_hh : Tensor, shape (hidden_size, input_size) and (hidden_size, hidden_size)
        W and U.
    bias_ih, bias_hh : Tensor, shape (hidden_size,)
        b and c: torch keeps two, of which only the sum matters here.
    activation : callable
        The squashing function; `torch.sigmoid` for the logistic one.

    Returns
    -------
    Tensor, shape (batch, hidden_size)
    """
    return activation(F.linear(inputs, weight_ih, bias_ih) + F.linear(hidden, weight_hh, bias_hh))


def gru_step(
    inputs: Tensor,
    hidden: Tensor,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> Tensor:
    """Return the next state of a gated recurrent unit (rnn, "Why gates").

    The reset gate r and the update gate z are logistic, the candidate n is a tanh, and the new
    state is `(1 - z) n + z h` (Cho et al., 2014, in the form of cuDNN and `nn.GRU`: r is applied
    after the product with the state).

    Parameters are those of `rnn_step`, with the gates r, z, n stacked: weights of the shape
    (3 * hidden_size, ...), biases (3 * hidden_size,).

    Returns
    -------
    Tensor, shape (batch, hidden_size)
    """
    from_input = F.linear(inputs, weight_ih, bias_ih).chunk(3, dim=1)
    from_state = F.linear(hidden, weight_hh, bias_hh).chunk(3, dim=1)
    reset = torch.sigmoid(from_input[0] + from_state[0])
    update = torch.sigmoid(from_input[1] + from_state[1])
    candidate = torch.tanh(from_input[2] + reset * from_state[2])
    return (1 - update) * candidate + update * hidden


def lstm_step(
    inputs: Tensor,
    state: tuple[Tensor, Tensor],
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor,
    bias_hh: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the next state and cell of a long short-term memory (rnn, "Why gates").

    The gates i, f, o are logistic; the candidate g and the squashing of the cell for the output are
    tanh (Hochreiter and Schmidhuber, 1997; forget gate of Gers et al., 2000).

    Parameters are those of `rnn_step`, with the gates i, f, g, o stacked: weights of the shape
    (4 * hidden_size, ...), biases (4 * hidden_size,). `state` is the pair of h and c, each of the
    shape (batch, hidden_size).

    Returns
    -------
    tuple of Tensor
        The new h and c.
    """
    hidden, cell = state
    sums = F.linear(inputs, weight_ih, bias_ih) + F.linear(hidden, weight_hh, bias_hh)
    enter, forget, candidate, output = sums.chunk(4, dim=1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(candidate)
    return torch.sigmoid(output) * torch.tanh(cell), cell


STEPS: dict[str, Step] = {"rnn": rnn_step, "gru": gru_step, "lstm": lstm_step}
"""The step functions, by the names that `RecurrentClassifier` knows."""


def cell_weights(network: nn.RNNBase, layer: int = 0, reverse: bool = False) -> tuple[Tensor, ...]:
    """Return the four parameters of a layer of `nn.RNN`, `nn.GRU` or `nn.LSTM`, as a step wants."""
    end = f"_l{layer}{'_reverse' if reverse else ''}"
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return tuple(getattr(network, name + end) for name in names)


def run_over_time(
    step: Step,
    inputs: Tensor,
    state: State,
    weights: Sequence[Tensor],
    lengths: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Apply a step to one position after the other (rnn, "A recurrent step by hand").

    Parameters
    ----------
    step : callable
        `rnn_step`, `gru_step` or `lstm_step`.
    inputs : Tensor, shape (batch, length, input_size)
        The embedded words.
    state : Tensor or pair of Tensors, shape (batch, hidden_size)
        The state before the first word, usually zeros.
    weights : sequence of Tensor
        What `step` takes after the state; see `cell_weights`.
    lengths : LongTensor, shape (batch,), optional
        Where given, a text's state no longer changes after its last word.

    Returns
    -------
    outputs : Tensor, shape (batch, length, hidden_size)
        The state h after each word; zeros at padding.
    state : Tensor or pair of Tensors, shape (batch, hidden_size)
        The state after each text's last word.
    """
    outputs = []
    for position in range(inputs.shape[1]):
        new = step(inputs[:, position], state, *weights)
        hidden = new[0] if isinstance(new, tuple) else new
        if lengths is not None:
            reads = (position < lengths).unsqueeze(1)  # (batch, 1)
            hidden = torch.where(reads, hidden, torch.zeros_like(hidden))
            new = _choose(reads, new, state)
        outputs.append(hidden)
        state = new
    return torch.stack(outputs, dim=1), state


def _choose(condition: Tensor, new: State, old: State) -> State:
    if isinstance(new, Tensor) and isinstance(old, Tensor):
        return torch.where(condition, new, old)
    hidden, cell = (torch.where(condition, a, b) for a, b in zip(new, old, strict=True))
    return hidden, cell
