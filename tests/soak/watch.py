# SPDX-License-Identifier: MIT
"""What is looked at from outside while a soak goes on: the processes, and what they ask."""
import collections
import os
import pathlib
import re
import statistics

from account import endpoint

#: What a process may have more at the end than after the warm-up.
MEMORY_PART, MEMORY_KB, DESCRIPTORS, THREADS = 0.15, 6 * 1024, 12, 2
#: Of connections there are more or fewer as much or little is asked at once: a bound for them.
SOCKETS = 64 + 8


class Process:
    """Memory, descriptors and threads of a stacksfs over time."""

    def __init__(self, name, pid):
        self.name, self.pid = name, pid
        self.samples = []

    def sample(self):
        proc = pathlib.Path(f"/proc/{self.pid}")
        status = (proc / "status").read_text(encoding="ascii")
        values = {name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M).group(1))
                  for name in ("VmRSS", "Threads")}
        try:  # of a process that must not be dumped only root may ask
            values["Pss"] = int(re.search(r"^Pss:\s+(\d+)", (proc / "smaps_rollup").read_text(),
                                          re.M).group(1))
            ends = [os.readlink(end.path) for end in os.scandir(proc / "fd")]
            values["sockets"] = sum(end.startswith("socket:") for end in ends)
            values["fds"] = len(ends) - values["sockets"]
        except (PermissionError, FileNotFoundError):
            pass  # the latter: one was closed just now
        self.samples.append(values)

    def between(self, name):
        """(after the warm-up, at the end): medians of a tenth of all samples each."""
        values = [sample[name] for sample in self.samples if name in sample]
        tenth = max(1, len(values) // 10)
        start = len(values) // 3
        return (statistics.median(values[start:start + tenth]), statistics.median(values[-tenth:])
                ) if values else (0, 0)

    def growth(self, memory=True):
        """What has grown."""
        rows = [("fds", DESCRIPTORS), ("Threads", THREADS)]
        if memory:
            rows += [(name, MEMORY_KB + MEMORY_PART * self.between(name)[0])
                     for name in ("VmRSS", "Pss")]
        for name, allowed in rows:
            before, after = self.between(name)
            if after > before + allowed:
                yield f"{self.name}: {name} was {before:.0f} after the warm-up, and is {after:.0f}"
        most = max((sample.get("sockets", 0) for sample in self.samples), default=0)
        if most > SOCKETS:
            yield f"{self.name}: {most} sockets at once"

    def describe(self):
        return f"{self.name}: " + ", ".join(
            f"{name} {before:.0f} -> {after:.0f}{unit}"
            for name, unit in (("VmRSS", " kB"), ("Pss", " kB"), ("fds", ""), ("sockets", ""), ("Threads", ""))
            for before, after in [self.between(name)])


class Traffic:
    """The request log, emptied again and again, for it has bounds."""

    def __init__(self, account, weather):
        self.account, self.weather = account, weather
        self.since = account.seq()
        self.asked = collections.Counter()     # endpoint
        self.faults = collections.Counter()    # name
        self.notes = collections.Counter()     # what no careful client sends
        self.deleted = collections.Counter()   # path of what was asked to be deleted
        self.rotated = collections.Counter()   # and was carried out: of a token

    def take(self):
        """What has come since, but for requests that are still under way."""
        for entry in self.account.log(self.since):
            if not entry["done"] and entry["status"] is None:
                break
            self.since = entry["seq"]
            self._count(entry)

    def _count(self, entry):
        name = endpoint(entry)
        self.asked[name] += 1
        fault = entry.get("fault")
        kind = self.weather.name_of(fault) if fault else None
        if fault:
            self.faults[kind] += 1
        for note in entry["notes"]:
            if not note.startswith("info: "):
                self.notes[f'{entry["method"]} {name}: {note}'] += 1
        if name == "delete":
            self.deleted[entry["path"]] += 1
        if name == "rotate" and (entry["status"] == 204 or kind and "done" in kind):
            self.rotated[entry["path"].split("/")[3]] += 1
