# SPDX-License-Identifier: MIT
"""Every way of opening a file and doing something with it, on the mount and on a plain directory:
the same comes of it, but for what DIFFERENCES says.

docs/semantics.md has that table in words.
"""
import errno
import itertools
import os
import re
import stat

import pytest
from account import stack_id
from saving import editable, kept

ACCESS = ["O_RDONLY", "O_WRONLY", "O_RDWR"]
MORE = ["O_CREAT", "O_EXCL", "O_TRUNC", "O_APPEND"]
FLAGS = [(access, *more) for access in ACCESS for count in range(len(MORE) + 1)
         for more in itertools.combinations(MORE, count)]
FLAGS += [("O_RDONLY", "O_DIRECTORY"), ("O_RDWR", "O_NOFOLLOW"), ("O_WRONLY", "O_DSYNC"),
          ("O_RDWR", "O_CREAT", "O_NOFOLLOW"), ("O_WRONLY", "O_CREAT", "O_SYNC", "O_TRUNC")]
OPERATIONS = {
    "read": lambda fd, text: os.read(fd, 1 << 20),
    "write": lambda fd, text: os.write(fd, text),
    "empty": lambda fd, text: os.ftruncate(fd, 0),
    "shorten": lambda fd, text: os.ftruncate(fd, 7),
    "append": lambda fd, text: (os.lseek(fd, 0, os.SEEK_END), os.write(fd, b" \n"))[1],
}
CASES = [(flags, operation) for flags in FLAGS for operation in OPERATIONS]
ROOT = os.getuid() == 0


def writable(flags):
    return flags[0] != "O_RDONLY"


def is_emptied(flags, operation):
    """Nothing but white space is left."""
    return ("O_TRUNC" in flags and (operation in ("read", "append") or not writable(flags))
            or operation == "empty" and writable(flags))


def is_no_document(flags, operation):
    return writable(flags) and (operation == "shorten" or operation == "write"
                                and "O_APPEND" in flags and "O_TRUNC" not in flags)


#: node, what differs, when (flags, operation), why: what docs/semantics.md says of it.
DIFFERENCES = [
    ("config.json", {"after"}, is_emptied,
     "An empty text is never sent: after the last close the record is there again."),
    ("config.json", {"after"},
     lambda flags, operation: operation == "append" and writable(flags) and "O_TRUNC" not in flags,
     "White space is no change: after the last close the record is laid out as ever."),
    ("config.json", {"close", "after"}, is_no_document,
     "What is no JSON object is refused by close (EBADMSG), and the record is there again."),
    ("config.json", {"fstat", "seen"},
     lambda flags, operation: operation == "append" and writable(flags) and "O_TRUNC" not in flags
     and {"O_SYNC", "O_DSYNC"} & set(flags),
     "After fsync readers see the record laid out; who writes goes on with what was written."),
    ("read-only", {"open", "done", "fstat", "seen", "close", "after"},
     lambda flags, operation: ROOT and (writable(flags) or "O_TRUNC" in flags)
     and not {"O_CREAT", "O_EXCL"} <= set(flags),
     "systemToken and dependencies cannot be opened for writing, by root neither (EACCES)."),
]


def attempt(call):
    """What a call gives, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]


def content(path):
    def read():
        with open(path, "rb") as file:
            return re.sub(rb'("lastModified": ")[^"]*', rb"\1", file.read())

    return attempt(read)


def perform(path, flags, operation, text):
    """One case; everything that can be seen of it."""
    value = sum(getattr(os, flag) for flag in flags)
    fd = attempt(lambda: os.open(path, value, 0o600))
    if isinstance(fd, str):
        return {"open": fd, "after": content(path)}
    seen = {"open": "ok", "done": attempt(lambda: OPERATIONS[operation](fd, text)),
            "fstat": os.fstat(fd).st_size, "seen": content(path)}
    if isinstance(seen["done"], bytes):
        seen["done"] = re.sub(rb'("lastModified": ")[^"]*', rb"\1", seen["done"])
    seen["close"] = attempt(lambda: os.close(fd))
    seen["after"] = content(path)
    # The size that stat gives is that of what read gives.
    size = attempt(lambda: os.stat(path).st_size)
    with_times = attempt(lambda: len(open(path, "rb").read()))
    assert size == with_times, (flags, operation, size, with_times)
    return seen


def case_name(flags, operation):
    return f"{'|'.join(flags)} {operation}"


def compare(node, cases):
    """cases: (flags, operation, mounted, plain).  A list of what no row of the table allows."""
    wrong = []
    used = set()
    for flags, operation, mounted, plain in cases:
        differs = {key for key in {*mounted, *plain} if mounted.get(key) != plain.get(key)}
        rows = [row for row in DIFFERENCES if row[0] == node and row[2](flags, operation)
                and plain["open"] == "ok"]
        allowed = set().union(*(row[1] for row in rows))
        if not differs <= allowed:
            wrong.append(f"{case_name(flags, operation)}: "
                         + "; ".join(f"{key}: {mounted.get(key)!r}, and not {plain.get(key)!r}"
                                     for key in sorted(differs - allowed)))
        used.update(DIFFERENCES.index(row) for row in rows if differs)
    stale = [row[3] for number, row in enumerate(DIFFERENCES)
             if row[0] == node and number not in used and not (node == "read-only" and not ROOT)]
    return wrong + [f"no case shows: {why}" for why in stale]


@pytest.fixture
def plain(work):
    path = work / "plain"
    path.mkdir()
    return path


OLD = b'{"what": "a file of one\'s own",\n "is": "kept"}\n'
NEW = OLD.replace(b"kept", b"lost")


def check(wrong):
    assert not wrong, f"{len(wrong)} cases\n" + "\n".join(wrong[:30])


@pytest.mark.parametrize("node", ["new", "scratch"])
def test_scratch(account, mount, plain, node):
    api = account()
    api.add_stack(editable())
    mnt = mount(api)
    cases = []
    for flags, operation in CASES:
        found = []
        for path in (mnt / "one" / "file", plain / "file"):
            if node == "scratch":
                path.write_bytes(OLD)
            found.append(perform(path, flags, operation, NEW))
            path.unlink(missing_ok=True)
        cases.append((flags, operation, *found))
    check(compare(node, cases))
    api.expect(list=1)


def test_config(account, mount, plain):
    """A stack for each case, as what one leaves must not be in another's way."""
    api = account(page_size=1000)
    for number, _ in enumerate(CASES):
        record = editable(f"s{number}", number + 1)
        for last in ("createdAt", "lastModified"):  # where the service puts them in an answer
            record[last] = record.pop(last)
        api.add_stack(record)
    mnt = mount(api, rate=0)
    cases, puts = [], 0
    for number, (flags, operation) in enumerate(CASES):
        old = mnt.config(f"s{number}")
        (plain / "file").write_bytes(old)
        found = [perform(path, flags, operation, old.replace(b"value0", b"value1"))
                 for path in (mnt / f"s{number}" / "config.json", plain / "file")]
        cases.append((flags, operation, *found))
        saved = (operation == "write" and found[0]["open"] == "ok" and writable(flags)
                 and not is_no_document(flags, operation))
        puts += saved
        assert ("value1" in api.record(stack_id(number + 1)).raw) == saved, case_name(flags, operation)
    check(compare("config.json", cases))
    assert not any(b"value1" not in text and text.endswith(b"}\n")
                   for text in kept(mnt).values()), "only what was refused is lost"
    assert api.counts()["put"] == puts
    assert set(api.counts()) <= {"list", "record", "put"}
    api.expect(**api.counts())


@pytest.mark.parametrize("file", ["systemToken", "dependencies"])
def test_read_only(account, mount, plain, file):
    api = account()
    api.add_stack(editable())
    mnt = mount(api)
    text = mnt.read("one", file)
    cases = []
    for flags, operation in CASES:
        path = plain / "file"
        path.write_bytes(text)
        path.chmod(0o400)
        found = [perform(path, flags, operation, NEW) for path in (mnt / "one" / file, path)]
        assert found[0]["after"] == text, case_name(flags, operation)
        cases.append((flags, operation, *found))
        path.unlink()
    check(compare("read-only", cases))
    assert stat.S_IMODE(os.stat(mnt / "one" / file).st_mode) == 0o400
    assert not {"put", "post", "delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())
