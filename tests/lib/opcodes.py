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
import struct
import subprocess

from mount import SLOWER, eventually, wait_for_exit

OPCODES = {1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 5: "READLINK", 9: "MKDIR",
           10: "UNLINK", 11: "RMDIR", 12: "RENAME", 14: "OPEN", 15: "READ", 16: "WRITE",
           17: "STATFS", 18: "RELEASE", 20: "FSYNC", 22: "GETXATTR", 23: "LISTXATTR", 25: "FLUSH",
           26: "INIT", 27: "OPENDIR", 28: "READDIR", 29: "RELEASEDIR", 34: "ACCESS", 35: "CREATE",
           36: "INTERRUPT", 38: "DESTROY", 42: "BATCH_FORGET", 44: "READDIRPLUS", 45: "RENAME2"}
NOTIFY_STORE = 4
# Nobody waits for these.
ASYNCHRONOUS = {"FORGET", "BATCH_FORGET", "RELEASE", "RELEASEDIR", "INTERRUPT"}


def calls(pid, name):
    """How often a process has read ("syscr"), or written ("syscw")."""
    text = pathlib.Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    return int(re.search(rf"{name}: (\d+)", text).group(1))


def settled_replies(pid):
    """How often a process has written, once the last release has come too: nobody waits for those.

    A mount that has nothing to ask the API writes its replies only."""
    seen = [calls(pid, "syscw")]

    def unchanged():
        seen.append(calls(pid, "syscw"))
        return len(seen) > 5 and len(set(seen[-5:])) == 1

    eventually(unchanged)
    return seen[-1]


@contextlib.contextmanager
def strace(pid, output, call, size):
    """Has that call on /dev/fuse written to a file, with the first bytes of each message."""
    settled_replies(pid)
    tracer = subprocess.Popen(
        ["strace", "-f", "-e", f"trace={call}", "-e", "signal=none", "-P", "/dev/fuse", "-xx",
         "-s", str(size), "-o", output, "-p", str(pid)],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        said = tracer.stderr.readline()
        if "attached" not in said:
            raise RuntimeError(f"strace: {said}")
        yield
        settled_replies(pid)
    finally:
        tracer.send_signal(signal.SIGINT)
        wait_for_exit(tracer.pid, 10 * SLOWER)
        tracer.poll()
        tracer.stderr.close()


def messages(trace):
    """The beginnings of the messages that have come or gone, in a file of strace's."""
    for line in pathlib.Path(trace).read_text(encoding="ascii").splitlines():
        found = re.search(r'"((?:\\x[0-9a-f]{2})+)".* = \d+$', line)
        if found:
            yield bytes.fromhex(found.group(1).replace("\\x", ""))


@contextlib.contextmanager
def traced(pid, work):
    """Yields a Counter that is filled at the end: {opcode's name: requests of the kernel}."""
    trace = pathlib.Path(work, "opcodes")
    counts = collections.Counter()
    with strace(pid, trace, "read", 8):
        yield counts
    for head in messages(trace):
        opcode = int.from_bytes(head[4:], "little")
        counts[OPCODES.get(opcode, str(opcode))] += 1


@contextlib.contextmanager
def stored(pid, work):
    """Yields a list that is filled at the end: what was put into the kernel's pages, and taken by
    it (FUSE_NOTIFY_STORE; struct fuse_notify_store_out)."""
    trace = pathlib.Path(work, "stores")
    texts = []
    with strace(pid, trace, "write", 4096):
        yield texts
    for message in messages(trace):
        _, code, unique = struct.unpack_from("<IiQ", message)
        if unique == 0 and code == NOTIFY_STORE:
            texts.append(message[16 + 24:])


def awaited(counts):
    """Without those that cost the caller nothing."""
    return {name: count for name, count in counts.items() if name not in ASYNCHRONOUS}
