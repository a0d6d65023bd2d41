# SPDX-License-Identifier: MIT
"""The works that are measured, each beside its floor: what no client could do with less.

A work is a function of a World that yields (ours, floor): two functions, each doing the work once
and giving the seconds that it took.  They are called in turns.
"""
import contextlib
import dataclasses
import itertools
import json
import math
import os
import re
import shlex
import shutil
import threading
import time
import typing

from mount import output_of
from world import peak_kb, run

CAT = "cat */config.json >/dev/null"


@dataclasses.dataclass
class Work:
    name: str
    title: str
    floor: str
    goal: float | None
    #: wire: measured over each round trip; once: it does not matter, or the shortest; far: over
    #: all but none.
    kind: str
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
    return lambda path, own: f"cd {shlex.quote(str(path))} && {line}"


def warm_work(name, title, goal, command):
    WORKS.append(Work(name, title, "the same of passthrough_ll", goal, "once",
                      lambda world: warm(world, command)))


warm_work("cat", "`cat */config.json` again", 0.6, in_folder(CAT))
warm_work("ls", "`ls -lR` again", 0.25, in_folder("ls -lR >/dev/null"))
# Into a pipe: into /dev/null grep would end with the first line that it finds.
warm_work("grep", "`grep -r` again", 0.25, in_folder("grep -r hostURI . | cat >/dev/null"))
warm_work("rsync-again", "`rsync -a` again", 0.6,
          lambda path, own: ["rsync", "-a", f"{path}/", own])


# ---- changes ----

def save_file(path, text):
    """As an editor does; seconds, without those that a program takes to start."""
    began = time.perf_counter()
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    os.write(fd, text)
    os.close(fd)
    return time.perf_counter() - began


@work("one save", "GET and PUT by curl, on a connection that is there", 1.1, "far")
def save(world):
    # Two stacks: a save would refuse to overwrite what curl has made of the same one.
    (mine, _), (other, other_id), *_ = sorted(world.servers().items())
    body = world.folder / "body.json"
    path = f"/v1/stacks/{other_id}"
    told = 'write-out = "%{time_total} "'
    put = ['request = "PUT"', 'header = "Content-Type: application/json"',
           f'data-binary = "@{body}"']
    command = world.curl("save", [path], told, following=[[path, told], [path, told, *put]])
    saves = 0

    def edited(text):
        nonlocal saves
        saves += 1
        return re.sub(r'"hostURI": "[^"]*"', f'"hostURI": "https://host-{saves}.example.com"', text)

    with world.mounted() as mnt:
        config = mnt / mine / "config.json"

        def ours():
            return save_file(config, edited(config.read_text()).encode())

        def floor():
            record = json.loads(edited((mnt / other / "config.json").read_text()))
            del record["_id"], record["createdAt"], record["lastModified"]
            del record["server"]["systemToken"]
            body.write_text(json.dumps(record))
            first, *counted = map(float, output_of(command).split())
            assert first and len(counted) == 2
            return sum(counted)

        ours()
        yield ours, floor


@work("`rm */systemToken`, 8 at a time", "`curl -Z --parallel-max 8` of the DELETEs", 1.5, "wire")
def rotate(world):
    servers = world.servers()
    command = world.curl("rotate", [f"/v1/stacks/{id}/systemToken" for id in servers.values()],
                         "parallel", "parallel-max = 8", 'request = "DELETE"')
    tokens = world.folder / "tokens"
    tokens.write_bytes(b"".join(f"{name}/systemToken\0".encode() for name in servers))
    at_once = math.ceil(len(servers) / 8)

    def ours():
        with world.mounted() as mnt:
            run("ls */systemToken >/dev/null", cwd=mnt.path)
            return run(["xargs", "-0", "-a", tokens, "-P", "8", "-n", str(at_once), "rm"],
                       cwd=mnt.path)

    yield ours, lambda: run(command)


# ---- the wire ----

@work("the wire: 1,750 requests by `curl -Z`", "straight to the emulator", None, "once")
def wire(world):
    options = ["parallel", "parallel-max = 64"]
    through = world.curl("through", world.urls_of_parts(), *options)
    straight = world.curl("straight", world.urls_of_parts(), *options, straight=True)
    yield lambda: run(through), lambda: run(straight)


# ---- size ----

SIZES = [1000, 10_000, 100_000]


def longest_wait(mnt, while_this):
    """Seconds that a reader waits at most for what always reaches stacksfs."""
    names, waits, over = os.listdir(mnt.path)[:1000], [], threading.Event()

    def read_on():
        for name in itertools.cycle(names):
            began = time.perf_counter()
            os.getxattr(mnt / name, "user.stacksfs.id")
            waits.append(time.perf_counter() - began)
            if over.wait(0.0005):
                return

    reader = threading.Thread(target=read_on)
    reader.start()
    while_this()
    over.set()
    reader.join()
    return max(waits)


def by_size(world):
    """Two functions: (seconds of a mount and an ls, seconds of a reader's longest wait while all is
    renewed, peak of memory in MB); seconds of one curl for the same pages."""
    pages = world.curl("pages", world.pages())

    def ours():
        mnt = world.new_mount()
        began = time.perf_counter()
        mnt.launch()
        run(["ls", mnt.path])
        took = time.perf_counter() - began
        with world.launched(mnt):
            waited = longest_wait(mnt, mnt.refresh)
            return took, waited, peak_kb(mnt.pid) / 1000

    return ours, lambda: run(pages)
