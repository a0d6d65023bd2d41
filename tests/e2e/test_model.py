# SPDX-License-Identifier: MIT
"""Random steps of several processes and a colleague, on the mount and on a model of the account:
after each the account, and everything that the mount shows of it, is what the model says.

STACKSFS_TEST_SEED repeats a run; the seed is in the output of a failure.
"""
import collections
import json
import os
import random
import subprocess

import pytest
from account import endpoint
from conftest import LONG
from expected import layout
from model import Stack, Version, body_of
from mount import run
from saving import FILES, editable, kept

STEPS = 4000 if LONG else 800
KNOWN = 3  # versions back that a text may be of and the mount must still know
FIELDS = ["note", "extra", "tags", "hostURI"]
TARGETS = ["a", "b", "c", "d", "e", "f", "g", "h"]

WORKER = r"""
import errno, json, os, shutil, sys
texts = {}
def load(path):
    with open(path) as f:
        texts[path] = f.read()
    return texts[path]
def store(path, how, text):
    data = text.encode()
    if how == 'truncate':
        with open(path, 'wb') as f: f.write(data)
    elif how == 'update':
        with open(path, 'r+b') as f:
            f.write(data)
            f.truncate()
    elif how == 'fsync':
        with open(path, 'wb', buffering=0) as f:
            f.write(data)
            os.fsync(f.fileno())
    elif how == 'pieces':
        with open(path, 'wb', buffering=0) as f:
            for at in range(0, len(data), 50): f.write(data[at:at + 50])
    elif how == 'rename':
        with open(path + '.tmp', 'wb') as f: f.write(data)
        try:
            os.rename(path + '.tmp', path)
        except OSError:
            os.unlink(path + '.tmp')
            raise
    elif how == 'backup':
        os.rename(path, path + '~')
        try:
            with open(path, 'wb') as f: f.write(data)
        except OSError:
            os.rename(path + '~', path)
            raise
        os.unlink(path + '~')
    elif how == 'unlink':
        os.unlink(path)
        with open(path, 'xb') as f: f.write(data)
calls = dict(load=load, store=store, mkdir=os.mkdir, rmdir=os.rmdir, rename=os.rename,
             rmtree=shutil.rmtree, unlink=os.unlink, read=lambda p: open(p).read(),
             write=lambda p, text: open(p, 'w').write(text) and None)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = dict(ok=calls[name](*arguments))
    except OSError as error:
        answer = dict(errno=errno.errorcode[error.errno])
    print(json.dumps(answer), flush=True)
"""
MAKING = ["truncate", "fsync", "pieces", "rename"]
WAYS = ["truncate", "update", "fsync", "pieces", "rename", "backup", "unlink"]


def shown_text(version):
    return layout(version.raw).encode()


def explain(stack, process, text, fresh):
    """What a save is decided by, for the report of a failure."""
    record = json.loads(text)
    body, modified = body_of(record), record.get("lastModified")
    lines = [("text", body, modified), ("fresh", fresh.body, fresh.modified),
             ("base", stack.base(process, text, body, modified)),
             ("last saved", stack.last_saved(process, modified))]
    lines += [("own" if version.own else "theirs", version.body, version.modified)
              for version in stack.served[-6:]]
    return "\n".join(" ".join(["   ", *map(str, line)]) for line in lines)


class Worker:
    """A process that does what it is told, and remembers texts as an editor does."""

    def __init__(self, number):
        self.number = number
        self.process = subprocess.Popen(["/usr/bin/python3", "-c", WORKER], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.buffers = {}  # number of a stack: the text that it edits

    def __call__(self, name, *arguments):
        self.process.stdin.write(json.dumps([name, *map(str, arguments)]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)


class Run:
    def __init__(self, api, mnt, workers, choose):
        self.api, self.mnt, self.workers, self.choose = api, mnt, workers, choose
        self.stacks = {}    # _id: Stack, as the mount knows it
        self.names = {}     # directory: _id
        self.scratch = collections.defaultdict(dict)  # _id: {name: text}
        self.refused = {}   # _id: text
        self.lost = 0
        self.tokens = {}
        self.counts, self.asked, self.seq = collections.Counter(), collections.Counter(), 0
        self.values = 0
        self.steps = []
        self.learn()
        self.tokens = {stack["_id"]: stack["server"]["systemToken"] for stack in api.account()}

    # ---- what is known ----

    def learn(self):
        """A whole new list."""
        found = {}
        for record in self.api.records():
            found[record.name] = record.id
            if record.id in self.stacks:
                self.stacks[record.id].serve(record.raw)
            else:
                self.stacks[record.id] = Stack(record.raw)
        self.names = found

    def changes(self):
        """How often the account was changed through the mount, so far."""
        for entry in self.api.log(since=self.seq):
            self.seq = entry["seq"]
            if entry["method"] != "GET":
                self.asked[endpoint(entry)] += 1
        return self.asked

    def fresh(self, number):
        return Version(self.api.record(number).raw, own=False)

    def value(self):
        self.values += 1
        return f"v{self.values}"

    def some_stack(self):
        name = self.choose.choice(sorted(self.names))
        return name, self.names[name]

    def changed(self, text):
        """The text with another value of one field, or without it."""
        record = json.loads(text)
        field = self.choose.choice(FIELDS)
        if field == "hostURI":
            record["server"]["hostURI"] = f"https://{self.value()}.example.com"
        elif field == "tags":
            record["tags"] = [self.value()]
        elif field in record and self.choose.random() < 0.2:
            del record[field]
        else:
            record[field] = self.value()
        return json.dumps(record, indent=2) + "\n"

    # ---- steps ----

    def step_load(self):
        worker, (name, number) = self.choose.choice(self.workers), self.some_stack()
        text = worker("load", self.mnt / name / "config.json")["ok"]
        assert text.encode() == self.shown(number)
        worker.buffers[number] = text

    def step_save(self):
        """Of a buffer that may be old."""
        worker = self.choose.choice(self.workers)
        buffers = sorted(set(worker.buffers) & set(self.names.values()))
        if not buffers:
            return self.step_load()
        number = self.choose.choice(buffers)
        worker.buffers[number] = self.changed(worker.buffers[number])
        self.save(worker, number, worker.buffers[number])

    def step_save_same(self):
        worker, (name, number) = self.choose.choice(self.workers), self.some_stack()
        text = worker("load", self.mnt / name / "config.json")["ok"]
        self.save(worker, number, text)

    def step_undo(self):
        """An older text, as git checkout or cp from history do."""
        worker, (_, number) = self.choose.choice(self.workers), self.some_stack()
        versions = [version for version in self.stacks[number].served[-KNOWN - 1:]
                    if version.record["name"] == self.stacks[number].shown.record["name"]]
        self.save(worker, number, json.dumps(self.choose.choice(versions).record, indent=2) + "\n")

    def step_force(self):
        """Without the line that names a version."""
        worker, (name, number) = self.choose.choice(self.workers), self.some_stack()
        text = self.changed(worker("load", self.mnt / name / "config.json")["ok"])
        record = json.loads(text)
        del record["lastModified"]
        self.save(worker, number, json.dumps(record) + "\n")

    def step_wrong(self):
        """What the service or the mount refuses."""
        worker, (name, number) = self.choose.choice(self.workers), self.some_stack()
        text = self.shown(number).decode()
        if self.choose.random() < 0.5:
            text, put = text[:self.choose.randrange(5, len(text) - 3)], 0
        else:
            # Of the fresh record: nothing but the value is wrong.
            text = self.fresh(number).raw
            record = json.loads(text)
            record["type"] = "nothing"
            text, put = json.dumps(record) + "\n", None
        path = self.mnt / name / "config.json"
        how = self.choose.choice(WAYS)
        before = self.stacks[number].shown
        self.note(f"  save {name} {how} by {worker.number}: wrong")
        got = worker("store", path, how, text)
        assert got == {"errno": "EBADMSG"}, (got, how, text)
        self.refused[number] = text
        self.lost += 1
        self.stacks[number].refuse(worker.number, text)
        if put is None:
            self.counts["put"] = self.changes()["put"]
            self.stacks[number].serve(self.fresh(number).raw)
        self.put_back(worker, number, how, before)

    def put_back(self, worker, number, how, before):
        """After a refusal the old file is put back: no save, unless it is old by now."""
        stack = self.stacks[number]
        if how != "backup":
            return
        stack.refused.pop(worker.number, None)
        if shown_text(before) != shown_text(stack.shown):
            stack.save(worker.number, before.body, before.modified, False)

    def save(self, worker, number, text):
        stack = self.stacks[number]
        name = next(name for name, known in self.names.items() if known == number)
        fresh = self.fresh(number)
        record = json.loads(text)
        is_known = any(version.modified == record.get("lastModified")
                       for version in stack.served[-KNOWN - 1:])
        wanted, detail = stack.outcome(worker.number, text, fresh)
        how = self.choose.choice(WAYS)
        before = stack.shown
        self.note(f"  save {name} {how} by {worker.number}: {wanted} {detail}")
        self.note(explain(stack, worker.number, text, fresh))
        got = worker("store", self.mnt / name / "config.json", how, text)
        self.note(f"    got {got}")
        if wanted == "conflict":
            assert got == {"errno": "EBUSY"}, (got, detail)
        elif got == {"errno": "EBUSY"} and not is_known and "lastModified" in record:
            wanted = "conflict"  # a version that old may be forgotten
        else:
            assert got == {"ok": None}, (got, wanted)
        if wanted == "conflict":
            assert self.fresh(number).raw == fresh.raw
            self.refused[number] = text
            self.lost += 1
            stack.refuse(worker.number, text)
            stack.serve(fresh.raw)
            self.put_back(worker, number, how, before)
            return
        if wanted == "sent":
            self.counts["put"] += 1
            after = self.fresh(number)
            assert after.body == detail
            stack.serve(fresh.raw)
            stack.serve(after.raw, own=True, by=worker.number)
        elif self.mnt.config(name) != self.shown(number):
            stack.serve(fresh.raw)  # it has looked, or it has not: both will do
        # What is shown, to the letter, is no save.
        if text.encode() != shown_text(before):
            stack.save(worker.number, body_of(record), record.get("lastModified"),
                       wanted == "sent")
        stack.refused.pop(worker.number, None)
        if self.refused.get(number) == text:
            del self.refused[number]

    def step_colleague(self):
        _, number = self.some_stack()
        changed = json.loads(self.changed(self.fresh(number).raw))
        patch = {field: changed.get(field) for field in ("note", "extra", "tags")}
        self.api.patch_stack(number, {**patch, "server": {"hostURI": changed["server"]["hostURI"]}})

    def step_refresh(self):
        self.mnt.refresh()
        self.learn()

    def step_make(self):
        free = sorted(set(TARGETS) - set(self.names))
        if not free:
            return self.step_delete()
        name, worker = self.choose.choice(free), self.choose.choice(self.workers)
        assert worker("mkdir", self.mnt / name) == {"ok": None}
        record = editable(name, 99, value=self.value())
        for key in ("_id", "createdAt", "lastModified"):
            del record[key]
        self.api_changes(worker("store", self.mnt / name / "config.json",
                                self.choose.choice(MAKING), json.dumps(record)), "post")
        made = next(r for r in self.api.records() if r.id not in self.stacks)
        assert made.name == name
        self.stacks[made.id] = Stack(made.raw)
        self.stacks[made.id].save(worker.number, body_of(record), None, True)
        self.names[name] = made.id
        self.tokens[made.id] = self.api.stack(made.id)["server"]["systemToken"]

    def step_delete(self):
        if len(self.names) < 3:
            return self.step_make()
        name, number = self.some_stack()
        worker = self.choose.choice(self.workers)
        self.note(f"  delete {name} by {worker.number}: {os.listdir(self.mnt / name)}")
        self.api_changes(worker("rmtree", self.mnt / name), "delete")
        assert self.api.stack(number)["deleted"]
        self.forget(name)

    def forget(self, name):
        number = self.names.pop(name)
        del self.stacks[number], self.tokens[number]
        for known in (self.scratch, self.refused):
            known.pop(number, None)
        for worker in self.workers:
            worker.buffers.pop(number, None)

    def step_rename(self):
        free = sorted(set(TARGETS) - set(self.names))
        name, number = self.some_stack()
        if not free:
            return self.step_refresh()
        target, fresh = self.choose.choice(free), self.fresh(number)
        if fresh.record["name"] != name:
            return self.step_refresh()
        worker = self.choose.choice(self.workers)
        self.api_changes(worker("rename", self.mnt / name, self.mnt / target), "put")
        after = self.fresh(number)
        assert after.body == {**fresh.body, "name": target}
        self.stacks[number].serve(fresh.raw)
        self.stacks[number].serve(after.raw, own=True)
        self.names[target] = self.names.pop(name)

    def api_changes(self, got, endpoint):
        assert got == {"ok": None}, got
        self.counts[endpoint] += 1

    def step_rotate(self):
        name, number = self.some_stack()
        done = run(["rm", self.mnt / name / "systemToken"])
        assert done.returncode == 0, done.stderr
        self.counts["rotate"] += 1
        token = self.api.stack(number)["server"]["systemToken"]
        assert token != self.tokens[number]
        self.tokens[number] = token
        assert self.mnt.read(name, "systemToken").decode() == token + "\n"

    def step_scratch(self):
        worker, (name, number) = self.choose.choice(self.workers), self.some_stack()
        known, path = self.scratch[number], self.mnt / name
        action = self.choose.choice(["write", "write", "unlink", "rename", "read"])
        if action == "write" or not known:
            file, text = self.choose.choice(["x", "y", "z"]), self.value() * 30
            assert worker("write", path / file, text) == {"ok": None}
            known[file] = text
            return
        file = self.choose.choice(sorted(known))
        if action == "read":
            assert worker("read", path / file) == {"ok": known[file]}
        elif action == "unlink":
            assert worker("unlink", path / file) == {"ok": None}
            del known[file]
        else:
            target = self.choose.choice(["x", "y", "z"])
            assert worker("rename", path / file, path / target) == {"ok": None}
            known[target] = known.pop(file)

    def step_clear(self):
        """Remove a refused text."""
        if not self.refused:
            return self.step_scratch()
        number = self.choose.choice(sorted(self.refused))
        name = next(name for name, known in self.names.items() if known == number)
        os.unlink(self.mnt / name / "config.json.refused")
        del self.refused[number]

    STEPS = [(6, step_load), (14, step_save), (2, step_save_same), (5, step_undo), (2, step_force),
             (3, step_wrong), (6, step_colleague), (3, step_refresh), (1, step_make),
             (1, step_delete), (1, step_rename), (1, step_rotate), (5, step_scratch),
             (1, step_clear)]

    # ---- after each ----

    def shown(self, number):
        return shown_text(self.stacks[number].shown)

    def check(self):
        mnt = self.mnt
        assert mnt.names() == sorted(self.names)
        for name, number in self.names.items():
            shown = self.shown(number)
            path = mnt / name / "config.json"
            assert path.read_bytes() == shown, name
            assert os.stat(path).st_size == len(shown)
            files = {*FILES, *self.scratch[number]}
            if number in self.refused:
                files.add("config.json.refused")
                assert mnt.read(name, "config.json.refused").decode() == self.refused[number]
            assert mnt.names(name) == sorted(files)
        assert self.changes() == self.counts
        living = {stack["_id"]: stack for stack in self.api.account() if not stack["deleted"]}
        assert set(living) == set(self.names.values())
        for number, stack in living.items():
            assert stack["server"]["systemToken"] == self.tokens[number]

    def note(self, what):
        self.steps.append(what)

    def go(self, steps):
        weights, calls = zip(*self.STEPS)
        for number in range(steps):
            call, = self.choose.choices(calls, weights)
            self.note(f"{number}: {call.__name__}")
            call(self)
            self.check()


@pytest.fixture
def workers():
    started = [Worker(number) for number in range(3)]
    yield started
    for worker in started:
        worker.close()


@pytest.mark.seconds(600 if LONG else 120)
def test_random_steps(account, mount, workers):
    seed = int(os.environ.get("STACKSFS_TEST_SEED") or random.SystemRandom().randrange(10**9))
    print(f"STACKSFS_TEST_SEED={seed}")
    api = account()
    for number, name in enumerate(TARGETS[:5], 1):
        api.add_stack(editable(name, number, extra="v0"))
    mnt = mount(api, ttl=3600, rate=0, max_delete=0, max_rotate=0, grace=1)
    state = Run(api, mnt, workers, random.Random(seed))
    try:
        state.go(STEPS)
    except BaseException:
        print("\n".join(state.steps[-40:]))
        raise
    assert len(kept(mnt)) <= 1000
    api.expect(**api.counts())
