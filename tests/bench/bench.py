# SPDX-License-Identifier: MIT
"""Measure stacksfs against what no client could do with less, in the same run (scripts/bench)."""
import argparse
import contextlib
import ctypes
import os
import pathlib
import resource
import shutil
import signal
import statistics
import sys
import tempfile

import world as world_lib
from works import WORKS
from world import BUILD, Passthrough, World, dump, run

STACKS = 1000
PR_SET_CHILD_SUBREAPER = 36


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench")
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument("--only", default="", metavar="NAME[,...]",
                        help="of: " + ", ".join(names()))
    parser.add_argument("--rtt", default="20,0", metavar="MS[,...]",
                        help="round trips to measure over (20,0)")
    parser.add_argument("--http1", action="store_true", help="HTTP/1.1 without TLS")
    options = parser.parse_args()
    options.rtt = [int(rtt) for rtt in options.rtt.split(",")]
    options.only = options.only.split(",") if options.only else names()
    unknown = set(options.only) - set(names())
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    return options


def names():
    return [work.name for work in WORKS]


def measure(work, world, runs):
    """In turns, so that what else the machine does meets both."""
    found = {"ours": [], "floor": []}
    with work.pair(world) as (ours, floor):
        for _ in range(runs):
            found["ours"].append(ours())
            found["floor"].append(floor())
    return found


def spread(seconds):
    return f"{min(seconds) * 1000:.0f}-{max(seconds) * 1000:.0f}"


def judge(row):
    ours, floor = (statistics.median(row[side]) for side in ("ours", "floor"))
    row["ratio"] = ours / floor
    row["ok"] = row["ratio"] <= row["goal"]
    rtt = "" if row["rtt"] is None else f"{row['rtt']} ms"
    print(f"{row['work']:12} {rtt:>6} {ours * 1000:9.1f} {spread(row['ours']):>13}"
          f" {floor * 1000:9.1f} {spread(row['floor']):>13} {row['ratio']:6.2f}"
          f" {row['goal']:5.2f}  {'ok' if row['ok'] else 'MISSED'}", flush=True)
    return row


def measure_all(options, folder):
    print(f"{'work':12} {'rtt':>6} {'ours/ms':>9} {'min-max':>13} {'floor/ms':>9} {'min-max':>13}"
          f" {'ratio':>6} {'goal':>5}")
    for rtt in options.rtt:
        kinds = ["wire", "warm"] if rtt == options.rtt[-1] else ["wire"]
        works = [w for w in WORKS if w.name in options.only and w.kind in kinds]
        if not works:
            continue
        with World(folder / f"rtt{rtt}", STACKS, rtt, options.http1) as world:
            for work in works:
                found = measure(work, world, options.runs)
                yield judge(dict(work=work.name, goal=work.goal,
                                 rtt=rtt if work.kind == "wire" else None, **found))


@contextlib.contextmanager
def work_folder():
    """A tmpfs that nobody else sees."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="run-", dir=BUILD))
    try:
        run(["mount", "-t", "tmpfs", "-o", "mode=700", "stacksfs-bench", folder])
        try:
            yield folder
        finally:
            for mountpoint, device in world_lib.mount_lib.mounts_below(folder):
                world_lib.mount_lib.force_unmount(mountpoint, device)
            run(["umount", folder])
    finally:
        shutil.rmtree(folder)


def stop(number, _frame):
    raise SystemExit(128 + number)


def prepare():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    # A daemon that went to the background becomes our child, so that its end is seen.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # passthrough_ll has a file open for each inode.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.environ["LC_ALL"] = "C.UTF-8"


def main():
    options = arguments()
    prepare()
    Passthrough.build(BUILD)
    with work_folder() as folder:
        rows = list(measure_all(options, folder))
    dump(BUILD / "bench.json", rows)
    missed = [row for row in rows if not row["ok"]]
    if options.check and missed:
        sys.exit(1)


main()
