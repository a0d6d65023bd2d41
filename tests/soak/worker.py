#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One worker of a soak, as a process of its own: worker.py SPEC, a JSON object.

It works until its standard input ends, then puts its diary into SPEC's "diary".  A process, and
not a thread: a program that another thread starts would for a moment have this one's files open,
too, and flush them half written.
"""
import errno
import json
import os
import pathlib
import random
import re
import select
import subprocess
import sys
import time
import traceback

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / "lib")]

from diary import Diary, name_of  # noqa: E402
from emulator import Emulator  # noqa: E402
from expect import Owned  # noqa: E402
from model import body_of  # noqa: E402
from mount import SLOWER, eventually, run  # noqa: E402
from saving import FILES  # noqa: E402

#: What the faults of a soak come to, whatever is asked (docs/faults.md).
TRANSIENT = {errno.EIO, errno.ETIMEDOUT, errno.EBUSY, errno.ECONNREFUSED, errno.EACCES}
#: And where somebody else may be taking away what is looked at.
VANISHING = TRANSIENT | {errno.ENOENT, errno.ESTALE}
MARGIN_S = 2 * SLOWER
WORDS = {os.strerror(code): code for code in errno.errorcode}


class Behind(Emulator):
    """The account behind the curtain, of an emulator that somebody else has started."""

    def __init__(self, url):  # no process of ours
        self.address = self.url = url
        self.unix = None
        self.token = None


class Worker:
    """kind: its name in the summary.  step() is done again and again."""
    pace_s = 0.1

    def __init__(self, spec):
        self.spec = spec
        self.name = spec["name"]
        self.chance = random.Random(f"{spec['seed']} {self.name}")
        self.mnt = pathlib.Path(spec["mount"])
        self.work = pathlib.Path(spec["work"])
        self.work.mkdir(parents=True, exist_ok=True)
        self.account = Behind(spec["emulator"])
        self.timeout_s = spec["timeout_s"]
        self.diary = Diary()
        self.owned = [Owned(name, self.id_of(name), self.account.by_name(name))
                      for name in spec.get("owned", [])]

    def id_of(self, name):
        return self.account.by_name(name)["_id"]

    def step(self):
        raise NotImplementedError

    def end(self):
        """After the last step, while all is still up."""

    def pause(self, seconds):
        """Let time pass; True when the soak is over."""
        return bool(select.select([sys.stdin], [], [], seconds)[0])

    def work_on(self):
        try:
            while not self.pause(self.chance.uniform(0, 2 * self.pace_s)):
                self.step()
            self.end()
        except Exception:
            self.diary.complain(f"{self.name} broke: {traceback.format_exc()}")
        finally:
            with open(self.spec["diary"], "w", encoding="utf-8") as file:
                json.dump(self.diary.dump(), file)

    def complain(self, text):
        self.diary.complain(f"{time.strftime('%H:%M:%S')} {self.name}: {text}")

    # ---- single calls: each has its errors and its bound ----

    def call(self, kind, may_fail, function, *arguments, **options):
        """(value, None), or (None, errno) of a failure that may be."""
        began = time.monotonic()
        value = failed = None
        try:
            value = function(*arguments, **options)
        except OSError as error:
            failed = error
        took = time.monotonic() - began
        self.diary.kinds[kind].add(took, failed and name_of(failed))
        if failed and failed.errno not in may_fail:
            self.complain(f"{kind} {arguments[:1]}: {failed}")
        if took > self.timeout_s + MARGIN_S:
            self.complain(f"{kind} {arguments[:1]} took {took:.1f} s ({failed})")
        return value, failed and failed.errno

    def read(self, path, may_fail=TRANSIENT):
        """A file's bytes, whose number is what fstat says; None when it cannot be had."""
        fd, failed = self.call("open", may_fail, os.open, path, os.O_RDONLY)
        if failed:
            return None
        try:
            size, failed = self.call("fstat", may_fail, lambda: os.fstat(fd).st_size)
            if failed:
                return None
            data, failed = self.call("read", may_fail, read_all, fd)
            if not failed and len(data) != size:
                self.complain(f"{path}: read gives {len(data)} bytes, and stat says {size}")
            return data
        finally:
            os.close(fd)

    def read_json(self, path, may_fail=TRANSIENT):
        data = self.read(path, may_fail)
        return None if data is None else json.loads(data)

    # ---- programs: what they say has to be the words of errors that may be ----

    def program(self, kind, command, may_fail=VANISHING, may_say=(), returns=None, calls=20, **more):
        """What ran.  calls: how many of the program's own may wait for the API one after another."""
        began = time.monotonic()
        bound = calls * self.timeout_s + MARGIN_S
        try:
            done = run(command, timeout=bound / SLOWER + 60, **more)
        except subprocess.TimeoutExpired:
            self.complain(f"{kind} did not end")
            raise
        took = time.monotonic() - began
        refused = self.judge(kind, done.returncode, done.stderr, may_fail, may_say)
        self.diary.kinds[kind].add(took, refused)
        if returns is not None and done.returncode not in returns:
            self.complain(f"{kind} returned {done.returncode}: {done.stderr.strip()[-300:]}")
        if took > bound:
            self.complain(f"{kind} took {took:.1f} s")
        return done

    def judge(self, kind, returncode, stderr, may_fail, may_say=()):
        """Why a program failed: the first errno that it names; each must be one that may be."""
        found = None
        for line in stderr.splitlines():
            codes = [code for words, code in WORDS.items() if words in line]
            codes += [getattr(errno, name) for name in re.findall(r"\bE[A-Z0-9]{2,}\b", line)
                      if hasattr(errno, name)]  # as node says it
            for code in codes:
                found = found or errno.errorcode[code]
            if not any(code in may_fail for code in codes) and \
                    not any(words in line for words in may_say) and line.strip():
                self.complain(f"{kind} says: {line}")
        if returncode and not found:
            found = f"exit {returncode}"
        return found

    # ---- what a writer owns ----

    def settle(self, stack, body, ok):
        """A save has ended.  ok: True, False, or None when the program does not tell."""
        if ok:
            stack.saved(body)
        else:
            stack.perhaps_saved(body)
        self.look(stack)
        if ok and not self.is_shown(stack):
            self.complain(f"{stack.name}: what was saved is not what is shown")

    def look(self, stack):
        problem = stack.look(self.account.stack(stack.id))
        if problem:
            self.complain(problem)

    def is_shown(self, stack):
        record = self.read_json(self.mnt / stack.name / "config.json")
        return record is None or body_of(record) in stack.allowed

    def clean(self, folder):
        """Remove what a refused save has left beside the file."""
        names, failed = self.call("listdir", TRANSIENT, os.listdir, folder)
        for name in names or ():
            if name not in FILES:
                self.call("unlink", VANISHING, os.unlink, folder / name)

    def end_clean(self, folder):
        def is_clean():
            self.clean(folder)
            names, _ = self.call("listdir", TRANSIENT, os.listdir, folder)
            return names is not None and set(names) <= set(FILES)

        self.awaits(is_clean, 30, f"{folder} cannot be cleaned")

    def awaits(self, check, within, complaint):
        try:
            eventually(check, within)
        except AssertionError:
            self.complain(complaint)


def read_all(fd):
    parts = []
    while data := os.read(fd, 65536):
        parts.append(data)
    return b"".join(parts)


def main():
    import readers
    import writers
    spec = json.loads(sys.argv[1])
    kinds = {**vars(readers), **vars(writers)}
    kinds[spec["kind"]](spec).work_on()


if __name__ == "__main__":
    sys.modules["worker"] = sys.modules["__main__"]
    main()
