# SPDX-License-Identifier: MIT
"""Programs that save a file without asking anybody, each in the way that is its own.

A Place is a directory with a config.json in it, on the mount or a plain one.  A Save of one of
PROGRAMS has the same interface as an editor (editors.py): edit, save, quit.  Here an edit only
says what is to be replaced; the program reads, changes and writes when it saves.
"""
import os
import pathlib
import shutil

from editors import EDITORS, Outcome
from mount import environment, run

FILE = "config.json"
NODE = "node"


class Place:
    """folder: where config.json is; work: on another file system than a mount."""

    def __init__(self, work, folder, marker):
        self.work = pathlib.Path(work)
        self.folder = pathlib.Path(folder)
        self.file = FILE
        self.path = self.folder / FILE
        self.marker = marker  # stands in the text once
        self.asides = 0
        temporary = self.work / "tmp"  # not above a mount: there vim makes no backups
        temporary.mkdir(exist_ok=True)
        self.env = dict(environment(self.work), TMPDIR=str(temporary),
                        GIT_AUTHOR_NAME="n", GIT_AUTHOR_EMAIL="e",
                        GIT_COMMITTER_NAME="n", GIT_COMMITTER_EMAIL="e")

    def aside(self, text, name=FILE):
        """The new text as a file of its own, in a folder on another file system."""
        folder = self.work / "aside"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(text)
        # Another time than any earlier one: rsync looks at nothing else when the sizes are equal.
        self.asides += 1
        os.utime(path, (1_600_000_000 + self.asides,) * 2)
        return path

    def run(self, command, *arguments, **kwargs):
        """A program, or a line for bash with arguments, in the folder."""
        if isinstance(command, str):
            command = ["bash", "-c", command, "bash"]
        return run([*command, *arguments], cwd=self.folder, env=self.env, **kwargs)


PROGRAMS = {}


class Save:
    """How one program saves.  write() is given a Place and a Change, and returns what ran."""
    name = write = None
    leaves = frozenset()  # what it leaves beside the file
    ignores = False       # whether it does not look at what close returns
    half = False          # whether it has half a document at a flush

    def __init__(self, place):
        self.place = place
        self.change = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def edit(self, old, new):
        self.change = Change(self.place.path.read_bytes(), old, new)

    def save(self):
        done = type(self).write(self.place, self.change)
        return Outcome(done.returncode == 0, done.stderr.strip())

    def quit(self):
        pass

    abandon = quit


class Change:
    def __init__(self, before, old, new):
        self.before = before
        self.old, self.new = old, new
        assert before.count(old.encode()) == 1, (old, before)
        self.text = before.replace(old.encode(), new.encode())


def program(name, leaves=(), ignores=False, half=False, needs=None):
    def add(write):
        PROGRAMS[name] = type(name, (Save,), dict(
            name=name, write=staticmethod(write), leaves=frozenset(leaves), ignores=ignores,
            half=half, needs=needs))
        return write

    return add


# ---- editors without a screen ----

@program("ed")
def _(place, change):
    return place.run(["ed", "-s", FILE], input=f",s/{change.old}/{change.new}/\nw\nq\n", stdin=None)


@program("ex")
def _(place, change):
    return place.run(["vim", "-es", "-c", f"%s/{change.old}/{change.new}/", "-c", "wq", FILE])


@program("emacs-batch", leaves={"config.json~"})
def _(place, change):
    return place.run(["emacs", "--batch", "-Q", FILE, "--eval",
                      f'(progn (replace-string "{change.old}" "{change.new}") (save-buffer))'])


@program("sed -i")
def _(place, change):
    return place.run(["sed", "-i", f"s/{change.old}/{change.new}/", FILE])


@program("sed -i.bak", leaves={"config.json.bak"})
def _(place, change):
    return place.run(["sed", "-i.bak", f"s/{change.old}/{change.new}/", FILE])


@program("perl -i")
def _(place, change):
    return place.run(["perl", "-i", "-pe", f"s/{change.old}/{change.new}/", FILE])


@program("perl -i.bak", leaves={"config.json.bak"})
def _(place, change):
    return place.run(["perl", "-i.bak", "-pe", f"s/{change.old}/{change.new}/", FILE])


@program("sponge")
def _(place, change):
    return place.run(f"sed s/{change.old}/{change.new}/ {FILE} | sponge {FILE}")


# ---- the shell and its friends ----

@program("bash >", ignores=True)
def _(place, change):
    return place.run(f'printf %s "$1" > {FILE}', change.text.decode())


@program("dash >", ignores=True)
def _(place, change):
    return place.run(["dash", "-c", f'printf %s "$1" > {FILE}', "dash"], change.text.decode())


@program("cat >")
def _(place, change):
    return place.run(f'cat "$1" > {FILE}', place.aside(change.text))


@program("two commands >", half=True)
def _(place, change):
    return place.run(f'{{ head -c 100 "$1"; tail -c +101 "$1"; }} > {FILE}',
                     place.aside(change.text))


@program("exec 3>", half=True, ignores=True)
def _(place, change):
    return place.run(f'exec 3>{FILE}; head -c 100 "$1" >&3; tail -c +101 "$1" >&3; exec 3>&-',
                     place.aside(change.text))


@program("tee")
def _(place, change):
    return place.run(f'tee {FILE} < "$1" >/dev/null', place.aside(change.text))


@program("dd")
def _(place, change):
    return place.run(["dd", f"if={place.aside(change.text)}", f"of={FILE}", "bs=64",
                      "status=none"])


@program("sort -o")
def _(place, change):
    # By a key that no line has: the order stays.
    return place.run(["sort", "-s", "-k", "9999", "-o", FILE, place.aside(change.text)])


@program("curl -o")
def _(place, change):
    return place.run(["curl", "-sS", "-o", FILE, f"file://{place.aside(change.text)}"])


# ---- copies ----

@program("cp")
def _(place, change):
    return place.run(["cp", place.aside(change.text), FILE])


@program("cp -p")
def _(place, change):
    return place.run(["cp", "-p", place.aside(change.text), FILE])


@program("cp -b", leaves={"config.json~"})
def _(place, change):
    return place.run(["cp", "-b", place.aside(change.text), FILE])


@program("cp --remove-destination")
def _(place, change):
    return place.run(["cp", "--remove-destination", place.aside(change.text), FILE])


@program("mv within")
def _(place, change):
    temporary = place.folder / "new.json"
    temporary.write_bytes(change.text)
    done = place.run(["mv", "new.json", FILE])
    temporary.unlink(missing_ok=True)
    return done


@program("mv across")
def _(place, change):
    return place.run(["mv", place.aside(change.text), FILE])


@program("install")
def _(place, change):
    return place.run(["install", "-m", "600", place.aside(change.text), FILE])


@program("patch")
def _(place, change):
    place.aside(change.before, "before")
    place.aside(change.text, "after")
    difference = run(["diff", "-u", "before", "after"], cwd=place.work / "aside").stdout
    done = place.run(["patch", "-s", FILE], input=difference, stdin=None)
    for rejected in place.folder.glob(f"{FILE}.rej"):
        rejected.unlink()
    return done


@program("jq, mv")
def _(place, change):
    done = place.run(f'jq --arg old "$1" --arg new "$2" \'walk(if type == "string" then sub($old; $new) else . end)\''
                     f' {FILE} > tmp.json && mv tmp.json {FILE}', change.old, change.new)
    (place.folder / "tmp.json").unlink(missing_ok=True)
    return done


# ---- libraries ----

def python(place, script, *arguments):
    return place.run(["/usr/bin/python3", "-c", script, *arguments])


@program("python open w")
def _(place, change):
    return python(place, "import sys\nwith open('config.json', 'w') as f: f.write(sys.argv[1])",
                  change.text.decode())


@program("python without close", ignores=True)
def _(place, change):
    return python(place, "import sys\nopen('config.json', 'w').write(sys.argv[1])",
                  change.text.decode())


@program("python r+")
def _(place, change):
    return python(place, """
import sys
with open('config.json', 'r+') as f:
    text = f.read().replace(*sys.argv[1:])
    f.seek(0)
    f.write(text)
    f.truncate()
""", change.old, change.new)


@program("python os.replace")
def _(place, change):
    done = python(place, """
import os, sys, tempfile
fd, path = tempfile.mkstemp(dir='.', prefix='tmp')
with open(fd, 'w') as f:
    f.write(sys.argv[1])
    f.flush()
    os.fsync(f.fileno())
try:
    os.replace(path, 'config.json')
except OSError:
    os.unlink(path)
    raise
""", change.text.decode())
    return done


@program("node writeFile")
def _(place, change):
    return place.run([NODE, "-e", "require('fs').promises.writeFile('config.json', process.argv[1])",
                      change.text.decode()])


@program("node fdatasync")
def _(place, change):
    """As VS Code saves."""
    return place.run([NODE, "-e", """
const fs = require('fs');
const fd = fs.openSync('config.json', 'r+');
fs.ftruncateSync(fd, 0);
fs.writeSync(fd, process.argv[1]);
fs.fdatasyncSync(fd);
fs.closeSync(fd);
""", change.text.decode()])


@program("jb_tmp, rename")
def _(place, change):
    """As the JetBrains IDEs save."""
    return python(place, """
import os, sys
with open('config.json___jb_tmp___', 'w') as f:
    f.write(sys.argv[1])
try:
    os.rename('config.json___jb_tmp___', 'config.json')
except OSError:
    os.unlink('config.json___jb_tmp___')
    raise
""", change.text.decode())


# ---- archives, mirrors, versions ----

@program("rsync")
def _(place, change):
    return place.run(["rsync", "-a", place.aside(change.text), "."])


@program("rsync -b", leaves={"config.json~"})
def _(place, change):
    return place.run(["rsync", "-a", "-b", place.aside(change.text), "."])


@program("rsync --inplace")
def _(place, change):
    return place.run(["rsync", "-a", "--inplace", place.aside(change.text), "."])


@program("tar x")
def _(place, change):
    archive = place.work / "a.tar"
    run(["tar", "cf", archive, "-C", place.aside(change.text).parent, FILE])
    return place.run(["tar", "xf", archive])


@program("unzip", ignores=True)
def _(place, change):
    archive = place.work / "a.zip"
    archive.unlink(missing_ok=True)
    run(["zip", "-q", archive, FILE], cwd=place.aside(change.text).parent)
    return place.run(["unzip", "-qo", archive])


class Repository:
    """A git repository whose work tree is a folder on the mount."""

    def __init__(self, place, tree=None):
        self.place = place
        self.directory = place.work / "repository.git"
        self.tree = pathlib.Path(tree or place.folder)
        if not self.directory.exists():
            self.must("init", "-q")
            self.must("config", "core.bare", "false")
            self.must("config", "core.worktree", self.tree)

    def git(self, *arguments, **kwargs):
        # The git dir is not in the tree, and core.worktree counts only when GIT_DIR is given.
        return run(["git", *arguments], cwd=self.tree,
                   env=dict(self.place.env, GIT_DIR=str(self.directory)), **kwargs)

    def must(self, *arguments, **kwargs):
        done = self.git(*arguments, **kwargs)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.strip()

    def commit(self, message="m"):
        """What the tree holds now; the commit's name."""
        self.must("add", "-A")
        self.must("commit", "-q", "--allow-empty", "-m", message)
        return self.must("rev-parse", "HEAD")

    def commit_of(self, text, path=FILE):
        """A commit that has another text, made without touching the tree."""
        blob = self.must("hash-object", "-w", "--stdin", input=text.decode(), stdin=None)
        tree = self.must("mktree", input=f"100644 blob {blob}\t{path}\n", stdin=None)
        return self.must("commit-tree", "-m", "m", tree)


@program("git checkout", ignores=True)
def _(place, change):
    repository = Repository(place)
    commit = repository.commit_of(change.text)
    return repository.git("checkout", "-q", commit, "--", FILE)


ALL = {**EDITORS, **PROGRAMS}


def missing(name):
    """The program that one of ALL needs and that is not here, or None."""
    needs = {"node": NODE, "sponge": "sponge", "ex": "vim", "emacs-batch": "emacs"}
    command = getattr(ALL[name], "command", None)
    wanted = command[0] if command else needs.get(name, needs.get(name.split()[0], None))
    return wanted if wanted and not shutil.which(wanted) else None
