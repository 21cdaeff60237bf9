"""Optimizers and schedules: equal to those of torch and transformers."""

import pytest
import torch
from torch import nn

from agnews_utils.training.loop import fit
from agnews_utils.training.optimizers import (
    OPTIMIZERS,
    AdamW,
    build_optimizer,
    parameter_groups,
    schedule_factor,
)
from tests.training.small_run import make_loader, make_model


def test_adamw_equals_torchs():
    """Larger than one piece, no multiple of it, with weight decay, over several steps."""
    torch.manual_seed(0)
    start = [torch.randn(3, 70_001), torch.randn(5)]
    results = []
    for kind, settings in ((AdamW, {}), (torch.optim.AdamW, {"foreach": False})):
        parameters = [nn.Parameter(value.clone()) for value in start]
        optimizer = kind(parameters, lr=0.03, weight_decay=0.1, **settings)
        for step in range(4):
            for parameter in parameters:
                parameter.grad = (parameter.detach() + step).sin()
            optimizer.step()
        results.append((parameters, optimizer.state_dict()))
    (ours, our_state), (theirs, their_state) = results
    for mine, other in zip(ours, theirs, strict=True):
        # Where torch has a fused kernel that is used, which rounds in another order.
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)
    assert our_state["state"][0].keys() == their_state["state"][0].keys()


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-19, 1e-22])
def test_adamw_in_pieces_equals_torchs_bit_for_bit(scale):
    """Also for gradients whose squares are hardly above 0 or 0, and for rows without a gradient."""
    torch.manual_seed(0)
    start, results = torch.randn(10_001, 7), []
    gradient = torch.randn(10_001, 7) * scale * (torch.rand(10_001, 1) < 0.3)
    for kind in (AdamW, torch.optim.AdamW):
        parameter = nn.Parameter(start.clone())
        # `fused=False` takes the way of torch 2.3 also where there is a fused kernel.
        optimizer = kind([parameter], lr=0.03, weight_decay=0.1, fused=False)
        for step in range(5):
            parameter.grad = gradient.roll(step, 0)
            optimizer.step()
        results.append(parameter.detach())
    assert torch.equal(*results)


def test_adamw_leaves_unusual_cases_to_torch():
    parameter = nn.Parameter(torch.ones(3, 4).T)
    twin = nn.Parameter(parameter.detach().clone())
    ours, theirs = AdamW([parameter], amsgrad=True), torch.optim.AdamW([twin], amsgrad=True)
    for optimizer, values in ((ours, parameter), (theirs, twin)):
        values.grad = torch.ones_like(values)
        optimizer.step()
    torch.testing.assert_close(parameter, twin)
    assert "max_exp_avg_sq" in ours.state[parameter]


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_every_optimizer_lowers_the_loss(name, rows):
    rate = {"sgd": 1.0, "momentum": 0.3, "adadelta": 3.0, "adagrad": 0.1}.get(name, 0.03)
    history = fit(make_model(), make_loader(rows), epochs=6, optimizer=name, learning_rate=rate)
    assert history.epochs["loss"][-1] < history.epochs["loss"][0] - 0.02


def test_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match=r"optimizer='adamm'.*adamw"):
        build_optimizer("adamm", make_model(), 0.1)


def test_parameter_groups():
    model = make_model()
    model.hidden.requires_grad_(False)
    factors = {"embedding.": 0.1, "e": 5.0}
    groups = parameter_groups(model, 0.2, weight_decay=0.3, factors=factors | {"output.bias": 2.0})
    found = {
        name: (group["lr"], group["weight_decay"])
        for group in groups
        for name, parameter in model.named_parameters()
        if any(parameter is member for member in group["params"])
    }
    assert found == {
        "embedding.weight": (pytest.approx(0.02), 0.3),
        "output.weight": (0.2, 0.3),
        "output.bias": (0.4, 0.0),
    }
    with pytest.raises(ValueError, match=r"factors names 'bert\.'"):
        parameter_groups(model, 0.2, factors={"bert.": 1.0})
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="all are frozen"):
        parameter_groups(model, 0.2)


@pytest.mark.parametrize("steps", [10, 37, 200])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
def test_schedules_equal_those_of_torch_and_transformers(steps, warmup):
    from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

    def rates(make):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule, found = make(optimizer), []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    rising = round(warmup * steps)
    others = {
        "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=steps + 1, pct_start=warmup, cycle_momentum=False
        ),
        "linear": lambda o: get_linear_schedule_with_warmup(o, rising, steps),
        "cosine": lambda o: get_cosine_schedule_with_warmup(o, rising, steps),
    }
    for name, make in others.items():
        # torch's one-cycle counts its steps from 0 to total_steps - 1; here the run has `steps`.
        count = steps + 1 if name == "one_cycle" else steps
        ours = [schedule_factor(step, count, name, warmup) for step in range(steps)]
        assert ours == pytest.approx(rates(make), abs=1e-9), name


@pytest.mark.parametrize("name", ["one_cycle", "linear", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("warmup", [None, 0.0, 0.3, 1.0])
def test_factors_are_shares_for_short_runs_too(name, steps, warmup):
    factors = [schedule_factor(step, steps, name, warmup) for step in range(steps)]
    assert all(0 <= factor <= 1 for factor in factors)
    assert max(factors) > 0 or (warmup == 1.0 and steps == 1)


def test_own_schedule_and_wrong_ones(rows):
    history = fit(make_model(), make_loader(rows), schedule=lambda step, steps: 1 / (1 + step))
    assert history.steps["learning_rate"][:3] == pytest.approx([1e-3, 5e-4, 1e-3 / 3])
    with pytest.raises(ValueError, match=r"schedule='cosin'.*one_cycle"):
        fit(make_model(), make_loader(rows), schedule="cosin")
    with pytest.raises(ValueError, match="warmup=30"):
        fit(make_model(), make_loader(rows), warmup=30)
