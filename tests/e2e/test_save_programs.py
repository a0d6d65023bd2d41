# SPDX-License-Identifier: MIT
"""Every common way of saving works: one PUT for each save, and the file is the server's answer."""
import json
import mmap
import os
import shutil

import programs
import pytest
from mount import run
from saving import FILES, ID, editable, is_shown, nothing_is_refused

CHANGES = [("value0", "value1"), ("value1", "value2")]


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(editable())
    return api


@pytest.fixture(params=programs.ALL)
def program(request):
    absent = programs.missing(request.param)
    if absent:
        pytest.skip(f"{absent} is not installed")
    return programs.ALL[request.param]


def test_each_save_is_one_put(api, mount, work, program):
    mnt = mount(api)
    place = programs.Place(work, mnt / "one", marker="value0")
    with program(place) as session:
        for saves, (old, new) in enumerate(CHANGES, 1):
            session.edit(old, new)
            outcome = session.save()
            assert outcome.ok, outcome
            assert new in is_shown(api, mnt).raw
            assert api.counts()["put"] == saves
        session.quit()
    is_shown(api, mnt)
    assert mnt.names("one") == sorted({*FILES, *program.leaves})
    nothing_is_refused(mnt)
    assert mnt.errors() == [] or getattr(program, "half", False)
    assert sorted(api.sent("put")[1]["server"]) == ["hostURI", "ipRanges"]
    api.expect(list=1, record=2, put=2)


@pytest.mark.long
def test_the_same_on_a_plain_directory(work, program):
    """That a program does what is expected of it anywhere: the mount is not to blame."""
    folder = work / "plain"
    folder.mkdir()
    text = '{\n  "host": "value0",\n  "more": "%s"\n}\n' % ("x" * 300)
    (folder / "config.json").write_text(text)
    with program(programs.Place(work, folder, marker="value0")) as session:
        for old, new in CHANGES:
            session.edit(old, new)
            outcome = session.save()
            assert outcome.ok, outcome
            text = text.replace(old, new)
            assert (folder / "config.json").read_text() == text
        session.quit()
    assert sorted(os.listdir(folder)) == sorted({"config.json", *program.leaves})
    shutil.rmtree(work, ignore_errors=True)


# ---- what is no change is not sent ----

@pytest.mark.parametrize("line", [
    "echo >> config.json",
    "printf '  \\n\\t' >> config.json",
    "touch config.json",
    "cat config.json > ../../copy; cp ../../copy config.json",
    "jq -S . config.json > sorted.json && mv sorted.json config.json",
    "jq -c . config.json > ../../flat && cat ../../flat > config.json",
    "sed -i s/nothing/else/ config.json",
    ": > config.json",
    "truncate -s 0 config.json",
    "cp /dev/null config.json",
    "exec 3<>config.json; exec 3>&-",
    "cat config.json > ../../copy; rsync -a ../../copy config.json; rsync -a ../../copy config.json",
    "cp -p config.json config.json~; mv config.json~ config.json",
    "mv config.json old.json; mv old.json config.json",
    "ln config.json backup.json; rm backup.json",
    "chmod 640 config.json; chown $(id -u) config.json",
], ids=lambda line: line[:30])
def test_no_change_is_no_put(api, mount, line):
    mnt = mount(api)
    before = is_shown(api, mnt)
    done = run(line, cwd=mnt / "one")
    assert done.returncode == 0, done.stderr
    assert is_shown(api, mnt).raw == before.raw
    assert mnt.names("one") == FILES
    nothing_is_refused(mnt)
    counts = api.counts()
    assert set(counts) <= {"list", "record"}, api.describe_log()
    assert counts.get("record", 0) <= 2
    api.expect(**counts)


def test_a_mode_is_kept_and_a_time_is_not(api, mount):
    mnt = mount(api)
    path = mnt / "one" / "config.json"
    before = os.stat(path).st_mtime_ns
    os.chmod(path, 0o640)
    os.utime(path, (1, 2))
    found = os.stat(path)
    assert found.st_mode & 0o777 == 0o640
    assert found.st_mtime_ns == before
    # The new mode outlives a save, of either kind.
    assert run("sed -i s/value0/value1/ config.json", cwd=mnt / "one").returncode == 0
    assert os.stat(path).st_mode & 0o777 == 0o640
    assert run("cat config.json | sed s/value1/value2/ | sponge config.json",
               cwd=mnt / "one").returncode == 0
    assert os.stat(path).st_mode & 0o777 == 0o640
    is_shown(api, mnt)
    api.expect(list=1, record=2, put=2)


def test_the_file_is_right_for_every_other_reader(api, mount):
    """One who had it open keeps what it opened; all others see the answer at once."""
    mnt = mount(api)
    old = mnt.config("one")
    with open(mnt / "one" / "config.json", "rb", buffering=0) as kept:
        assert kept.read(20) == old[:20]
        place = programs.Place(mnt.work, mnt / "one", marker="value0")
        for name, (before, after) in zip(("python os.replace", "mv across"), CHANGES):
            with programs.ALL[name](place) as session:
                session.edit(before, after)
                assert session.save().ok
            kept.seek(0)
            assert kept.read() == old
            is_shown(api, mnt)
    assert os.stat(mnt / "one").st_mtime_ns == api.record(ID).modified_ms * 1_000_000
    api.expect(list=1, record=2, put=2)


def wider(mnt, new):
    """The record in another layout than that which it is shown in."""
    return json.dumps(json.loads(mnt.config("one")), indent=8).replace("value0", new).encode()


@pytest.mark.parametrize("mapped", [False, True], ids=["", "mapped"])
def test_what_was_read_after_a_save_is_what_is_written_to(api, mount, mapped):
    """By the same file; what was written before was laid out otherwise."""
    mnt = mount(api)
    text = wider(mnt, "value1")
    with open(mnt / "one" / "config.json", "r+b", buffering=0) as file:
        file.truncate(0)
        file.write(text)
        os.fsync(file)
        at = api.record(ID).config.index(b"value1")
        if mapped:
            with mmap.mmap(file.fileno(), 0) as shown:
                shown[at:at + 6] = b"value2"
        else:
            assert os.pread(file.fileno(), 6, at) == b"value1"
            os.pwrite(file.fileno(), b"value2", at)
        os.fsync(file)
    assert "value2" in is_shown(api, mnt).raw
    assert api.counts()["put"] == 2
    api.expect(**api.counts())


def test_more_is_written_after_a_save_beside_another_writer(api, mount):
    """It has seen the record that the other one had saved; from then on its text is its own."""
    mnt = mount(api)
    config = mnt / "one" / "config.json"
    theirs, text = wider(mnt, "value1"), wider(mnt, "value2")
    with open(config, "wb", buffering=0) as other:
        other.write(theirs)
        os.fsync(other)
        with open(config, "r+b", buffering=0) as file:
            file.truncate(0)
            file.write(text)
            os.fsync(file)
            file.write(b"\n")
    assert "value2" in is_shown(api, mnt).raw
    nothing_is_refused(mnt)
    assert api.counts()["put"] == 2
    api.expect(**api.counts())
