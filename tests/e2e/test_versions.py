# SPDX-License-Identifier: MIT
"""Two writers: no change is overwritten by somebody who has not seen it, and undo undoes."""
import contextlib
import ctypes
import errno
import json
import mmap
import os
import shutil

import programs
import pytest
from account import RECORD, stack_id
from background import run_in_background
from editors import Emacs, Nano, Vim, VimCopying
from mount import eventually, run
from saving import (FILES, HOST, ID, editable, edit, error_of, fails, history,
                    history_files, is_kept_as_refused,
                    is_lost, is_shown, last_error, names_field, nothing_is_refused,
                    refuse, refused_text, write)


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


def colleague(api, **members):
    """Somebody changes the record elsewhere: host= or any member."""
    host = members.pop("host", None)
    if host:
        members["server"] = {"hostURI": HOST + host}
    api.patch_stack(ID, members)


def newest_history(mnt, count=1):
    return history_files(mnt, count)[-1]


def host(api):
    return api.record(ID).json["server"]["hostURI"].removeprefix(HOST)


def note(api):
    return api.record(ID).json["note"]


def is_conflict(api, mnt, text, *fields):
    """The save was refused: both texts are there, and the fields are named."""
    is_shown(api, mnt)
    is_kept_as_refused(mnt, text)
    line = last_error(mnt, errno="EBUSY")
    for field in fields:
        assert names_field(line, field), line
    assert "lastModified" in error_of(mnt)


# ---- one writer ----

def test_undo_in_vim(api, mnt, place):
    with Vim(place) as vim:
        vim.edit("value0", "value1")
        assert vim.save().ok
        assert host(api) == "value1"
        vim.undo()
        assert vim.save().ok
        assert host(api) == "value0"
        is_shown(api, mnt)
        vim.quit()
    nothing_is_refused(mnt)
    api.expect(list=1, record=2, put=2)


def test_one_buffer_one_field_three_saves(api, mnt, place):
    with Vim(place) as vim:
        for number in range(3):
            vim.edit(f"value{number}", f"value{number + 1}")
            assert vim.save().ok
            assert host(api) == f"value{number + 1}"
        vim.quit()
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=3, put=3)


@pytest.mark.parametrize("editor", [Vim, VimCopying, Emacs, Nano])
def test_a_refusal_between_two_saves_of_one_buffer(api, mnt, place, editor):
    """What an editor puts back after an error is no save of its own: the buffer's base stays."""
    with editor(place) as session:
        session.edit("value0", "value1")
        assert session.save().ok
        fault = refuse(api)
        session.edit("value1", "value2")
        assert not session.save().ok
        api.clear_faults(fault)
        session.edit("value2", "value3")
        outcome = session.save()
        assert outcome.ok, outcome
        session.quit()
    assert host(api) == "value3"
    is_shown(api, mnt)
    api.expect(list=1, record=api.counts()["record"], put=3)


def test_redo_after_undo(api, mnt, place):
    with Vim(place) as vim:
        vim.edit("value0", "value1")
        assert vim.save().ok
        vim.undo()
        assert vim.save().ok
        vim.run("redo")
        assert vim.save().ok
        vim.quit()
    assert host(api) == "value1"
    nothing_is_refused(mnt)
    api.expect(list=1, record=3, put=3)


# ---- undo by what was kept ----

def test_history_has_each_earlier_text(api, mnt):
    texts = [mnt.config("one")]
    for number in range(3):
        edit(mnt, "one", f"value{number}", f"value{number + 1}")
        texts.append(mnt.config("one"))
    assert history(mnt, 3) == texts[:-1]
    newest = newest_history(mnt, 3)
    assert os.stat(newest).st_mode & 0o7777 == 0o600
    assert newest.read_bytes() == texts[2]
    api.expect(list=1, record=3, put=3)


def test_undo_by_copying_from_history(api, mnt):
    edit(mnt, "one", "value0", "value1")
    assert host(api) == "value1"
    assert run(["cp", newest_history(mnt), mnt / "one" / "config.json"]).returncode == 0
    assert host(api) == "value0"
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=2, put=2)


def test_undo_of_several_saves(api, mnt):
    """Back to the oldest of all, over three saves of one's own."""
    for number in range(3):
        edit(mnt, "one", f"value{number}", f"value{number + 1}")
    oldest = history_files(mnt, 3)[0]
    assert run(["cp", oldest, mnt / "one" / "config.json"]).returncode == 0
    assert host(api) == "value0"
    is_shown(api, mnt)
    api.expect(list=1, record=4, put=4)


@pytest.mark.parametrize("refresh", [False, True], ids=["unseen", "seen"])
def test_undo_keeps_a_colleagues_other_field(api, mnt, refresh):
    edit(mnt, "one", "value0", "value1")
    colleague(api, note="theirs")
    if refresh:
        mnt.refresh()
    assert run(["cp", newest_history(mnt), mnt / "one" / "config.json"]).returncode == 0
    assert (host(api), note(api)) == ("value0", "theirs")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1 + refresh, record=2, put=2)


@pytest.mark.parametrize("refresh", [False, True], ids=["unseen", "seen"])
def test_undo_of_what_a_colleague_changed_is_refused(api, mnt, refresh):
    edit(mnt, "one", "value0", "value1")
    colleague(api, host="theirs")
    if refresh:
        mnt.refresh()
    text = newest_history(mnt).read_bytes()
    done = run(["cp", newest_history(mnt), mnt / "one" / "config.json"])
    assert done.returncode != 0 and "busy" in done.stderr
    assert host(api) == "theirs"
    is_conflict(api, mnt, text, "server.hostURI")
    api.expect(list=1 + refresh, record=2, put=1)


# ---- git ----

@pytest.fixture
def repository(mnt, place):
    return programs.Repository(place)


def test_git_checkout_of_an_older_commit(api, mnt, repository):
    first = repository.commit()
    edit(mnt, "one", "value0", "value1")
    second = repository.commit()
    repository.must("checkout", "-q", first)
    assert host(api) == "value0"
    is_shown(api, mnt)
    # Forced: the service has changed lastModified, so the file is not what was checked out.
    repository.must("checkout", "-q", "-f", second)
    assert host(api) == "value1"
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    assert api.counts()["put"] == 3
    api.expect(**api.counts())


def test_git_checkout_after_a_colleagues_save_of_another_field(api, mnt, repository):
    first = repository.commit()
    edit(mnt, "one", "value0", "value1")
    repository.commit()
    colleague(api, note="theirs")
    repository.must("checkout", "-q", first, "--", "config.json")
    assert (host(api), note(api)) == ("value0", "theirs")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    assert api.counts()["put"] == 2
    api.expect(**api.counts())


def test_git_checkout_after_a_colleagues_save_of_the_same_field(api, mnt, repository):
    first = repository.commit()
    text = mnt.config("one")
    edit(mnt, "one", "value0", "value1")
    repository.commit()
    colleague(api, host="theirs")
    repository.git("checkout", "-q", first, "--", "config.json")  # it does not look
    assert host(api) == "theirs"
    is_conflict(api, mnt, text, "server.hostURI")
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


# ---- two writers ----

def test_another_field_is_merged(api, mnt, place):
    with Vim(place) as vim:
        vim.edit("value0", "value1")
        colleague(api, note="theirs", more={"new": [1, 2]})
        assert vim.save().ok
        assert (host(api), note(api)) == ("value1", "theirs")
        assert is_shown(api, mnt).json["more"] == {"new": [1, 2]}
        colleague(api, note="theirs again")
        vim.edit("value1", "value2")
        assert vim.save().ok
        assert (host(api), note(api)) == ("value2", "theirs again")
        vim.quit()
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=2, put=2)


@pytest.mark.parametrize("ours, theirs, field", [
    (dict(note="ours"), dict(note="theirs"), "note"),
    (dict(tags=["a", "b", "c"]), dict(tags=["a"]), "tags"),
    (dict(note=None), dict(note="theirs"), "note"),
    (dict(note="ours"), dict(note=None), "note"),
    (dict(note={"deep": 1}), dict(note="theirs"), "note"),
    (dict(added=1), dict(added=2), "added"),
    (dict(name="ours"), dict(name="theirs"), "name"),
    (dict(deep={"a": {"b": 1}}), dict(deep={"a": {"b": 2}}), "deep.a.b"),
], ids=lambda value: json.dumps(value)[:20] if isinstance(value, dict) else value)
def test_the_same_field_is_refused(api, mnt, ours, theirs, field):
    record = json.loads(mnt.config("one"))
    record.update(ours)
    text = json.dumps({k: v for k, v in record.items() if v is not None}).encode()
    colleague(api, **theirs)
    before = api.record(ID).raw
    with fails(errno.EBUSY):
        write(mnt, "one", text)
    assert api.record(ID).raw == before
    name = next(name for name in mnt.names())
    assert refused_text(mnt, name) == text
    assert names_field(last_error(mnt, errno="EBUSY"), field)
    is_lost(mnt, text)
    api.expect(list=1, record=1)


@pytest.mark.parametrize("ours, theirs, wanted", [
    (dict(note="both"), dict(note="both"), dict(note="both")),
    (dict(note=None), dict(note=None), dict(note=None)),
    (dict(a=1), dict(b=2), dict(a=1, b=2)),
    (dict(deep={"a": 1}), dict(deep={"b": 2}), dict(deep={"a": 1, "b": 2})),
    (dict(note=None), dict(tags=["x"]), dict(note=None, tags=["x"])),
    (dict(tags=["x"]), dict(note=None), dict(note=None, tags=["x"])),
], ids=lambda value: json.dumps(value)[:20])
def test_what_does_not_touch_is_merged(api, mnt, ours, theirs, wanted):
    record = json.loads(mnt.config("one"))
    record.update(ours)
    text = json.dumps({k: v for k, v in record.items() if v is not None}).encode()
    colleague(api, **theirs)
    write(mnt, "one", text)
    found = is_shown(api, mnt).json
    assert {name: found.get(name) for name in wanted} == wanted
    nothing_is_refused(mnt)
    assert api.counts().get("put", 0) <= 1
    api.expect(list=1, record=1, put=api.counts().get("put", 0))


def test_the_line_removed_means_overwrite(api, mnt):
    record = json.loads(mnt.config("one"))
    colleague(api, host="theirs", note="theirs")
    del record["lastModified"]
    record["server"]["hostURI"] = HOST + "ours"
    write(mnt, "one", json.dumps(record).encode())
    assert (host(api), note(api)) == ("ours", "note0")
    is_shown(api, mnt)
    assert b"theirs" in history(mnt, 1)[0], "what was overwritten is kept"
    api.expect(list=1, record=1, put=1)


def test_overwrite_for_all(api, mount):
    mnt = mount(api, overwrite=True)
    text = mnt.config("one").replace(b"value0", b"ours")
    colleague(api, host="theirs", note="theirs")
    write(mnt, "one", text)
    assert (host(api), note(api)) == ("ours", "note0")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=1, put=1)


@pytest.mark.parametrize("forced", [True, False], ids=["line removed", "again"])
def test_after_a_conflict(api, mnt, place, forced):
    """The same buffer again is refused again; without the line it is stored."""
    with Vim(place) as vim:
        vim.edit("value0", "value1")
        colleague(api, host="theirs")
        assert not vim.save().ok
        if forced:
            vim.run("g/lastModified/d")
        outcome = vim.insist()
        assert outcome.ok == forced, outcome.said
        vim.abandon()
    assert host(api) == ("value1" if forced else "theirs")
    is_shown(api, mnt)
    assert api.counts().get("put", 0) == forced
    api.expect(**api.counts())


def test_editing_anew_after_a_conflict(api, mnt, place):
    with Vim(place) as vim:
        vim.edit("value0", "value1")
        colleague(api, host="theirs")
        assert not vim.save().ok
        vim.run("edit!")
        vim.edit("theirs", "value2")
        outcome = vim.save()
        assert outcome.ok, outcome
        vim.quit()
    assert host(api) == "value2"
    is_shown(api, mnt)
    assert b"value1" in refused_text(mnt)
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_writing_the_old_text_back_after_a_conflict_sends_nothing(api, mnt, place):
    with VimCopying(place) as vim:
        vim.edit("value0", "value1")
        colleague(api, host="theirs")
        assert not vim.save().ok
        vim.abandon()
    assert host(api) == "theirs"
    text = refused_text(mnt)
    assert b"value1" in text, "the old text is not what was refused"
    is_conflict(api, mnt, text, "server.hostURI")
    assert "put" not in api.counts()
    api.expect(**api.counts())


# ---- versions that are not known here ----

def old_buffer(mnt):
    """What an editor still holds of a mount that has ended since."""
    return mnt.config("one").replace(b"value0", b"ours")


def test_an_old_buffer_after_a_remount(api, mount):
    """Nobody else has saved: the version is the list's own."""
    first = mount(api)
    text = old_buffer(first)
    assert first.stop() == []
    mnt = mount(api)
    write(mnt, "one", text)
    assert host(api) == "ours"
    nothing_is_refused(mnt)
    api.expect(list=2, record=1, put=1)


@pytest.mark.parametrize("theirs", [dict(note="theirs"), dict(host="theirs")],
                         ids=["another field", "the same field"])
def test_an_old_buffer_after_a_remount_and_a_colleagues_save(api, mount, theirs):
    """Its base is not known here: nothing tells an edit of ours from one of theirs."""
    first = mount(api)
    text = old_buffer(first)
    assert first.stop() == []
    colleague(api, **theirs)
    before = api.record(ID).raw
    mnt = mount(api)
    with fails(errno.EBUSY):
        write(mnt, "one", text)
    assert api.record(ID).raw == before
    is_conflict(api, mnt, text, "server.hostURI", *(["note"] if "note" in theirs else []))
    api.expect(list=2, record=1)


def test_a_text_of_another_account(api, mnt):
    """As it may come from history that two accounts share, or from the wrong backup."""
    text = mnt.config("one").replace(b"2024-02-29", b"2020-02-29").replace(b"value0", b"sandbox")
    text = text.replace(ID.encode(), stack_id(99).encode())
    with fails(errno.EBUSY):
        write(mnt, "one", text)
    is_conflict(api, mnt, text, "server.hostURI")
    assert "by its _id it is of no stack of this account" in error_of(mnt)
    api.expect(list=1, record=1)


def test_an_unknown_version_that_is_equal_is_no_conflict(api, mnt):
    text = mnt.config("one").replace(b"2024-02-29", b"2020-02-29")
    assert text != mnt.config("one")
    write(mnt, "one", text)
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    assert "put" not in api.counts()
    api.expect(**api.counts())


def test_several_served_versions_are_known(api, mnt):
    """The text names a version that was shown two refreshes ago: it is the base."""
    text = mnt.config("one").replace(b"value0", b"ours")
    colleague(api, note="theirs 1")
    mnt.refresh()
    mnt.config("one")
    colleague(api, note="theirs 2")
    mnt.refresh()
    write(mnt, "one", text)
    assert (host(api), note(api)) == ("ours", "theirs 2")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=3, record=1, put=1)


# ---- tries and races ----

def test_a_colleague_between_two_tries(api, mnt):
    """502, the colleague saves, the retry: each try starts with a fresh record."""
    text = mnt.config("one").replace(b"value0", b"ours")
    # The first try's answer takes long enough for somebody to come between.
    api.fault(kind="status", method="PUT", path=RECORD, status=502, delay_ms=700, times=1)
    writing = run_in_background(write, mnt, "one", text)
    api.wait("PUT", RECORD)
    colleague(api, note="theirs")
    writing()
    assert (host(api), note(api)) == ("ours", "theirs")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=2, put=2)


def test_a_colleague_between_two_tries_in_the_same_field(api, mnt):
    text = mnt.config("one").replace(b"value0", b"ours")
    api.fault(kind="status", method="PUT", path=RECORD, status=502, delay_ms=700, times=1)
    writing = run_in_background(write, mnt, "one", text)
    api.wait("PUT", RECORD)
    colleague(api, host="theirs")
    with fails(errno.EBUSY):
        writing()
    is_conflict(api, mnt, text, "server.hostURI")
    api.expect(list=1, record=2, put=1)


def test_a_reading_that_was_overtaken_settles_nothing(api, mnt):
    """The list has a colleague's change by then, and the record that was asked for before has not."""
    text = mnt.config("one").replace(b"value0", b"ours")
    api.fault(kind="status", method="PUT", path=RECORD, status=503, times=1)
    api.fault(kind="delay", method="GET", path=RECORD, delay_ms=2500, apply=True, skip=1, times=1)
    writing = run_in_background(write, mnt, "one", text)
    api.wait("GET", RECORD, count=2)
    colleague(api, note="theirs")
    mnt.refresh()
    writing()
    assert (host(api), note(api)) == ("ours", "theirs")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=2, record=3, put=2)


def test_an_answer_that_was_overtaken_is_looked_at_again(api, mnt):
    """A PUT's own, after a list that has what a colleague made of it since."""
    text = mnt.config("one").replace(b"value0", b"ours")
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=1500, apply=True, times=1)
    writing = run_in_background(write, mnt, "one", text)
    api.wait("PUT", RECORD)
    eventually(lambda: host(api) == "ours")
    colleague(api, note="theirs")
    mnt.refresh()
    writing()
    record = is_shown(api, mnt)
    assert (host(api), record.json["note"]) == ("ours", "theirs")
    api.expect(list=2, record=2, put=1)


def test_a_strong_etag_closes_the_gap(account, mount):
    """The colleague comes between our GET and our PUT: If-Match sees it."""
    api = account(etag="strong")
    api.add_stack(editable())
    mnt = mount(api)
    text = mnt.config("one").replace(b"value0", b"ours")
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=700, times=1)
    writing = run_in_background(write, mnt, "one", text)
    api.wait("PUT", RECORD)
    put = next(entry for entry in api.log() if entry["method"] == "PUT")
    assert put["if_match"]
    colleague(api, note="theirs")
    try:
        writing()
        assert host(api) == "ours"
    except OSError as error:
        assert error.errno == errno.EBUSY
        assert refused_text(mnt) == text
    assert note(api) == "theirs", "whatever became of ours"
    is_shown(api, mnt)
    api.expect(**api.counts())


def test_a_weak_etag_is_no_condition(account, mount):
    api = account(etag="weak")
    api.add_stack(editable())
    mnt = mount(api)
    edit(mnt, "one", "value0", "ours")
    assert host(api) == "ours"
    put, = (entry for entry in api.log() if entry["method"] == "PUT")
    assert not put.get("if_match")
    api.expect(list=1, record=1, put=1)


class VimWithoutSwap(Vim):
    command = ("vim", "-n")


def test_two_writers_on_one_mount(api, mnt, work):
    """Two vims with one file each: the second names a version that the first has replaced."""
    one = programs.Place(work, mnt / "one", marker="value0")
    two = programs.Place(work, mnt / "one", marker="value0")
    with Vim(one) as first:
        with VimWithoutSwap(two) as second:
            first.edit("value0", "first")
            second.edit("note0", "note2")
            assert first.save().ok
            # It sees that the file has changed, as on any file system.
            assert second.insist().ok
            assert (host(api), note(api)) == ("first", "note2")
            second.edit("value0", "fourth")
            assert not second.save().ok, "that field is another's by now"
            second.abandon()
        first.abandon()
    is_shown(api, mnt)
    assert b"fourth" in refused_text(mnt)
    api.expect(**api.counts())


# ---- two mounts ----

@pytest.fixture
def two_mounts(api, mount):
    first, second = mount(api), mount(api)
    assert first.config("one") == second.config("one")
    return first, second


def test_two_mounts_different_fields(api, two_mounts):
    first, second = two_mounts
    edit(first, "one", "value0", "value1")
    edit(second, "one", "note0", "note1")
    assert (host(api), note(api)) == ("value1", "note1")
    is_shown(api, second)
    first.refresh()
    is_shown(api, first)
    for mnt in two_mounts:
        assert refused_text(mnt) is None
    api.expect(list=3, record=2, put=2)


def test_two_mounts_the_same_field(api, two_mounts):
    first, second = two_mounts
    text = second.config("one").replace(b"value0", b"value2")
    edit(first, "one", "value0", "value1")
    with fails(errno.EBUSY):
        write(second, "one", text)
    assert host(api) == "value1"
    is_conflict(api, second, text, "server.hostURI")
    assert b"value1" in second.config("one")
    assert refused_text(first) is None
    api.expect(list=2, record=2, put=1)


def test_two_mounts_in_turns(api, two_mounts):
    """Each looks before it writes: nothing is ever refused."""
    for turn in range(4):
        mnt = two_mounts[turn % 2]
        mnt.refresh()
        edit(mnt, "one", f"value{turn}", f"value{turn + 1}")
    assert host(api) == "value4"
    assert all(refused_text(mnt) is None for mnt in two_mounts)
    api.expect(list=6, record=4, put=4)


# ---- what a text means ----

def test_numbers_and_order_stay_as_they_were_written(api, mount):
    raw = json.dumps(editable("two", 2)).replace(
        '"note"', '"big": 9007199254740993, "small": 1.10, "e": "\\u00e9 \\/", "note"')
    api.add_stack(raw)
    mnt = mount(api)
    with programs.ALL["sed -i"](programs.Place(mnt.work, mnt / "two", "value0")) as session:
        session.edit("value0", "value1")
        assert session.save().ok
    raw = is_shown(api, mnt, "two", stack_id(2)).raw
    for token in ("9007199254740993", "1.10", '\\u00e9 \\/'):
        assert token in raw
    body = next(entry["body"] for entry in api.log() if entry["method"] == "PUT")
    for token in ("9007199254740993", "1.10", '\\u00e9 \\/'):
        assert token in body
    assert list(json.loads(body)) == [key for key in json.loads(raw)
                                      if key not in ("_id", "createdAt", "lastModified")]
    api.expect(list=1, record=1, put=1)


def test_fields_that_the_text_leaves_out_are_erased(api, mnt):
    assert run("jq 'del(.note)' config.json > new && mv new config.json",
               cwd=mnt / "one").returncode == 0
    assert "note" not in is_shown(api, mnt).json
    assert set(api.sent("put")[0]) == {"name", "type", "server", "tags"}
    api.expect(list=1, record=1, put=1)


def test_history_over_a_remount(api, mount):
    """What was served by an earlier mount is known by its file only: undo still works."""
    first = mount(api)
    edit(first, "one", "value0", "value1")
    old = newest_history(first).read_bytes()
    assert first.stop() == []
    mnt = mount(api)
    assert newest_history(mnt).read_bytes() == old
    # The version is not known to this mount, so it may only be forced.
    done = run(["cp", newest_history(mnt), mnt / "one" / "config.json"])
    if done.returncode:
        assert host(api) == "value1"
        write(mnt, "one", b"".join(line for line in old.splitlines(keepends=True)
                                   if b"lastModified" not in line).replace(b",\n}", b"\n}"))
    assert host(api) == "value0"
    is_shown(api, mnt)
    api.expect(**api.counts())


def test_a_state_directory_of_nowhere(api, mount):
    mnt = mount(api, state="none")
    edit(mnt, "one", "value0", "value1")
    assert host(api) == "value1"
    colleague(api, host="theirs")
    with fails(errno.EBUSY):
        edit(mnt, "one", "value1", "value2")
    assert b"value2" in refused_text(mnt)
    assert not (mnt.work / "home" / "state" / "stacksfs").exists()
    assert mnt.names("one") == [*FILES[:1], "config.json.refused", *FILES[1:]]
    shutil.rmtree(mnt.work / "home", ignore_errors=True)
    api.expect(list=1, record=2, put=1)


def test_dry_run(api, mount):
    mnt = mount(api, dry_run=True)
    before = api.record(ID).raw
    text = mnt.config("one").replace(b"value0", b"value1")
    with fails(errno.EROFS):
        write(mnt, "one", text)
    assert api.record(ID).raw == before
    line = last_error(mnt, errno="EROFS")
    assert "PUT" in json.dumps(line) and "value1" in json.dumps(line)
    done = run(["rm", mnt / "one" / "systemToken"])
    assert done.returncode and "Read-only file system" in done.stderr
    done = run(["rm", "-r", mnt / "one"])
    assert done.returncode and "Read-only file system" in done.stderr
    assert mnt.names() == ["one"]
    assert set(api.counts()) <= {"list", "record", "token", "dependencies"}
    api.expect(**api.counts())


def test_a_dry_run_of_many_and_of_large_stacks_leaves_none_out(account, mount):
    api = account()
    names = [f"s{number:03}" for number in range(1, 301)]
    for number, name in enumerate(names, 1):
        large = {1: 5_000, 2: 60_000}.get(number, 1)
        api.add_stack({**editable(name, number), "note": "\U0001f680" * large})
    mnt = mount(api, dry_run=True)
    for name in names:
        with fails(errno.EROFS):
            write(mnt, name, mnt.config(name).replace(b"value0", b"value1"))
    told = {line["path"].strip("/").split("/")[0]: line for line in mnt.errors()}
    assert sorted(told) == names
    assert all("PUT" in line["would_send"] for line in told.values())
    assert [name for name, line in told.items() if line.get("truncated")] == ["s002"]
    assert len(told["s001"]["would_send"]) > 5_000
    api.expect(list=3, record=api.counts()["record"])


# ---- one process and its own older texts ----

def test_undo_across_a_reload(api, mnt):
    """As in an editor that reads the file again after a save, and whose undo goes back over that:
    an older text of the same process, with the lastModified of then."""
    first = mnt.config("one")
    write(mnt, "one", first.replace(b"value0", b"value1"))
    write(mnt, "one", mnt.config("one").replace(b"value1", b"value2"))
    assert host(api) == "value2"
    write(mnt, "one", first)
    assert host(api) == "value0"
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=1, record=3, put=3)


def test_a_text_from_before_a_reload_is_not_taken_for_the_last_one(api, mnt):
    """It is an edit of the version that it names; a success that stores nothing would lie."""
    first = mnt.config("one")
    write(mnt, "one", first.replace(b"value0", b"value1"))
    write(mnt, "one", mnt.config("one").replace(b"value1", b"value2"))
    text = first.replace(b"value0", b"value1")
    with fails(errno.EBUSY):
        write(mnt, "one", text)
    assert host(api) == "value2"
    is_conflict(api, mnt, text, "hostURI")
    api.expect(list=1, record=3, put=2)


def test_saving_again_without_a_change_keeps_the_place(api, mnt):
    """After a reload: the text is still the last one that the process has saved."""
    write(mnt, "one", mnt.config("one").replace(b"value0", b"value1"))
    text = mnt.config("one").replace(b"value1", b"value2")
    write(mnt, "one", text)
    write(mnt, "one", text)
    write(mnt, "one", text.replace(b"value2", b"value3"))
    assert host(api) == "value3"
    nothing_is_refused(mnt)
    api.expect(list=1, record=4, put=3)


def test_after_a_refusal_the_others_version_is_shown(api, mnt):
    """Although somebody still has the old one open, and goes on with that."""
    text = mnt.config("one")
    with open(mnt / "one" / "config.json", "rb", buffering=0) as reader:
        assert reader.read() == text
        colleague(api, host="theirs")
        with fails(errno.EBUSY):
            write(mnt, "one", text.replace(b"value0", b"value1"))
        is_shown(api, mnt)
        assert host(api) == "theirs"
        reader.seek(0)
        assert reader.read() == text
    write(mnt, "one", mnt.config("one").replace(b"theirs", b"value2"))
    assert host(api) == "value2"
    api.expect(list=1, record=2, put=1)


# ---- opened before, written after ----

def rewritten(mnt, old, new):
    return mnt.config("one").replace(old, new)


def test_opened_before_a_colleague_saved(api, mnt):
    """As open(…, "r+") does, or tee -a: the first write comes after the record was replaced."""
    text = rewritten(mnt, b"value0", b"value1")
    with open(mnt / "one" / "config.json", "r+b", buffering=0) as file:
        assert file.read()
        colleague(api, note="theirs")
        mnt.refresh()
        file.seek(0)
        file.write(text)
        file.truncate()
        os.fsync(file.fileno())
        assert (host(api), note(api)) == ("value1", "theirs")
        file.seek(0)
        assert file.read() == mnt.config("one")
    is_shown(api, mnt)
    nothing_is_refused(mnt)
    api.expect(list=2, record=1, put=1)


def test_opened_before_a_colleague_saved_the_same_field(api, mnt):
    text = rewritten(mnt, b"value0", b"value1")
    fd = os.open(mnt / "one" / "config.json", os.O_RDWR)
    colleague(api, host="theirs")
    mnt.refresh()
    os.write(fd, text)
    with fails(errno.EBUSY):
        os.fsync(fd)
    with fails(errno.EBUSY):
        os.close(fd)
    assert host(api) == "theirs"
    is_conflict(api, mnt, text, "hostURI")
    api.expect(list=2, record=1)


@contextlib.contextmanager
def mapped(path, text):
    """The text is written through a shared mapping when all else is closed; so nothing tells how
    it ends.  (Python's own mapping keeps a descriptor.)"""
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    fd = os.open(path, os.O_RDWR)
    size = os.fstat(fd).st_size
    address = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_WRITE,
                        mmap.MAP_SHARED, fd, 0)
    os.close(fd)
    yield
    assert len(text) == size
    ctypes.memmove(address, text, size)
    assert libc.munmap(address, size) == 0


def test_a_mapping_that_is_written_after_a_colleague_saved(api, mnt):
    text = rewritten(mnt, b"value0", b"value1")
    with mapped(mnt / "one" / "config.json", text):
        colleague(api, note="theirs")
        mnt.refresh()
    eventually(lambda: host(api) == "value1")
    assert note(api) == "theirs"
    api.expect(list=2, record=1, put=1)


def test_a_mapping_that_is_written_after_the_file_was_replaced(api, mnt):
    """It has no place any more, and is kept."""
    text = rewritten(mnt, b"value0", b"value1")
    with mapped(mnt / "one" / "config.json", text):
        write(mnt, "one", rewritten(mnt, b"value0", b"value2"), file="new")
        os.rename(mnt / "one" / "new", mnt / "one" / "config.json")
    is_lost(mnt, text)
    assert host(api) == "value2"
    api.expect(list=1, record=1, put=1)
