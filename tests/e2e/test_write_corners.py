# SPDX-License-Identifier: MIT
"""What must not stop a mount, or lose a text, although it hardly ever happens."""
import contextlib
import os
import shutil
import subprocess

import pytest
from account import RECORD
from mount import eventually, run
from saving import (FILES, ID, editable, is_lost, is_shown, last_error, nothing_is_refused, write)


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


def test_a_name_changes_beside_a_rename_that_waits(api, mount):
    """The kernel is told of it once the rename is over, and the rename does not wait for that."""
    mnt = mount(api, ttl=1)
    token = os.open(mnt / "one" / "systemToken", os.O_RDONLY)
    write(mnt, "one", mnt.config("one").replace(b"value0", b"value1"), "new")
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=2000)
    mover = subprocess.Popen(["mv", mnt / "one" / "new", mnt / "one" / "config.json"])
    api.wait("PUT", RECORD)
    api.rotate(ID)
    # The open file is another one's now: its name is to be looked up again.
    eventually(lambda: os.fstat(token) and api.counts()["token"] > 1)
    assert mover.wait(20) == 0
    assert "value1" in is_shown(api, mnt).raw
    assert mnt.read("one", "systemToken") == api.system_token(ID)
    os.close(token)
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_program_that_lies_on_the_mount(api, mount):
    """Who it is that writes is asked of the system, and not of the mount itself."""
    mnt = mount(api)
    new = mnt.config("one").replace(b"value0", b"value1")
    write(mnt, "one", new, "new")
    shutil.copy("/bin/dd", mnt / "one" / "dd")
    done = run([mnt / "one" / "dd", f"if={mnt / 'one' / 'new'}", f"of={mnt / 'one' / 'config.json'}",
                "status=none"])
    assert done.returncode == 0, done.stderr
    assert "value1" in is_shown(api, mnt).raw
    api.expect(list=1, record=1, put=1)


def test_rm_r_beside_an_editor(api, mount):
    """It finds no config.json to begin with; what it removes then are not single files."""
    mnt = mount(api, grace=1)
    text = mnt.config("one")
    token = mnt.read("one", "systemToken")
    assert run(["mv", mnt / "one" / "config.json", mnt / "one" / "config.json~"]).returncode == 0
    done = run(["rm", "-rf", mnt / "one"])
    assert done.returncode == 1 and "systemToken" in done.stderr, done.stderr
    eventually(lambda: mnt.names("one") == FILES)
    assert mnt.config("one") == text
    assert mnt.read("one", "systemToken") == token == api.system_token(ID)
    assert not {"put", "delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())


def test_one_rm_for_each_file(api, mount):
    """None of the processes has removed all of it, and the last one names the token only."""
    mnt = mount(api, grace=1)
    token = mnt.read("one", "systemToken")
    done = run(["find", mnt / "one", "-type", "f", "-exec", "rm", "{}", ";"])
    assert "systemToken" in done.stderr, done.stderr
    eventually(lambda: mnt.names("one") == FILES)
    assert mnt.read("one", "systemToken") == token == api.system_token(ID)
    assert not {"put", "delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())


@pytest.mark.parametrize("by_rename", [False, True], ids=["in place", "by rename"])
def test_a_new_name_is_there_at_once(api, mount, by_rename):
    """The kernel had been told that there is no such name, and of a directory by the old one."""
    mnt = mount(api)
    name = "one"
    for i in range(100):
        new = f"name{i}"
        assert not os.path.exists(mnt / new)
        text = mnt.config(name).replace(f'"name": "{name}"'.encode(), f'"name": "{new}"'.encode())
        write(mnt, name, text, "new" if by_rename else "config.json")
        if by_rename:
            os.rename(mnt / name / "new", mnt / name / "config.json")
        assert os.path.isdir(mnt / new)
        assert os.path.islink(mnt / name)
        name = new
    api.expect(list=1, record=100, put=100)


def test_a_truncated_file_is_whole_when_it_is_closed(api, mount):
    """The next call comes after that: also where the flags of the handle do not say that it may
    have changed the file."""
    mnt = mount(api)
    config = mnt / "one" / "config.json"
    size = os.stat(config).st_size
    for _ in range(500):
        os.close(os.open(config, os.O_RDONLY | os.O_TRUNC))
        os.listdir(mnt / "one")
        assert os.stat(config).st_size == size
    api.expect(list=1)


def test_a_reader_beside_a_rename_that_merges(api, mount):
    """It goes on with what it has opened, also while the kernel asks for attributes anew."""
    mnt = mount(api, ttl=1)
    text = mnt.config("one")
    write(mnt, "one", text.replace(b"value0", b"value1"), "new")
    reader = os.open(mnt / "one" / "config.json", os.O_RDONLY)
    assert os.pread(reader, 10, 0) == text[:10]
    api.patch_stack(ID, {"note": "a colleague's"})
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=1500)
    mover = subprocess.Popen(["mv", mnt / "one" / "new", mnt / "one" / "config.json"])
    api.wait("PUT", RECORD)
    while mover.poll() is None:
        assert os.fstat(reader).st_size == len(text)
        assert os.pread(reader, 4096, 0) == text
    assert mover.returncode == 0
    assert os.pread(reader, 4096, 0) == text
    os.close(reader)
    assert "value1" in is_shown(api, mnt).raw
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_removal_that_goes_on_after_somebody_saved(api, mount):
    """rm -i asks, and meanwhile config.json is back and an editor saves: no token is rotated."""
    mnt = mount(api, grace=1)
    token = mnt.read("one", "systemToken")
    remover = subprocess.Popen(
        ["/usr/bin/python3", "-c",
         "import ctypes, os, sys\n"
         "ctypes.CDLL(None).prctl(15, b'rm')\n"
         "os.unlink('config.json')\n"
         "print(flush=True)\n"
         "sys.stdin.readline()\n"
         "os.unlink('systemToken')\n"],
        cwd=mnt / "one", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    remover.stdout.readline()
    eventually(lambda: mnt.names("one") == FILES)
    for _ in range(3):
        assert run("mv config.json away && mv away config.json", cwd=mnt / "one").returncode == 0
    _, said = remover.communicate(b"go on\n", timeout=20)
    assert b"PermissionError" in said
    assert mnt.read("one", "systemToken") == token
    api.expect(**api.counts())


@contextlib.contextmanager
def opened_by_another(mnt, flags="O_WRONLY", file="config.json"):
    """It goes on when told."""
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c",
         "import errno, os, sys\n"
         f"fd = os.open('{file}', os.{flags})\n"
         "print('ok', flush=True)\n"
         "for line in sys.stdin:\n"
         "    try:\n"
         "        exec(line)\n"
         "        print('ok', flush=True)\n"
         "    except OSError as error:\n"
         "        print(errno.errorcode[error.errno], flush=True)\n"],
        cwd=mnt / "one", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def does(line):
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    with process:
        assert process.stdout.readline().strip() == "ok"
        yield does
        process.stdin.close()


@contextlib.contextmanager
def written_by_another(mnt, text):
    """It has begun a text."""
    with opened_by_another(mnt, "O_WRONLY | os.O_TRUNC") as does:
        assert does(f"os.write(fd, {text!r})") == "ok"
        yield does


def save_with_backup(mnt, text):
    """As vim does."""
    config, backup = mnt / "one" / "config.json", mnt / "one" / "config.json~"
    os.rename(config, backup)
    write(mnt, "one", text)
    os.unlink(backup)


@pytest.mark.parametrize("later", [b"", b"\n"], ids=["", "goes on writing"])
def test_an_editor_makes_a_backup_of_what_another_writes(api, mount, later):
    """Nobody saves what was in the backup: its writer is told so, and has it in lost."""
    mnt = mount(api)
    before = mnt.config("one")
    theirs = before.replace(b"value0", b"theirs")
    with written_by_another(mnt, theirs) as does:
        save_with_backup(mnt, before.replace(b"value0", b"value1"))
        assert does(f"os.write(fd, {later!r})") == "ok"
        assert does("os.close(fd)") == "EBUSY"
    assert "value1" in is_shown(api, mnt).raw
    assert mnt.names("one") == FILES
    is_lost(mnt, theirs + later, total=1)
    assert last_error(mnt, errno="EBUSY")["path"].lstrip("/") == "one/config.json"
    api.expect(list=1, record=1, put=1)


@pytest.mark.parametrize("flags", ["O_WRONLY", "O_RDWR"])
def test_an_editor_makes_a_backup_of_what_another_is_about_to_write(api, mount, flags):
    """It has written nothing as yet, and is not to write into what the editor removes."""
    mnt = mount(api)
    before = mnt.config("one")
    theirs = before.replace(b"value0", b"theirs")
    with opened_by_another(mnt, flags) as does:
        save_with_backup(mnt, before.replace(b"value0", b"value1"))
        assert does(f"os.pwrite(fd, {theirs!r}, 0)") == "ok"
        assert does("os.close(fd)") == "EBUSY"
    assert "value1" in is_shown(api, mnt).raw
    is_lost(mnt, theirs, total=1)
    api.expect(list=1, record=1, put=1)


def test_an_editor_makes_a_backup_of_what_another_has_replaced(api, mount):
    """By a rename, and has it open still."""
    mnt = mount(api)
    before = mnt.config("one")
    theirs, more = before.replace(b"value0", b"theirs"), before.replace(b"value0", b"others")
    (mnt / "one" / "next").write_bytes(theirs)
    with opened_by_another(mnt, "O_WRONLY", "next") as does:
        assert does("os.rename('next', 'config.json')") == "ok"
        save_with_backup(mnt, mnt.config("one").replace(b"theirs", b"value1"))
        assert does(f"os.pwrite(fd, {more!r}, 0)") == "ok"
        assert does("os.close(fd)") == "EBUSY"
    is_lost(mnt, more, total=1)
    api.expect(**api.counts())


def test_an_editor_makes_a_backup_of_its_own_text_that_another_has_opened(api, mount):
    mnt = mount(api)
    before = mnt.config("one")
    theirs = before.replace(b"value0", b"theirs")
    with open(mnt / "one" / "config.json", "r+b", buffering=0) as file:
        file.write(before.replace(b"value0", b"value1"))
        os.fsync(file)
        with opened_by_another(mnt, "O_RDWR") as does:
            file.close()
            save_with_backup(mnt, before.replace(b"value0", b"value2"))
            assert does(f"os.pwrite(fd, {theirs!r}, 0)") == "ok"
            assert does("os.close(fd)") == "EBUSY"
    assert "value2" in is_shown(api, mnt).raw
    is_lost(mnt, theirs, total=1)
    api.expect(**api.counts())


def test_a_backup_shows_what_another_has_written(api, mount):
    mnt = mount(api)
    theirs = mnt.config("one").replace(b"value0", b"theirs")
    backup = mnt / "one" / "config.json~"
    write(mnt, "one", b"an older one", "config.json~")
    with written_by_another(mnt, theirs) as does:
        os.rename(mnt / "one" / "config.json", backup)
        eventually(lambda: os.stat(backup).st_nlink == 1)
        assert backup.read_bytes() == theirs
        assert does("os.close(fd)") == "EBUSY"
        assert backup.read_bytes() == theirs
        os.rename(backup, mnt / "one" / "config.json")
    assert "theirs" in is_shown(api, mnt).raw
    is_lost(mnt, theirs, total=1)
    api.expect(list=1, record=1, put=1)


def test_an_editor_makes_a_backup_of_its_own_draft(api, mount):
    """What it has written so far is the backup's, and so is what it writes to that afterwards."""
    mnt = mount(api)
    before = mnt.config("one")
    config, backup = mnt / "one" / "config.json", mnt / "one" / "config.json~"
    with open(config, "wb", buffering=0) as file:
        file.write(b"some")
        os.rename(config, backup)
        file.write(b"thing")
    assert backup.read_bytes() == b"something"
    write(mnt, "one", before.replace(b"value0", b"value1"))
    assert "value1" in is_shown(api, mnt).raw
    nothing_is_refused(mnt)
    api.expect(list=1, record=1, put=1)


@pytest.mark.parametrize("looked_at", [True, False], ids=["looked at", "not looked at"])
@pytest.mark.parametrize("by_another", [False, True], ids=["its own", "another's"])
def test_a_backup_of_what_was_changed_since_a_save(api, mount, by_another, looked_at):
    """Whoever saved has it open still; but the file shows the record, and so does the backup."""
    mnt = mount(api)
    before = mnt.config("one")
    backup = mnt / "one" / "config.json~"
    with written_by_another(mnt, before.replace(b"value0", b"value1")) as does:
        assert does("os.fsync(fd)") == "ok"
        api.patch_stack(ID, {"note": "a colleague's"})
        mnt.refresh()
        shown = api.record(ID).config
        if looked_at:
            is_shown(api, mnt)
        if by_another:
            os.rename(mnt / "one" / "config.json", backup)
        else:
            assert does("os.rename('config.json', 'config.json~')") == "ok"
        eventually(lambda: os.stat(backup).st_nlink == 1)
        assert backup.read_bytes() == shown
        assert does("os.close(fd)") == "ok"
    os.rename(backup, mnt / "one" / "config.json")
    assert is_shown(api, mnt).config == shown
    nothing_is_refused(mnt)
    assert api.counts()["put"] == 1
    api.expect(**api.counts())
