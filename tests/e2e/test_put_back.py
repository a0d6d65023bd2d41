# SPDX-License-Identifier: MIT
"""A text that is put back after a refusal, as editors do from their backup, undoes nobody's save;
and an undo after one is still an undo."""
import errno
import os
import subprocess

import programs
import pytest
from account import RECORD
from background import run_in_background
from editors import Emacs, Nano, VimCopying, VimRenaming
from mount import eventually, run
from saving import (HOST, ID, edit, editable, fails, is_shown, kept, last_error, refuse,
                    refused_text, write)


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


@pytest.fixture
def mnt(api, mount):
    return mount(api)


@pytest.fixture
def place(mnt, work):
    return programs.Place(work, mnt / "one", marker="value0")


def host(api):
    return api.record(ID).json["server"]["hostURI"].removeprefix(HOST)


def replace_slowly(api, mnt, value):
    """mv of a text with that value, whose PUT has not been answered as yet; what waits for its end."""
    write(mnt, "one", mnt.config("one").replace(b"value0", value), file="new")
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=1500, times=1)
    moving = run_in_background(run, ["mv", mnt / "one" / "new", mnt / "one" / "config.json"])
    api.wait("PUT", RECORD)
    return moving


@pytest.mark.parametrize("editor", [VimCopying, VimRenaming, Nano, Emacs])
def test_what_an_editor_puts_back_undoes_nobodys_save(api, mnt, place, editor):
    """Its save is refused for that of another process; the backup, from before that, is no undo."""
    with editor(place) as session:
        session.edit("value0", "valueA")
        moving = replace_slowly(api, mnt, b"valueB")
        assert not session.save().ok
        assert moving().returncode == 0
        assert host(api) == "valueB"
        is_shown(api, mnt)
        session.abandon()
    assert host(api) == "valueB"
    eventually(lambda: any(b"valueA" in text for text in kept(mnt).values()))
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


@pytest.mark.any_requests("an editor's second look may or may not wait for the service")
@pytest.mark.parametrize("editor", [VimCopying, VimRenaming, Emacs])
def test_what_is_put_back_undoes_no_save_that_may_have_been_stored(api, mount, work, editor):
    """Nor does that fail, for the service is away still: it says nothing, so nothing is asked."""
    mnt = mount(api, timeout=2)
    place = programs.Place(work, mnt / "one", marker="value0")
    with editor(place) as session:
        session.edit("value0", "valueA")
        api.fault(kind="reset", method="PUT", path=RECORD, apply=True)
        api.fault(kind="hang", method="GET", path=RECORD, skip=1)
        assert not session.save().ok
        assert b"valueA" in refused_text(mnt)
        api.clear_faults()
        session.abandon()
    assert "may have been stored" in last_error(mnt, errno="ETIMEDOUT")["message"]
    assert [line["op"] for line in mnt.errors() if line["op"] == "rename"] == []
    eventually(lambda: b"valueA" in mnt.config("one"))
    is_shown(api, mnt)
    assert host(api) == "valueA"
    assert api.counts()["put"] == 1


def test_the_buffer_is_refused_again_after_that(api, mnt, place):
    with VimCopying(place) as vim:
        vim.edit("value0", "valueA")
        moving = replace_slowly(api, mnt, b"valueB")
        assert not vim.save().ok
        assert moving().returncode == 0
        assert not vim.insist().ok
        vim.abandon()
    assert host(api) == "valueB"
    assert b"valueA" in refused_text(mnt)
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_text_put_back_after_another_file_took_the_place(api, mnt):
    """As above, and the refused text had no file left to go to."""
    text = mnt.config("one").replace(b"value0", b"valueB")
    script = """
import errno, sys
before = open(sys.argv[1], 'rb').read()
file = open(sys.argv[1], 'wb', buffering=0)
file.write(before.replace(b'value0', b'valueA'))
print('written', flush=True)
sys.stdin.readline()
try:
    file.close()
except OSError as error:
    print(errno.errorcode[error.errno])
open(sys.argv[1], 'wb').write(before)
"""
    with subprocess.Popen(["/usr/bin/python3", "-c", script, mnt / "one" / "config.json"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        write(mnt, "one", text, file="new")
        os.rename(mnt / "one" / "new", mnt / "one" / "config.json")
        assert writer.communicate(b"\n", 30)[0] == b"EBUSY\n"
    assert writer.returncode == 0
    assert host(api) == "valueB"
    is_shown(api, mnt)
    api.expect(list=1, record=2, put=1)


def test_an_undo_after_a_refusal_and_what_was_put_back(api, mnt):
    """One text is put back for each that was refused; the next is the user's again."""
    first = mnt.config("one")
    write(mnt, "one", first.replace(b"value0", b"value1"))
    write(mnt, "one", mnt.config("one").replace(b"value1", b"value2"))
    before = mnt.config("one")
    fault = refuse(api)
    with fails(errno.EBADMSG):
        write(mnt, "one", before.replace(b"value2", b"value3"))
    api.clear_faults(fault)
    write(mnt, "one", before)
    write(mnt, "one", first)
    assert host(api) == "value0"
    is_shown(api, mnt)
    api.expect(list=1, record=4, put=4)


def test_an_old_text_of_which_the_half_was_refused(api, mnt):
    """It is the same text still, and an undo."""
    first = mnt.config("one")
    edit(mnt, "one", "value0", "value1")
    edit(mnt, "one", "value1", "value2")
    with open(mnt / "one" / "config.json", "wb", buffering=0) as file:
        file.write(first[:100])
        with fails(errno.EBADMSG):
            os.fsync(file.fileno())
        file.write(first[100:])
    assert host(api) == "value0"
    is_shown(api, mnt)
    api.expect(list=1, record=3, put=3)
