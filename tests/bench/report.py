# SPDX-License-Identifier: MIT
"""Rows of measurements: judged, printed, and written into a document.

A row: work, title, against, rtt (ms or None), ours and floor (lists of numbers; floor may be None,
then the goal is for ours itself), unit, goal (or None).
"""
import pathlib
import re
import statistics

COLUMNS = "{:13} {:>6} {:>9} {:>15} {:>9} {:>15} {:>6} {:>6}  {}"


def judged(row):
    """With its figure, and whether that meets the goal."""
    figure = statistics.median(row["ours"])
    if row["floor"]:
        figure /= statistics.median(row["floor"])
    return dict(row, figure=figure, ok=row["goal"] is None or figure <= row["goal"])


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
    print(COLUMNS.format("work", "rtt", "ours", "min-max", "floor", "min-max", "ratio", "goal", ""))


def print_row(row):
    print(COLUMNS.format(row["work"], rtt(row), f"{median(row['ours'])} {row['unit']}",
                         spread(row["ours"]), median(row["floor"]), spread(row["floor"]),
                         figure(row), "" if row["goal"] is None else f"{row['goal']:g}",
                         verdict(row)).rstrip(), flush=True)


# ---- a document ----

def table(heading, rows):
    """A table of Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def figures_table(rows):
    return table(
        ["work", "round trip", "stacksfs", "floor", "which is", "ratio", "goal"],
        [[row["title"], rtt(row), f"{median(row['ours'])} {row['unit']} ({spread(row['ours'])})",
          f"{median(row['floor'])} ({spread(row['floor'])})" if row["floor"] else "",
          row["against"], figure(row),
          "" if row["goal"] is None else f"{row['goal']:g}" + ("" if row["ok"] else " **missed**")]
         for row in rows])


def between(name):
    """What stands between a document's markers of that name."""
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.S)


def replace(path, name, text):
    path = pathlib.Path(path)
    document = path.read_text(encoding="utf-8")
    if not between(name).search(document):
        raise ValueError(f"{path}: no place for {name}")
    path.write_text(between(name).sub(lambda _: text, document), encoding="utf-8")
