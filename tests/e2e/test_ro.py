# SPDX-License-Identifier: MIT
"""-o ro: every attempt to change something is refused, costs no request and harms nothing."""
import errno
import os
import socket
import stat

import pytest
from account import stack
from mount import run

FILES = ["config.json", "systemToken", "dependencies"]


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    api.add_stack(stack("two", 2))
    return api


@pytest.fixture
def mnt(api, mount):
    """All is read once, so that what an attempt costs can be told."""
    mnt = mount(api, ro=True)
    for file in FILES:
        mnt.read("one", file)
    api.expect(list=1, token=1, dependencies=1)
    return mnt


@pytest.fixture(autouse=True)
def unharmed(api, mnt):
    yield
    assert mnt.names() == ["one", "two"]
    assert mnt.names("one") == sorted(FILES)
    record, _ = api.records()
    for file in FILES:
        assert mnt.read("one", file) == api.file(record, file)
    assert stat.S_IMODE(os.stat(mnt / "one" / "config.json").st_mode) == 0o600
    api.expect(list=1, token=1, dependencies=1)


def fails(expected, operation, *arguments, **keywords):
    with pytest.raises(OSError) as refused:
        operation(*arguments, **keywords)
    names = [errno.errorcode[code] for code in (expected if isinstance(expected, tuple) else (expected,))]
    assert errno.errorcode[refused.value.errno] in names
    return True


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("flags", ["O_WRONLY", "O_RDWR", "O_WRONLY|O_TRUNC", "O_WRONLY|O_APPEND",
                                   "O_RDONLY|O_TRUNC", "O_RDWR|O_CREAT"])
def test_open_for_writing(mnt, file, flags):
    value = sum(getattr(os, flag) for flag in flags.split("|"))
    fails(errno.EROFS, os.open, mnt / "one" / file, value)
    assert mnt.errors()[-1]["message"] == "mounted with -o ro"


@pytest.mark.parametrize("parts", [["new"], ["one", "new"], ["one", ".config.json.swp"],
                                   ["one", "4913"], [".stacksfs", "new"]], ids="/".join)
def test_create(mnt, parts):
    path = mnt.path.joinpath(*parts)
    fails(errno.EROFS, os.open, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    fails(errno.EROFS, os.mkdir, path)
    fails(errno.EROFS, os.symlink, "target", path)
    fails(errno.EROFS, os.mkfifo, path)
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(path.parent, os.O_PATH)
        try:
            fails(errno.EROFS, listening.bind, f"/proc/self/fd/{here}/{path.name}")
        finally:
            os.close(here)
    assert not os.path.lexists(path)


def test_create_what_exists(mnt):
    fails(errno.EEXIST, os.open, mnt / "one" / "config.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    fails(errno.EEXIST, os.mkdir, mnt / "one")


@pytest.mark.parametrize("file", FILES)
def test_unlink(mnt, file):
    fails(errno.EROFS, os.unlink, mnt / "one" / file)
    line, = mnt.errors()
    assert (line["op"], line["errno"], line["message"]) == ("unlink", "EROFS", "mounted with -o ro")


def test_remove_a_stack(mnt):
    fails(errno.EROFS, os.rmdir, mnt / "one")
    assert run(["rm", "-rf", mnt / "one"]).returncode != 0


@pytest.mark.parametrize("source, target", [
    ("one", "three"), ("one", "two"), ("one/config.json", "one/config.json~"),
    ("one/config.json", "two/config.json"), ("one/systemToken", "one/old"),
])
def test_rename(mnt, source, target):
    fails(errno.EROFS, os.rename, mnt / source, mnt / target)


def test_move_a_file_in(mnt, work):
    (work / "file").write_text("{}")
    done = run(["mv", work / "file", mnt / "one" / "config.json"])
    assert done.returncode != 0 and "Read-only file system" in done.stderr
    assert (work / "file").read_text() == "{}"


@pytest.mark.parametrize("file", FILES)
def test_truncate(mnt, file):
    fails(errno.EROFS, os.truncate, mnt / "one" / file, 0)


@pytest.mark.parametrize("file", [".", *FILES])
def test_attributes(mnt, file):
    fails(errno.EROFS, os.chmod, mnt / "one" / file, 0o640)
    fails(errno.EROFS, os.chown, mnt / "one" / file, 12, 34)
    fails(errno.EROFS, os.utime, mnt / "one" / file, (1, 2))
    fails(errno.EROFS, os.utime, mnt / "one" / file)


def test_link(mnt):
    fails(errno.EROFS, os.link, mnt / "one" / "config.json", mnt / "one" / "config.json~")


@pytest.mark.parametrize("name", ["user.comment", "user.stacksfs.id"])
def test_extended_attributes(mnt, name):
    not_there = errno.EROFS, errno.ENOTSUP, errno.ENOSYS
    fails(not_there, os.setxattr, mnt / "one", name, b"x")
    fails(not_there, os.removexattr, mnt / "one", name)
    assert os.getxattr(mnt / "one", "user.stacksfs.type") == b"server"


@pytest.mark.parametrize("path", [".stacksfs/status", ".stacksfs/errors", ".stacksfs/README"])
def test_the_control_directorys_own_files(mnt, path):
    fails(errno.EROFS, os.open, mnt / path, os.O_WRONLY)
    fails(errno.EROFS, os.unlink, mnt / path)
    fails(errno.EROFS, os.rmdir, mnt / ".stacksfs")


@pytest.mark.parametrize("command", ["echo x > {}", "echo x >> {}", "sed -i s/a/b/ {}", "tee {} < /dev/null",
                                     "touch {}", "cp /dev/null {}", "truncate -s 0 {}", "dd of={} < /dev/null"],
                         ids=lambda command: command.split()[0] if "echo" not in command else command[7:9])
def test_programs_say_so(mnt, command):
    done = run(command.format(mnt / "one" / "config.json"))
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr
