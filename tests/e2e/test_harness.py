# SPDX-License-Identifier: MIT
"""A test that fails is told, whatever it leaves behind."""
import os
import sys

from conftest import TOP
from mount import run

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
