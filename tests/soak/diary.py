# SPDX-License-Identifier: MIT
"""What a worker did: operations by kind, what they were refused with, and how long they took.

A diary is a plain value, so that those of many processes can be added up.  Of the times only a
histogram is kept, for a soak may go on for hours.
"""
import collections
import errno
import math

BUCKETS_PER_DOUBLING = 8
COMPLAINTS_KEPT = 20


def bucket_of(seconds):
    return int(math.log2(max(seconds * 1e6, 1)) * BUCKETS_PER_DOUBLING)


def seconds_of(bucket):
    return 2 ** ((bucket + 1) / BUCKETS_PER_DOUBLING) / 1e6


class Kind:
    """One kind of operation."""

    def __init__(self):
        self.count = 0
        self.worst = 0.0
        self.refused = collections.Counter()  # name of an errno: how often
        self.times = collections.Counter()    # bucket: how many

    def add(self, seconds, refused=None):
        self.count += 1
        self.worst = max(self.worst, seconds)
        self.times[bucket_of(seconds)] += 1
        if refused:
            self.refused[refused] += 1

    def merge(self, other):
        self.count += other.count
        self.worst = max(self.worst, other.worst)
        self.refused += other.refused
        self.times += other.times

    def quantile(self, q):
        """Seconds that so great a part took at most; no more exact than the buckets."""
        left = q * self.count
        for bucket in sorted(self.times):
            left -= self.times[bucket]
            if left <= 0:
                return min(seconds_of(bucket), self.worst)
        return self.worst


class Diary:
    def __init__(self):
        self.kinds = collections.defaultdict(Kind)
        self.complaints = []   # what must not be: the first few in words
        self.n_complaints = 0
        self.facts = {}        # what the verdict needs to know of this worker, see workers.py

    def complain(self, text):
        self.n_complaints += 1
        if len(self.complaints) < COMPLAINTS_KEPT:
            self.complaints.append(text)

    def merge(self, other):
        for name, kind in other.kinds.items():
            self.kinds[name].merge(kind)
        self.complaints += other.complaints
        self.n_complaints += other.n_complaints

    # ---- as JSON ----

    def dump(self):
        return {"kinds": {name: vars(kind) for name, kind in self.kinds.items()},
                "complaints": self.complaints, "n_complaints": self.n_complaints,
                "facts": self.facts}

    @classmethod
    def load(cls, value):
        diary = cls()
        diary.complaints, diary.n_complaints = value["complaints"], value["n_complaints"]
        diary.facts = value["facts"]
        for name, members in value["kinds"].items():
            kind = diary.kinds[name]
            kind.count, kind.worst = members["count"], members["worst"]
            kind.refused = collections.Counter(members["refused"])
            kind.times = collections.Counter({int(b): n for b, n in members["times"].items()})
        return diary

    # ---- for people ----

    def table(self):
        yield f"{'operation':<28}{'count':>8}{'p50 ms':>10}{'p99 ms':>10}{'worst ms':>10}  refused"
        for name in sorted(self.kinds):
            kind = self.kinds[name]
            refused = ", ".join(f"{n} {code}" for code, n in kind.refused.most_common())
            yield (f"{name:<28}{kind.count:>8}{kind.quantile(0.5) * 1000:>10.1f}"
                   f"{kind.quantile(0.99) * 1000:>10.1f}{kind.worst * 1000:>10.1f}  {refused}".rstrip())


def name_of(error):
    return errno.errorcode.get(error.errno, str(error.errno))
