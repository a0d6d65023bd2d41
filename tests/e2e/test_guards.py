# SPDX-License-Identifier: MIT
"""No tool that unlinks before it writes can delete a stack or rotate a token; those that are meant
to can, up to a limit."""
import errno
import os
import subprocess
import time

import programs
import pytest
from account import DEPENDENCIES, RECORD, TOKEN, stack_id
from editors import Vim
from mount import eventually, output_of, run
from saving import (FILES, edit, editable, fails, history, is_shown, lambda_stack, last_error,
                    write)

GRACE = 1
SERVERS = ["alpha", "one", "zeta"]
LAMBDAS = ["beta", "work"]


def files_of(name, tokens=True):
    return FILES if name in SERVERS and tokens else FILES[:2]


@pytest.fixture
def api(account):
    api = account()
    for number, name in enumerate(SERVERS, 1):
        api.add_stack(editable(name, number))
    for number, name in enumerate(LAMBDAS, 11):
        api.add_stack(lambda_stack(name, number))
    return api


@pytest.fixture(params=["yes", "no"], ids=["tokens", "no tokens"])
def tokens(request):
    return request.param


@pytest.fixture
def mnt(api, mount, tokens):
    return mount(api, grace=GRACE, tokens=tokens)


@pytest.fixture
def guarded(api, mnt, tokens):
    """After the test the account is what it was, and so is what is shown of it."""
    before = api.account()
    yield
    assert api.account() == before
    assert not {"put", "post", "delete", "rotate"} & set(api.counts()), api.describe_log()
    # What was hidden is back when who hid it has been quiet for a while.
    for name in SERVERS + LAMBDAS:
        eventually(lambda: mnt.names(name) == files_of(name, tokens == "yes"), within=GRACE + 5)
        assert mnt.config(name) == api.directories()[name].config
    assert mnt.names() == sorted(SERVERS + LAMBDAS)
    api.expect(**api.counts())


def backup(mnt, work):
    target = work / "backup"
    output_of(["cp", "-r", mnt.path, target])
    return target


def reason(mnt, path):
    """What errors says of the last failure at a path."""
    lines = [line for line in mnt.errors() if line["path"].lstrip("/") == path]
    assert lines, (path, mnt.errors())
    return lines[-1]["message"]


# ---- what must not delete or rotate ----

@pytest.mark.parametrize("order", ["config.json dependencies systemToken",
                                   "systemToken dependencies config.json"],
                         ids=["config first", "token first"])
def test_tar_x_of_a_full_backup(mnt, work, guarded, tokens, order):
    top = backup(mnt, work)
    members = [f"{name}/{file}" for name in SERVERS + LAMBDAS for file in order.split()
               if (top / name / file).exists()]
    output_of(["tar", "cf", work / "all.tar", "-C", top, *members])
    done = run(["tar", "xf", work / "all.tar"], cwd=mnt.path)
    assert done.returncode != 0
    if tokens == "yes":
        assert "systemToken" in done.stderr
        assert "rm" in reason(mnt, "one/systemToken")


@pytest.mark.parametrize("option, target", [("--delete", "."), ("--delete-delay", "."),
                                            ("--delete-before", "work"), ("--delete-after", "one")])
def test_rsync_of_an_empty_folder(mnt, work, guarded, tokens, option, target):
    (work / "empty").mkdir()
    done = run(["rsync", "-a", option, f"{work}/empty/", f"{mnt / target}/"])
    assert done.returncode != 0 or tokens == "no" or target == "work", "what it says of a token"
    if target == ".":
        assert any(line["op"] == "rmdir" for line in mnt.errors()), mnt.errors()


@pytest.mark.parametrize("what, gone", [("config.json", "one"), ("everything", "one"),
                                        ("everything", "work")])
def test_git_checkout_of_a_branch_without_a_stack(mnt, work, guarded, what, gone):
    place = programs.Place(work, mnt / "one", marker="value0")
    repository = programs.Repository(place, mnt.path)
    add = ["-A"] if what == "everything" else ["--", "*/config.json"]
    repository.must("add", *add)
    repository.must("commit", "-q", "-m", "all")
    repository.must("branch", "all")
    repository.must("rm", "-q", "-r", "--cached", gone)
    repository.must("commit", "-q", "-m", "without")
    repository.must("branch", "without")
    repository.must("read-tree", "all")
    repository.must("symbolic-ref", "HEAD", "refs/heads/all")
    repository.git("checkout", "-q", "without")
    repository.git("checkout", "-q", "-f", "all")
    repository.git("checkout", "-q", "-f", "without")


ONTO_A_TOKEN = {
    "cp": ["cp", "{new}", "systemToken"],
    "cp -f": ["cp", "-f", "{new}", "systemToken"],
    "cp --remove-destination": ["cp", "--remove-destination", "{new}", "systemToken"],
    "install": ["install", "-m", "400", "{new}", "systemToken"],
    "mv": ["mv", "{new}", "systemToken"],
    "mv -f within": ["sh", "-c", "cp {new} other; mv -f other systemToken; s=$?; rm other; exit $s"],
    "mv away": ["mv", "systemToken", "old"],
    "ln -f": ["sh", "-c", "cp {new} other; ln -f other systemToken; s=$?; rm other; exit $s"],
    "ln -sf": ["ln", "-sf", "{new}", "systemToken"],
    "sed -i": ["sed", "-i", "s/./x/", "systemToken"],
    "perl -i": ["perl", "-i", "-pe", "s/./x/", "systemToken"],
    "rsync": ["rsync", "-a", "{new}", "systemToken"],
    "rsync --inplace": ["rsync", "-a", "--inplace", "{new}", "systemToken"],
    ">": ["sh", "-c", "echo x > systemToken"],
    ">>": ["sh", "-c", "echo x >> systemToken"],
    "tee": ["sh", "-c", "echo x | tee systemToken"],
    "truncate": ["truncate", "-s", "0", "systemToken"],
    "dd": ["dd", "if={new}", "of=systemToken"],
    "chmod": ["chmod", "u+w", "systemToken"],
    "python remove": ["python3", "-c", "import os; os.remove('systemToken')"],
    "perl unlink": ["perl", "-e", "unlink('systemToken') or die"],
    "find -delete": ["find", ".", "-name", "systemToken", "-delete", "-printf", "gone"],
    "unzip": ["unzip", "-qo", "{zip}"],
    "patch": ["sh", "-c", "(echo --- systemToken; echo +++ systemToken; echo @@ -1 +1 @@;"
              " sed s/^/-/ systemToken; echo +x) | patch -f --no-backup-if-mismatch -r - systemToken"],
}


@pytest.mark.parametrize("tokens", ["yes"], indirect=True)
@pytest.mark.parametrize("name", ONTO_A_TOKEN)
def test_onto_a_token(mnt, work, guarded, name):
    (work / "new").mkdir()
    (work / "new" / "systemToken").write_text("another token\n")
    run(["zip", "-q", "../all.zip", "systemToken"], cwd=work / "new")
    command = [part.format(new=work / "new" / "systemToken", zip=work / "all.zip")
               for part in ONTO_A_TOKEN[name]]
    before = mnt.read("one", "systemToken")
    done = run(command, cwd=mnt / "one", env=dict(os.environ, LC_ALL="C.UTF-8"))
    assert done.returncode != 0 or "cannot delete" in done.stderr or name == "perl -i", done.stderr
    assert mnt.read("one", "systemToken") == before
    assert [line for line in mnt.errors() if line["path"].lstrip("/") == "one/systemToken"
            or name in ("ln -f",)], mnt.errors()


@pytest.mark.parametrize("tokens", ["yes"], indirect=True)
def test_vim_forced_onto_a_token(mnt, work, guarded):
    text = mnt.read("one", "systemToken")
    place = programs.Place(work, mnt / "one", marker=text.decode().strip()[:20])
    place.file = "systemToken"
    with Vim(place) as vim:
        vim.run("set noreadonly")
        vim.type("x:w!\r")
        shown = vim.wait_for(r"[EW]\d+:[^\n]*")
        assert "written" not in shown
        vim.abandon()
    assert mnt.read("one", "systemToken") == text


@pytest.mark.parametrize("file", ["dependencies", "systemToken"])
@pytest.mark.parametrize("tokens", ["yes"], indirect=True)
def test_writing_says_why(mnt, guarded, file):
    with fails(errno.EACCES):
        write(mnt, "one", b"x", file)
    with fails(errno.EACCES):
        os.truncate(mnt / "one" / file, 0)
    with fails(errno.EACCES):
        os.rename(mnt / "one" / file, mnt / "one" / "other")
    with fails(errno.EPERM):
        os.chmod(mnt / "one" / file, 0o600)
    assert reason(mnt, f"one/{file}")


# ---- rotation ----

@pytest.fixture
def rotating(api, mount):
    return mount(api, grace=GRACE)


def token_of(api, number=1):
    return api.stack(stack_id(number))["server"]["systemToken"].encode() + b"\n"


def ids(api):
    return [stack["_id"] for stack in api.account() if not stack["deleted"]]


@pytest.mark.parametrize("command", [["rm"], ["rm", "-f"], ["unlink"]], ids=" ".join)
def test_rm_rotates(api, rotating, command):
    mnt = rotating
    before = mnt.read("one", "systemToken")
    done = run([*command, mnt / "one" / "systemToken"])
    assert (done.returncode, done.stderr) == (0, "")
    after = mnt.read("one", "systemToken")
    assert after == token_of(api, 2) != before
    assert mnt.names("one") == FILES
    counts = api.counts()
    assert counts["token"] <= 3, "a token is compared before and after"
    api.expect(list=1, token=counts["token"], rotate=1)


def test_rm_rotates_up_to_a_limit(account, mount):
    api = account()
    for number in range(1, 15):
        api.add_stack(editable(f"s{number:02}", number))
    before = {number: token_of(api, number) for number in range(1, 15)}
    mnt = mount(api)
    done = run("rm */systemToken", cwd=mnt.path)
    assert done.returncode != 0
    changed = [number for number in before if token_of(api, number) != before[number]]
    assert len(changed) == 10
    refused = [line for line in done.stderr.splitlines() if "Operation not permitted" in line]
    assert len(refused) == 4
    assert "max_rotate" in reason(mnt, "s14/systemToken")
    for number in before:
        assert mnt.read(f"s{number:02}", "systemToken") == token_of(api, number)
    assert api.counts()["rotate"] == 10
    api.expect(**api.counts())


@pytest.mark.parametrize("limit, rotated", [(0, 14), (2, 2)])
def test_another_limit(account, mount, limit, rotated):
    api = account()
    for number in range(1, 15):
        api.add_stack(editable(f"s{number:02}", number))
    mnt = mount(api, max_rotate=limit)
    done = run("rm */systemToken", cwd=mnt.path)
    assert (done.returncode == 0) == (limit == 0)
    assert api.counts()["rotate"] == rotated
    api.expect(**api.counts())


def test_other_programs_may_rotate(api, mount):
    mnt = mount(api, rotate_by="python3:perl")
    before = token_of(api, 2)
    assert run(["rm", mnt / "one" / "systemToken"]).returncode != 0
    assert token_of(api, 2) == before
    assert run(["perl", "-e", "unlink(@ARGV) or die", mnt / "one" / "systemToken"]).returncode == 0
    assert token_of(api, 2) != before
    assert api.counts()["rotate"] == 1
    api.expect(**api.counts())


def test_a_rotation_that_is_refused(api, rotating):
    mnt = rotating
    before = mnt.read("one", "systemToken")
    api.fault(kind="status", method="DELETE", path=TOKEN, status=403)
    done = run(["rm", mnt / "one" / "systemToken"])
    assert done.returncode != 0 and "not permitted" in done.stderr
    assert mnt.read("one", "systemToken") == before == token_of(api, 2)
    assert last_error(mnt, status=403)["path"].lstrip("/") == "one/systemToken"
    assert api.counts()["rotate"] == 1
    api.expect(**api.counts())


@pytest.mark.parametrize("applied", [True, False])
def test_a_rotation_whose_answer_is_lost(api, rotating, applied):
    """It is made once: again only where the token is still the one from before."""
    mnt = rotating
    before = mnt.read("one", "systemToken")
    api.fault(kind="reset", method="DELETE", path=TOKEN, times=1, apply=applied)
    done = run(["rm", mnt / "one" / "systemToken"])
    assert done.returncode == 0, done.stderr
    rotations = sum(entry["method"] == "DELETE" and (applied or entry["status"] == 204)
                    for entry in api.log())
    assert rotations == 1
    assert mnt.read("one", "systemToken") == token_of(api, 2) != before
    api.expect(**api.counts())


def test_rm_of_a_token_while_an_editor_saves(api, rotating, work):
    """Another process has the file renamed away: that is no rm -r of ours."""
    mnt = rotating
    before = mnt.read("one", "systemToken")
    os.rename(mnt / "one" / "config.json", mnt / "one" / "config.json~")
    done = run(["rm", mnt / "one" / "systemToken"])
    write(mnt, "one", mnt.read("one", "config.json~").replace(b"value0", b"value1"))
    os.unlink(mnt / "one" / "config.json~")
    if done.returncode == 0:
        assert token_of(api, 2) != before
    assert mnt.read("one", "systemToken") == token_of(api, 2)
    assert "value1" in is_shown(api, mnt, "one", stack_id(2)).raw
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_rm_r_that_came_while_the_file_was_away(api, mount):
    """It has removed no config.json, and what is back meanwhile it does not know of."""
    mnt = mount(api, grace=1)
    token = mnt.read("one", "systemToken")
    assert run(["rm", mnt / "one" / "config.json"]).returncode == 0
    api.fault(kind="delay", path=DEPENDENCIES, delay_ms=2500)
    done = run(["rm", "-rf", mnt / "one"])
    assert done.returncode != 0
    assert mnt.read("one", "systemToken") == token == token_of(api, 2)
    assert not {"put", "delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())


# ---- deletion ----

DELETERS = {
    "rm -r": ["rm", "-r", "{}"],
    "rm -rf": ["rm", "-rf", "{}"],
    "find -delete": ["find", "{}", "-delete"],
    "find -exec rm": ["sh", "-c", "find {0} -depth -type f -exec rm {{}} + ; rmdir {0}"],
    "rmtree": ["/usr/bin/python3", "-c", "import shutil, sys; shutil.rmtree(sys.argv[1])", "{}"],
    "node rm": ["node", "-e", "require('fs').rmSync(process.argv[1], {{recursive: true}})", "{}"],
    "mv away": ["mv", "{}", "{work}/moved"],
}


def deleter(name, path, work):
    return [part.format(path, work=work) for part in DELETERS[name]]


def is_deleted(api, mnt, name, number):
    assert api.stack(stack_id(number))["deleted"]
    assert name not in mnt.names()
    assert not os.path.lexists(mnt / name)
    counts = api.counts()
    assert counts["delete"] == 1
    assert not {"put", "post", "rotate"} & set(counts)
    # mv copies them first; who reads them may ask for each.
    assert counts["dependencies"] <= 2 and counts.get("token", 0) <= 1, counts
    api.expect(**counts)


# In find -exec three processes share the work; none of them has done all of it.
@pytest.mark.parametrize("name", sorted(set(DELETERS) - {"find -exec rm"}))
@pytest.mark.parametrize("stack, number", [("one", 2), ("work", 12)])
def test_a_recursive_removal_deletes(api, rotating, work, name, stack, number):
    mnt = rotating
    text = mnt.config(stack)
    others = [other for other in mnt.names() if other != stack]
    done = run(deleter(name, mnt / stack, work))
    assert (done.returncode, done.stderr) == (0, "")
    is_deleted(api, mnt, stack, number)
    assert mnt.names() == others
    assert history(mnt, 1, stack) == [text]
    mnt.refresh()
    assert mnt.names() == others


def test_several_processes_do_not_delete(api, rotating, work):
    mnt = rotating
    run(deleter("find -exec rm", mnt / "one", work))
    assert not api.stack(stack_id(2))["deleted"]
    eventually(lambda: mnt.names("one") == FILES, within=GRACE + 5)
    is_shown(api, mnt, "one", stack_id(2))
    assert not {"delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())


def test_a_whole_account_is_not_emptied(account, mount):
    api = account()
    for number in range(1, 41):
        api.add_stack(editable(f"s{number:02}", number) if number % 2
                      else lambda_stack(f"s{number:02}", number))
    mnt = mount(api, rate=0)
    done = run("rm -rf *", cwd=mnt.path)
    assert done.returncode != 0 and "not permitted" in done.stderr
    assert len(ids(api)) == 30
    assert mnt.names() == sorted(api.directories())
    for name in mnt.names():
        assert mnt.names(name) == api.directories()[name].files, "a failed rmdir hides nothing"
    refused = next(name for name in mnt.names())
    assert "max_delete" in reason(mnt, refused)
    assert api.counts()["delete"] == 10
    assert "rotate" not in api.counts()
    api.expect(**api.counts())


@pytest.mark.parametrize("limit, left", [(0, 0), (3, 2)])
def test_another_limit_of_deletions(api, mount, limit, left):
    mnt = mount(api, max_delete=limit)
    run("rm -rf *", cwd=mnt.path)
    assert len(mnt.names()) == left == len(ids(api))
    assert api.counts()["delete"] == 5 - left
    api.expect(**api.counts())


def in_use(api, number=2):
    api.set_dependencies(stack_id(number), {
        "flows": [{"id": stack_id(99), "name": "nightly import", "paths": ["a"],
                   "accessLevel": "owner", "dependencyIds": {}}]})


@pytest.mark.parametrize("name", ["rm -r", "rm -rf", "find -delete", "rmtree", "node rm"])
def test_a_stack_in_use_is_not_deleted(api, rotating, work, name):
    mnt = rotating
    in_use(api)
    done = run(deleter(name, mnt / "one", work))
    assert done.returncode != 0
    assert "busy" in done.stderr.lower(), done.stderr
    assert mnt.names("one") == FILES, "a failed rmdir hides nothing"
    is_shown(api, mnt, "one", stack_id(2))
    line = last_error(mnt, errno="EBUSY")
    assert "nightly import" in line["message"] and "flows" in line["message"]
    assert "delete" not in api.counts()
    api.expect(**api.counts())


def test_dependencies_are_asked_for_anew(api, rotating):
    """What is cached of them may be old: it decides nothing."""
    mnt = rotating
    assert mnt.read("one", "dependencies") == b"{}\n"
    in_use(api)
    assert run(["rm", "-r", mnt / "one"]).returncode != 0
    assert not api.stack(stack_id(2))["deleted"]
    assert api.counts()["dependencies"] == 2
    api.expect(**api.counts())


def test_a_stack_in_use_may_be_deleted_on_request(api, mount):
    mnt = mount(api, delete_in_use=True)
    in_use(api)
    assert run(["rm", "-r", mnt / "one"]).returncode == 0
    assert api.stack(stack_id(2))["deleted"]
    assert mnt.names() == sorted(set(SERVERS + LAMBDAS) - {"one"})
    assert api.counts()["delete"] == 1
    api.expect(**api.counts())


@pytest.mark.parametrize("answer", [
    dict(kind="status", status=403), dict(kind="body", body="[]"),
    dict(kind="body", body='{"flows": 1}'), dict(kind="body", body=""), dict(kind="garbage"),
], ids=lambda fault: str(fault.get("status", fault.get("body", "garbage"))))
def test_no_clear_answer_is_no_permission(api, mount, answer):
    mnt = mount(api, timeout=2, grace=GRACE)
    api.fault(method="GET", path=DEPENDENCIES, **answer)
    assert run(["rm", "-r", mnt / "one"]).returncode != 0
    assert not api.stack(stack_id(2))["deleted"]
    api.clear_faults()
    eventually(lambda: mnt.names("one") == FILES, within=GRACE + 5)
    is_shown(api, mnt, "one", stack_id(2))
    assert "delete" not in api.counts()
    api.expect(**api.counts())


def test_a_deletion_that_is_refused(api, rotating):
    mnt = rotating
    api.fault(kind="status", method="DELETE", path=RECORD, status=403)
    done = run(["rm", "-r", mnt / "one"])
    assert done.returncode != 0 and "not permitted" in done.stderr
    assert mnt.names("one") == FILES
    is_shown(api, mnt, "one", stack_id(2))
    assert api.counts()["delete"] == 1
    api.expect(**api.counts())


@pytest.mark.parametrize("fault", [dict(kind="reset", apply=True), dict(kind="drop"),
                                   dict(kind="status", status=502, apply=True),
                                   dict(kind="status", status=503)],
                         ids=["reset", "drop", "502 applied", "503"])
def test_a_deletion_whose_answer_is_lost(api, rotating, fault):
    mnt = rotating
    api.fault(method="DELETE", path=RECORD, times=1, **fault)
    done = run(["rm", "-r", mnt / "one"])
    assert done.returncode == 0, done.stderr
    assert api.stack(stack_id(2))["deleted"]
    assert "one" not in mnt.names()
    assert api.counts()["delete"] <= 2
    api.expect(**api.counts())


def test_what_was_deleted_elsewhere(api, rotating):
    mnt = rotating
    assert mnt.config("one")
    api.delete_stack(stack_id(2))
    done = run(["rm", "-r", mnt / "one"])
    assert done.returncode == 0 or "No such file" in done.stderr
    assert "delete" not in api.counts()
    mnt.refresh()
    assert "one" not in mnt.names()
    api.expect(**api.counts())


# ---- what removes only a name ----

def test_rmdir_of_a_full_stack(api, rotating):
    mnt = rotating
    for name in ("one", "work"):
        with fails(errno.ENOTEMPTY):
            os.rmdir(mnt / name)
        assert mnt.names(name) == files_of(name)
    assert not {"delete", "dependencies"} & set(api.counts())
    api.expect(**api.counts())


def test_rmdir_after_the_others_only(api, rotating):
    """All are hidden, but config.json last: that is how mirrors remove."""
    mnt = rotating
    script = """
import os, sys
os.chdir(sys.argv[1])
os.listdir('.')
for name in 'dependencies', 'config.json':
    os.unlink(name)
os.chdir('/')
os.rmdir(sys.argv[1])
"""
    done = run(["/usr/bin/python3", "-c", script, mnt / "work"])
    assert "not empty" in done.stderr
    assert mnt.names("work") == FILES[:2]
    assert not api.stack(stack_id(12))["deleted"]
    assert "delete" not in api.counts()
    api.expect(**api.counts())


def test_rmdir_by_another_process(api, rotating):
    mnt = rotating
    run(["rm", mnt / "work" / "config.json", mnt / "work" / "dependencies"])
    with fails(errno.ENOTEMPTY):
        os.rmdir(mnt / "work")
    assert mnt.names("work") == FILES[:2], "and it hides nothing"
    assert not api.stack(stack_id(12))["deleted"]
    assert "delete" not in api.counts()
    api.expect(**api.counts())


def test_what_is_hidden_comes_back(api, rotating):
    mnt = rotating
    before = mnt.config("one")
    began = time.monotonic()
    assert run(["rm", mnt / "one" / "config.json"]).returncode == 0
    assert not os.path.lexists(mnt / "one" / "config.json")
    assert "config.json" not in mnt.names("one")
    eventually(lambda: os.path.lexists(mnt / "one" / "config.json"), within=GRACE + 5)
    assert time.monotonic() - began > GRACE * 0.9
    assert mnt.config("one") == before
    assert mnt.names("one") == FILES
    api.expect(list=1)


def test_it_stays_hidden_while_who_hid_it_works_here(api, rotating):
    mnt = rotating
    script = """
import os, sys, time
path = os.path.join(sys.argv[1], 'config.json')
os.unlink(path)
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    assert not os.path.lexists(path)
    time.sleep(0.1)
"""
    done = run(["/usr/bin/python3", "-c", script, mnt / "one", str(2.5 * GRACE)])
    assert done.returncode == 0, done.stderr
    eventually(lambda: os.path.lexists(mnt / "one" / "config.json"), within=GRACE + 5)
    api.expect(list=1)


def test_a_new_file_ends_the_hiding_at_once(api, mount):
    mnt = mount(api, grace=600)
    text = mnt.config("one")
    os.unlink(mnt / "one" / "config.json")
    write(mnt, "one", text)
    assert mnt.names("one") == FILES
    is_shown(api, mnt, "one", stack_id(2))
    os.unlink(mnt / "one" / "config.json")
    write(mnt, "one", text.replace(b"value0", b"value1"))
    assert "value1" in is_shown(api, mnt, "one", stack_id(2)).raw
    assert mnt.names("one") == FILES
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_hidden_file_is_hidden_on_one_mount_only(api, mount):
    first, second = mount(api, grace=600), mount(api)
    os.unlink(first / "one" / "config.json")
    assert second.names("one") == FILES
    assert second.config("one")
    api.expect(list=2)


# ---- moving over a stack ----

def test_mv_into_a_stack(api, rotating):
    """mv A B, B a directory, means B/A: copied and then deleted, if the answer were EXDEV."""
    mnt = rotating
    done = run(["mv", mnt / "one", mnt / "zeta"])
    assert done.returncode != 0 and "not permitted" in done.stderr
    assert mnt.names() == sorted(SERVERS + LAMBDAS)
    assert mnt.names("zeta") == FILES
    is_shown(api, mnt, "one", stack_id(2))
    api.expect(list=1)


def test_mv_onto_a_stack(api, rotating):
    mnt = rotating
    for options in (["-T"], ["-T", "-f"], ["-T", "-n"]):
        run(["mv", *options, mnt / "one", mnt / "zeta"])
        assert mnt.names() == sorted(SERVERS + LAMBDAS)
    with fails(errno.EEXIST, errno.ENOTEMPTY):
        os.rename(mnt / "one", mnt / "zeta")
    is_shown(api, mnt, "one", stack_id(2))
    is_shown(api, mnt, "zeta", stack_id(3))
    api.expect(list=1)


def test_mv_of_a_folder_onto_a_stack(api, rotating, work):
    mnt = rotating
    (work / "one").mkdir()
    (work / "one" / "config.json").write_text("{}")
    run(["mv", "-T", work / "one", mnt / "one"])
    run(["mv", work / "one", mnt.path])
    assert (work / "one" / "config.json").exists()
    assert mnt.names("one") == FILES
    is_shown(api, mnt, "one", stack_id(2))
    assert not {"put", "post", "delete"} & set(api.counts())
    api.expect(**api.counts())


# ---- what a stack's directory does not take ----

@pytest.mark.parametrize("call", [
    lambda mnt: os.mkdir(mnt / "one" / "folder"),
    lambda mnt: os.mkdir(mnt / ".hidden"),
    lambda mnt: (mnt.path / "file").write_text("x"),
    lambda mnt: os.rename(mnt / "one", mnt / ".one"),
    lambda mnt: os.symlink("one", mnt / "two"),
    lambda mnt: os.mkfifo(mnt / "one" / "fifo"),
    lambda mnt: os.rename(mnt / "one", mnt / "zeta" / "one"),
], ids=["mkdir in a stack", "mkdir of a dot name", "a file at the root", "mv to a dot name",
        "a symlink at the root", "a fifo", "a stack into another"])
def test_not_permitted(api, rotating, call):
    with fails(errno.EPERM):
        call(rotating)
    assert rotating.names() == sorted(SERVERS + LAMBDAS)
    assert rotating.names("one") == FILES
    api.expect(list=1)


def test_rename_across_stacks_is_a_copy(api, rotating):
    mnt = rotating
    write(mnt, "one", b"scratch", "note.txt")
    with fails(errno.EXDEV):
        os.rename(mnt / "one" / "note.txt", mnt / "zeta" / "note.txt")
    assert run(["mv", mnt / "one" / "note.txt", mnt / "zeta" / "note.txt"]).returncode == 0
    assert mnt.read("zeta", "note.txt") == b"scratch"
    assert mnt.names("one") == FILES
    api.expect(list=1)


def test_scratch_does_not_stand_in_the_way_of_a_deletion(api, rotating, work):
    mnt = rotating
    write(mnt, "one", b"scratch", "note.txt")
    edit(mnt, "one", "value0", "value1")
    assert run(["rm", "-r", mnt / "one"]).returncode == 0
    assert api.stack(stack_id(2))["deleted"]
    assert "one" not in mnt.names()
    assert api.counts()["delete"] == 1
    api.expect(**api.counts())


def test_an_open_file_outlives_its_deletion(api, rotating):
    mnt = rotating
    text = mnt.config("one")
    with open(mnt / "one" / "config.json", "rb", buffering=0) as kept:
        assert run(["rm", "-r", mnt / "one"]).returncode == 0
        assert kept.read() == text
    with pytest.raises(FileNotFoundError):
        mnt.config("one")
    assert api.counts()["delete"] == 1
    api.expect(**api.counts())


def test_a_shell_that_stands_in_a_deleted_stack(api, rotating):
    mnt = rotating
    shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, cwd=mnt / "one", text=True)
    assert run(["rm", "-r", mnt / "one"]).returncode == 0
    said, _ = shell.communicate("cat config.json; echo $?\n", timeout=30)
    assert said.splitlines()[-1] == "1"
    assert api.stack(stack_id(2))["deleted"]
    assert api.counts()["delete"] == 1
    api.expect(**api.counts())
