#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Many readers, editors, tools and colleagues on two mounts of one account, while requests fail.

At the end nothing may be lost, mixed, rotated or deleted but what was meant to be, nothing may have
grown, waited too long or failed with another error than the fault's own.  See scripts/soak.
"""
import argparse
import contextlib
import ctypes
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
TOP = HERE.parent.parent
sys.path[:0] = [str(HERE), str(TOP / "tests" / "lib")]
SANITIZERS = (b"__asan_init", b"__tsan_init")
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2
TIMEOUT_S, GRACE_S, TTL_S = 5, 2, 2
PAGE = 25
IDLE_STACKS = 40  # generated: lambda stacks, strange names, dependents
FEW_KEPT = 30


def arguments():
    parser = argparse.ArgumentParser(prog="soak", description=__doc__.splitlines()[0])
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float)
    length.add_argument("--minutes", type=float, default=2)
    length.add_argument("--hours", type=float)
    parser.add_argument("--seed", type=int, help="of a run that is to be repeated")
    parser.add_argument("--faults", type=float, default=10, metavar="PERCENT",
                        help="of the requests that fail (10)")
    parser.add_argument("--build", type=pathlib.Path, default=TOP / "build", metavar="DIR")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR",
                        help="made, and removed after a good run (BUILD/soak)")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1, 10**6)
    if options.seconds is None:
        options.seconds = options.hours * 3600 if options.hours else options.minutes * 60
    options.build = options.build.resolve()
    options.work = (options.work or options.build / "soak").resolve()
    return options


def is_sanitized(binary):
    text = binary.read_bytes()
    return any(symbol in text for symbol in SANITIZERS)


OPTIONS = arguments()
SANITIZED = is_sanitized(OPTIONS.build / "stacksfs")
if SANITIZED:  # before mount.py reads it
    os.environ.setdefault("STACKSFS_TEST_SLOWER", "4")
    for variable in ("ASAN_OPTIONS", "TSAN_OPTIONS", "UBSAN_OPTIONS"):
        os.environ.setdefault(variable, "halt_on_error=1:exitcode=99")

from account import Account  # noqa: E402
from diary import Diary  # noqa: E402
from expect import fresh, mark_of  # noqa: E402
from faults import Weather  # noqa: E402
from gate import Gate  # noqa: E402
from mount import (SLOWER, Mount, abort_connection, eventually, force_unmount,  # noqa: E402
                   mounts_below, wait_for_exit)
from saving import FILES, editable  # noqa: E402
from watch import Process, Traffic  # noqa: E402

MARGIN_S = 2 * SLOWER

#: Who works: kind, mount, the stacks that are its own, and the rest of its SPEC.
#: On each mount somebody watches what is written on the other.
CREW = [
    *((kind, mnt, own, {}) for mnt in "AB" for kind, own in [
        ("Lister", 0), ("Looker", 0), ("Saver", 3), ("ToolUser", 2), ("VimUser", 1), ("Maker", 0),
        ("Clumsy", 2)]),
    ("Lister", "A", 0, {}), ("Lister", "B", 0, {}), ("Saver", "A", 3, {}), ("Rotator", "B", 2, {}),
    ("Colleague", "A", 3, {}), ("Remounter", "A", 0, {}),
    ("Rival", "A", 0, {"shared": "contested"}), ("Rival", "B", 0, {"shared": "contested"}),
    ("Neighbour", "A", 0, {"shared": "common"}), ("Neighbour", "B", 0, {"shared": "common"}),
]
PLAIN = ("ToolUser", "VimUser", "Clumsy", "Rotator")  # their stacks have one word to change


class Failure(Exception):
    """The soak cannot go on."""


class Soak:
    def __init__(self, options):
        self.options = options
        self.chance = random.Random(options.seed)
        self.work = options.work
        self.problems = []
        self.mounts, self.workers, self.processes = {}, [], []
        self.account = self.gate = self.weather = self.traffic = None
        self.diary = Diary()
        self.facts = []
        self.asked_in_s = 1

    # ---- the start ----

    def start(self):
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True)
        # With strong entity tags nothing is overwritten in between; without, as the service is.
        etag = self.chance.choice(["strong", "off"])
        self.account = Account(self.options.build / "stacks-emulator", stacks=IDLE_STACKS,
                               seed=self.options.seed, page_size=PAGE, etag=etag,
                               log_dir=self.work)
        self.etag = etag
        self.gate = Gate(self.account.port)
        specs = self.cast()
        self.tokens = {stack["_id"]: stack.get("server", {}).get("systemToken")
                       for stack in self.account.account()}
        for name, url in (("A", self.account.url), ("B", self.gate.url)):
            self.mounts[name] = Mount(
                self.options.build / "stacksfs", self.work, url, self.account.token,
                dict(ttl=TTL_S, timeout=TIMEOUT_S, grace=GRACE_S, rate=300, max_delete=0, max_rotate=0,
                     state=self.work / f"state-{name}"), name=f"mnt-{name}").start()
        self.processes = [Process(f"stacksfs {name}", mnt.pid) for name, mnt in self.mounts.items()]
        self.weather = Weather(self.account, self.options.faults / 100,
                               random.Random(f"{self.options.seed} weather"), self.gate)
        self.traffic = Traffic(self.account, self.weather)
        for spec in specs:
            self.hire(spec)

    def cast(self):
        """The account's stacks, and who works on which."""
        specs, number = [], 100
        for kind, mnt, own, more in CREW:
            name = f"{kind}{len(specs)}-{mnt}".lower()
            owned = [f"{name}-{chr(ord('a') + n)}" for n in range(own)]
            for stack in owned:
                number += 1
                self.account.add_stack(editable(stack, number) if kind in PLAIN
                                       else fresh(stack, number))
            specs.append(dict(kind=kind, name=name, mount=str(self.work / f"mnt-{mnt}"),
                              owned=owned, **more))
        self.account.add_stack(fresh("contested", 90))
        self.account.add_stack(fresh("common", 91))
        if self.etag == "off":  # then a save may be overwritten in the one round trip
            specs = [spec for spec in specs if spec["kind"] != "Neighbour"]
        specs += self.watchers(specs)
        return specs

    def watchers(self, specs):
        for mnt, other in ("AB", "BA"):
            written = [name for spec in specs for name in spec["owned"]
                       if spec["mount"].endswith(other) and spec["kind"] in ("Saver", "Colleague")]
            idle = [name for spec in specs for name in spec["owned"] if spec["kind"] == "Clumsy"
                    and spec["mount"].endswith(other)]
            for kind, watched in (("Observer", written), ("TokenReader", idle)):
                yield dict(kind=kind, name=f"{kind}-{mnt}".lower(), owned=[], watched=watched,
                           mount=str(self.work / f"mnt-{mnt}"))

    def hire(self, spec):
        folder = self.work / "workers"
        folder.mkdir(exist_ok=True)
        spec.update(seed=self.options.seed, emulator=self.account.url, timeout_s=TIMEOUT_S,
                    grace_s=GRACE_S, ttl_s=TTL_S,
                    token=self.account.token, stacksfs=str(self.options.build / "stacksfs"),
                    work=str(folder / spec["name"]), diary=str(folder / f"{spec['name']}.json"))
        command = ["/usr/bin/python3", "-B", HERE / "worker.py", json.dumps(spec)]
        self.workers.append((spec, subprocess.Popen(command, stdin=subprocess.PIPE,
                                                    start_new_session=True)))

    # ---- while it goes on ----

    def watch(self):
        began = time.monotonic()
        end = began + self.options.seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(1, left))
            for process in self.processes:
                process.sample()
            self.traffic.take()
            for spec, worker in self.workers:
                if worker.poll() is not None:
                    raise Failure(f"{spec['name']} has ended before its time")
        self.asked_in_s = time.monotonic() - began

    # ---- the end, and what is to be then ----

    def dismiss(self):
        """All end what they do; who cannot is freed by force."""
        for _, worker in self.workers:
            with contextlib.suppress(BrokenPipeError):
                worker.stdin.close()
        deadline = time.monotonic() + 150 * SLOWER
        for spec, worker in self.workers:
            if wait_for_exit(worker.pid, max(0, deadline - time.monotonic())) is None:
                self.problems.append(f"{spec['name']} did not end")
                for mnt in self.mounts.values():
                    abort_connection(mnt.path, mnt.device)
                os.killpg(worker.pid, signal.SIGKILL)
                wait_for_exit(worker.pid, 20)
        for spec, _ in self.workers:
            with contextlib.suppress(FileNotFoundError):
                with open(spec["diary"], encoding="utf-8") as file:
                    diary = Diary.load(json.load(file))
                self.diary.merge(diary)
                self.facts.append((spec, diary.facts))
                continue
            self.problems.append(f"{spec['name']} has left no diary")

    def check(self, name, function):
        try:
            function()
        except Exception as error:
            self.problems.append(f"{name}: {type(error).__name__}: {error}")

    def verdict(self):
        self.problems += self.diary.complaints
        hidden = self.diary.n_complaints - len(self.diary.complaints)
        if hidden > 0:
            self.problems.append(f"and {hidden} more like these")
        for process in self.processes:
            self.problems += process.growth(memory=not SANITIZED)
        self.check("the account", self.check_account)
        for name, mnt in self.mounts.items():
            self.check(f"mount {name}", lambda mnt=mnt: self.check_mount(mnt))
        self.check("the requests", self.check_requests)

    def check_account(self):
        """Nothing was deleted or rotated but what was meant to be."""
        meant = {one for _, facts in self.facts for one in facts.get("deleted", ())}
        rotated = {one for _, facts in self.facts for one in facts.get("rotated", ())}
        now = {stack["_id"]: stack for stack in self.account.account()}
        for stack_id, token in self.tokens.items():
            if now[stack_id]["deleted"] and stack_id not in meant:
                self.problems.append(f"{now[stack_id]['name']} was deleted")
            if stack_id not in rotated and now[stack_id].get("server", {}).get("systemToken") != token:
                self.problems.append(f"the token of {now[stack_id]['name']} was rotated")
        marks = {mark for _, facts in self.facts for mark in facts.get("marks", ())}
        contested = mark_of(self.account.by_name("contested"))
        if contested not in marks | {"contested-0"}:
            self.problems.append(f"contested is {contested}, which nobody has written whole")

    def check_mount(self, mnt):
        """Without faults it shows the account, whole, and nothing besides."""
        eventually(lambda: mnt.cli("refresh", mnt.path).returncode == 0, within=30)
        directories = self.account.directories()
        self.comes_to(mnt.path.name, mnt.names, sorted(directories))
        for name, record in directories.items():
            # What somebody has removed at last is back when grace is over.
            self.comes_to(f"{mnt.path.name}: {name}", lambda name=name: mnt.names(name), record.files)
            shown = mnt.config(name)
            if shown != record.config:
                self.problems.append(f"{mnt.path.name}: {name} is shown as {shown[:200]}")
        for name, record in random.Random(0).sample(sorted(directories.items()), 30):
            for file in record.files:
                assert mnt.read(name, file) == self.account.file(record, file), (name, file)
        status = mnt.status()
        assert status["api"]["state"] == "ok", status["api"]
        assert status["scratch"]["bytes"] == 0, status["scratch"]
        assert status["pid"] == mnt.pid

    def comes_to(self, what, look, wanted):
        """What was hidden comes back after grace."""
        try:
            eventually(lambda: look() == wanted, within=10)
        except AssertionError:
            more, less = set(look()) - set(wanted), set(wanted) - set(look())
            self.problems.append(f"{what} has {sorted(more)} too many, and lacks {sorted(less)}")

    def check_requests(self):
        self.traffic.take()
        for note, count in self.traffic.notes.items():
            self.problems.append(f"{count} requests: {note}")
        meant = {f"/v1/stacks/{one}" for _, facts in self.facts for one in facts.get("deleted", ())}
        for path in self.traffic.deleted.keys() - meant:
            self.problems.append(f"DELETE {path} was sent, and nobody wanted it")
        wanted = {one: count for _, facts in self.facts
                  for one, count in facts.get("rotated", {}).items()}
        for stack_id, count in self.traffic.rotated.items():
            if count > wanted.get(stack_id, 0):
                self.problems.append(f"the token of {stack_id} was rotated {count} times, and "
                                     f"wanted {wanted.get(stack_id, 0)} times")
        if self.options.faults and not sum(self.traffic.faults.values()):
            self.problems.append("nothing has failed")

    def stop(self):
        """Whatever has happened: nothing is left behind."""
        if self.weather:
            self.check("the faults' end", self.weather.end)
        for name, mnt in self.mounts.items():
            began = time.monotonic()
            self.problems += [f"mount {name}: {problem}: {mnt.log()[-8000:]}" for problem in mnt.stop()]
            took = time.monotonic() - began
            if took > TIMEOUT_S + MARGIN_S:
                self.problems.append(f"mount {name} took {took:.1f} s to end")
        for path, device in mounts_below(self.work):
            self.problems.append(f"still mounted: {path}")
            force_unmount(path, device)
        if self.account:
            secrets = self.account.secrets()
            for name, mnt in self.mounts.items():
                self.problems += [f"a secret in the {leak}"[:200] for leak in mnt.leaks(secrets)]
        if self.gate:
            self.gate.close()
        if self.account:
            self.check("the emulator", self.account.stop)
        self.problems += [f"a process was left: {name}" for name in left_behind()]

    # ---- the summary ----

    def summary(self):
        total = sum(self.traffic.asked.values())
        failed = sum(self.traffic.faults.values())
        yield from self.diary.table()
        yield ""
        yield "requests  " + ", ".join(f"{n} {name}" for name, n in self.traffic.asked.most_common())
        yield (f"          {total} in all, {total / self.asked_in_s:.1f} a second; "
               f"faults {failed} ({100 * failed / max(1, total):.1f} %), outages {self.weather.outages}")
        yield "faults    " + ", ".join(f"{n} {name}" for name, n in self.traffic.faults.most_common())
        for process in self.processes:
            yield f"memory    {process.describe()}"


def again():
    given = [argument for argument in sys.argv[1:] if not argument.startswith("--seed")]
    return " ".join([*given, f"--seed={OPTIONS.seed}"])


def left_behind():
    """Our children that have not ended; they are ended."""
    for task in pathlib.Path("/proc/self/task").iterdir():
        for pid in map(int, (task / "children").read_text().split()):
            name = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            if wait_for_exit(pid, 2 * SLOWER) is None:
                os.kill(pid, signal.SIGKILL)
                wait_for_exit(pid, 5)
                yield name


def be_alone():
    """A mount namespace of our own, when we may have one.  Who makes another one while we have
    mounts holds them in it: they then do not end when they are unmounted here.  For the same
    reason we let go of what others have mounted."""
    libc = ctypes.CDLL(None)
    if libc.unshare(CLONE_NEWNS) < 0:
        return
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        paths = [line.split()[1] for line in mounts if line.split()[2].startswith("fuse.")]
    for path in reversed(paths):
        libc.umount2(os.fsencode(path.encode().decode("unicode_escape")), MNT_DETACH)


def main():
    be_alone()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    soak = Soak(OPTIONS)
    print(f"soak: {OPTIONS.seconds:.0f} s, --seed={OPTIONS.seed}, {OPTIONS.faults:g} % of the requests"
          f" fail{', sanitized' if SANITIZED else ''}", flush=True)
    try:
        soak.start()
        print(f"soak: {len(soak.workers)} workers, etag={soak.etag}, in {soak.work}", flush=True)
        soak.watch()
        soak.dismiss()
        soak.weather.end()
        soak.verdict()
    except KeyboardInterrupt:
        soak.problems.append("interrupted")
    except Exception as error:
        soak.problems.append(f"the soak broke: {type(error).__name__}: {error}")
    finally:
        if len(soak.facts) == 0 and soak.workers:
            soak.dismiss()
        soak.stop()
    if soak.traffic:
        print("\n".join(soak.summary()))
    for problem in soak.problems[:FEW_KEPT]:
        print(f"FAIL {problem}")
    if soak.problems:
        print(f"soak: {len(soak.problems)} problems; what there was is in {soak.work}; "
              f"again: scripts/soak {again()}")
        sys.exit(1)
    shutil.rmtree(soak.work)
    print("soak: well")


main()
