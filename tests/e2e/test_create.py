# SPDX-License-Identifier: MIT
"""mkdir and a save make a stack, cp -r copies one, mv renames."""
import ctypes
import errno
import json
import os
import signal
import subprocess

import programs
import pytest
from account import LIST, RECORD, stack_id
from background import run_in_background
from editors import EDITORS, Vim
from mount import eventually, run
from saving import (FILES, HOST, ID, editable, error_of, fails, history, is_a_stack, is_lost,
                    is_shown, lambda_stack, last_error, names_field, nothing_is_refused, refuse,
                    write)

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2


def body(name="new", **members):
    return {"name": name, "type": "server", "server": {"hostURI": HOST + "new"}, **members}


def text(record):
    return json.dumps(record, indent=2).encode() + b"\n"


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


@pytest.fixture
def mnt(api, mount):
    return mount(api)


# ---- one stack ----

def test_mkdir_and_a_save(api, mnt):
    os.mkdir(mnt / "new")
    assert mnt.names() == ["new", "one"]
    assert mnt.names("new") == []
    api.expect(list=1)
    write(mnt, "new", text(body()))
    api.expect(list=1, post=1)
    is_a_stack(api, mnt, "new", "new")
    assert mnt.names() == ["new", "one"]
    assert api.sent("post") == [body()]
    nothing_is_refused(mnt, "new")
    api.expect(list=1, post=1, token=1, dependencies=1)


def test_a_new_stack_is_like_any_other(api, mnt):
    os.mkdir(mnt / "new")
    write(mnt, "new", text(body()))
    done = run("sed -i s/new\\\"/newer\\\"/ config.json", cwd=mnt / "new")
    assert done.returncode == 0, done.stderr
    mnt.refresh()
    name, = set(mnt.names()) - {"one"}
    is_shown(api, mnt, name, api.directories()[name].id)
    assert run(["rm", "-r", mnt / name]).returncode == 0
    assert mnt.names() == ["one"]
    assert (api.counts()["post"], api.counts()["put"], api.counts()["delete"]) == (1, 1, 1)
    api.expect(**api.counts())


@pytest.mark.parametrize("name", ["vim", "nano", "emacs", "kakoune", "micro", "nvim"])
def test_an_editor_makes_one(api, mnt, work, name):
    """A draft of a text of the user's becomes a stack, and is edited at once."""
    if programs.missing(name):
        pytest.skip(f"{name} is not installed")
    os.mkdir(mnt / "new")
    write(mnt, "new", text(body(note="value0")), "template")
    os.rename(mnt / "new" / "template", mnt / "new" / "config.json")
    api.expect(list=1, post=1)
    with EDITORS[name](programs.Place(work, mnt / "new", marker="value0")) as session:
        session.edit("value0", "value1")
        outcome = session.save()
        assert outcome.ok, outcome
        session.quit()
    assert is_shown(api, mnt, "new", api.directories()["new"].id).json["note"] == "value1"
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def edited_to_be_a_stack(api, mnt, work, draft):
    """vim, after its first save of a draft's text has made the stack."""
    os.mkdir(mnt / "new")
    fault = refuse(api, "POST", LIST)
    with fails(errno.EBADMSG):
        write(mnt, "new", text(draft))
    api.clear_faults(fault)
    vim = Vim(programs.Place(work, mnt / "new", marker="value0"))
    vim.edit("value0", "value1")
    assert vim.save().ok
    assert api.directories()["new"].json["note"] == "value1"
    return vim


def test_an_editor_puts_a_refused_draft_back(api, mnt, work):
    """Its save failed, so it has told the user: the text before that makes no stack now."""
    os.mkdir(mnt / "new")
    first = text(body(note="value0"))
    fault = refuse(api, "POST", LIST, error={"code": "first", "message": "refused at first"})
    with fails(errno.EBADMSG):
        write(mnt, "new", first)
    api.clear_faults(fault)
    refuse(api, "POST", LIST, times=1)
    with Vim(programs.Place(work, mnt / "new", marker="value0")) as vim:
        vim.edit("value0", "value1")
        api.expect(list=1, post=1)
        assert not vim.save().ok
        api.expect(list=1, post=2)
        assert mnt.config("new") == first
        assert error_of(mnt, "new") == "refused at first"
        is_lost(mnt, first, first.replace(b"value0", b"value1"), total=2)
        vim.edit("value1", "value2")
        assert vim.save().ok
        vim.quit()
    assert is_shown(api, mnt, "new", api.directories()["new"].id).json["note"] == "value2"
    assert error_of(mnt, "new") is None
    assert api.counts()["post"] == 3
    api.expect(**api.counts())


@pytest.mark.parametrize("change", ["true", "echo >> old", "truncate -s -1 old", "cp old x; cp x old"],
                         ids=["mv", "append", "truncate", "cp"])
def test_a_refused_draft_is_moved_away_and_back(api, mnt, change):
    """Somebody wants it tried again."""
    os.mkdir(mnt / "new")
    fault = refuse(api, "POST", LIST)
    with fails(errno.EBADMSG):
        write(mnt, "new", text(body(note="value0")))
    api.clear_faults(fault)
    os.rename(mnt / "new" / "config.json", mnt / "new" / "old")
    assert run(change, cwd=mnt / "new").returncode == 0
    if change == "true":
        assert run("mv old config.json", cwd=mnt / "new").returncode == 0
    else:
        os.rename(mnt / "new" / "old", mnt / "new" / "config.json")
    assert is_shown(api, mnt, "new", api.directories()["new"].id).json["note"] == "value0"
    assert api.counts()["post"] == 2
    api.expect(**api.counts())


def test_the_buffer_that_made_a_stack_goes_on(api, mnt, work):
    """It names no version, and is none from which the name was removed."""
    with edited_to_be_a_stack(api, mnt, work, body(note="value0", other=1)) as vim:
        new = api.directories()["new"].id
        api.patch_stack(new, {"other": 2})
        vim.edit("value1", "value2")
        assert vim.save().ok
        record = is_shown(api, mnt, "new", new)
        assert (record.json["note"], record.json["other"]) == ("value2", 2)

        api.patch_stack(new, {"note": "theirs"})
        vim.edit("value2", "value3")
        assert not vim.save().ok
        assert is_shown(api, mnt, "new", new).json["note"] == "theirs"
        line = last_error(mnt, errno="EBUSY")
        assert names_field(line, "note")
        assert "lastModified" not in error_of(mnt, "new"), "there is none to remove"
        vim.abandon()
    api.expect(**api.counts())


@pytest.mark.parametrize("copy", [False, True], ids=["new", "a copy"])
def test_the_text_that_made_a_stack_written_again(api, mnt, copy):
    """It is no change, and not what the stack is by now: so its writer is told."""
    made = text(json.loads(mnt.read("one", "config.json")) if copy else body(note="value0"))
    os.mkdir(mnt / "new")
    write(mnt, "new", made)
    new = api.directories()["new"].id
    write(mnt, "new", made)
    api.patch_stack(new, {"note": "theirs"})
    with fails(errno.EBUSY):
        write(mnt, "new", made)
    assert is_shown(api, mnt, "new", new).json["note"] == "theirs"
    assert names_field(last_error(mnt, errno="EBUSY"), "note")
    assert mnt.read("new", "config.json.refused") == made
    # As it is when somebody has read it and says so.
    write(mnt, "new", mnt.config("new").replace(b"theirs", b"mine"))
    assert is_shown(api, mnt, "new", new).json["note"] == "mine"
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_the_buffer_of_a_copy_goes_on(api, mnt, work):
    """Its _id and lastModified are the original's."""
    draft = json.loads(mnt.read("one", "config.json")) | {"note": "value0"}
    with edited_to_be_a_stack(api, mnt, work, draft) as vim:
        new = api.directories()["new"].id
        vim.edit("value1", "value2")
        outcome = vim.save()
        assert outcome.ok, outcome
        vim.quit()
    assert is_shown(api, mnt, "new", new).json["note"] == "value2"
    assert api.record(new).name == "new", "not the original's"
    is_shown(api, mnt)
    api.expect(**api.counts())


SAVERS = ["cp", "cp --remove-destination", "mv across", "mv within", "install", "tee", "bash >",
          "two commands >", "python os.replace", "node writeFile", "rsync", "tar x", "unzip",
          "jb_tmp, rename"]


@pytest.mark.parametrize("name", SAVERS)
def test_programs_make_one(api, mnt, work, name):
    """The same programs that save; there is nothing there before."""
    if programs.missing(name):
        pytest.skip(f"{name} is not installed")
    os.mkdir(mnt / "new")
    place = programs.Place(work, mnt / "new", marker="new")
    session = programs.ALL[name](place)
    session.change = programs.Change(text(body(note="value0")), "value0", "value1")
    outcome = session.save()
    assert outcome.ok, outcome
    api.expect(list=1, post=1)
    is_a_stack(api, mnt, "new", "new")
    assert api.directories()["new"].json["note"] == "value1"
    nothing_is_refused(mnt, "new")


def test_a_draft_is_local(api, mnt):
    os.mkdir(mnt / "new")
    write(mnt, "new", b"scratch", "note")
    assert mnt.names("new") == ["note"]
    os.rename(mnt / "new", mnt / "other")
    assert mnt.names() == ["one", "other"]
    os.unlink(mnt / "other" / "note")
    os.rmdir(mnt / "other")
    assert mnt.names() == ["one"]
    os.mkdir(mnt / "new")
    mnt.refresh()
    assert mnt.names() == ["new", "one"], "a refresh takes no draft away"
    assert run(["rm", "-r", mnt / "new"]).returncode == 0
    api.expect(list=2)


def test_what_is_copied_and_renamed(api, mnt):
    """As cp -b and editors do, with a file that the server is going to make."""
    os.mkdir(mnt / "new")
    for _ in range(2):
        with open(mnt / "new" / "dependencies", "xb") as file:
            file.write(b"dropped")
        os.rename(mnt / "new" / "dependencies", mnt / "new" / "old")
        with open(mnt / "new" / "old", "ab") as file:
            file.write(b"kept")
        assert mnt.read("new", "old") == b"kept"
        assert mnt.names("new") == ["old"]
    os.unlink(mnt / "new" / "old")
    os.rmdir(mnt / "new")
    assert mnt.names() == list(api.directories())
    api.expect(list=1)


def test_a_full_draft_is_not_removed_by_rmdir(api, mnt):
    os.mkdir(mnt / "new")
    write(mnt, "new", b"scratch", "note")
    with fails(errno.ENOTEMPTY):
        os.rmdir(mnt / "new")
    assert mnt.names("new") == ["note"]
    assert run(["rm", "-r", mnt / "new"]).returncode == 0
    assert mnt.names() == ["one"]
    api.expect(list=1)


def test_too_many_drafts(api, mnt):
    for number in range(256):
        os.mkdir(mnt / f"d{number}")
    with fails(errno.ENOSPC, errno.EDQUOT, errno.EMLINK):
        os.mkdir(mnt / "one-too-many")
    assert run("rmdir d*", cwd=mnt.path).returncode == 0
    assert mnt.names() == ["one"]
    os.mkdir(mnt / "d")
    api.expect(list=1)


def test_an_empty_save_in_a_draft_is_no_stack(api, mnt):
    os.mkdir(mnt / "new")
    write(mnt, "new", b"")
    assert run("touch config.json", cwd=mnt / "new").returncode == 0
    api.expect(list=1)
    write(mnt, "new", text(body()))
    api.expect(list=1, post=1)
    is_a_stack(api, mnt, "new")


# ---- names ----

@pytest.mark.parametrize("directory, name", [
    ("plain", "plain"), ("two words", "two words"), ("a%2Fb", "a/b"), ("%2Ehidden", ".hidden"),
    ("100%", "100%"), ("ünïcödé ☃", "ünïcödé ☃"), ("%0Aline", "\nline"), ("x" * 255, "x" * 255),
    ("~", "~"), ("-rf", "-rf"), ("a~b", "a~b"), ('q"uo\\te', 'q"uo\\te'),
], ids=lambda value: ascii(value[:12]))
def test_a_name_is_what_the_directory_says(api, mnt, directory, name):
    os.mkdir(mnt / directory)
    write(mnt, directory, text(body(name)))
    assert api.sent("post")[0]["name"] == name
    assert sorted(mnt.names()) == sorted(["one", directory])
    is_a_stack(api, mnt, directory, name)
    api.expect(list=1, post=1, token=1, dependencies=1)


@pytest.mark.parametrize("name, code", [
    ("%41", errno.EINVAL),             # it is A
    ("%2e", errno.EINVAL),             # upper case it would be
    ("a%2fb", errno.EINVAL),
    (".hidden", errno.EPERM),
    (".git", errno.EPERM),
    ("one", errno.EEXIST),
    (".stacksfs", errno.EEXIST),
    ("x" * 256, errno.ENAMETOOLONG),
    (b"\xff", errno.EINVAL),
    ("tab\t", errno.EINVAL),
], ids=lambda value: ascii(value)[:16] if not isinstance(value, int) else errno.errorcode[value])
def test_names_that_cannot_be(api, mnt, name, code):
    with fails(code):
        os.mkdir(os.path.join(os.fsencode(mnt.path), os.fsencode(name)))
    if code != errno.EEXIST:
        with fails(code):
            os.rename(os.fsencode(mnt / "one"),
                      os.path.join(os.fsencode(mnt.path), os.fsencode(name)))
    assert mnt.names() == ["one"]
    api.expect(list=1)


def test_the_texts_own_name_wins(api, mnt):
    """No _id: it is no copy, and the directory follows."""
    os.mkdir(mnt / "new")
    write(mnt, "new", text(body("other")))
    assert mnt.names() == ["one", "other"]
    is_a_stack(api, mnt, "other", "other")
    assert os.readlink(mnt / "new") == "other", "the old name is a symlink"
    assert mnt.config("new") == mnt.config("other")
    api.expect(list=1, post=1, token=1, dependencies=1)


def test_a_name_that_is_taken(api, mnt):
    """Two stacks may have one name: the younger gets its _id behind it."""
    os.mkdir(mnt / "new")
    write(mnt, "new", text(body("one")))
    assert len(mnt.names()) == 2
    younger, = set(mnt.names()) - {"one"}
    number = is_a_stack(api, mnt, younger, "one")
    assert younger == f"one~{number}"
    is_shown(api, mnt)
    assert api.counts()["post"] == 1
    api.expect(**api.counts())


def test_a_text_without_a_name(api, mnt):
    """It is named as its directory."""
    record = body()
    del record["name"]
    os.mkdir(mnt / "a%2Fb")
    write(mnt, "a%2Fb", text(record))
    assert api.sent("post")[0]["name"] == "a/b"
    is_a_stack(api, mnt, "a%2Fb", "a/b")
    api.expect(list=1, post=1, token=1, dependencies=1)


# ---- copies ----

def test_a_copy_has_the_directorys_name(api, mnt):
    os.mkdir(mnt / "two")
    assert run("cp one/config.json two/", cwd=mnt.path).returncode == 0
    number = is_a_stack(api, mnt, "two", "two")
    assert number != ID
    sent, = api.sent("post")
    original = api.record(ID).json
    assert sent["note"] == original["note"] and sent["tags"] == original["tags"]
    assert not {"_id", "createdAt", "lastModified"} & set(sent)
    assert "systemToken" not in sent["server"]
    is_shown(api, mnt)
    api.expect(list=1, post=1, token=1, dependencies=1)


@pytest.mark.parametrize("command", ["cp -r one two", "cp -a one two", "cp -rT one two",
                                     "rsync -a one/ two", "tar c one | tar x --transform s/one/two/",
                                     "python3 -c 'import shutil; shutil.copytree(\"one\", \"two\")'"],
                         ids=lambda command: command[:9])
def test_cp_r(api, mnt, command):
    before = api.account()
    done = run(command, cwd=mnt.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert mnt.names() == ["one", "two"]
    is_a_stack(api, mnt, "two", "two")
    assert mnt.read("two", "systemToken") != mnt.read("one", "systemToken")
    assert api.account()[0] == before[0]
    counts = api.counts()
    assert counts["post"] == 1 and not {"put", "delete", "rotate"} & set(counts)
    api.expect(**counts)


def test_cp_r_of_a_lambda_stack(api, mnt):
    api.add_stack(lambda_stack("work", 5))
    mnt.refresh()
    done = run("cp -r work two", cwd=mnt.path)
    assert done.returncode != 0 and "Bad message" in done.stderr
    line = last_error(mnt, errno="EBADMSG")
    assert names_field(line, "lambda.secretAccessKey")
    assert "work" in mnt.names() and "two" in mnt.names()
    assert len(api.records()) == 2
    # The directory is still a draft: what is missing can be typed in.
    record = json.loads(mnt.config("two"))
    record["lambda"]["secretAccessKey"] = "T7pedIn"
    write(mnt, "two", text(record))
    is_a_stack(api, mnt, "two", "two")
    assert api.by_name("two")["lambda"]["secretAccessKey"] == "T7pedIn"
    api.expect(**api.counts())


def test_a_copy_beside_its_name(api, mnt):
    """The directory is what the text's own name and _id encode to: the name stays plain."""
    for number in (3, 4):
        api.add_stack(editable("same", number))
    mnt.refresh()
    suffixed = f"same~{stack_id(4)}"
    assert suffixed in mnt.names()
    saved = mnt.config(suffixed)
    api.delete_stack(stack_id(4))
    mnt.refresh()
    assert suffixed not in mnt.names()
    os.mkdir(mnt / suffixed)
    write(mnt, suffixed, saved)
    assert [record["name"] for record in api.sent("post")] == ["same"]
    assert sorted(record.name for record in api.records()) == ["one", "same", "same"]
    assert len(mnt.names()) == 3
    api.expect(**api.counts())


# ---- a creation that fails ----

def test_a_refused_creation(api, mnt):
    os.mkdir(mnt / "new")
    fault = refuse(api, method="POST", path=LIST)
    with fails(errno.EBADMSG):
        write(mnt, "new", text(body()))
    assert mnt.names("new") == ["config.json"], "the refused text itself stays"
    assert mnt.config("new") == text(body())
    assert os.stat(mnt / "new" / "config.json").st_mode & 0o7777 == 0o600
    is_lost(mnt, text(body()))
    assert "no such host" in error_of(mnt, "new")
    assert last_error(mnt, status=422)["path"].lstrip("/") == "new/config.json"
    api.clear_faults(fault)
    assert run("sed -i s/note/note/ config.json && touch config.json && cp config.json x && mv x config.json",
               cwd=mnt / "new").returncode == 0
    is_a_stack(api, mnt, "new", "new")
    assert api.counts()["post"] == 2
    api.expect(**api.counts())


def test_a_draft_at_unmount_is_kept(api, mount, work):
    mnt = mount(api)
    os.mkdir(mnt / "new")
    refuse(api, method="POST", path=LIST)
    with fails(errno.EBADMSG):
        write(mnt, "new", text(body()))
    half = b'{"name": "half", "type": '
    os.mkdir(mnt / "half")
    with fails(errno.EBADMSG):
        write(mnt, "half", half)
    assert mnt.stop() == []
    lost = [path.read_bytes() for path in (work / "home/state/stacksfs/lost").iterdir()]
    assert text(body()) in lost and half in lost
    assert api.counts()["post"] == 1
    api.expect(**api.counts())


def test_a_creation_whose_answer_is_lost_adopts_the_twin(api, mnt):
    os.mkdir(mnt / "new")
    api.fault(kind="drop", method="POST", path=LIST, apply=True, times=1)
    write(mnt, "new", text(body()))
    assert mnt.names() == ["new", "one"]
    is_a_stack(api, mnt, "new", "new")
    assert sorted(record.name for record in api.records()) == ["new", "one"]
    assert api.counts()["post"] == 1
    assert api.counts()["list"] >= 2
    api.expect(**api.counts())


@pytest.mark.parametrize("fault, applied", [
    (dict(kind="reset"), False), (dict(kind="reset"), True), (dict(kind="status", status=502), True),
    (dict(kind="status", status=503), False), (dict(kind="status", status=504), True),
    (dict(kind="truncate", at_byte=3), True)],
    ids=["reset", "reset applied", "502 applied", "503", "504 applied", "truncate"])
def test_never_two_of_one(api, mount, fault, applied):
    """Whatever is made of it: saving until it works makes one stack."""
    mnt = mount(api, timeout=5)
    os.mkdir(mnt / "new")
    api.fault(method="POST", path=LIST, times=1, apply=applied, **fault)
    try:
        write(mnt, "new", text(body()))
    except OSError:
        is_lost(mnt, text(body()))
        write(mnt, "new", text(body()) + b"\n")
    assert sorted(record.name for record in api.records()) == ["new", "one"]
    mnt.refresh()
    assert mnt.names() == ["new", "one"]
    is_a_stack(api, mnt, "new", "new")
    assert api.counts()["post"] <= 2
    api.expect(**api.counts())


@pytest.mark.parametrize("made", [True, False], ids=["it was made", "it was not"])
def test_never_two_of_one_that_was_removed(api, mount, work, made):
    """Who has copied a stack, and does not know how that ended, begins anew."""
    mnt = mount(api, timeout=2)
    api.fault(kind="reset", method="POST", path=LIST, apply=made)
    api.fault(kind="hang", method="GET", path=LIST)
    assert run(["cp", "-r", mnt / "one", mnt / "new"]).returncode != 0
    assert "may have been created" in last_error(mnt, errno="ETIMEDOUT")["message"]
    api.clear_faults()
    assert run(["rm", "-r", mnt / "new"]).returncode == 0
    done = run(["cp", "-r", mnt / "one", mnt / "new"])
    assert done.returncode == 0, done.stderr
    assert sorted(record.name for record in api.records()) == ["new", "one"]
    mnt.refresh()
    assert mnt.names() == ["new", "one"]
    is_a_stack(api, mnt, "new", "new")
    assert api.counts()["post"] == (1 if made else 2)
    api.expect(**api.counts())


def test_a_twin_that_was_there_before_is_not_adopted(api, mnt):
    """Only a new record that equals what was sent is the one that we made."""
    number = api.request("POST", LIST, body("other"))[2]
    number = json.loads(number)["_id"]
    mnt.refresh()
    os.mkdir(mnt / "new")
    api.fault(kind="drop", method="POST", path=LIST, times=1)
    try:
        write(mnt, "new", text(body("other")))
    except OSError:
        write(mnt, "new", text(body("other")) + b"\n")
    assert sorted(record.name for record in api.records()) == ["one", "other", "other"]
    assert number in [record.id for record in api.records()]
    api.expect(**api.counts())


@pytest.mark.parametrize("made", [True, False], ids=["", "refused"])
@pytest.mark.parametrize("by_rename", [True, False], ids=["by rename", "in place"])
def test_a_draft_is_renamed_while_its_stack_is_made(api, mnt, by_rename, made):
    """By the name that was sent: it is the stack's then, and is renamed as any other is."""
    os.mkdir(mnt / "new")
    api.fault(kind="delay" if made else "status", method="POST", path=LIST, delay_ms=1000, status=422)
    if by_rename:
        write(mnt, "new", text(body()), "next")
        making = run_in_background(run, ["mv", mnt / "new" / "next", mnt / "new" / "config.json"])
    else:
        making = run_in_background(run, ["bash", "-c", 'tee "$0" <<< "$1"', mnt / "new" / "config.json",
                                         text(body()).decode()])
    api.wait("POST", LIST)
    os.rename(mnt / "new", mnt / "newer")
    assert (making().returncode == 0) == made
    assert mnt.names() == ["newer", "one"]
    assert [record.name for record in api.records()] == (["one", "newer"] if made else ["one"])
    if made:
        is_a_stack(api, mnt, "newer", "newer")
    assert api.counts()["post"] == 1
    api.expect(**api.counts())


# ---- renaming ----

def renameat2(source, target, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def test_mv_renames(api, mnt):
    inode = os.stat(mnt / "one").st_ino
    before = mnt.config("one")
    done = run(["mv", mnt / "one", mnt / "uno"])
    assert (done.returncode, done.stderr) == (0, "")
    assert mnt.names() == ["uno"]
    record = is_shown(api, mnt, "uno")
    assert record.name == "uno"
    assert {**record.json, "name": "one", "lastModified": ""} == \
        {**json.loads(before), "lastModified": ""}
    assert os.stat(mnt / "uno").st_ino == inode
    assert not os.path.lexists(mnt / "one"), "who moves something away expects it to be gone"
    assert history(mnt, 1) == [before]
    nothing_is_refused(mnt, "uno")
    api.expect(list=1, record=1, put=1)


def test_what_mv_has_changed_is_right_when_it_returns(api, mnt):
    """The size of the text, which has the name in it, and the directory's time."""
    name = "one"
    for length in range(2, 62):
        os.stat(mnt / name / "config.json")  # so that the kernel knows
        os.rename(mnt / name, mnt / ("x" * length))
        name = "x" * length
        shown, directory = os.stat(mnt / name / "config.json"), os.stat(mnt / name)
        assert shown.st_size == len(mnt.config(name))
        assert directory.st_mtime_ns == shown.st_mtime_ns
    assert is_shown(api, mnt, name).name == name
    api.expect(list=1, record=60, put=60)


def test_mv_there_and_back(api, mnt):
    for source, target in (("one", "uno"), ("uno", "one")):
        assert run(["mv", "-T", mnt / source, mnt / target]).returncode == 0
    assert mnt.names() == ["one"]
    assert not os.path.islink(mnt / "one")
    assert is_shown(api, mnt).name == "one"
    api.expect(list=1, record=2, put=2)


def test_mv_keeps_a_colleagues_change(api, mnt):
    mnt.config("one")
    api.patch_stack(ID, {"note": "theirs"})
    os.rename(mnt / "one", mnt / "uno")
    record = is_shown(api, mnt, "uno")
    assert (record.name, record.json["note"]) == ("uno", "theirs")
    api.expect(list=1, record=1, put=1)


def test_mv_to_a_name_with_a_slash(api, mnt):
    os.rename(mnt / "one", mnt / "a%2Fb")
    assert api.record(ID).name == "a/b"
    assert mnt.names() == ["a%2Fb"]
    api.expect(list=1, record=1, put=1)


def test_rename_flags(api, mnt):
    api.add_stack(editable("two", 2))
    mnt.refresh()
    with fails(errno.EEXIST):
        renameat2(mnt / "one", mnt / "two", RENAME_NOREPLACE)
    with fails(errno.EINVAL):
        renameat2(mnt / "one", mnt / "two", RENAME_EXCHANGE)
    with fails(errno.EEXIST, errno.ENOTEMPTY):
        os.rename(mnt / "one", mnt / "two")
    assert mnt.names() == ["one", "two"]
    renameat2(mnt / "one", mnt / "uno", RENAME_NOREPLACE)
    assert mnt.names() == ["two", "uno"]
    api.expect(list=2, record=1, put=1)


def test_files_with_flags(api, mnt):
    write(mnt, "one", mnt.config("one").replace(b"value0", b"value1"), "new")
    with fails(errno.EEXIST):
        renameat2(mnt / "one" / "new", mnt / "one" / "config.json", RENAME_NOREPLACE)
    with fails(errno.EINVAL):
        renameat2(mnt / "one" / "new", mnt / "one" / "config.json", RENAME_EXCHANGE)
    assert mnt.names("one") == ["config.json", "dependencies", "new", "systemToken"]
    is_shown(api, mnt)
    api.expect(list=1)


def test_a_refused_rename(api, mnt):
    refuse(api, error={"code": "invalid_value", "message": "name: is too long", "field": "name"})
    done = run(["mv", mnt / "one", mnt / "uno"])
    assert done.returncode != 0 and "Bad message" in done.stderr
    assert mnt.names() == ["one"]
    assert not os.path.lexists(mnt / "uno")
    assert is_shown(api, mnt).name == "one"
    assert last_error(mnt, status=422)["field"] == "name"
    assert api.counts()["put"] >= 1
    api.expect(**api.counts())


def test_what_is_open_goes_on(api, mnt):
    text_before = mnt.config("one")
    here = os.open(mnt / "one", os.O_RDONLY)
    with open(mnt / "one" / "config.json", "rb", buffering=0) as config:
        os.rename(mnt / "one", mnt / "uno")
        assert config.read() == text_before
    fd = os.open("config.json", os.O_RDONLY, dir_fd=here)
    assert os.read(fd, 1 << 20) == api.record(ID).config
    os.close(fd)
    os.close(here)
    api.expect(list=1, record=1, put=1)


@pytest.mark.parametrize("name", ["vim", "nano", "emacs", "kakoune"])
def test_the_name_changed_in_the_text(api, mnt, work, name):
    """The editor still uses the old name, and may save by it again."""
    if programs.missing(name):
        pytest.skip(f"{name} is not installed")
    place = programs.Place(work, mnt / "one", marker='"one"')
    with EDITORS[name](place) as session:
        session.edit('"one"', '"uno"')
        outcome = session.save()
        assert outcome.ok, outcome
        assert mnt.names() == ["uno"]
        assert os.readlink(mnt / "one") == "uno"
        session.edit("value0", "value1")
        outcome = session.save()
        assert outcome.ok, outcome
        session.quit()
    record = is_shown(api, mnt, "uno")
    assert record.name == "uno" and "value1" in record.raw
    assert mnt.names("uno") == sorted({*FILES, *session.leaves})
    nothing_is_refused(mnt, "uno")
    api.expect(list=1, record=2, put=2)


def test_an_old_name_gives_way(api, mnt):
    os.rename(mnt / "one", mnt / "uno")
    os.mkdir(mnt / "one")
    assert not os.path.islink(mnt / "one")
    assert mnt.names() == ["one", "uno"]
    write(mnt, "one", text(body("one")))
    is_a_stack(api, mnt, "one", "one")
    is_shown(api, mnt, "uno")
    assert (api.counts()["post"], api.counts()["put"]) == (1, 1)
    api.expect(**api.counts())


def test_a_name_that_another_has(api, mnt):
    api.add_stack(editable("two", 2))
    mnt.refresh()
    assert run("sed -i 's/\"two\"/\"one\"/' config.json", cwd=mnt / "two").returncode == 0
    assert mnt.names() == ["one", f"one~{stack_id(2)}"]
    is_shown(api, mnt)
    is_shown(api, mnt, f"one~{stack_id(2)}", stack_id(2))
    api.expect(list=2, record=1, put=1)


def test_delete_and_make_again(api, mnt):
    """The name is free at once, and the new one is another stack."""
    saved = mnt.config("one")
    assert run(["rm", "-r", mnt / "one"]).returncode == 0
    os.mkdir(mnt / "one")
    write(mnt, "one", saved)
    number = is_a_stack(api, mnt, "one", "one")
    assert number != ID
    counts = api.counts()
    assert (counts["delete"], counts["post"]) == (1, 1)
    api.expect(**counts)


# ---- the end of a mount ----

def test_a_save_in_flight_ends_before_the_mount_does(api, mount, work):
    mnt = mount(api)
    new = mnt.config("one").replace(b"value0", b"value1")
    (work / "new").write_bytes(new)
    api.fault(kind="delay", method="PUT", path=RECORD, delay_ms=1000)
    writer = subprocess.Popen(["cp", work / "new", mnt / "one" / "config.json"])
    api.wait("PUT", RECORD)
    os.kill(mnt.pid, signal.SIGTERM)
    writer.wait(30)
    assert mnt.wait() == []
    assert "value1" in api.record(ID).raw
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_draft_in_an_editor_at_unmount(api, mount, work):
    """The editor is killed with the mount: what it had written is in lost."""
    mnt = mount(api)
    new = mnt.config("one").replace(b"value0", b"value1")[:-20]
    fd = os.open(mnt / "one" / "config.json", os.O_WRONLY | os.O_TRUNC)
    os.write(fd, new)
    os.kill(mnt.pid, signal.SIGTERM)
    eventually(lambda: not os.path.exists(mnt / "one"), within=10)
    try:
        os.close(fd)
    except OSError:
        pass
    assert mnt.wait() == []
    lost = [path.read_bytes() for path in (work / "home/state/stacksfs/lost").iterdir()]
    assert new in lost
    api.expect(list=1)
