# SPDX-License-Identifier: MIT
"""What tests and measurements are worth: a test that fails is told, whatever it leaves behind, and
of a measurement those runs count that nobody disturbed."""
import itertools
import os
import sys

import pytest
from conftest import TOP
from mount import run

sys.path.insert(0, str(TOP / "tests" / "bench"))

import turns  # noqa: E402

LEAVES_A_THREAD = """
import threading, time

def wait():
    while True:
        time.sleep(1)

def test_it():
    threading.Thread(target=wait, name="a reader").start()
    assert False, "on purpose"
"""


def test_a_thread_that_is_left_keeps_nothing_waiting(work):
    file = work / "test_it.py"
    file.write_text(LEAVES_A_THREAD)
    env = {key: value for key, value in os.environ.items() if key != "STACKSFS_TEST_RESULTS"}
    env["PYTHONPATH"] = str(TOP / "tests" / "e2e")
    done = run([sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest",
                file], env=env, cwd=work, timeout=30)
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert "threads were left: a reader" in done.stdout


# ---- measurements ----

class Machine:
    """One whose slowdowns, one between two runs, are known beforehand; then it is quiet."""

    def __init__(self, *slowdowns):
        self.slowdowns = itertools.chain(slowdowns, itertools.repeat(1.0))

    def slowdown_at_rest(self):
        return next(self.slowdowns)


def taken(machine, times, at_least_s=0):
    """Of two works that give a number each, the number of their turn."""
    count = itertools.count()
    found = turns.Turns(machine, dict(ours=lambda: next(count), floor=lambda: 0), times)
    found.take(at_least_s)
    return found


def test_what_nobody_disturbed_counts():
    found = taken(Machine(1.0, 1.1), 3)
    assert found.counted("ours") == [0, 1, 2]
    assert found.described("ours") == "3/3"


@pytest.mark.parametrize("slowdowns, counted", [
    ([1.0, 1.0, 1.0, 1.4], [0, 2, 3]),       # after the second of ours
    ([1.0, 1.0, 1.4, 1.0], [0, 2, 3]),       # after the first of the floor's, before it
    ([2.0, 1.0, 1.0, 1.0, 1.4], [1, 3, 4]),  # the first of ours, the second of the floor's
], ids=["after", "before", "both"])
def test_what_was_disturbed_is_done_again(slowdowns, counted):
    found = taken(Machine(*slowdowns), 3)
    assert found.counted("ours") == counted
    assert len(found.counted("floor")) >= 3


def test_where_it_is_never_quiet_all_count():
    found = taken(Machine(*[1.5] * 1000), 3)
    assert found.counted("ours") == list(range(3 * turns.PATIENCE))
    assert found.described("ours").endswith("noisy")


def test_what_is_brief_is_done_more_often():
    assert len(taken(Machine(), 3, at_least_s=0.05).counted("ours")) > 3


def test_a_core_is_compared_with_its_best(monkeypatch):
    times = itertools.chain([0.1, 0.2, 0.1, 0.1], itertools.repeat(0.15))
    monkeypatch.setattr(turns, "CALIBRATE_S", 0)
    monkeypatch.setattr(turns, "_timed_loop", lambda: next(times))
    monkeypatch.setattr(turns, "TRIES", 1)
    cores = os.sched_getaffinity(0)
    quiet = turns.Quiet()
    quiet.cores = [min(cores)] * 2
    assert quiet.slowdown() == 2
    assert quiet.slowdown() == 1
    assert quiet.slowdown() == pytest.approx(1.5)
    assert os.sched_getaffinity(0) == cores
