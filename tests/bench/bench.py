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

import costs
import peers
import report
import tables
import world as world_lib
from report import in_ms
from turns import Quiet, Turns
from works import SIZES, WORKS, by_size
from world import BUILD, TOP, Passthrough, World, run

STACKS = 1000
PEER_RUNS = 3
AT_LEAST_S = 5
PR_SET_CHILD_SUBREAPER = 36
NAMES = [work.name for work in WORKS] + ["size", "peers"]
DOCS = TOP / "docs"


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 when a goal is missed")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help=f"of each (5); of what is brief, as many as take {AT_LEAST_S} s")
    parser.add_argument("--only", metavar="NAME[,...]", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rtt", default="20,0", metavar="MS[,...]",
                        help="round trips to measure over (20,0)")
    parser.add_argument("--http1", action="store_true", help="HTTP/1.1 without TLS")
    parser.add_argument("--write", action="store_true",
                        help="into docs/performance.md and its pictures: what was measured, and "
                        "the requests of each operation, counted anew")
    options = parser.parse_args()
    options.rtt = [int(rtt) for rtt in options.rtt.split(",")]
    options.only = options.only.split(",") if options.only else NAMES
    unknown = set(options.only) - set(NAMES)
    if unknown:
        parser.error(f"no such work: {', '.join(sorted(unknown))}")
    if options.write and options.only != NAMES:
        parser.error("--write takes everything: leave --only out")
    return options


class Bench:
    """What was asked for, where it is done, and what has come of it so far."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.quiet = Quiet()
        self.rows = []  # as report.py takes them
        self.sizes = {}  # {stacks: (our seconds, curl's)}
        self.peers = {}  # {rtt: {peer: {work: seconds}}}

    def world(self, name, stacks, rtt):
        return World(self.folder / name, stacks, rtt, self.options.http1)

    def take(self, row):
        self.rows.append(report.judged(row))
        report.print_row(self.rows[-1])

    def measure(self):
        report.print_heading()
        for rtt in self.options.rtt:
            self.measure_works(rtt)
        if "size" in self.options.only:
            self.measure_sizes()
        if "peers" in self.options.only:
            self.measure_peers()

    def measure_works(self, rtt):
        works = [work for work in WORKS if self.wanted(work, rtt)]
        if works:
            with self.world(f"rtt{rtt}", STACKS, rtt) as world:
                for work in works:
                    self.take(self.measured(work, world))

    def wanted(self, work, rtt):
        kinds = {"wire": True, "once": rtt == min(self.options.rtt), "far": rtt > 0}
        return work.name in self.options.only and kinds[work.kind]

    def measured(self, work, world):
        def row():
            return dict(work=work.name, title=work.title, against=work.floor, goal=work.goal,
                        rtt=None if work.kind == "once" else world.rtt_ms, unit="ms",
                        ours=in_ms(turns.counted("ours")), floor=in_ms(turns.counted("floor")),
                        runs=turns.described("ours"))

        # What is warm asks the service for nothing.
        cores = os.sched_getaffinity(0) if work.kind == "once" else world_lib.cores_of_client()
        with world_lib.on_cores(cores), work.pair(world) as (ours, floor):
            turns = Turns(self.quiet, dict(ours=ours, floor=floor), self.options.runs)
            turns.take(AT_LEAST_S)
            if report.is_close(report.judged(row())):
                turns.take(3 * AT_LEAST_S)
        return row()

    def measure_sizes(self):
        with world_lib.on_cores(world_lib.cores_of_client()), contextlib.ExitStack() as stack:
            sides = {}
            for size in SIZES:
                world = stack.enter_context(self.world(f"size{size}", size, 0))
                sides["ours", size], sides["curl", size] = by_size(world)
            turns = Turns(self.quiet, sides, self.options.runs)
            turns.take()
        self.sizes = {size: ([took for took, *_ in turns.counted(("ours", size))],
                             turns.counted(("curl", size))) for size in SIZES}
        for small, large in zip(SIZES, SIZES[1:]):
            self.take(dict(work=f"size-{large}", title=f"mount, `ls`: each 1,000 of {large:,}",
                           against=f"each 1,000 of {small:,}", goal=1.2, rtt=0, unit="ms",
                           runs=turns.described(("ours", large)), ours=self.each_thousand(large), floor=self.each_thousand(small)))
        most = "ours", SIZES[-1]
        waits, peaks = zip(*((waited, mb) for _, waited, mb in turns.counted(most)))
        self.take(dict(work="renewal", title=f"a reader's wait at most while {SIZES[-1]:,} stacks "
                       "are renewed", against="", goal=20, rtt=None, unit="ms", ours=in_ms(waits),
                       floor=None, runs=turns.described(most)))
        self.take(dict(work="memory", title=f"memory at most, with {SIZES[-1]:,} stacks",
                       against="", goal=150, rtt=None, unit="MB", ours=list(peaks), floor=None,
                       runs=turns.described(most)))

    def each_thousand(self, size):
        return [value * 1000 / size for value in in_ms(self.sizes[size][0])]

    def measure_peers(self):
        for rtt in self.options.rtt:
            with self.world(f"peers{rtt}", peers.STACKS, rtt) as world:
                self.peers[rtt] = peers.measure(world, min(self.options.runs, PEER_RUNS))
        print("\n" + report.peers_table(self.peers), end="", flush=True)

    # ---- the document ----

    def write(self):
        tables.replace(costs.DOCUMENT, "machine", report.machine())
        tables.replace(costs.DOCUMENT, "figures", report.figures_table(self.rows))
        tables.replace(costs.DOCUMENT, "peers", report.peers_table(self.peers))
        report.draw_by_size(DOCS / "time-by-stacks.svg", self.sizes)
        with World(self.folder / "costs", costs.GENERATED, 0, http1=True) as world:
            costs.add_named(world.api)
            with world.just_mounted() as mnt:
                counted = costs.write_requests(world.api, mnt)
        report.draw_requests(DOCS / "requests.svg",
                             [(what, sum(counts.values())) for what, counts in counted])
        with World(self.folder / "round-trips", costs.STACKS, 0, http1=True) as world:
            costs.write_round_trips(world.mounted)


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
    with work_folder() as folder:
        bench = Bench(options, folder)
        bench.measure()
        if options.write:
            bench.write()
    (BUILD / "bench.json").write_text(json.dumps(bench.rows, indent=1) + "\n")
    if options.check and not all(row["ok"] for row in bench.rows):
        sys.exit(1)


main()
