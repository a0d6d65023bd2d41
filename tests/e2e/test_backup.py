# SPDX-License-Identifier: MIT
"""Backups: whole, exact, repeatable, and nothing asked that is not needed."""
import filecmp
import os
import re

import pytest
from account import stack, stack_id
from mount import output_of, run

STACKS = 60


@pytest.fixture
def api(account):
    return account(stacks=STACKS)


def whole(api):
    """What reading everything once costs."""
    records = api.records()
    return dict(list=1, token=sum(r.type == "server" for r in records), dependencies=len(records))


def expected_tree(api):
    return {f"{name}/{file}": api.file(record, file)
            for name, record in api.directories().items() for file in record.files}


def tree(path):
    return {os.path.relpath(os.path.join(folder, name), path):
            open(os.path.join(folder, name), "rb").read()
            for folder, _, names in os.walk(path) for name in names}


def rsync(mnt, target):
    """How many files an rsync -a transfers."""
    statistics = output_of(["rsync", "-a", "--stats", f"{mnt.path}/", target])
    return int(re.search(r"Number of regular files transferred: ([\d,]+)", statistics)
               .group(1).replace(",", ""))


def test_rsync_copies_everything_once(api, mount, work):
    wanted = expected_tree(api)
    mnt = mount(api)
    assert rsync(mnt, work / "backup") == len(wanted)
    assert tree(work / "backup") == wanted
    assert rsync(mnt, work / "backup") == 0
    api.expect(**whole(api))


def test_rsync_after_a_remount_transfers_nothing(api, mount, work):
    mnt = mount(api)
    rsync(mnt, work / "backup")
    assert mnt.stop() == []
    again = mount(api)
    assert rsync(again, work / "backup") == 0
    api.expect(**{name: 2 * count for name, count in whole(api).items()})


def test_a_rotated_token_of_equal_length_is_transferred(api, mount, work):
    name, record = next((n, r) for n, r in api.directories().items() if r.type == "server")
    mnt = mount(api)
    rsync(mnt, work / "backup")
    old = api.system_token(record.id)
    api.rotate(record.id)
    new = api.system_token(record.id)
    assert old != new and len(old) == len(new)
    mnt.refresh()
    assert rsync(mnt, work / "backup") == 1
    assert (work / "backup" / name / "systemToken").read_bytes() == new
    assert rsync(mnt, work / "backup") == 0
    api.expect(**{endpoint: 2 * count for endpoint, count in whole(api).items()})


def test_a_changed_record_is_transferred(api, mount, work):
    mnt = mount(api)
    rsync(mnt, work / "backup")
    changed = api.records()[7].id
    api.patch_stack(changed, {"server": {"hostURI": "https://elsewhere.example.com"}})
    mnt.refresh()
    name = next(n for n, r in api.directories().items() if r.id == changed)
    assert rsync(mnt, work / "backup") == 1
    assert (work / "backup" / name / "config.json").read_bytes() == api.record(changed).config
    api.expect(**{endpoint: 2 * count for endpoint, count in whole(api).items()})


def test_tar(api, mount, work):
    wanted = expected_tree(api)
    mnt = mount(api)
    output_of(["tar", "cf", work / "backup.tar", "-C", mnt.path, "."])
    (work / "out").mkdir()
    output_of(["tar", "xf", work / "backup.tar", "-C", work / "out"])
    assert tree(work / "out") == wanted
    output_of(["tar", "df", work / "backup.tar", "-C", mnt.path])
    api.expect(**whole(api))


def test_cp(api, mount, work):
    wanted = expected_tree(api)
    mnt = mount(api)
    output_of(["cp", "-a", f"{mnt.path}/.", work / "backup"])
    assert tree(work / "backup") == wanted
    name = mnt.names()[0]
    source, copy = os.stat(mnt / name / "config.json"), os.stat(work / "backup" / name / "config.json")
    assert source.st_mtime_ns == copy.st_mtime_ns
    api.expect(**whole(api))


def test_diff(api, mount, work):
    mnt = mount(api)
    output_of(["cp", "-r", f"{mnt.path}/.", work / "backup"])
    assert output_of(["diff", "-r", mnt.path, work / "backup"]) == ""
    compared = filecmp.dircmp(mnt.path, work / "backup")
    assert not compared.diff_files and not compared.left_only and not compared.right_only
    api.expect(**whole(api))


def test_find(api, mount):
    wanted = expected_tree(api)
    mnt = mount(api)
    found = output_of(["find", mnt.path, "-ls"]).splitlines()
    assert len(found) == 1 + STACKS + len(wanted)
    empty = output_of(["find", mnt.path, "-type", "f", "-size", "0"])
    assert empty == ""
    api.expect(**whole(api))


def test_du_and_checksums(api, mount):
    mnt = mount(api)
    output_of(["du", "-s", mnt.path])
    first = output_of("find . -type f -print0 | sort -z | xargs -0 sha256sum", cwd=mnt.path)
    assert first == output_of("find . -type f -print0 | sort -z | xargs -0 sha256sum", cwd=mnt.path)
    api.expect(**whole(api))


@pytest.mark.parametrize("command", [
    "ls",
    "ls -l",
    "ls */",
    "echo */config.json */s*",
    "compgen -f ./",
    "compgen -d ''",
    "for d in *; do compgen -f $d/; done",
    "find . -name config.json",
    "cat */config.json",
    "grep -l hostURI */config.json",
    "cd $(ls | head -1) && ls && pwd",
], ids=lambda command: command.split()[0])
def test_looking_round_asks_for_no_token(api, mount, command):
    mnt = mount(api)
    run(command, cwd=mnt.path)
    assert output_of(command, cwd=mnt.path)
    api.expect(list=1)


def test_jq_reads_every_name(api, mount):
    mnt = mount(api)
    names = output_of("cat */config.json | jq -r .name", cwd=mnt.path).splitlines()
    assert sorted(names) == sorted(record.name for record in api.records())
    api.expect(list=1)


def test_a_backup_of_names_that_are_hard_to_write(account, mount, work):
    api = account()
    for number, name in enumerate(["a/b", "..", " leading", "new\nline", "naïve 😀", "x" * 300, ""], 1):
        api.add_stack(stack(name, number))
    wanted = expected_tree(api)
    mnt = mount(api)
    assert rsync(mnt, work / "backup") == len(wanted)
    assert tree(work / "backup") == wanted
    assert {stack_id(n) for n in range(1, 8)} == set(mnt.names(".stacksfs", "by-id"))
    api.expect(list=1, token=7, dependencies=7)
