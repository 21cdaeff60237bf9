"""Chapter pretraining, "The budget": what a run may spend, and the learning rate with it."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable


class Budget(ABC):
    """A learning rate that rises for a share of a budget, then falls linearly to 0 at its end."""

    def __init__(self, warmup: float) -> None:
        self.warmup = warmup

    @abstractmethod
    def spent(self, step: int) -> float:
        """Return the share that is spent after so many steps, 0 to 1."""

    def factor(self, step: int, steps: int) -> float:
        """Return what the peak is multiplied with; the `schedule` of `fit`, whatever its length."""
        share = self.spent(step)
        # Never 0: a first step with the rate 0 would be lost.
        return max(1e-3, min(share / self.warmup if self.warmup else 1.0, 1 - share))


class TimeBudget(Budget):
    """Minutes from now on: on a machine that slows down, fewer steps are taken.

    Parameters
    ----------
    minutes : float
        The time for training.
    warmup : float
        Share of the time before the peak.
    used : float
        Seconds that an interrupted run has used already.
    clock : callable
        Returns seconds.
    """

    def __init__(
        self,
        minutes: float,
        warmup: float = 0.06,
        used: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not minutes > 0:
            raise ValueError(f"minutes={minutes}: expected a positive number")
        super().__init__(warmup)
        self.seconds, self.clock, self.start = 60 * minutes, clock, clock() - used

    def spent(self, step: int) -> float:
        """Return the share of the time that has passed."""
        return min(1.0, (self.clock() - self.start) / self.seconds)


class StepBudget(Budget):
    """A number of steps: the same run on every machine.

    Parameters
    ----------
    steps : int
        All steps of the run, those before an interruption included.
    warmup : float
        Share of the steps before the peak.
    """

    def __init__(self, steps: int, warmup: float = 0.06) -> None:
        if steps < 1:
            raise ValueError(f"steps={steps}: expected 1 or more")
        super().__init__(warmup)
        self.steps = steps

    def spent(self, step: int) -> float:
        """Return the share of the steps that is done."""
        return min(1.0, step / self.steps)
