"""Optimizers and learning-rate schedules of `fit` (rnn, "Optimizers" and "Schedules")."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

PIECE = 1 << 16
"""Numbers that `AdamW` treats at a time on a CPU: 256 KiB each of five arrays, about one cache."""

_SMALLEST = torch.finfo(torch.float32).tiny
"""1.2e-38. On a CPU the root of 0 takes ten times as long as that of this number, and most rows of
an embedding are 0 at first; next to eps both roots are nothing."""

Schedule = str | Callable[[int, int], float]


class AdamW(torch.optim.AdamW):
    """torch's AdamW with the same numbers, several times faster on a CPU (rnn, "Optimizers").

    The update of one weight needs no other weight. torch 2.3 computes it for a whole array at a
    time, and an embedding of millions of weights has to travel through the memory ten times; here
    it goes piece by piece, each piece stays in the cache, and roots of zero are avoided. Newer
    versions of torch have a fused kernel that does the same, and GPUs have one in every version:
    then that is used.

    Parameters are those of `torch.optim.AdamW` (Loshchilov and Hutter, 2019).
    """

    def __init__(
        self, params: Iterable[Any], lr: float = 1e-3, weight_decay: float = 0.01, **settings: Any
    ) -> None:
        params = list(params)
        first = params[0]["params"][0] if isinstance(params[0], dict) else params[0]
        settings.setdefault("fused", None if not _has_fused(first.device.type) else True)
        super().__init__(params, lr=lr, weight_decay=weight_decay, **settings)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update the weights once; return what the closure returns, if there is one."""
        if closure is not None or not all(_plain(group) for group in self.param_groups):
            return super().step(closure)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return None

    def _update(self, parameter: nn.Parameter, group: Mapping[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        state["step"] += 1
        step, (beta1, beta2) = state["step"].item(), group["betas"]
        step_size = group["lr"] / (1 - beta1**step)
        root = (1 - beta2**step) ** 0.5
        arrays = (parameter, parameter.grad, state["exp_avg"], state["exp_avg_sq"])
        for weight, grad, mean, square in zip(*map(_pieces, arrays), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            mean.lerp_(grad, 1 - beta1)
            square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            divisor = square.clamp_min(_SMALLEST).sqrt_().div_(root).add_(group["eps"])
            weight.addcdiv_(mean, divisor, value=-step_size)


def _pieces(array: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return array.detach().view(-1).split(PIECE)


def _plain(group: Mapping[str, Any]) -> bool:
    """Tell whether a group of parameters is the usual case, which `AdamW._update` computes."""
    unusual = ("amsgrad", "maximize", "capturable", "differentiable", "fused", "foreach")
    if group["eps"] < 1e-9 or any(group.get(name) for name in unusual):
        return False
    return all(
        parameter.device.type == "cpu"
        and parameter.dtype == torch.float32
        and parameter.is_contiguous()
        and (parameter.grad is None or _is_dense(parameter.grad))
        for parameter in group["params"]
    )


def _is_dense(gradient: torch.Tensor) -> bool:
    return gradient.layout == torch.strided and gradient.is_contiguous()


@cache
def _has_fused(device: str) -> bool:
    try:
        torch.optim.AdamW([nn.Parameter(torch.zeros(1, device=device))], fused=True)
    except RuntimeError:
        return False
    return True


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "momentum": lambda groups, **settings: torch.optim.SGD(groups, momentum=0.9, **settings),
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adam": torch.optim.Adam,
    "adamw": AdamW,
}
"""Optimizers by name; only `adamw` decouples weight decay, the others add it to the gradient."""


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.01,
    factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Group a model's parameters by weight decay and learning rate (rnn, "Regularization").

    Biases and the scales of normalization layers, which are the parameters of one dimension, get
    no weight decay. Frozen parameters (`requires_grad=False`) are left out.

    Parameters
    ----------
    model : nn.Module
        The model.
    learning_rate, weight_decay : float
        What the parameters get.
    factors : mapping of str to float, optional
        Learning rates of parts of the model: the beginning of a parameter's name, such as
        `"bert.embeddings."`, and what to multiply the learning rate with. The longest one wins.

    Returns
    -------
    list of dict
        Groups for any optimizer of torch.

    Raises
    ------
    ValueError
        If no parameter can be trained, or a name in `factors` begins no parameter's name.
    """
    factors = factors or {}
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    used: set[str] = set()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        fitting = [prefix for prefix in factors if name.startswith(prefix)]
        used.update(fitting)
        rate = learning_rate * (factors[max(fitting, key=len)] if fitting else 1.0)
        decay = weight_decay if parameter.ndim > 1 else 0.0
        group = groups.setdefault((rate, decay), {"params": [], "lr": rate, "weight_decay": decay})
        group["params"].append(parameter)
    if not groups:
        raise ValueError("the model has no parameter that can be trained: all are frozen.")
    if unused := sorted(set(factors) - used):
        raise ValueError(f"factors names {unused[0]!r}, but no trained parameter begins like that.")
    return list(groups.values())


def build_optimizer(
    name: str,
    model: nn.Module,
    learning_rate: float,
    weight_decay: float = 0.01,
    factors: Mapping[str, float] | None = None,
) -> torch.optim.Optimizer:
    """Return the optimizer of a name in `OPTIMIZERS` for the groups of `parameter_groups`.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"optimizer={name!r}: expected one of {', '.join(OPTIMIZERS)}")
    groups = parameter_groups(model, learning_rate, weight_decay, factors)
    return OPTIMIZERS[name](groups, lr=learning_rate)


# ------------------------------------------------------------------------------- schedules


def schedule_factor(
    step: int, steps: int, schedule: Schedule = "one_cycle", warmup: float | None = None
) -> float:
    """Return what the learning rate is multiplied with in a step (rnn, "Schedules").

    A pure function of the step: there is no state to save, and the whole schedule can be drawn.

    Parameters
    ----------
    step : int
        The step, from 0.
    steps : int
        Number of steps of the whole run.
    schedule : str or callable
        `"one_cycle"`: up from 1/25 and down to 1/250,000 along half cosines (Smith and Topin, 2018;
        the numbers of torch's `OneCycleLR`). `"linear"` and `"cosine"`: linearly up from 0, then
        down to 0 (those of transformers). `"constant"`: 1 after the warm-up. Or a function of
        `step` and `steps`.
    warmup : float, optional
        Share of the steps, 0 to 1, before the peak. Default: 0.3 for one_cycle, 0.1 for linear and
        cosine, 0 for constant.

    Raises
    ------
    ValueError
        If the schedule is unknown or the share is not from 0 to 1.
    """
    if callable(schedule):
        return float(schedule(step, steps))
    if schedule not in _WARMUPS:
        raise ValueError(f"schedule={schedule!r}: expected one of {', '.join(_WARMUPS)}")
    warmup = _WARMUPS[schedule] if warmup is None else warmup
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup={warmup}: expected a share of the steps, 0 to 1, such as 0.1")
    if schedule == "one_cycle":
        return _one_cycle(step, steps, warmup)
    rising = round(warmup * steps)
    if step < rising:
        return step / rising
    progress = (step - rising) / max(1, steps - rising)
    if schedule == "linear":
        return max(0.0, 1 - progress)
    return (1 + math.cos(math.pi * progress)) / 2 if schedule == "cosine" else 1.0


_WARMUPS = {"one_cycle": 0.3, "linear": 0.1, "cosine": 0.1, "constant": 0.0}


def _one_cycle(step: int, steps: int, warmup: float) -> float:
    start, peak, last = 1 / 25, warmup * steps - 1, max(1, steps - 1)
    if peak > 0 and step <= peak:
        return _half_cosine(start, 1.0, step / peak)
    peak = max(0.0, peak)
    return _half_cosine(1.0, start / 1e4, (step - peak) / max(1e-9, last - peak))


def _half_cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * min(1.0, progress)))
