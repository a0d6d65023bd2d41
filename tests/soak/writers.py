# SPDX-License-Identifier: MIT
"""Those of a soak's workers that change something.

But for the shared stacks each stack has one writer, so that what it must be is known exactly.
"""
import contextlib
import errno
import os
import re
import shutil
import time

from account import stack_id
from editors import EDITORS
from emulator import EmulatorError
from expect import fresh, mark_of, marked, text_of
from model import body_of
from programs import PROGRAMS, Place, missing
from saving import HOST
from terminal import TerminalError
from worker import TRANSIENT, VANISHING, Worker

CONFIG = "config.json"
RATHER_NOT = {
    "emacs-batch": "takes seconds",
    "two commands >": "a fault may come between its halves", "exec 3>": "the same",
}
#: What programs say that names no errno.
SAYINGS = ("rsync error", "rsync: ", "Exiting with failure status", "Child returned status",
           "sponge", "curl:", "node:", "Node.js", "errno: ", "syscall: ", "}", "Traceback", "  ", "ed: ",
           "?", "error: ", "patching file", "unzip", "Error is not recoverable", "Hunk", "**** ",
           "cannot be read", "write error", "Can't ")


class Saver(Worker):
    """Saves in the ways that libraries have, call by call."""
    pace_s = 0.05
    ways = ("truncate", "update", "fsync", "pieces", "replace", "backup", "unlink")

    def step(self):
        stack = self.chance.choice(self.owned)
        folder = self.mnt / stack.name
        record = self.read_json(folder / CONFIG, self.may_fail_reading)
        if record is None:
            return
        record = marked(record, stack.next_mark())
        way = self.chance.choice(self.ways)
        ok = getattr(self, way)(folder / CONFIG, text_of(record))
        self.settle(stack, body_of(record), ok)
        if not ok:
            self.clean(folder)

    #: Until grace is over, a save that ended half way may have left the record hidden.
    may_fail_reading = TRANSIENT | {errno.ENOENT}

    def end(self):
        for stack in self.owned:
            self.end_clean(self.mnt / stack.name)

    # ---- True when it was saved ----

    def saves(self, way, function, *arguments):
        return self.call(f"save: {way}", TRANSIENT, function, *arguments)[1] is None

    def writes(self, fd, data, way):
        """Write, and close, which saves."""
        self.call("write", (), os.write, fd, data)
        return self.saves(way, os.close, fd)

    def opens(self, path, flags):
        return self.call("open to write", self.may_fail_reading, os.open, path, flags, 0o600)[0]

    def truncate(self, path, data):
        fd = self.opens(path, os.O_WRONLY | os.O_TRUNC)
        return fd is not None and self.writes(fd, data, "truncate")

    def update(self, path, data):
        fd = self.opens(path, os.O_RDWR)
        if fd is None:
            return False
        self.call("write", (), os.write, fd, data)
        self.call("ftruncate", (), os.ftruncate, fd, len(data))
        return self.saves("update", os.close, fd)

    def fsync(self, path, data):
        fd = self.opens(path, os.O_WRONLY | os.O_TRUNC)
        if fd is None:
            return False
        self.call("write", (), os.write, fd, data)
        saved = self.saves("fsync", os.fsync, fd)
        closed = self.saves("close after fsync", os.close, fd)
        if closed != saved:
            self.complain(f"{path}: fsync {'well' if saved else 'failed'}, and close did not agree")
        return saved

    def pieces(self, path, data):
        fd = self.opens(path, os.O_WRONLY | os.O_TRUNC)
        if fd is None:
            return False
        for at in range(0, len(data), 100):
            self.call("write", (), os.write, fd, data[at:at + 100])
        return self.saves("pieces", os.close, fd)

    def replace(self, path, data):
        beside = path.with_name("config.json.tmp")
        fd = self.opens(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        if fd is None:
            return False
        self.call("write", (), os.write, fd, data)
        self.call("close", (), os.close, fd)
        return self.saves("os.replace", os.replace, beside, path)

    def backup(self, path, data):
        aside = path.with_name("config.json~")
        if self.call("rename away", self.may_fail_reading, os.rename, path, aside)[1]:
            return False
        fd = self.opens(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        saved = fd is not None and self.writes(fd, data, "after a backup")
        if not saved:
            # The old text is put back: that saves it, if anything.
            self.call("rename back", TRANSIENT, os.rename, aside, path)
        else:
            self.call("unlink", VANISHING, os.unlink, aside)
        return saved

    def unlink(self, path, data):
        if self.call("unlink", self.may_fail_reading, os.unlink, path)[1]:
            return False
        fd = self.opens(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        return fd is not None and self.writes(fd, data, "after unlink")


class ToolUser(Worker):
    """Saves with the programs that people use: one word of the text is another."""
    pace_s = 0.1

    def __init__(self, spec):
        super().__init__(spec)
        self.tools = [name for name in PROGRAMS if name not in RATHER_NOT and not missing(name)]

    def change(self, stack):
        """(record, old, new): what is there, and the word that is to be another; or None."""
        record = self.read_json(self.mnt / stack.name / CONFIG, TRANSIENT | {errno.ENOENT})
        if record is None:
            return None
        old = record["server"]["hostURI"].removeprefix(HOST)
        return record, old, f"v{stack.next_mark()}"

    def changed(self, record, new):
        return dict(record, server=dict(record["server"], hostURI=HOST + new))

    def step(self):
        stack = self.chance.choice(self.owned)
        change = self.change(stack)
        if not change:
            return
        record, old, new = change
        self.use(self.chance.choice(self.tools), stack, record, old, new)
        self.clean(self.mnt / stack.name)

    def use(self, name, stack, record, old, new):
        folder = self.work / stack.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        place = Place(folder, self.mnt / stack.name, old)
        began = time.monotonic()
        with PROGRAMS[name](place) as tool:
            try:
                tool.edit(old, new)
                outcome = tool.save()
            except OSError as error:  # the driver of the tool itself writes beside the file
                self.diary.kinds[name].add(time.monotonic() - began, errno.errorcode[error.errno])
                if error.errno not in VANISHING:
                    self.complain(f"{name}: {error}")
                outcome = None
        if outcome is not None:
            refused = self.judge(name, not outcome.ok, outcome.said, VANISHING, SAYINGS)
            self.diary.kinds[name].add(time.monotonic() - began, refused)
        ok = bool(outcome) and outcome.ok
        self.settle(stack, body_of(self.changed(record, new)), None if tool.ignores else ok)

    def end(self):
        for stack in self.owned:
            self.end_clean(self.mnt / stack.name)


class VimUser(ToolUser):
    """A person at vim: open, edit, save, edit, save, quit."""
    pace_s = 0.5
    editors = ("vim", "vim-backupcopy-yes", "vim-backupcopy-no", "vim-nowritebackup")

    def use(self, _, stack, record, old, new):
        name = self.chance.choice(self.editors)
        place = Place(self.work, self.mnt / stack.name, old)
        try:
            editor = EDITORS[name](place)
        except TerminalError as error:
            self.said(f"{name}: open", 0, str(error))
            return
        with editor:
            for _ in range(self.chance.randint(1, 3)):
                if not self.save(name, editor, stack, record, old, new):
                    editor.abandon()
                    return
                old, new = new, f"v{stack.next_mark()}"
            editor.quit()

    def save(self, name, editor, stack, record, old, new):
        try:
            editor.edit(old, new)
        except TerminalError as error:
            self.said(f"{name}: edit", 0, str(error))
            return False
        began = time.monotonic()
        outcome = editor.save()
        self.said(f"{name}: save", time.monotonic() - began, "" if outcome.ok else outcome.said)
        self.settle(stack, body_of(self.changed(record, new)), outcome.ok)
        return outcome.ok

    def said(self, kind, took, text):
        """vim speaks of no errno, but always of an error by its number."""
        number = re.search(r"\b([EW]\d+:|WARNING: The file has been changed)", text)
        self.diary.kinds[kind].add(took, number and number.group(1).rstrip(":") or (text and "?"))
        if text and not number:
            self.complain(f"{kind}: {text}")
        if took > 4 * self.timeout_s:
            self.complain(f"{kind} took {took:.1f} s")


class Maker(Worker):
    """Creates, copies, renames and deletes stacks of its own."""
    pace_s = 0.15
    most = 8

    def __init__(self, spec):
        super().__init__(spec)
        self.number = 0
        self.there = []   # names that are
        self.drafts = []  # names whose creation did not go well as yet
        self.diary.facts["deleted"] = []

    def new_name(self):
        self.number += 1
        return f"{self.name}-n{self.number}"

    def found(self, name):
        """The account's stack of that name, or None; there are never two."""
        found = [one for one in self.account.account() if one["name"] == name and not one["deleted"]]
        if len(found) > 1:
            self.complain(f"{len(found)} stacks are named {name}")
        return found[0] if found else None

    def step(self):
        ways = [self.make] if len(self.there) < 2 else [self.make, self.copy, self.rename, self.delete]
        if len(self.there) >= self.most:
            ways = [self.delete]
        self.chance.choice([*ways, self.save_drafts])()

    def took(self, kind, name, ok):
        """A creation has ended; whether it told the truth."""
        if ok and not self.found(name):
            self.complain(f"{kind}: {name} is not there, but {os.listdir(self.mnt / name)}")
        (self.there.append if ok else self.drafts.append)(name)

    def save_again(self, name):
        """What a person does with a draft that was refused: also the answer to "may have been
        created", for the stack that was made then is found and taken."""
        path = self.mnt / name / CONFIG
        text = self.read(path, VANISHING)
        if not text:  # not even a text has come into being
            return self.remove_draft(name)
        fd, failed = self.call("open to create", VANISHING, os.open, path, os.O_WRONLY | os.O_TRUNC)
        if failed:
            return False
        self.call("write", (), os.write, fd, text)
        if self.call("create again", TRANSIENT, os.close, fd)[1]:
            return False
        if not self.found(name):
            self.complain(f"create again: {name} is not there")
        self.there.append(name)
        self.clean(self.mnt / name)
        return True

    def remove_draft(self, name):
        files, failed = self.call("listdir", VANISHING, os.listdir, self.mnt / name)
        for file in files or ():
            self.call("unlink of a draft", VANISHING, os.unlink, self.mnt / name / file)
        if failed == errno.ENOENT:
            return True
        return self.call("rmdir of a draft", VANISHING | {errno.ENOTEMPTY}, os.rmdir,
                         self.mnt / name)[1] is None

    def save_drafts(self):
        self.drafts = [name for name in self.drafts if not self.save_again(name)]

    def make(self):
        name = self.new_name()
        if self.call("mkdir", TRANSIENT, os.mkdir, self.mnt / name)[1]:
            return
        record = marked({"name": name, "type": "server"}, f"{name}-0")
        fd, failed = self.call("open to create", TRANSIENT, os.open, self.mnt / name / CONFIG,
                               os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if not failed:
            self.call("write", (), os.write, fd, text_of(record))
            _, failed = self.call("create", TRANSIENT, os.close, fd)
        self.took("create", name, not failed)
        there = self.found(name)
        if there and mark_of(there) != f"{name}-0":
            self.complain(f"{name} was made, and is {there}")

    def copy(self):
        name = self.new_name()
        done = self.program("cp -r", ["cp", "-r", self.mnt / self.chance.choice(self.there),
                                      self.mnt / name])
        self.took("cp -r", name, done.returncode == 0)

    def rename(self):
        old, name = self.there.pop(self.chance.randrange(len(self.there))), self.new_name()
        _, failed = self.call("mv of a stack", TRANSIENT, os.rename, self.mnt / old, self.mnt / name)
        if not failed and (self.found(old) or not self.found(name)):
            self.complain(f"mv {old} {name} was done, and is not")
        there = [one for one in (old, name) if self.found(one)]
        if len(there) != 1:
            self.complain(f"after mv {old} {name} there is {there}")
        self.there += there

    def delete(self):
        name = self.there.pop(self.chance.randrange(len(self.there)))
        stack = self.found(name)
        if not stack:
            self.complain(f"{name} was lost")
            return
        self.diary.facts["deleted"].append(stack["_id"])
        # EISDIR is its word for a directory that it could not stat.
        done = self.program("rm -r", ["rm", "-r", self.mnt / name],
                            may_fail=VANISHING | {errno.ENOTEMPTY, errno.EPERM, errno.EISDIR})
        if done.returncode == 0 and self.found(name):
            self.complain(f"rm -r {name} went well, and it is there")
        if done.returncode and self.found(name):
            self.await_config(name)
            self.there.append(name)

    def await_config(self, name):
        """A removal that failed half way has hidden it; grace after that it is back."""
        def shown():
            return CONFIG in (self.call("listdir", TRANSIENT, os.listdir, self.mnt / name)[0] or ())

        self.awaits(shown, self.spec["grace_s"] + 2 * self.timeout_s,
                    f"{name}: config.json does not come back")

    def end(self):
        deadline = time.monotonic() + 20 * self.timeout_s
        while self.drafts and time.monotonic() < deadline:
            self.save_drafts()
        for name in self.drafts:
            self.complain(f"{name} cannot be saved: {os.listdir(self.mnt / name)}")
        for name in self.there:
            if not self.found(name):
                self.complain(f"{name} was lost")


class Rotator(Worker):
    """rm of a token rotates it, once; nothing else does."""
    pace_s = 0.7

    def __init__(self, spec):
        super().__init__(spec)
        self.diary.facts["rotated"] = {stack.id: 0 for stack in self.owned}

    def token(self, stack):
        return self.account.stack(stack.id)["server"]["systemToken"]

    def step(self):
        stack = self.chance.choice(self.owned)
        before = self.token(stack)
        path = self.mnt / stack.name / "systemToken"
        if self.chance.random() < 0.5:
            self.call("unlink of a token", TRANSIENT | {errno.EPERM}, os.unlink, path)
            if self.token(stack) != before:
                self.complain(f"{stack.name}: python has rotated the token")
            return
        done = self.program("rm systemToken", ["rm", path])
        self.diary.facts["rotated"][stack.id] += 1
        after = self.token(stack)
        if done.returncode == 0:
            shown = self.read(path)
            if after == before:
                self.complain(f"{stack.name}: rm went well, and the token is the old one")
            if shown is not None and shown != after.encode() + b"\n":
                self.complain(f"{stack.name}: rm went well, and another token is shown")


class Clumsy(Worker):
    """What must change nothing: it is refused, or comes back."""
    pace_s = 0.5

    def __init__(self, spec):
        super().__init__(spec)
        self.before = {stack.id: self.account.stack(stack.id) for stack in self.owned}

    def step(self):
        stack = self.chance.choice(self.owned)
        folder = self.mnt / stack.name
        self.chance.choice([self.rmdir, self.write_token, self.mkdir, self.rsync, self.tar,
                            self.empty, self.touch])(folder)
        if self.account.stack(stack.id) != self.before[stack.id]:
            self.complain(f"{stack.name} has changed")
            self.before[stack.id] = self.account.stack(stack.id)

    def refused(self, kind, code, function, *arguments):
        _, failed = self.call(kind, VANISHING | {code}, function, *arguments)
        if failed is None:
            self.complain(f"{kind} of {arguments[0]} was not refused")

    def rmdir(self, folder):
        self.refused("rmdir of a stack", errno.ENOTEMPTY, os.rmdir, folder)

    def write_token(self, folder):
        self.refused("open of a token to write", errno.EACCES, os.open, folder / "systemToken",
                     os.O_WRONLY)

    def mkdir(self, folder):
        self.refused("mkdir in a stack", errno.EPERM, os.mkdir, folder / "folder")

    def rsync(self, folder):
        empty = self.work / "empty"
        empty.mkdir(exist_ok=True)
        self.program("rsync --delete", ["rsync", "-a", "--delete", f"{empty}/", f"{folder}/"],
                     may_fail=VANISHING | {errno.EPERM, errno.ENOTEMPTY}, may_say=SAYINGS)

    def tar(self, folder):
        archive = self.work / "a.tar"
        says = (*SAYINGS, "file changed as we read it", "removed before we read it", "shrank")
        done = self.program("tar c", ["tar", "cf", archive, "-C", folder, "."], may_say=says)
        if done.returncode == 0:
            self.program("tar x", ["tar", "xf", archive, "-C", folder],
                         may_fail=VANISHING | {errno.EPERM, errno.EEXIST}, may_say=says)

    def empty(self, folder):
        fd, failed = self.call("open to write", VANISHING, os.open, folder / CONFIG,
                               os.O_WRONLY | os.O_TRUNC)
        if not failed:
            self.call("close of an empty text", TRANSIENT, os.close, fd)

    def touch(self, folder):
        self.program("touch", ["touch", "-c", folder / CONFIG])

    def end(self):
        for stack in self.owned:
            self.end_clean(self.mnt / stack.name)


class Rival(Worker):
    """Saves one stack that others save too: whole texts, of which one stays."""
    pace_s = 0.2

    def __init__(self, spec):
        super().__init__(spec)
        self.marks = self.diary.facts["marks"] = []
        self.path = self.mnt / spec["shared"] / CONFIG

    def step(self):
        record = self.read_json(self.path)
        if record is None:
            return
        mark = f"{self.name}-{len(self.marks)}"
        self.marks.append(mark)
        fd, failed = self.call("open to write", TRANSIENT, os.open, self.path, os.O_WRONLY | os.O_TRUNC)
        if failed:
            return
        self.call("write", (), os.write, fd, text_of(marked(record, mark)))
        self.call("save against another", TRANSIENT, os.close, fd)
        self.clean(self.path.parent)

    def end(self):
        self.end_clean(self.path.parent)


class Neighbour(Worker):
    """Saves one field of a stack whose other fields others save: all are merged."""
    pace_s = 0.2

    def __init__(self, spec):
        super().__init__(spec)
        self.stack = self.account.by_name(spec["shared"])["_id"]
        self.path = self.mnt / spec["shared"] / CONFIG
        self.allowed = [None]
        self.number = 0

    def step(self):
        record = self.read_json(self.path)
        if record is None:
            return
        self.number += 1
        record[self.name] = self.number
        fd, failed = self.call("open to write", TRANSIENT, os.open, self.path, os.O_WRONLY | os.O_TRUNC)
        if failed:
            return
        self.call("write", (), os.write, fd, text_of(record))
        _, failed = self.call("save beside another", TRANSIENT, os.close, fd)
        self.allowed = [*self.allowed, self.number] if failed else [self.number]
        self.look()
        if failed:
            self.clean(self.path.parent)

    def look(self):
        there = self.account.stack(self.stack).get(self.name)
        if there not in self.allowed:
            self.complain(f"its field is {there}, and not one of {self.allowed}")
        self.allowed = [there]

    def end(self):
        self.look()
        self.end_clean(self.path.parent)


class Colleague(Worker):
    """Changes the account from elsewhere, behind the mounts' back."""
    pace_s = 0.3

    def __init__(self, spec):
        super().__init__(spec)
        self.number = 0
        self.there = []

    def step(self):
        self.number += 1
        way = self.chance.random()
        if way < 0.6:
            stack = self.chance.choice(self.owned)
            record = marked({}, stack.next_mark())
            self.account.patch_stack(stack.id, record)
        elif way < 0.8 or len(self.there) < 3:
            number = 5000 + self.number
            self.account.add_stack(fresh(f"{self.name}-a{self.number}", number))
            self.there.append(stack_id(number))
        else:
            with contextlib.suppress(EmulatorError):
                self.account.delete_stack(self.there.pop(self.chance.randrange(len(self.there))))
        self.diary.kinds["elsewhere"].add(0)
