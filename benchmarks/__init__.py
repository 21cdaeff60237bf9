"""Side-by-side measurements: ``make bench``, or ``python -m benchmarks --list``.

A benchmark is a module of this package with a function ``run(data)`` that measures, prints, and
returns its targets as a list of :class:`Target`. Contestants run in one process and one run, their
rounds interleaved, and CPU seconds count: what else the machine does then matters least.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What was measured, and the bound that it has to keep.

    Attributes
    ----------
    what
        The quantity, with its unit.
    measured
        The value; None if it could not be measured here.
    bound
        The least or the most that it may be.
    at_least
        Whether ``bound`` is the least (True) or the most.
    remark
        Why it could not be measured, or what else a reader should know.
    """

    what: str
    measured: float | None
    bound: float
    at_least: bool = True
    remark: str = ""

    @property
    def met(self) -> bool:
        """Whether the bound is kept; a value that could not be measured breaks nothing."""
        if self.measured is None:
            return True
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def __str__(self) -> str:
        verdict = "ok      " if self.met else "MISSED  "
        value = f"{self.measured:.2f}" if self.measured is not None else "-"
        if self.measured is None:
            verdict = "skipped "
        sign = "at least" if self.at_least else "at most"
        remark = f" ({self.remark})" if self.remark else ""
        return f"{verdict} {self.what}: {value}, target {sign} {self.bound:g}{remark}"
