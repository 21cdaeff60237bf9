"""Start `small_run.py` in processes of its own, one or two at once, and read what it reports."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager

from tests.helpers import ROOT

SCRIPT = ROOT / "tests" / "training" / "small_run.py"
PATIENCE = 1800
"""Seconds after which a process must hang: no machine is so slow."""


@contextmanager
def reserved_port():
    """Yield a port of this machine that nobody else is given while the block runs.

    `torchrun --standalone` of torch 2.3 asks for a free port, gives it back, and listens on it
    seconds later. Two jobs that are started at once may get the same one; then a process of the
    one joins the other job, and gloo aborts: "op.preamble.length <= op.nbytes", signal 6. A port
    that is bound, but not listened on, is given to nobody who asks for a free one, and the job
    that is told its number may still listen on it, as both allow its reuse.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def quiet_variables():
    """Return the environment for processes that train on one thread each and talk over loopback."""
    variables = os.environ | {"OMP_NUM_THREADS": "1", "AGNEWS_DEVICE": "cpu"}
    variables["PYTHONPATH"] = os.pathsep.join([str(ROOT), variables.get("PYTHONPATH", "")])
    if sys.platform == "linux":
        variables["GLOO_SOCKET_IFNAME"] = "lo"
    return variables


def run_script(folder, phases, *options, processes=1):
    """Run the small training in one or two new processes; return how the phases ended."""
    command = [sys.executable, str(SCRIPT), str(folder), json.dumps(phases), *options]
    variables = quiet_variables()
    with reserved_port() as port:
        if processes > 1:  # what torchrun tells each process, without the time that it takes
            variables |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1"}
            variables |= {"MASTER_PORT": str(port)}
        running = []
        for rank in map(str, range(processes)):
            own = {"RANK": rank, "LOCAL_RANK": rank} if processes > 1 else {}
            running.append(
                subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env=variables | own,
                )
            )
        try:
            written = [process.communicate(timeout=PATIENCE) for process in running]
        finally:
            for process in running:
                process.kill()
    errors = "\n".join(error for _, error in written)
    assert [process.returncode for process in running] == [0] * processes, errors
    return json.loads(written[0][0].splitlines()[-1])


def report_of(folder, process=0):
    return json.loads((folder / f"report.{process}.json").read_text())


def without_times(history):
    """Return a history's content, apart from what differs from run to run."""
    content = history if isinstance(history, dict) else dataclasses.asdict(history)
    timed = ("documents_per_second", "peak_memory_mb", "seconds", "cpu_seconds")
    tables = {
        k: {n: c for n, c in content[k].items() if n not in timed} for k in ("steps", "epochs")
    }
    return content | tables
