# SPDX-License-Identifier: MIT
"""What operations cost: the requests to the API that they make, and those of the kernel.

docs/performance.md says it in two tables, whose first column is what to do; tests do it and
compare, and scripts/bench --write does it and writes the other columns.
"""
import collections
import pathlib
import re
import shutil

import tables
from account import stack, stack_id
from mount import eventually, output_of
from opcodes import awaited, traced

DOCUMENT = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "performance.md"

# ---- requests to the API ----

#: An account of 290 stacks, with these among them.
GENERATED, PAGE = 287, 100
NAMED = [stack("billing", 1), stack("reports", 2),
         stack("thumbnails", 3, type="lambda", server=None,
               **{"lambda": {"accessKeyId": "AKIA0123456789", "secretAccessKey": "s3cret",
                             "awsRegion": "us-east-1", "functionName": "thumbnails"}})]
MOUNT_OPTIONS = dict(ttl=3600, rate=0)


def add_named(api):
    for record in NAMED:
        api.add_stack(record)


def settled_counts(api):
    """What was asked so far, once nothing is under way any more."""
    seen = []

    def unchanged():
        log = api.log()
        seen.append(len(log) if all(entry["done"] for entry in log) else None)
        return len(seen) > 5 and seen[-1] is not None and len(set(seen[-5:])) == 1

    eventually(unchanged, within=60)
    return collections.Counter(api.counts())


def requests(api, mnt, lines):
    """Yields each line for the shell with its {endpoint: requests}; the first one's are also those
    of the mount, which are all that there are so far."""
    before = collections.Counter()
    for line in lines:
        output_of(line, cwd=mnt.path, env=mnt.env)
        after = settled_counts(api)
        yield line, dict(after - before)
        before = after


def as_text(counts):
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def as_counts(text):
    return {name: int(count) for count, name in re.findall(r"(\d+) (\w+)", text)}


def documented_requests():
    """[(what to do, {endpoint: requests})]"""
    return [(row[0], as_counts(row[1])) for row in tables.read(DOCUMENT, "requests")[1]]


def write_requests(api, mnt):
    """The table anew; [(what to do, {endpoint: requests})]."""
    heading, rows = tables.read(DOCUMENT, "requests")
    lines = [tables.command(row[0]) for row in rows]
    found = [counts for _, counts in requests(api, mnt, lines)]
    for row, counts in zip(rows, found):
        row[1:] = [as_text(counts)]
    tables.replace(DOCUMENT, "requests", tables.table(heading, rows))
    return [(row[0], counts) for row, counts in zip(rows, found)]


# ---- requests of the kernel ----

STACKS = 200
#: Of a stack's requests: a kernel short of memory drops some of what it keeps.
ALLOWANCE = 0.1


def _round_trips(mnt, line):
    with traced(mnt.pid, mnt.work) as counts:
        output_of(line, cwd=mnt.path, env=mnt.env)
    return {name: count / STACKS for name, count in awaited(counts).items()}


def round_trips(mounted, line):
    """{when: {opcode: requests for each stack}}: first, and warm, which is the third time.

    mounted: a context manager of a fresh mount of STACKS stacks."""
    with mounted() as mnt:
        first = _round_trips(mnt, line)
        output_of(line, cwd=mnt.path, env=mnt.env)
        found = {"first": first, "warm": _round_trips(mnt, line)}
        shutil.rmtree(mnt.env["HOME"])
    return found


def columns(heading, counts):
    """The cells of a row, without the first two: {name: requests for each stack}."""
    return {name: sum(counts.values()) if name == "all" else counts.get(name, 0)
            for name in heading[2:]}


def write_round_trips(mounted):
    heading, rows = tables.read(DOCUMENT, "round trips")
    found = {}
    for row in rows:
        line = tables.command(row[0])
        if line not in found:
            found[line] = round_trips(mounted, line)
        row[2:] = [f"{value:.1f}" if value >= 0.05 else ""
                   for value in columns(heading, found[line][row[1]]).values()]
    tables.replace(DOCUMENT, "round trips", tables.table(heading, rows))
