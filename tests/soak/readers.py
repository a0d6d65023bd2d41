# SPDX-License-Identifier: MIT
"""Those of a soak's workers that change nothing."""
import errno
import json
import os
import time

from expect import mark_of
from mount import Mount, MountFailed
from programs import Place, Repository
from worker import FILES, TRANSIENT, VANISHING, Worker

#: What a program says when a file goes or changes while it reads it.
CHANGING = ("file changed as we read it", "File removed before we read it", "shrank by",
            "vanished before", "some files vanished", "some files/attrs were not transferred",
            "Exiting with failure status", "file has vanished", "exit delayed",
            "has vanished", "short read", "failed verification", "rsync error",
            "sender] change_dir", "unable to index file", "adding files failed", "error: ",
            "fatal: ", "size mismatch",
            # A draft is shown to all: jq reads half a text while another is written.
            "jq: error", "parse error")


class Lister(Worker):
    """Whatever reads whole trees."""
    pace_s = 0.2

    def __init__(self, spec):
        super().__init__(spec)
        self.backup = self.work / "backup"
        self.repository = Repository(Place(self.work, self.mnt, ""), tree=self.mnt)
        self.ways = {
            "cat */config.json": "cat */config.json >/dev/null",
            "ls": "ls >/dev/null",
            "ls -lR": "ls -lR >/dev/null",
            "grep -r": "grep -r --include=config.json hostURI . >/dev/null",
            "find": "find . -name config.json -size +0 >/dev/null",
            # To /dev/null itself tar would read nothing.
            "tar c": "tar c . | cat >/dev/null",
            "jq": "jq -e .name */config.json >/dev/null",
            "stat tokens": "stat -c %s */systemToken >/dev/null",
            "du": "du -a . >/dev/null",
        }

    def step(self):
        way = self.chance.choice([*self.ways, "rsync", "git diff"])
        if way == "rsync":
            self.rsync()
        elif way == "git diff":
            self.git()
        else:
            self.program(way, self.ways[way], cwd=self.mnt, may_say=CHANGING, calls=60)

    def rsync(self):
        # It calls a file that is shorter than it was "No data available".
        self.program("rsync -a", ["rsync", "-a", "--delete", f"{self.mnt}/", self.backup],
                     may_fail=VANISHING | {errno.ENODATA}, may_say=CHANGING, returns=(0, 23, 24),
                     calls=60)

    def git(self):
        commands = [["add", "-A", "--", "*/config.json"], ["commit", "-qm", "m"], ["diff", "--stat"],
                    ["status", "-s", "-uno"]]
        for command in self.chance.sample(commands, 2):
            self.program("git " + command[0], ["git", *command], cwd=self.mnt, may_say=CHANGING,
                         env=dict(self.repository.place.env,
                                  GIT_DIR=str(self.repository.directory)), calls=60)


class Observer(Worker):
    """Reads, on one mount, what is written on the other: each text is whole, and none is older
    than one that was seen before.

    But of two requests that are under way at once the one that was begun later may have been
    answered by the service earlier, and come late.  Then the older text is shown, until it is
    renewed.
    """
    pace_s = 0.02

    def __init__(self, spec):
        super().__init__(spec)
        self.seen = {}

    def step(self):
        name = self.chance.choice(self.spec["watched"])
        record = self.read_json(self.mnt / name / "config.json")
        if record is None:
            return
        mark = mark_of(record)
        if mark is None:
            self.complain(f"{name}: a mixture is shown: {json.dumps(record)[:400]}")
            return
        number = int(mark.rsplit("-", 1)[1])
        newest, since = self.seen.get(name, (0, 0))
        ago = time.monotonic() - since
        if number > newest:
            self.seen[name] = number, time.monotonic()
        elif number < newest and ago > self.spec["ttl_s"] + self.timeout_s:
            self.complain(f"{name}: {number} is shown, and {newest} was {ago:.1f} s ago")


class TokenReader(Worker):
    """The tokens that nobody rotates are what they have always been."""
    pace_s = 0.03

    def __init__(self, spec):
        super().__init__(spec)
        self.tokens = {name: self.account.by_name(name)["server"]["systemToken"].encode() + b"\n"
                       for name in spec["watched"]}

    def step(self):
        name = self.chance.choice(self.spec["watched"])
        file = self.chance.choice(FILES)
        data = self.read(self.mnt / name / file)
        if data is not None and file == "systemToken" and data != self.tokens[name]:
            self.complain(f"{name}: the token that is shown is another one")


class Looker(Worker):
    """How the mount is: status is always JSON, refresh ends in time, what is no name is none."""
    pace_s = 0.5
    binary = property(lambda self: self.spec["stacksfs"])

    def step(self):
        self.chance.choice([self.status, self.file, self.errors, self.refresh, self.absent])()

    def status(self):
        done = self.program("stacksfs status", [self.binary, "status", "--json", self.mnt], calls=1)
        status = json.loads(done.stdout)
        self.diary.facts["status"] = status

    def file(self):
        self.read_json(self.mnt / ".stacksfs" / "status", may_fail=())

    def errors(self):
        for line in (self.read(self.mnt / ".stacksfs" / "errors", may_fail=()) or b"").splitlines():
            json.loads(line)

    def refresh(self):
        self.program("stacksfs refresh", [self.binary, "refresh", self.mnt], returns=(0, 1),
                     may_say=("not refreshed",), calls=5)

    def absent(self):
        self.call("stat of no name", TRANSIENT | {errno.ENOENT}, os.stat,
                  self.mnt / f"no-{self.chance.randrange(1000)}")


class Remounter(Worker):
    """A mount of its own that comes and goes."""
    pace_s = 1

    def step(self):
        mnt = Mount(self.spec["stacksfs"], self.work, self.account.url, self.spec["token"],
                    dict(timeout=int(self.timeout_s), ttl=1, rate=0))
        started, _ = self.call("mount", (), self.start, mnt)
        if not started:
            return
        names, _ = self.call("listdir", TRANSIENT, os.listdir, mnt.path)
        for name in self.chance.sample(sorted(names or ()), min(5, len(names or ()))):
            self.read(mnt / name / self.chance.choice(FILES), may_fail=VANISHING)
        problems, _ = self.call("unmount", (), mnt.stop)
        for problem in problems or ():
            self.complain(f"unmount: {problem}: {mnt.log()[-8000:]}")

    def start(self, mnt):
        try:
            return mnt.start()
        except MountFailed as failed:
            # With a fault it fails, says one line of why, and leaves nothing.
            lines = failed.output.splitlines()
            if failed.returncode != 1 or not lines or not lines[-1].startswith("stacksfs: "):
                self.complain(f"a mount that failed: {failed}")
            mnt.log_path.unlink()
            return None
