"""Documents per second of fine-tuning on a GPU, and the share of its matrix rate that is used.

Two networks: the bundled encoder, and one of BERT-base's size with random weights. The rate of the
card is measured in the same run, by multiplying large matrices in bf16. The arithmetic of a step is
counted by torch itself (`FlopCounterMode`), padding included. Without a GPU nothing is measured,
and the benchmark says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertForSequenceClassification

from agnews_utils import runtime
from agnews_utils.bert.encoder import BUNDLED, load_encoder
from agnews_utils.bert.fine_tuning import MAX_LENGTH
from agnews_utils.data.loading import load_news
from agnews_utils.training.inference import mean_loss
from benchmarks import Target
from tools.builder.chapters import ROOT

MATRIX, STEPS, BATCH_SIZE = 8192, 30, 256


def seconds_per_call(call: Callable[[], Any], device: torch.device, times: int) -> float:
    """Return the seconds of one call, after two that do not count; waits for the device."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    for _ in range(2):
        call()
    wait()
    started = time.perf_counter()
    for _ in range(times):
        call()
    wait()
    return (time.perf_counter() - started) / times


def matrix_rate(device: torch.device, size: int = MATRIX, times: int = STEPS) -> float:
    """Return the operations per second of multiplying two square matrices in bf16."""
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / seconds_per_call(lambda: left @ right, device, times)


def step_rate(
    model: nn.Module, device: torch.device, batch_size: int = BATCH_SIZE, times: int = STEPS
) -> dict[str, float]:
    """Measure training steps on full batches of random pieces, in mixed precision.

    Returns
    -------
    dict
        `documents_per_second`, `operations_per_second`, `parameters`.
    """
    model = model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    shape = (batch_size, MAX_LENGTH)
    ids = torch.randint(5, model.config.vocab_size, shape, device=device)
    labels = torch.randint(0, 4, (batch_size,), device=device)

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        mean_loss(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    with FlopCounterMode(display=False) as counter:
        step()
    seconds = seconds_per_call(step, device, times)
    return {
        "documents_per_second": batch_size / seconds,
        "operations_per_second": counter.get_total_flops() / seconds,
        "parameters": sum(value.numel() for value in model.parameters()),
    }


def run(data: str | None = None) -> list[Target]:
    """Measure both networks on the GPU, record the figures, return the target."""
    what = "share of the card's bf16 matrix rate when a BERT-base is fine-tuned, percent"
    device = runtime.pick_device()
    if device.type != "cuda":
        return [Target(what, None, 40, remark="torch sees no GPU")]
    rate = matrix_rate(device)
    base = BertForSequenceClassification(BertConfig(num_labels=4))
    networks = {"bundled": load_encoder(BUNDLED, quiet=True)[0], "BERT-base, random weights": base}
    found = {name: step_rate(model, device) for name, model in networks.items()}
    for name, row in found.items():
        row["share"] = row["operations_per_second"] / rate
        print(
            f"{name}: {row['documents_per_second']:,.0f} documents per second, {row['share']:.0%}"
        )
    share = found["BERT-base, random weights"]["share"]
    metrics = {"matrix_rate": rate, "batch_size": BATCH_SIZE, "length": MAX_LENGTH, **found}
    headline = f"BERT-base at {share:.0%} of {rate / 1e12:.0f} TFLOP/s"
    news = load_news(data)
    runtime.record("bench_gpu_fine_tuning", news, metrics, headline, folder=ROOT / "results")
    return [Target(what, 100 * share, 40)]
