# SPDX-License-Identifier: MIT
"""The works that are measured, each beside its floor: what no client could do with less.

A work is a function of a World that yields (ours, floor): two functions, each doing the work once
and giving the seconds that it took.  They are called in turns.
"""
import contextlib
import dataclasses
import shutil
import time
import typing

from world import run

CAT = "cat */config.json >/dev/null"


@dataclasses.dataclass
class Work:
    name: str
    title: str
    floor: str
    goal: float
    kind: str  # wire: over each round trip; warm: the wire does not matter
    pair: typing.Callable


WORKS = []


def work(title, floor, goal, kind):
    def register(function):
        WORKS.append(Work(function.__name__, title, floor, goal, kind,
                          contextlib.contextmanager(function)))
        return function

    return register


# ---- cold ----

@work("mount, `cat */config.json`", "10 pages by one curl, the same cat of passthrough_ll", 1.15,
      "wire")
def cold(world):
    pages = world.curl("pages", world.pages())
    world.tree()

    def ours():
        mnt = world.new_mount()
        began = time.perf_counter()
        mnt.launch()
        run(CAT, cwd=mnt.path)
        took = time.perf_counter() - began
        with world.launched(mnt):
            return took

    def floor():
        with world.passthrough() as passthrough:
            return run(pages) + run(CAT, cwd=passthrough.path)

    yield ours, floor


@work("first `rsync -a`", "`curl -Z --parallel-max 64` of its URLs, `rsync -a` of passthrough_ll",
      1.15, "wire")
def rsync(world):
    parts = world.curl("parts", world.urls_of_parts(), "parallel", "parallel-max = 64")
    world.tree()
    to = world.folder / "backup"

    def copy(source):
        shutil.rmtree(to, ignore_errors=True)
        return run(["rsync", "-a", f"{source}/", to])

    def ours():
        with world.mounted() as mnt:
            return copy(mnt.path)

    def floor():
        with world.passthrough() as passthrough:
            return run(parts) + copy(passthrough.path)

    ours()
    run(["diff", "-r", to, world.tree()])
    yield ours, floor


# ---- warm ----

@contextlib.contextmanager
def warm(world, command):
    """The same command on both, after it was done twice on each.

    command: of a mounted path and a folder that is its own."""
    with world.mounted() as mnt, world.passthrough() as passthrough:
        def ours():
            return run(command(mnt.path, world.folder / "warm-ours"))

        def floor():
            return run(command(passthrough.path, world.folder / "warm-floor"))

        for _ in range(2):
            ours(), floor()
        yield ours, floor


def in_folder(line):
    return lambda path, own: f"cd {path} && {line}"


def warm_work(name, title, goal, command):
    WORKS.append(Work(name, title, "the same of passthrough_ll", goal, "warm",
                      lambda world: warm(world, command)))


warm_work("cat", "`cat */config.json` again", 0.6, in_folder(CAT))
warm_work("ls", "`ls -lR` again", 0.25, in_folder("ls -lR >/dev/null"))
# Into a pipe: into /dev/null grep would end with the first line that it finds.
warm_work("grep", "`grep -r` again", 0.25, in_folder("grep -r hostURI . | cat >/dev/null"))
warm_work("rsync-again", "`rsync -a` again", 0.6,
          lambda path, own: ["rsync", "-a", f"{path}/", own])
