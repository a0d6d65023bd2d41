# SPDX-License-Identifier: MIT
"""The clocks of a mount, turned by a test: tests/lib/clock_shift.c is preloaded into it."""
import mmap
import os
import struct


class Clock:
    """env: what Mount is given.  Both shifts are in seconds, and may be set at any time."""

    def __init__(self, build, work):
        path = work / "clock"
        path.write_bytes(bytes(16))
        self._fifo_path = f"{path}.set"
        os.mkfifo(self._fifo_path)
        self._fifo = os.open(self._fifo_path, os.O_RDWR)
        with open(path, "r+b") as file:
            self._shifts = mmap.mmap(file.fileno(), 16)
        self.env = {"LD_PRELOAD": build / "tests" / "libclock-shift.so", "CLOCK_SHIFT": path}
        if "ASAN_OPTIONS" in os.environ:
            self.env["ASAN_OPTIONS"] = os.environ["ASAN_OPTIONS"] + ":verify_asan_link_order=0"

    def _shift(self, at, seconds):
        now = struct.unpack_from("q", self._shifts, at)[0]
        struct.pack_into("q", self._shifts, at, now + int(seconds * 1000))

    def suspend(self, seconds):
        """The machine sleeps, and wakes: what the kernel counts by jiffies has stood still, and
        the wall clock has gone on."""
        self._shift(0, seconds)
        self._shift(8, seconds)
        self._tell()

    def step(self, seconds):
        """Somebody sets the wall clock."""
        self._shift(8, seconds)
        self._tell()

    def _tell(self):
        os.write(self._fifo, bytes(8))

    def close(self):
        os.close(self._fifo)
        self._shifts.close()
