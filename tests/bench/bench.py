# SPDX-License-Identifier: MIT
"""Measure stacksfs against what no client could do with less, in the same run (scripts/bench)."""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import resource
import shutil
import signal
import sys
import tempfile

import report
import world as world_lib
from works import SIZES, WORKS, by_size
from world import BUILD, Passthrough, World, run

STACKS = 1000
PR_SET_CHILD_SUBREAPER = 36
NAMES = [work.name for work in WORKS] + ["size"]


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="of each (5)")
    parser.add_argument("--only", default=",".join(NAMES), metavar="NAME[,...]",
                        help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rtt", default="20,0", metavar="MS[,...]",
                        help="round trips to measure over (20,0)")
    parser.add_argument("--http1", action="store_true", help="HTTP/1.1 without TLS")
    options = parser.parse_args()
    options.rtt = [int(rtt) for rtt in options.rtt.split(",")]
    options.only = options.only.split(",")
    unknown = set(options.only) - set(NAMES)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    return options


# ---- measuring ----

def in_turns(sides, runs):
    """{name: seconds of each run}: in turns, so that what else the machine does meets all."""
    found = {name: [] for name in sides}
    for _ in range(runs):
        for name, side in sides.items():
            found[name].append(side())
    return found


def in_ms(seconds):
    return [1000 * value for value in seconds]


def measure(work, world, runs):
    with work.pair(world) as (ours, floor):
        found = in_turns(dict(ours=ours, floor=floor), runs)
    return dict(work=work.name, title=work.title, against=work.floor, goal=work.goal,
                rtt=None if work.kind == "warm" else world.rtt_ms, unit="ms",
                ours=in_ms(found["ours"]), floor=in_ms(found["floor"]))


def wanted(work, rtt, options):
    """The wire does not matter to warm works, which are measured once; a far one has a goal only
    when there is a distance."""
    kinds = {"wire": True, "warm": rtt == min(options.rtt), "far": rtt > 0}
    return work.name in options.only and kinds[work.kind]


def measure_works(options, folder):
    for rtt in options.rtt:
        works = [work for work in WORKS if wanted(work, rtt, options)]
        if works:
            with World(folder / f"rtt{rtt}", STACKS, rtt, options.http1) as world:
                for work in works:
                    yield measure(work, world, options.runs)


def measure_all(options, folder):
    yield from measure_works(options, folder)
    if "size" in options.only:
        with contextlib.ExitStack() as stack:
            worlds = [stack.enter_context(World(folder / f"size{size}", size, 0, options.http1))
                      for size in SIZES]
            sides = {world.stacks: by_size(world) for world in worlds}
            yield from size_rows(in_turns(sides, options.runs))


def size_rows(found):
    """found: {stacks: [(seconds, MB), …]}."""
    each = {size: [1000 * took * 1000 / size for took, _ in runs] for size, runs in found.items()}
    for small, large in zip(SIZES, SIZES[1:]):
        yield dict(work=f"size-{large}", title=f"mount, `ls`: each 1,000 of {large:,} stacks",
                   against=f"each 1,000 of {small:,}", goal=1.2, rtt=0, unit="ms",
                   ours=each[large], floor=each[small])
    peaks = [mb for _, mb in found[SIZES[-1]]]
    yield dict(work="memory", title=f"memory at most, with {SIZES[-1]:,} stacks", against="",
               goal=150, rtt=None, unit="MB", ours=peaks, floor=None)


# ---- surroundings ----

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
            run(["umount", "-l", folder])
    finally:
        shutil.rmtree(folder)


def stop(number, _frame):
    signal.signal(number, signal.SIG_IGN)  # once is enough: what follows cleans up
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
    Passthrough.build(BUILD)


def main():
    options = arguments()
    prepare()
    rows = []
    report.print_heading()
    with work_folder() as folder:
        for row in measure_all(options, folder):
            rows.append(report.judged(row))
            report.print_row(rows[-1])
    (BUILD / "bench.json").write_text(json.dumps(rows, indent=1) + "\n")
    if options.check and not all(row["ok"] for row in rows):
        sys.exit(1)


main()
