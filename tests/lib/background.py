# SPDX-License-Identifier: MIT
"""What a test does beside its main thread.

Threads are daemons: one that still waits when its test has failed must not keep pytest from
ending, which waits for all others.
"""
import concurrent.futures
import contextlib
import threading

from mount import SLOWER

WAIT_S = 30 * SLOWER


def run_in_background(call, *arguments):
    """Start call(*arguments) in a thread; what is returned waits for it: its result, or what it
    raised."""
    future = concurrent.futures.Future()

    def run():
        try:
            future.set_result(call(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return lambda: future.result(WAIT_S)


@contextlib.contextmanager
def meanwhile(*calls):
    """While the block runs each of calls is made again and again, in a thread of its own; it is
    an error if one of them fails."""
    over = threading.Event()

    def go_on(call):
        while not over.is_set():
            call()

    ends = [run_in_background(go_on, call) for call in calls]
    try:
        yield
    finally:
        over.set()
    for end in ends:
        end()
