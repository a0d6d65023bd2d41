# SPDX-License-Identifier: MIT
"""A whole backup, copied into a mount, makes an account again."""
import json

import pytest
from mount import output_of, run
from saving import editable, error_of, is_a_stack, lambda_stack

BACKUPS = {
    "rsync": ["rsync", "-a", "{from}/", "{to}/"],
    "tar": ["sh", "-c", "tar c -C {from} . | tar x --no-overwrite-dir -C {to}"],
    "cp -r": ["sh", "-c", "cp -r {from}/* {to}/"],
    "cp -a": ["cp", "-a", "{from}/.", "{to}/"],
}


def restore(name, source, mnt):
    return run([part.format(**{"from": source, "to": mnt.path}) for part in BACKUPS[name]])


def essence(api):
    """What a backup brings back: all but what the service gives by itself."""
    return sorted((json.dumps({key: value for key, value in record.json.items()
                               if key not in ("_id", "createdAt", "lastModified")}, sort_keys=True)
                   for record in api.records()))


@pytest.fixture
def source(account, mount, work):
    """A backup of an account, and the account; with_lambdas: also such as cannot be restored."""
    def make(with_lambdas):
        api = account()
        for number in range(1, 13):
            api.add_stack(editable(f"s{number:02} x", number, note=f"of {number}"))
        api.add_stack(editable("a/b", 20))
        if with_lambdas:
            for number in (30, 31):
                api.add_stack(lambda_stack(f"w{number}", number))
        mnt = mount(api)
        output_of(["cp", "-a", mnt.path, work / "backup"])
        assert mnt.stop() == []
        return api, work / "backup"

    return make


@pytest.mark.parametrize("name", BACKUPS)
def test_a_whole_backup_into_an_empty_account(source, account, mount, name):
    old, saved = source(with_lambdas=False)
    new = account(stacks=0)
    mnt = mount(new)
    done = restore(name, saved, mnt)
    assert (done.returncode, done.stderr) == (0, "")
    assert mnt.names() == sorted(old.directories())
    assert essence(new) == essence(old)
    for directory in mnt.names():
        is_a_stack(new, mnt, directory)
    counts = new.counts()
    assert counts["post"] == 13
    assert not {"put", "delete", "rotate"} & set(counts)
    new.clear_log()
    restore(name, saved, mnt)  # the tokens are others by now: it may complain, but
    assert not {"post", "put", "delete", "rotate"} & set(new.counts()), new.describe_log()
    assert mnt.names() == sorted(old.directories())
    assert essence(new) == essence(old)
    new.expect(**new.counts())


@pytest.mark.parametrize("name", BACKUPS)
def test_lambda_stacks_of_a_backup_say_what_is_missing(source, account, mount, name):
    old, saved = source(with_lambdas=True)
    new = account(stacks=0)
    mnt = mount(new)
    done = restore(name, saved, mnt)
    assert done.returncode != 0 and "Bad message" in done.stderr
    assert mnt.names() == sorted(old.directories())
    assert sorted(record.name for record in new.records()) == sorted(
        record.name for record in old.records() if record.type == "server")
    for stack in ("w30", "w31"):
        # rsync removes its temporary file when the rename is refused: there is no config.json then.
        file, = {"config.json", "config.json.refused"} & set(mnt.names(stack))
        assert mnt.read(stack, file) == (saved / stack / "config.json").read_bytes()
        if file == "config.json":
            assert "lambda.secretAccessKey" in error_of(mnt, stack)
    assert "lambda.secretAccessKey" in json.dumps(mnt.errors())
    assert not {"put", "delete", "rotate"} & set(new.counts())
    new.expect(**new.counts())


def test_a_backup_into_the_account_that_it_is_of(source, mount):
    """Nothing has changed: nothing is sent, by whatever restores it."""
    api, saved = source(with_lambdas=True)
    mnt = mount(api)
    before = api.account()
    for name in BACKUPS:
        restore(name, saved, mnt)
        assert api.account() == before
    assert not {"post", "put", "delete", "rotate"} & set(api.counts()), api.describe_log()
    assert mnt.names() == sorted(api.directories())
    api.expect(**api.counts())


def test_a_backup_undoes_a_change(source, mount):
    """One field was changed through the mount since: that one stack is sent."""
    api, saved = source(with_lambdas=True)
    mnt = mount(api)
    mnt.config("w30")
    wanted = essence(api)
    assert run("sed -i s/value0/value1/ config.json", cwd=mnt / "s03 x").returncode == 0
    assert essence(api) != wanted
    restore("rsync", saved, mnt)
    assert essence(api) == wanted
    assert api.counts()["put"] == 2
    assert not {"post", "delete", "rotate"} & set(api.counts())
    api.expect(**api.counts())
