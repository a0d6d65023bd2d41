# SPDX-License-Identifier: MIT
"""Tables of Markdown that programs read and write: between <!-- NAME --> and <!-- end of NAME -->."""
import pathlib
import re


def table(heading, rows):
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def _between(name):
    return re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end of {name} -->)", re.S)


def _place(path, name):
    text = pathlib.Path(path).read_text(encoding="utf-8")
    found = _between(name).search(text)
    if not found:
        raise ValueError(f"{path}: no place for {name}")
    return text, found.group()


def read(path, name):
    """(heading, rows), each a list of cells."""
    lines = [line for line in _place(path, name)[1].splitlines() if line.startswith("|")]
    heading, _, *rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                         for line in lines]
    return heading, rows


def replace(path, name, content):
    text, _ = _place(path, name)
    pathlib.Path(path).write_text(_between(name).sub(lambda _: content, text), encoding="utf-8")


def command(cell):
    """The line for the shell that a cell begins with."""
    return re.match(r"`([^`]+)`", cell).group(1).replace(r"\|", "|")
