# SPDX-License-Identifier: MIT
"""Rows of measurements: judged, printed, and written into a document.

A row: work, title, against, rtt (ms or None), ours and floor (lists of numbers; floor may be None,
then the goal is for ours itself), unit, goal (or None), runs (how many of ours count).  Medians are judged; the ratio of the least
of both is what a machine that does nothing else may come to.
"""
import datetime
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys

from tables import table

COLUMNS = "{:13} {:>6} {:>9} {:>15} {:>9} {:>15} {:>6} {:>6} {:>6} {:>9}  {}"


def judged(row):
    """With its figure, and whether that meets the goal."""
    figure = statistics.median(row["ours"])
    if row["floor"]:
        figure /= statistics.median(row["floor"])
        row["of_least"] = min(row["ours"]) / min(row["floor"])
    return dict(row, figure=figure, ok=row["goal"] is None or figure <= row["goal"])


def is_close(row):
    """Whether that could be the other way round next time."""
    return row["goal"] is not None and 0.9 <= row["figure"] / row["goal"] <= 1.2


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(values):
    return number(statistics.median(values)) if values else ""


def spread(values):
    return f"{number(min(values))}-{number(max(values))}" if values else ""


def figure(row):
    return f"{row['figure']:.2f}" if row["floor"] else number(row["figure"])


def verdict(row):
    return "" if row["goal"] is None else "ok" if row["ok"] else "MISSED"


def rtt(row):
    return "" if row["rtt"] is None else f"{row['rtt']} ms"


def print_heading():
    print(COLUMNS.format("work", "rtt", "ours", "min-max", "floor", "min-max", "ratio", "goal",
                         "least", "runs", ""))


def print_row(row):
    print(COLUMNS.format(row["work"], rtt(row), f"{median(row['ours'])} {row['unit']}",
                         spread(row["ours"]), median(row["floor"]), spread(row["floor"]),
                         figure(row), "" if row["goal"] is None else f"{row['goal']:g}",
                         f"{row['of_least']:.2f}" if row["floor"] else "", row["runs"],
                         verdict(row)).rstrip(), flush=True)


# ---- a document ----

def figures_table(rows):
    return table(
        ["work", "round trip", "stacksfs", "floor", "which is", "ratio", "goal", "runs"],
        [[row["title"], rtt(row), f"{median(row['ours'])} {row['unit']} ({spread(row['ours'])})",
          f"{median(row['floor'])} ({spread(row['floor'])})" if row["floor"] else "",
          row["against"], figure(row),
          "" if row["goal"] is None else f"{row['goal']:g}" + ("" if row["ok"] else " **missed**"),
          row["runs"]]
         for row in rows])


def peers_table(found):
    """found: {rtt: {peer: {work: [seconds, …]}}}"""
    peers = list(dict.fromkeys(peer for of_rtt in found.values() for peer in of_rtt))
    works = list(dict.fromkeys(work for of_rtt in found.values() for of_peer in of_rtt.values()
                               for work in of_peer))
    return table(["ms", "round trip", *peers],
                 [[work, f"{rtt} ms", *(median(in_ms(of_rtt.get(peer, {}).get(work, ())))
                                        for peer in peers)]
                  for rtt, of_rtt in found.items() for work in works])


def in_ms(seconds):
    return [1000 * value for value in seconds]


def machine():
    """A sentence: what it was measured on."""
    def of(*command):
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory_kb = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    return (f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
            f"{memory_kb / 2**20:.0f} GiB, Linux {platform.release()}, "
            f"libfuse {of('pkg-config', '--modversion', 'fuse3')}, "
            f"{' '.join(of('curl', '--version').split()[:2])}; {datetime.date.today()}.\n")


# ---- pictures ----

STYLE = """set encoding utf8
set terminal svg size {size} font "sans-serif,13" background "#ffffff"
set grid linecolor "#dddddd"
set border 3
set tics nomirror
"""
BY_SIZE = """set title "mount and ls, seconds"
set logscale xy
set xlabel "stacks"
set key left top
set xrange [700:150000]
set format x "%'.0f"
plot "$data" using 1:2:3:4 with yerrorlines title "stacksfs" linecolor "#1f77b4" pointtype 7, \
     "$data" using 1:5 with linespoints title "curl, the pages alone" linecolor "#999999" pointtype 6
"""
REQUESTS = """set xlabel "requests to the API"
set logscale x
set xrange [0.5:1000]
set yrange [{rows}-0.3:-0.7]
set style fill solid
set lmargin {margin}
unset key
set ytics font "monospace,11" noenhanced
plot "$data" using (0.5):0:(0.5):1:($0-0.35):($0+0.35):ytic(2) with boxxyerror linecolor "#1f77b4"
"""


def draw(path, size, script, data):
    """An SVG by gnuplot."""
    if not shutil.which("gnuplot"):
        print(f"bench: no gnuplot here (scripts/setup --bench): {path} stays as it is",
              file=sys.stderr)
        return
    text = STYLE.format(size=size) + "$data << END\n" + data + "END\n"
    done = subprocess.run(["gnuplot"], input=text + script.replace('"$data"', "$data"), text=True,
                          capture_output=True, check=True)
    pathlib.Path(path).write_text(
        "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines() if line.strip()))


def draw_by_size(path, sizes):
    """sizes: {stacks: (our seconds, curl's seconds)}, lists."""
    draw(path, "760,420", BY_SIZE,
         "".join(f"{stacks} {statistics.median(ours)} {min(ours)} {max(ours)}"
                 f" {statistics.median(floor)}\n" for stacks, (ours, floor) in sizes.items()))


def draw_requests(path, costs):
    """costs: [(what is done, requests)]"""
    rows = [(re.split("[:,] ", title)[0].replace("`", ""), count) for title, count in costs]
    margin = round(0.9 * max(len(title) for title, _ in rows))
    draw(path, f"760,{60 + 20 * len(rows)}", REQUESTS.format(rows=len(rows), margin=margin),
         "".join(f'{max(count, 0.5)} "{title}"\n' for title, count in rows))
