# SPDX-License-Identifier: MIT
"""What the tests of the write path share: a stack to edit, what a save must leave behind, and
what a refused one must."""
import contextlib
import errno
import json
import os
import re

import pytest

from account import RECORD, stack, stack_id
from mount import eventually

FILES = ["config.json", "dependencies", "systemToken"]
HOST = "https://host.example.com/"
ID = stack_id(1)
#: What the service says of a save that it does not take.
REFUSAL = {"code": "invalid_value", "message": "server.hostURI: no such host is known",
           "field": "server.hostURI"}


def editable(name="one", number=1, value="value0", **members):
    """A server stack with a field to edit, and others for a colleague."""
    members.setdefault("note", "note0")
    members.setdefault("tags", ["a", "b"])
    # The token comes first, where the service puts it when it lays the record out anew.
    members.setdefault("server", {"systemToken": f"t0ken-of-{number:04}" * 3,
                                  "hostURI": HOST + value, "ipRanges": ["10.0.0.0/8"]})
    return stack(name, number, **members)


def lambda_stack(name="work", number=1, secret="S3cretOfTheLambda", **members):
    record = stack(name, number, type="lambda", server=None, **members)
    record["lambda"] = {"accessKeyId": "AKIA0123456789", "secretAccessKey": secret,
                        "awsRegion": "us-east-1", "functionName": f"function-{number}"}
    return record


def refuse(api, method="PUT", path=RECORD, status=422, error=None, **fault):
    return api.fault(kind="status", method=method, path=path, status=status,
                     body=json.dumps({"errors": [error or REFUSAL]}), **fault)


def edit(mnt, stack, old, new):
    """The least that a save can be: O_TRUNC, one write, close.  OSError when it is refused."""
    text = mnt.config(stack)
    assert old.encode() in text
    write(mnt, stack, text.replace(old.encode(), new.encode()))


def write(mnt, stack, text, file="config.json"):
    with open(mnt / stack / file, "wb") as target:
        target.write(text)


@contextlib.contextmanager
def fails(*errors):
    """The block ends with one of these errno."""
    with pytest.raises(OSError) as refused:
        yield refused
    got = errno.errorcode.get(refused.value.errno, refused.value.errno)
    assert got in [errno.errorcode[e] for e in errors], refused.value


# ---- what is there afterwards ----

def is_shown(api, mnt, name="one", number=ID):
    """config.json is the layout of what the service has, byte for byte, with its size and time."""
    record = api.record(number)
    path = mnt / name / "config.json"
    found = os.stat(path)
    assert path.read_bytes() == record.config
    assert found.st_size == len(record.config)
    assert found.st_mtime_ns == record.modified_ms * 1_000_000
    again = os.stat(path)
    assert (again.st_size, again.st_mtime_ns) == (found.st_size, found.st_mtime_ns)
    return record


def is_a_stack(api, mnt, directory, name=None):
    """A stack like any other; its _id."""
    record = api.directories()[directory]
    if name is not None:
        assert record.name == name
    assert os.getxattr(mnt / directory, "user.stacksfs.id").decode() == record.id
    assert os.getxattr(mnt / directory, "user.stacksfs.type").decode() == record.type
    is_shown(api, mnt, directory, record.id)
    assert mnt.names(directory) == record.files
    assert mnt.config(directory) == mnt.read(".stacksfs", "by-id", record.id, "config.json")
    assert os.stat(mnt / directory).st_mtime_ns == record.modified_ms * 1_000_000
    for file in record.files[1:]:
        assert mnt.read(directory, file) == api.file(record, file)
        assert os.stat(mnt / directory / file).st_size == len(api.file(record, file))
    return record.id


def kept(mnt, folder="lost"):
    """{path below .stacksfs/lost (or history): its bytes} of what is there as yet: the disk is
    written to behind a save's back."""
    top = mnt / ".stacksfs" / folder
    return {os.path.relpath(os.path.join(at, name), top): open(os.path.join(at, name), "rb").read()
            for at, _, names in os.walk(f"{top}/") for name in names if not name.startswith(".")}


def is_lost(mnt, *texts, total=None):
    """Each of the texts is in lost, and no more files than that many."""
    def found():
        values = list(kept(mnt).values())
        return all(text in values for text in texts) and (total is None or len(values) == total)

    eventually(found)


def history(mnt, count, stack="one"):
    """The stack's earlier texts, the oldest first: so many."""
    return [path.read_bytes() for path in history_files(mnt, count, stack)]


def history_files(mnt, count, stack="one"):
    top = mnt / ".stacksfs" / "history" / stack

    def found():
        if not top.is_dir():
            return count == 0
        return len([path for path in top.iterdir() if path.name[0] != "."]) == count

    eventually(found)
    return sorted(path for path in top.iterdir()) if count else []


def refused_text(mnt, stack="one"):
    try:
        return mnt.read(stack, "config.json.refused")
    except FileNotFoundError:
        return None


def error_of(mnt, stack="one"):
    """What the extended attribute says of the last save, or None."""
    try:
        return os.getxattr(mnt / stack / "config.json", "user.stacksfs.error").decode()
    except OSError as error:
        assert error.errno == errno.ENODATA
        return None


def is_kept_as_refused(mnt, text, stack="one"):
    """The text that could not be saved is beside the file and in lost, for its owner alone."""
    path = mnt / stack / "config.json.refused"
    assert path.read_bytes() == text
    assert os.stat(path).st_mode & 0o7777 == 0o600
    assert os.stat(path).st_size == len(text)
    is_lost(mnt, text)
    for name in kept(mnt):
        assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z(_\d+)?-.*\.json", name), name
        assert os.stat(mnt / ".stacksfs" / "lost" / name).st_mode & 0o7777 == 0o600


def nothing_is_refused(mnt, stack="one"):
    assert refused_text(mnt, stack) is None
    assert error_of(mnt, stack) is None
    assert kept(mnt) == {}


def last_error(mnt, **members):
    """The newest line of errors that has these members."""
    lines = mnt.errors()
    fitting = [line for line in lines
               if all(line.get(name) == value for name, value in members.items())]
    assert fitting, (members, lines)
    return fitting[-1]


def names_field(line, field):
    """Whether a line of errors says which field it is about."""
    return field == line.get("field") or field in (line.get("message") or "")
