# SPDX-License-Identifier: MIT
"""Works done in turns, and how quiet the machine was at each.

A virtual machine's core is often one of two threads of a real one, and who uses the other is not
seen from inside, not as steal either: the same work then takes up to twice as long, and what
waits for a neighbour core by microseconds more than that.  So between the runs a loop that does
nothing but count is timed on every core; a run counts where that was about as fast as ever, before
and after it.
"""
import dataclasses
import itertools
import math
import os
import time
import typing

STEPS = 10_000      # of the loop: 0.1 ms
TRIES = 3           # the shortest is taken, without what an interrupt takes
CALIBRATE_S = 1
SETTLE_S = 0.02     # what a run leaves behind is over: a mount that ended, an answer on its way
DISTURBED = 1.3     # times as long as the shortest ever
PATIENCE = 3        # so many times as long for runs that count


class Quiet:
    """Knows how fast a core is when nobody else uses it."""

    def __init__(self):
        self.cores = sorted(os.sched_getaffinity(0))
        self.shortest_s = math.inf
        until = time.perf_counter() + CALIBRATE_S
        while time.perf_counter() < until:
            self.slowdown()

    def slowdown_at_rest(self):
        time.sleep(SETTLE_S)
        return self.slowdown()

    def slowdown(self):
        """Of the slower core, now: 1 is as fast as ever."""
        before = os.sched_getaffinity(0)
        try:
            took_s = [self._count(core) for core in self.cores]
        finally:
            os.sched_setaffinity(0, before)
        self.shortest_s = min(self.shortest_s, *took_s)
        return max(took_s) / self.shortest_s

    @staticmethod
    def _count(core):
        os.sched_setaffinity(0, {core})
        return min(_timed_loop() for _ in range(TRIES))


def _timed_loop():
    began = time.perf_counter()
    for _ in itertools.repeat(None, STEPS):
        pass
    return time.perf_counter() - began


@dataclasses.dataclass
class Run:
    result: typing.Any
    took_s: float
    before: float  # slowdowns
    after: float

    @property
    def counts(self):
        return max(self.before, self.after) < DISTURBED


class Turns:
    """Of sides, {name: function}: in turns, so that what else the machine does meets all."""

    def __init__(self, quiet, sides, times):
        """times: how often at least each is done, and counts, or no run is left out."""
        self.quiet, self.sides, self.times = quiet, sides, times
        self.runs = {name: [] for name in sides}

    def take(self, at_least_s=0):
        """So often, and until so long was spent on runs that count; where few of them do, a few
        times as often, and as long, are all.

        at_least_s: one of a few that take a moment may have met anything, and where the scheduler
        puts the programs on two cores it may put them otherwise."""
        began, counted_s = time.perf_counter(), 0
        before = self.quiet.slowdown_at_rest()
        for turn in itertools.count():
            if turn >= self.times and self.are_enough() and counted_s >= at_least_s:
                return
            if turn >= PATIENCE * self.times and time.perf_counter() - began >= PATIENCE * at_least_s:
                return
            for name, side in self.sides.items():
                run = self._run(side, before)
                self.runs[name].append(run)
                before = run.after
                if run.counts:
                    counted_s += run.took_s

    def are_enough(self):
        return all(sum(run.counts for run in runs) >= self.times for runs in self.runs.values())

    def counted(self, name):
        """The results that count; all of them where they are too few to judge by."""
        enough = self.are_enough()
        return [run.result for run in self.runs[name] if run.counts or not enough]

    def described(self, name):
        """How many runs count, of how many."""
        taken = len(self.runs[name])
        return f"{len(self.counted(name))}/{taken}" if self.are_enough() else f"{taken} noisy"

    def _run(self, side, before):
        began = time.perf_counter()
        result = side()
        took_s = time.perf_counter() - began
        return Run(result, took_s, before, self.quiet.slowdown_at_rest())
