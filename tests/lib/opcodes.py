# SPDX-License-Identifier: MIT
"""What the kernel asks a mount: how often, and for what.

Each request of the kernel is one read(2) of /dev/fuse, and begins with its length and its opcode
(struct fuse_in_header).
"""
import collections
import contextlib
import pathlib
import re
import signal
import subprocess

from mount import SLOWER, eventually, wait_for_exit

OPCODES = {1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 5: "READLINK", 9: "MKDIR",
           10: "UNLINK", 11: "RMDIR", 12: "RENAME", 14: "OPEN", 15: "READ", 16: "WRITE",
           17: "STATFS", 18: "RELEASE", 20: "FSYNC", 22: "GETXATTR", 23: "LISTXATTR", 25: "FLUSH",
           26: "INIT", 27: "OPENDIR", 28: "READDIR", 29: "RELEASEDIR", 34: "ACCESS", 35: "CREATE",
           36: "INTERRUPT", 38: "DESTROY", 42: "BATCH_FORGET", 44: "READDIRPLUS", 45: "RENAME2"}
# Nobody waits for these.
ASYNCHRONOUS = {"FORGET", "BATCH_FORGET", "RELEASE", "RELEASEDIR", "INTERRUPT"}


def settled_replies(pid):
    """How often a process has written, once the last release has come too: nobody waits for those.

    A mount that has nothing to ask the API writes its replies only."""
    def writes():
        text = pathlib.Path(f"/proc/{pid}/io").read_text(encoding="ascii")
        return int(re.search(r"syscw: (\d+)", text).group(1))

    seen = [writes()]

    def unchanged():
        seen.append(writes())
        return len(seen) > 5 and len(set(seen[-5:])) == 1

    eventually(unchanged)
    return seen[-1]


@contextlib.contextmanager
def traced(pid, work):
    """Yields a Counter that is filled at the end: {opcode's name: requests of the kernel}."""
    output = pathlib.Path(work, "opcodes")
    counts = collections.Counter()
    settled_replies(pid)
    tracer = subprocess.Popen(
        ["strace", "-f", "-e", "trace=read", "-e", "signal=none", "-P", "/dev/fuse", "-xx",
         "-s", "8", "-o", output, "-p", str(pid)],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace: {said}")
        yield counts
        settled_replies(pid)
    finally:
        tracer.send_signal(signal.SIGINT)
        wait_for_exit(tracer.pid, 10 * SLOWER)
        tracer.poll()
        tracer.stderr.close()
    counts.update(parse(output.read_text(encoding="ascii")))


def parse(text):
    """The opcodes of a trace."""
    for line in text.splitlines():
        head = re.search(r'"((?:\\x[0-9a-f]{2}){8})".* = \d+$', line)
        if head:
            opcode = int.from_bytes(bytes.fromhex(head.group(1).replace("\\x", ""))[4:], "little")
            yield OPCODES.get(opcode, str(opcode))


def awaited(counts):
    """Without those that cost the caller nothing."""
    return {name: count for name, count in counts.items() if name not in ASYNCHRONOUS}
