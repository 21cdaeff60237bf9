"""A small training run in a process of its own, which tests kill, repeat and run twice at once.

`python tests/training/small_run.py FOLDER PHASES [--fork]` trains once for each of the phases, a
JSON list of arguments of `train`; with `--fork` each in a child process of its own. It prints how
they ended.
"""

import dataclasses
import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader

from agnews_utils.training import checkpoints
from agnews_utils.training.inference import process_numbers
from agnews_utils.training.loop import fit
from agnews_utils.vocabulary.batching import LengthBucketSampler

CLASSES = 4


def make_rows(count, seed=0):
    """Texts of random ids; a quarter of a text's words are typical of its class."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low, high, size):
        return torch.randint(low, high, (size,), generator=generator)

    rows = []
    for number in range(count):
        label, length = number % CLASSES, int(draw(1, 12, 1))
        ids = draw(10, 40, length)
        typical = torch.rand(length, generator=generator) < 0.4
        ids[typical] = 2 + label * 2 + draw(0, 2, int(typical.sum()))
        rows.append({"ids": ids.tolist(), "label": label, "index": number})
    return rows


def collate(rows):
    lengths = torch.tensor([len(row["ids"]) for row in rows])
    longest = int(lengths.max())
    return {
        "input_ids": torch.tensor([row["ids"] + [0] * (longest - len(row["ids"])) for row in rows]),
        "attention_mask": (torch.arange(longest) < lengths[:, None]).long(),
        "lengths": lengths,
        "labels": torch.tensor([row["label"] for row in rows]),
        "index": torch.tensor([row["index"] for row in rows]),
        "rows": torch.tensor([row["index"] for row in rows]),  # an input, so that a test sees it
    }


def make_loader(rows, batch_size=8, shuffle=True, bucketed=False):
    if bucketed:
        sampler = LengthBucketSampler([len(row["ids"]) for row in rows], batch_size)
        return DataLoader(rows, batch_sampler=sampler, collate_fn=collate)
    return DataLoader(rows, batch_size, shuffle=shuffle, collate_fn=collate)


class SmallModel(nn.Module):
    """Mean of embeddings, dropout, a hidden layer."""

    def __init__(self, dropout=0.2):
        super().__init__()
        self.embedding = nn.Embedding(40, 6)
        self.hidden = nn.Linear(6, 8)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, input_ids, attention_mask):
        mask = attention_mask.unsqueeze(2)
        mean = (self.embedding(input_ids) * mask).sum(1) / mask.sum(1)
        return self.output(self.dropout(torch.tanh(self.hidden(mean))))


def make_model(seed=1, **settings):
    torch.manual_seed(seed)
    return SmallModel(**settings)


def weights_hash(model):
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_checkpoint(number):
    """Be killed while the checkpoint of that number is written: some of its files are there."""
    real, begun = checkpoints.save_file, set()

    def write(tensors, path):
        begun.add(path.parent)
        real(tensors, path)
        if len(begun) == number and path.name == "state.safetensors":
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])
            die()

    checkpoints.save_file = write


def train(folder, kill_at=None, kill_in_checkpoint=None, batch_size=8, dropout=0.2, plain=False):
    """Train, and write a report into the folder unless killed before."""
    seen = []

    def on_step(history, model):
        if kill_at == history.steps["step"][-1]:
            die()

    model = make_model(dropout=dropout)
    inner = model.forward

    def watched(input_ids, attention_mask, rows):
        if model.training:
            seen.append(rows.tolist())
        return inner(input_ids, attention_mask)

    model.forward = watched
    if kill_in_checkpoint:
        die_in_checkpoint(kill_in_checkpoint)
    settings = {} if plain else {
        "checkpoint_folder": folder, "checkpoint_every": 3, "resume": True,
    }  # fmt: skip
    history = fit(
        model,
        make_loader(make_rows(101), batch_size, bucketed=True),
        make_loader(make_rows(30, seed=5), shuffle=False),
        epochs=3,
        learning_rate=0.02,
        accumulate=2,
        on_step=on_step,
        **settings,
    )
    report = {
        "hash": weights_hash(model),
        "weights": model.output.weight.detach().flatten().tolist(),
        "history": dataclasses.asdict(history),
        "seen": seen,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"report.{process_numbers()[0]}.json").write_text(json.dumps(report))


def train_in_a_child(folder, **phase):
    """Train in a process of its own, which begins where this one stands; return how it ended."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train(folder, **phase)
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    folder, phases, fork = Path(sys.argv[1]), json.loads(sys.argv[2]), "--fork" in sys.argv
    torch.set_num_threads(1)
    torch.optim.AdamW([nn.Parameter(torch.zeros(1))])  # imports half a second's worth of torch
    statuses = []
    for phase in phases:
        arguments = phase | {"folder": folder / phase["folder"]}
        statuses.append(train_in_a_child(**arguments) if fork else train(**arguments))
    process, processes = process_numbers()
    if process == 0:
        print(json.dumps(statuses), flush=True)
    if processes > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
