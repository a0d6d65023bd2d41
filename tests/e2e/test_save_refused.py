# SPDX-License-Identifier: MIT
"""A save that is not taken: the program says so wherever it looks, the record stays, and the text
is kept where it can be found."""
import contextlib
import errno
import json
import os
import signal
import subprocess

import programs
import pytest
from account import RECORD
from mount import eventually, run
from saving import (FILES, HOST, ID, REFUSAL, editable, edit, error_of, fails, is_kept_as_refused,
                    is_lost, is_shown, kept, last_error, names_field, nothing_is_refused, refuse,
                    refused_text, write)

GRACE = 1
# git checks out a second time what it finds unlike its index.
TWICE = {"git checkout"}


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


@pytest.fixture
def mnt(api, mount):
    return mount(api, grace=GRACE)


@pytest.fixture(params=programs.ALL)
def name(request):
    absent = programs.missing(request.param)
    if absent:
        pytest.skip(f"{absent} is not installed")
    return request.param


def attempt(mnt, work, name, before_saving):
    """Edit, let something happen, save; the outcome and the text that was to be saved."""
    text = mnt.config("one").replace(b"value0", b"value1")
    program = programs.ALL[name]
    with program(programs.Place(work, mnt / "one", marker="value0")) as session:
        session.edit("value0", "value1")
        before_saving()
        outcome = session.save()
        session.abandon()
    assert outcome.ok == program.ignores, outcome
    return text


def is_as_the_service_has_it(api, mnt):
    """At once, or when what a program has hidden comes back."""
    eventually(lambda: os.path.exists(mnt / "one" / "config.json"), within=GRACE + 5)
    record = is_shown(api, mnt)
    assert set(mnt.names("one")) >= {*FILES, "config.json.refused"}
    return record


def test_refused_by_the_service(api, mnt, work, name):
    before = api.record(ID).raw
    text = attempt(mnt, work, name, before_saving=lambda: refuse(api))
    assert is_as_the_service_has_it(api, mnt).raw == before
    is_kept_as_refused(mnt, text)
    line = last_error(mnt, status=422)
    assert line["errno"] == "EBADMSG"
    assert line["path"].lstrip("/") == "one/config.json"
    assert (line["code"], line["field"]) == (REFUSAL["code"], REFUSAL["field"])
    assert REFUSAL["message"] in line["message"]
    assert REFUSAL["message"] in error_of(mnt)
    counts = api.counts()
    assert counts["put"] == (2 if name in TWICE else 1)
    assert counts["record"] <= counts["put"] + 1
    api.expect(list=1, record=counts["record"], put=counts["put"])


def test_edited_by_a_colleague(api, mnt, work, name):
    def colleague():
        api.patch_stack(ID, {"server": {"hostURI": HOST + "theirs"}})

    text = attempt(mnt, work, name, before_saving=colleague)
    record = is_as_the_service_has_it(api, mnt)
    assert HOST + "theirs" in record.raw
    is_kept_as_refused(mnt, text)
    line = last_error(mnt, errno="EBUSY")
    assert line["path"].lstrip("/") == "one/config.json"
    assert names_field(line, "server.hostURI")
    assert "lastModified" in error_of(mnt), "it says how to force it"
    counts = api.counts()
    assert counts["record"] <= 3
    api.expect(list=1, record=counts["record"])


@pytest.mark.parametrize("name", ["vim", "vim-nowritebackup", "vim-backupcopy-yes", "nvim",
                                  "nano", "micro", "emacs", "mg"], indirect=True)
def test_an_editor_may_try_again(api, mnt, work, name):
    """It has kept its buffer; once the service takes it, nothing is refused any more."""
    place = programs.Place(work, mnt / "one", marker="value0")
    with programs.ALL[name](place) as session:
        session.edit("value0", "value1")
        fault = refuse(api)
        assert not session.save().ok
        text = refused_text(mnt)
        assert b"value1" in text
        api.clear_faults(fault)
        session.edit("value1", "value2")
        outcome = session.save()
        assert outcome.ok, outcome
        assert "value2" in is_shown(api, mnt).raw
        session.quit()
    # After an error vim may leave its backup behind.
    assert set(mnt.names("one")) - {"config.json~"} == {*FILES, "config.json.refused"}
    assert refused_text(mnt) == text, "another text has not been saved yet"
    is_lost(mnt, text)
    api.expect(list=1, record=2, put=2)


def test_saving_the_refused_text_takes_it_away(api, mnt):
    fault = refuse(api)
    with fails(errno.EBADMSG):
        edit(mnt, "one", "value0", "value1")
    assert b"value1" in refused_text(mnt)
    api.clear_faults(fault)
    done = run("cp config.json.refused config.json", cwd=mnt / "one")
    assert done.returncode == 0, done.stderr
    assert "value1" in is_shown(api, mnt).raw
    assert refused_text(mnt) is None
    assert error_of(mnt) is None
    is_lost(mnt, total=1)
    api.expect(list=1, record=2, put=2)


def test_moving_the_refused_text_back(api, mnt):
    fault = refuse(api)
    with fails(errno.EBADMSG):
        edit(mnt, "one", "value0", "value1")
    assert run("mv config.json.refused config.json", cwd=mnt / "one").returncode != 0
    assert b"value1" in refused_text(mnt)
    api.clear_faults(fault)
    assert run("mv config.json.refused config.json", cwd=mnt / "one").returncode == 0
    assert "value1" in is_shown(api, mnt).raw
    assert mnt.names("one") == FILES
    api.expect(list=1, record=3, put=3)


def test_the_refused_text_can_be_removed(api, mnt):
    refuse(api)
    with fails(errno.EBADMSG):
        edit(mnt, "one", "value0", "value1")
    os.unlink(mnt / "one" / "config.json.refused")
    assert mnt.names("one") == FILES
    is_shown(api, mnt)
    api.expect(list=1, record=1, put=1)


def test_a_newer_refusal_replaces_an_older_one(api, mnt):
    refuse(api)
    before = mnt.config("one")
    for value in (b"value1", b"value2"):
        with fails(errno.EBADMSG):
            write(mnt, "one", before.replace(b"value0", value))
    assert b"value2" in refused_text(mnt)
    is_lost(mnt, before.replace(b"value0", b"value1"), before.replace(b"value0", b"value2"),
            total=2)
    api.expect(list=1, record=2, put=2)


def test_the_same_draft_may_still_succeed(api, mnt):
    """First write to last close: one handle, a refusal, more writing, a success."""
    fault = refuse(api)
    before = mnt.config("one")
    with open(mnt / "one" / "config.json", "r+b", buffering=0) as config:
        config.write(before.replace(b"value0", b"value1"))
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        assert b"value1" in refused_text(mnt)
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        api.clear_faults(fault)
        config.seek(0)
        config.write(before.replace(b"value0", b"value2"))
        os.fsync(config.fileno())
    assert "value2" in is_shown(api, mnt).raw
    assert refused_text(mnt) is None
    assert error_of(mnt) is None
    api.expect(list=1, record=2, put=2)


def test_a_success_of_one_never_removes_the_text_of_another(api, mnt):
    fault = refuse(api, times=1)
    before = mnt.config("one")
    with fails(errno.EBADMSG):
        write(mnt, "one", before.replace(b"value0", b"mine"))
    assert fault
    assert run("sed -i s/note0/note1/ config.json", cwd=mnt / "one").returncode == 0
    assert "note1" in is_shown(api, mnt).raw
    assert b"mine" in refused_text(mnt)
    api.expect(list=1, record=2, put=2)


def test_a_success_in_the_same_file_never_removes_the_text_of_another(api, mnt):
    """One process has been refused and has the file open still; another one fills it anew."""
    refuse(api, times=1)
    before = mnt.config("one")
    mine = before.replace(b"value0", b"mine")
    (mnt.work / "theirs").write_bytes(before.replace(b"note0", b"theirs"))
    with open(mnt / "one" / "config.json", "wb", buffering=0) as config:
        config.write(mine)
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        assert run(["cp", mnt.work / "theirs", mnt / "one" / "config.json"]).returncode == 0
        assert "theirs" in is_shown(api, mnt).raw
    is_kept_as_refused(mnt, mine)
    assert REFUSAL["message"] in error_of(mnt)
    api.expect(list=1, record=2, put=2)


def test_a_refused_text_that_was_edited_stays(api, mnt):
    """Although the draft that was refused succeeds: what is in the file now was never saved."""
    refuse(api, times=1)
    before = mnt.config("one")
    with open(mnt / "one" / "config.json", "wb", buffering=0) as config:
        config.write(before.replace(b"value0", b"value1"))
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        edited = refused_text(mnt).replace(b"value1", b"edited")
        write(mnt, "one", edited, file="config.json.refused")
        config.seek(0)
        config.write(before.replace(b"value0", b"value2"))
    assert "value2" in is_shown(api, mnt).raw
    assert refused_text(mnt) == edited
    api.expect(list=1, record=2, put=2)


@pytest.mark.any_requests("the number of tries is the retry policy's")
def test_status_and_the_log_tell_of_it(api, mnt):
    refuse(api)
    with fails(errno.EBADMSG):
        edit(mnt, "one", "value0", "value1")
    done = mnt.cli("status", mnt.path)
    assert done.returncode == 0
    assert "one/config.json" in done.stdout
    assert "one" in mnt.log() and REFUSAL["code"] in mnt.log()
    api.clear_faults()
    os.unlink(mnt / "one" / "config.json.refused")
    assert "config.json.refused" not in mnt.cli("status", mnt.path).stdout


# ---- what is not even sent ----

@pytest.mark.parametrize("text, where", [
    ('{"name": "one", "type": "server"', "line 1"),
    ('{\n  "name": "one",\n  "type": server\n}\n', "line 3"),
    ('{\n  "name": "one",\n}\n', "line 3"),
    ("[]\n", ""),
    ("not json at all\n", "line 1"),
    ('{"name": "one"} {"name": "two"}\n', "line 1"),
    ('{\n  "name": "one",\n  "name": "two"\n}\n', "line 3"),
    ('{"name": "\\ud800"}\n', ""),
    (b'{"name": "\xff"}\n', ""),
    ("{" + '"a":{' * 120 + "}" * 121, ""),
], ids=lambda text: ascii(text[:20]) if text else "")
def test_what_is_no_document_is_not_sent(api, mnt, text, where):
    text = text if isinstance(text, bytes) else text.encode()
    mnt.config("one")
    with fails(errno.EBADMSG):
        write(mnt, "one", text)
    is_shown(api, mnt)
    is_kept_as_refused(mnt, text)
    assert where in last_error(mnt, errno="EBADMSG")["message"]
    assert set(api.counts()) <= {"list", "record"}
    api.expect(**api.counts())


def test_line_and_column_of_what_is_wrong(api, mnt):
    with fails(errno.EBADMSG):
        write(mnt, "one", b'{\n  "name": "one",\n  "type": server\n}\n')
    message = last_error(mnt, errno="EBADMSG")["message"]
    assert "line 3" in message and "column 11" in message
    assert "line 3" in error_of(mnt)
    api.expect(list=1)


def test_too_large(api, mnt):
    text = mnt.config("one")
    padding = b" " * (1 << 20)
    with fails(errno.EFBIG):
        write(mnt, "one", text + padding)
    is_shown(api, mnt)
    with fails(errno.EFBIG):
        os.truncate(mnt / "one" / "config.json", (1 << 20) + 1)
    is_shown(api, mnt)
    nearly = text.replace(b"value0", b"value1") + b" " * ((1 << 20) - len(text))
    assert len(nearly) == 1 << 20
    write(mnt, "one", nearly)
    assert "value1" in is_shown(api, mnt).raw
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_an_id_of_another_stack(api, mnt):
    """cp two/config.json one/config.json would make one a second two."""
    api.add_stack(editable("two", 2))
    mnt.refresh()
    done = run("cp two/config.json one/config.json", cwd=mnt.path)
    assert done.returncode != 0 and "Bad message" in done.stderr
    is_shown(api, mnt)
    assert "_id" in json.dumps(last_error(mnt, errno="EBADMSG"))
    assert set(api.counts()) <= {"list", "record"}
    api.expect(**api.counts())


def test_an_id_of_no_stack_is_dropped(api, mnt):
    text = mnt.config("one").replace(ID.encode(), b"f" * 24).replace(b"value0", b"value1")
    write(mnt, "one", text)
    assert "value1" in is_shown(api, mnt).raw
    assert "_id" not in api.sent("put")[0]
    api.expect(list=1, record=1, put=1)


def test_half_a_document_by_a_killed_writer(api, mnt):
    before = is_shown(api, mnt).config
    half = before.replace(b"value0", b"value1")[:-30]
    script = """
import signal, sys
with open(sys.argv[1], 'wb', buffering=0) as f:
    f.write(sys.stdin.buffer.read())
    print('written', flush=True)
    signal.pause()
"""
    writer = subprocess.Popen(["/usr/bin/python3", "-c", script, mnt / "one" / "config.json"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    writer.stdin.write(half)
    writer.stdin.close()
    assert writer.stdout.readline() == b"written\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    eventually(lambda: mnt.config("one") == before)
    is_shown(api, mnt)
    is_lost(mnt, half)
    assert set(api.counts()) <= {"list", "record"}
    api.expect(**api.counts())


def test_half_a_document_that_is_taken_back(api, mnt):
    """The file is empty in the end: that is no text which could take the place of a refused one."""
    text = mnt.config("one").replace(b"value0", b"value1")
    fault = refuse(api)
    with fails(errno.EBADMSG):
        write(mnt, "one", text)
    api.clear_faults(fault)
    with open(mnt / "one" / "config.json", "wb", buffering=0) as config:
        config.write(b'{"name": ')
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        config.truncate(0)
    is_shown(api, mnt)
    is_kept_as_refused(mnt, text)
    is_lost(mnt, text, total=1)
    api.expect(list=1, record=1, put=1)


# ---- answers of other kinds ----

@pytest.mark.parametrize("status, code", [
    (400, errno.EBADMSG), (422, errno.EBADMSG), (418, errno.EBADMSG), (403, errno.EPERM),
    (401, errno.EACCES), (409, errno.EBUSY), (412, errno.EBUSY), (413, errno.EFBIG),
])
def test_each_status_has_its_errno(api, mnt, status, code):
    text = mnt.config("one").replace(b"value0", b"value1")
    if status == 401:
        api.fault(kind="status", method="PUT", path=RECORD, status=401,
                  body='{"message": "Unauthorized"}')
    else:
        refuse(api, status=status)
    with fails(code):
        write(mnt, "one", text)
    line = last_error(mnt, status=status)
    assert line["errno"] == errno.errorcode[code]
    is_kept_as_refused(mnt, text)
    is_shown(api, mnt)
    # A 401 is tried once more with the token file's token, a 412 with the record of now.
    assert api.counts()["put"] <= {401: 2, 412: 4}.get(status, 1)
    api.expect(**api.counts())


@pytest.mark.parametrize("fault, code", [
    (dict(kind="status", status=500), errno.EIO),
    (dict(kind="status", status=503, headers={"Retry-After": "3600"}), errno.EIO),
    (dict(kind="status", status=429, headers={"Retry-After": "3600"}), errno.EBUSY),
    (dict(kind="hang"), errno.ETIMEDOUT),
], ids=["500", "503", "429", "hang"])
def test_a_service_that_is_away(api, mount, fault, code):
    mnt = mount(api, timeout=2, grace=GRACE)
    text = mnt.config("one").replace(b"value0", b"value1")
    before = api.record(ID).raw
    api.fault(method="PUT", path=RECORD, **fault)
    with fails(code):
        write(mnt, "one", text)
    api.clear_faults()
    is_kept_as_refused(mnt, text)
    mnt.refresh()
    assert is_shown(api, mnt).raw == before
    api.expect(**api.counts())


def test_no_get_no_put(api, mount):
    """Without the fresh record nothing may be sent."""
    mnt = mount(api, timeout=2)
    text = mnt.config("one").replace(b"value0", b"value1")
    api.fault(kind="status", method="GET", path=RECORD, status=500)
    with fails(errno.EIO):
        write(mnt, "one", text)
    is_kept_as_refused(mnt, text)
    api.clear_faults()
    assert "put" not in api.counts()
    api.expect(**api.counts())


def test_the_record_is_gone(api, mnt):
    text = mnt.config("one").replace(b"value0", b"value1")
    api.delete_stack(ID)
    with fails(errno.ENOENT, errno.ESTALE):
        write(mnt, "one", text)
    is_lost(mnt, text)
    assert all(name.endswith("-one.json") for name in kept(mnt))
    assert mnt.errors()[-1]["path"] == "/one/config.json"
    assert "put" not in api.counts()
    api.expect(**api.counts())


# ---- no room ----

def test_no_room_to_save(api, mount):
    """The text is in lost, and nothing of it stays that would be in the way of all others."""
    mnt = mount(api, scratch="1M")
    before = mnt.config("one")
    large = before.replace(b"note0", b"x" * 600_000)
    with fails(errno.ENOSPC):
        write(mnt, "one", large)
    assert "no room to save it" in last_error(mnt, errno="ENOSPC")["message"]
    is_lost(mnt, large, total=1)
    assert mnt.config("one") == before
    api.patch_stack(ID, {"note": "a colleague's"})
    mnt.refresh()
    is_shown(api, mnt)
    edit(mnt, "one", "value0", "value1")
    assert "value1" in is_shown(api, mnt).raw
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_no_room_for_a_newer_refused_text(api, mount):
    """The older one stays, also when the newer, which is in lost, is taken after all."""
    mnt = mount(api, scratch="1M")
    before = mnt.config("one")
    older = before.replace(b"value0", b"value1")
    newer = before.replace(b"note0", b"x" * 400_000)
    fault = refuse(api)
    with fails(errno.EBADMSG):
        write(mnt, "one", older)
    with open(mnt / "one" / "config.json", "wb", buffering=0) as config:
        config.write(newer)
        with fails(errno.EBADMSG):
            os.fsync(config.fileno())
        is_kept_as_refused(mnt, older)
        is_lost(mnt, older, newer, total=2)
        api.clear_faults(fault)
        config.write(b"\n")
    assert "xxx" in is_shown(api, mnt).raw
    assert refused_text(mnt) == older
    assert api.counts()["put"] == 3
    api.expect(**api.counts())


# ---- an answer that was lost ----

@pytest.mark.parametrize("kind", ["drop", "reset", "truncate"])
def test_a_put_whose_answer_was_lost_is_settled_by_reading(api, mnt, kind):
    """The service has it: saying anything else would be wrong, and so would a second PUT."""
    text = mnt.config("one").replace(b"value0", b"value1")
    api.fault(kind=kind, method="PUT", path=RECORD, apply=True, times=1,
              **({"at_byte": 5} if kind == "truncate" else {}))
    write(mnt, "one", text)
    assert "value1" in is_shown(api, mnt).raw
    nothing_is_refused(mnt)
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_put_that_cannot_be_settled(api, mount):
    mnt = mount(api, timeout=2)
    text = mnt.config("one").replace(b"value0", b"value1")
    api.fault(kind="drop", method="PUT", path=RECORD, apply=True)
    api.fault(kind="hang", method="GET", path=RECORD, skip=1)
    with fails(errno.ETIMEDOUT):
        write(mnt, "one", text)
    assert "may have been stored" in last_error(mnt, errno="ETIMEDOUT")["message"]
    assert refused_text(mnt) == text
    api.clear_faults()
    eventually(lambda: b"value1" in mnt.config("one"))  # the record is asked for again
    is_shown(api, mnt)
    api.expect(**api.counts())


def in_place(mnt, file, text):
    done = run(["tee", mnt / "one" / "config.json"], input=text.decode(), stdin=None)
    assert done.returncode == 0, done.stderr


def by_rename(mnt, file, text):
    write(mnt, "one", text, "new")
    assert run(["mv", mnt / "one" / "new", mnt / "one" / "config.json"]).returncode == 0


def in_the_same_file(mnt, file, text):
    """The first time it may be what an editor puts back."""
    for _ in range(2):
        os.pwrite(file, text, 0)
        os.fsync(file)


def save_may_have_been_stored(api, mnt, file, text, stored=True):
    api.fault(kind="reset", method="PUT", path=RECORD, apply=stored)
    api.fault(kind="hang", method="GET", path=RECORD, skip=1)
    os.pwrite(file, text, 0)
    with fails(errno.ETIMEDOUT):
        os.fsync(file)
    assert "may have been stored" in last_error(mnt, errno="ETIMEDOUT")["message"]
    api.clear_faults()


@pytest.mark.parametrize("stored", [True, False], ids=["it was stored", "it was not"])
@pytest.mark.parametrize("undo", [in_place, by_rename, in_the_same_file])
def test_undoing_a_save_that_may_have_been_stored(api, mount, undo, stored):
    """What is here is not what is there, perhaps: so it is read before the two are compared."""
    mnt = mount(api, timeout=2)
    before = mnt.config("one")
    file = os.open(mnt / "one" / "config.json", os.O_RDWR)
    save_may_have_been_stored(api, mnt, file, before.replace(b"value0", b"value1"), stored)
    assert ("value1" in api.record(ID).raw) == stored
    undo(mnt, file, before)
    assert "value0" in api.record(ID).raw
    with fails(errno.ETIMEDOUT) if undo == by_rename else contextlib.nullcontext():
        os.close(file)
    assert "value0" in is_shown(api, mnt).raw
    assert api.counts()["put"] == (2 if stored else 1)
    api.expect(**api.counts())


def test_an_undo_of_what_cannot_be_read_fails(api, mount):
    """And takes nothing away that was refused before."""
    mnt = mount(api, timeout=2)
    before = mnt.config("one")
    file = os.open(mnt / "one" / "config.json", os.O_RDWR)
    api.fault(kind="reset", method="PUT", path=RECORD, apply=True)
    api.fault(kind="hang", method="GET", path=RECORD, skip=1)
    done = run(["tee", mnt / "one" / "config.json"], stdin=None,
               input=before.decode().replace("value0", "value1"))
    assert "timed out" in done.stderr
    api.clear_faults()
    api.fault(kind="status", method="GET", path=RECORD, status=403)
    os.pwrite(file, before, 0)
    with fails(errno.EPERM):
        os.fsync(file)
    api.clear_faults()
    assert b"value1" in refused_text(mnt)
    with fails(errno.EPERM):
        os.close(file)
    assert "value1" in is_shown(api, mnt).raw
    is_lost(mnt, before.replace(b"value0", b"value1"), total=1)
    api.expect(**api.counts())


def test_an_undo_of_what_was_changed_since_fails(api, mount, work):
    """The record has neither what was saved nor what it had before: nobody knows whose it is."""
    mnt = mount(api, timeout=2)
    before = mnt.config("one")
    file = os.open(mnt / "one" / "config.json", os.O_RDWR)
    save_may_have_been_stored(api, mnt, file, before.replace(b"value0", b"value1"))
    with fails(errno.ETIMEDOUT):
        os.close(file)
    api.patch_stack(ID, {"note": "a colleague's"})
    (work / "before").write_bytes(before)
    assert run(["cp", work / "before", mnt / "one" / "config.json"]).returncode != 0
    line = last_error(mnt, errno="EBUSY")
    assert "may have been stored" in line["message"]
    assert names_field(line, "note")
    record = api.record(ID)
    assert "value1" in record.raw and "a colleague's" in record.raw
    api.expect(**api.counts())


def test_the_answer_says_less_than_was_sent(api, mnt):
    """A field that the service drops is no failure, but it is told."""
    answer = dict(api.record(ID).json, lastModified="2024-03-01T00:00:00.000Z")
    del answer["note"]
    api.fault(kind="body", method="PUT", path=RECORD, body=json.dumps(answer), times=1)
    edit(mnt, "one", "note0", "note1")
    assert mnt.config("one") == json.dumps(answer, indent=2).encode() + b"\n"
    assert any(names_field(line, "note") for line in mnt.errors())
    nothing_is_refused(mnt)
    api.expect(list=1, record=1, put=1)
