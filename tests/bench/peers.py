# SPDX-License-Identifier: MIT
"""What a user would pick instead: shown, not judged.

Over the same wire, with fewer stacks, because some of it is slow: a curl process for each stack,
one curl for all, and an rclone mount of a static server that has the same files.
"""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import time

from mount import eventually, mounted_at
from world import end, first_line, run, wire
from works import CAT

STACKS = 100
#: A line for the shell, and what doing it in a fresh mount and doing it again are called.
LINES = [(CAT, "first `cat */config.json`", "`cat */config.json` again"),
         ("ls -lR >/dev/null", "first `ls -lR`", "`ls -lR` again")]


class StaticServer:
    """A World's files, as any web server has them."""

    def __init__(self, tree):
        self.unix = None
        self.process = subprocess.Popen(
            [sys.executable, "-B", pathlib.Path(__file__).with_name("static_server.py"), tree],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.port = int(first_line(self.process))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.process)


class Rclone:
    def __init__(self, way, folder):
        self.path, self.cache = folder / "rclone", folder / "rclone-cache"
        self.path.mkdir()
        self.command = ["rclone", "mount", ":http:", self.path, "--http-url", way.url,
                        "--config", "/dev/null", "--cache-dir", self.cache, "--read-only",
                        "--vfs-cache-mode", "full", "--dir-cache-time", "1h",
                        "--attr-timeout", "1h", "--log-file", folder / "rclone.log"]
        if way.cacert:
            self.command += ["--ca-cert", way.cacert]

    @contextlib.contextmanager
    def mounted(self):
        process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL)
        try:
            eventually(lambda: mounted_at(self.path), every=0.001)
            yield self
            run(["umount", self.path])
        finally:
            end(process)
            shutil.rmtree(self.cache, ignore_errors=True)


@contextlib.contextmanager
def rclone_mount(world):
    """An Rclone over a wire like the world's, or None."""
    if not shutil.which("rclone"):
        print("bench: no rclone here (scripts/setup --bench): it is left out", file=sys.stderr)
        yield None
        return
    with StaticServer(world.tree()) as server, \
            wire(server, world.folder / "static", world.rtt_ms, world.http1) as way:
        yield Rclone(way, world.folder)


def first_and_again(mounted, line):
    """Seconds of mounting and a line for the shell, and of the same line again."""
    began = time.perf_counter()
    with mounted() as mnt:
        run(line, cwd=mnt.path)
        first = time.perf_counter() - began
        return first, run(line, cwd=mnt.path)


def one_by_one(world, ids):
    """A line for the shell: a curl process for each stack."""
    commands = []
    for number, stack_id in enumerate(ids):
        command = world.curl(f"one-{number}", [f"/v1/stacks/{stack_id}"])
        commands.append(" ".join(str(part) for part in command))
    script = world.folder / "one-by-one"
    script.write_text("\n".join(commands) + "\n")
    return ["bash", script]


def measure(world, runs):
    """{peer: {work: [seconds, …]}}; nothing for a peer that is not installed."""
    ids = [record.id for record in world.api.records()]
    together = world.curl("together", [f"/v1/stacks/{stack_id}" for stack_id in ids], "parallel",
                          "parallel-max = 64")
    separate = one_by_one(world, ids)
    found = {"stacksfs": {}, "rclone mount": {}, "curl -Z": {}, "curl, one by one": {}}

    def note(peer, work, seconds):
        found[peer].setdefault(work, []).append(seconds)

    def note_mount(peer, mounted):
        for line, *works in LINES:
            for work, seconds in zip(works, first_and_again(mounted, line)):
                note(peer, work, seconds)

    def note_command(peer, command):
        seconds = run(command)
        for work in LINES[0][1:]:  # it remembers nothing
            note(peer, work, seconds)

    with rclone_mount(world) as rclone:
        for _ in range(runs):
            note_mount("stacksfs", world.just_mounted)
            if rclone:
                note_mount("rclone mount", rclone.mounted)
            note_command("curl -Z", together)
            note_command("curl, one by one", separate)
    return found
