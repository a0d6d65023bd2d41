# SPDX-License-Identifier: MIT
"""What a mount makes of a machine that was suspended, and of a wall clock that is set.

The mount's clocks are turned by a library that is preloaded into it; the kernel's own go on as
they do, as they stand still in a suspend.
"""
import calendar
import concurrent.futures
import contextlib
import email.utils
import errno
import os
import subprocess
import time

import pytest
from account import DEPENDENCIES, TOKEN, named, stack, stack_id
from clock import Clock
from conftest import BUILD
from gate import Gate
from mount import SLOWER, eventually, output_of
from saving import edit, fails

NIGHT_S = 8 * 3600
DAY_S = 24 * 3600
#: What the kernel was told of then, it would keep for half of it, awake.
TTL_S = 600


@pytest.fixture
def api(account):
    return named(account(), "one", "two", "three")


@pytest.fixture
def clock(work):
    clock = Clock(BUILD, work)
    yield clock
    clock.close()


@pytest.fixture
def asleep(api, clock, mount):
    """A mount, all of which is known to it and to the kernel."""
    mnt = mount(api, env=clock.env, ttl=TTL_S, timeout=int(3 * SLOWER))
    look_at_all(mnt)
    return mnt


def look_at_all(mnt):
    return {(name, file): (os.stat(mnt / name / file).st_size, mnt.read(name, file))
            for name in mnt.names() for file in mnt.names(name)}


def change_everything(api):
    api.patch_stack(stack_id(1), {"note": "longer than before"})
    api.delete_stack(stack_id(2))
    api.add_stack(stack("four", 4))
    api.rotate(stack_id(3))
    api.set_dependencies(stack_id(3), {"flows": [{"id": stack_id(9), "name": "nightly"}]})


def uptime(mnt):
    return mnt.status()["uptime_s"]


def has_woken(mnt, seconds):
    """status asks nobody, and tells the mount's own time."""
    return uptime(mnt) >= seconds


# ---- a mount that nobody uses ----

@pytest.mark.any_requests("a failed request is tried again")
def test_what_an_idle_mount_says_of_an_outage(api, clock, mount):
    """It does not find out that the outage is over, and says so."""
    mnt = mount(api, env=clock.env, ttl=TTL_S, timeout=int(3 * SLOWER))
    api.fault(kind="status", status=503)
    assert mnt.cli("refresh", mnt.path).returncode == 1
    done = mnt.cli("status", "--check", mnt.path)
    assert done.stdout.startswith("stale: ") and done.stdout.endswith(" s ago\n")
    api.clear_faults()
    n = len(api.requests())
    clock.suspend(2 * 3600)
    eventually(lambda: has_woken(mnt, 2 * 3600))
    done = mnt.cli("status", "--check", mnt.path)
    assert done.returncode == 1 and done.stdout.startswith("stale: ")
    assert done.stdout.endswith(" 2 h ago, and not tried again since\n")
    assert "not tried again since (stacksfs refresh asks)" in mnt.cli("status", mnt.path).stdout
    assert len(api.requests()) == n, "status asks nothing"
    assert mnt.cli("refresh", mnt.path).returncode == 0
    assert mnt.cli("status", "--check", mnt.path).returncode == 0


# ---- a suspended machine ----

def test_a_nights_suspend_makes_everything_old(api, clock, asleep):
    mnt = asleep
    gone = os.stat(mnt / "two" / "config.json").st_size
    assert gone and not os.path.lexists(mnt / "four")
    assert os.path.lexists(mnt / "three" / "dependencies")
    change_everything(api)
    api.expect(list=1, token=3, dependencies=3)
    clock.suspend(NIGHT_S)
    directories = api.directories()
    # Without any open or listing: those reach the mount anyhow.
    eventually(lambda: os.stat(mnt / "one" / "config.json").st_size
               == len(directories["one"].config), within=3)
    eventually(lambda: os.path.lexists(mnt / "four") and not os.path.lexists(mnt / "two"), within=3)
    assert os.stat(mnt / "three" / "dependencies").st_size == len(api.dependencies(stack_id(3)))
    assert mnt.names() == sorted(directories)
    for name, record in directories.items():
        for file in record.files:
            assert mnt.read(name, file) == api.file(record, file)
            assert os.stat(mnt / name / file).st_size == len(api.file(record, file))
    # What was new is asked for the first time; of "two" its own GET tells that it is gone.
    api.expect(list=2, record=1, token=6, dependencies=6)


@pytest.mark.any_requests("what a dead connection has eaten is asked again")
@pytest.mark.parametrize("call", [
    lambda mnt: mnt.refresh(),
    lambda mnt: edit(mnt, "two", '"name"', '"note": "x", "name"'),
    lambda mnt: subprocess.run(["rm", mnt / "three" / "systemToken"], check=True),
], ids=["read", "save", "rotate"])
def test_no_connection_from_before_a_suspend(api, clock, mount, call):
    """The other end has given it up, or the machine wakes in another network."""
    with contextlib.closing(Gate(api.port)) as gate:
        mnt = mount(api, url=gate.url, env=clock.env, timeout=int(10 * SLOWER))
        mnt.read("three", "systemToken")
        time.sleep(2.1)  # libcurl counts a connection's age in whole seconds
        gate.mute()
        clock.suspend(NIGHT_S)
        eventually(lambda: has_woken(mnt, NIGHT_S))
        began = time.monotonic()
        call(mnt)
        assert time.monotonic() - began < 2 * SLOWER


@pytest.mark.parametrize("file", ["systemToken", "dependencies"])
def test_not_even_an_attribute_is_left(api, clock, asleep, file):
    """The attributes of what no list brings: only the kernel could still have them."""
    mnt = asleep
    os.stat(mnt / "one" / file)
    api.rotate(stack_id(1))
    api.set_dependencies(stack_id(1), {"flows": [{"id": stack_id(9), "name": "nightly"}]})
    before = os.stat(mnt / "one" / file).st_mtime_ns
    clock.suspend(NIGHT_S)
    eventually(lambda: os.stat(mnt / "one" / file).st_mtime_ns != before, within=3)
    api.expect(list=range(1, 3), token=range(3, 5), dependencies=range(3, 5))


def test_an_idle_mount_asks_nothing_after_a_suspend(api, clock, asleep):
    clock.suspend(NIGHT_S)
    eventually(lambda: has_woken(asleep, NIGHT_S))
    for _ in range(10):  # all that is said to the kernel has been said, and nothing more comes
        asleep.status()
    api.expect(list=1, token=3, dependencies=3)


@pytest.mark.any_requests("a failed request is tried again")
@pytest.mark.parametrize("asleep_s, shown", [(1800, True), (NIGHT_S, False)])
def test_the_bound_of_what_is_stale_counts_the_suspend(api, clock, asleep, asleep_s, shown):
    """-o stale=3600: half an hour is within it, a night is not."""
    mnt = asleep
    text = mnt.config("one")
    api.fault(kind="status", status=503)
    clock.suspend(asleep_s)
    if shown:
        assert mnt.config("one") == text
        assert os.stat(mnt / "one" / "config.json").st_size == len(text)
    else:
        with fails(errno.EIO):
            mnt.config("one")
        eventually(lambda: not can_stat(mnt / "one" / "config.json"), within=3)


def can_stat(path):
    try:
        os.stat(path)
        return True
    except OSError as error:
        assert error.errno == errno.EIO
        return False


def test_a_request_that_was_under_way_ends(api, clock, asleep):
    """Its server has long forgotten it: the answer never comes."""
    mnt = asleep
    mnt.refresh()  # nothing of the parts may be shown any more
    clock.suspend(NIGHT_S)
    api.fault(kind="hang", path=TOKEN)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        read = pool.submit(mnt.read, "one", "systemToken")
        api.wait(path=TOKEN, since=api.seq() - 1)
        began = time.monotonic()
        clock.suspend(NIGHT_S)
        assert read.exception(30).errno == errno.ETIMEDOUT
    assert time.monotonic() - began < (3 + 1.5) * SLOWER
    api.clear_faults()
    assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    api.expect(**api.counts())


def test_what_was_hidden_comes_back(api, clock, asleep):
    """Its grace of 10 s is over.  Others look, for whoever hid it and looks keeps it hidden."""
    mnt = asleep
    os.unlink(mnt / "one" / "config.json")
    assert "config.json" not in mnt.names("one")
    clock.suspend(NIGHT_S)
    eventually(lambda: "config.json" in output_of(["ls", mnt / "one"]), within=3)
    api.expect(**api.counts())


def test_a_buffer_that_slept_is_saved(api, clock, asleep):
    """What a colleague has changed meanwhile stays."""
    mnt = asleep
    fd = os.open(mnt / "one" / "config.json", os.O_RDWR)
    text = os.read(fd, 65536).replace(b"host.example.com", b"mine.example.com")
    api.patch_stack(stack_id(1), {"note": "theirs"})
    clock.suspend(NIGHT_S)
    os.pwrite(fd, text, 0)
    os.close(fd)
    saved = api.stack(stack_id(1))
    assert (saved["note"], saved["server"]["hostURI"]) == ("theirs", "https://mine.example.com")
    api.expect(**api.counts())


# ---- a wall clock that is set ----

STEPS = pytest.mark.parametrize("step_s", [DAY_S, -DAY_S], ids=["forward", "back"])


@STEPS
def test_a_step_makes_nothing_old(api, clock, asleep, step_s):
    mnt = asleep
    before = look_at_all(mnt)
    uptime_s = uptime(mnt)
    change_everything(api)
    clock.step(step_s)
    for _ in range(10):
        assert look_at_all(mnt) == before
    assert uptime(mnt) - uptime_s < 60
    assert mnt.status()["api"]["list_age_s"] < 60
    api.expect(list=1, token=3, dependencies=3)


@STEPS
def test_a_step_keeps_nothing_fresh(api, clock, mount, step_s):
    mnt = mount(api, env=clock.env, ttl=1)
    mnt.config("one")
    clock.step(step_s)
    api.patch_stack(stack_id(1), {"note": "changed"})
    eventually(lambda: b"changed" in mnt.config("one"), within=3)
    api.expect(list=range(2, 6))


@STEPS
def test_a_step_moves_no_timeout(api, clock, asleep, step_s):
    mnt = asleep
    mnt.refresh()
    api.fault(kind="hang", path=DEPENDENCIES)
    clock.suspend(NIGHT_S)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        began = time.monotonic()
        read = pool.submit(mnt.read, "one", "dependencies")
        api.wait(path=DEPENDENCIES, since=api.seq() - 1)
        clock.step(step_s)
        assert read.exception(30).errno == errno.ETIMEDOUT
    assert 2 < time.monotonic() - began < (3 + 1.5) * SLOWER
    api.clear_faults()
    api.expect(**api.counts())


@STEPS
def test_a_save_after_a_step(api, clock, asleep, step_s):
    clock.step(step_s)
    edit(asleep, "one", "host.example.com", "other.example.com")
    assert api.stack(stack_id(1))["server"]["hostURI"] == "https://other.example.com"
    edit(asleep, "one", "other.example.com", "host.example.com")
    api.expect(list=1, record=2, put=2, token=3, dependencies=3)


@pytest.mark.parametrize("step_s, asked", [(0, 2), (DAY_S, 2), (-DAY_S, 1)],
                         ids=["right", "ahead", "behind"])
def test_a_retry_after_that_is_a_date(api, clock, mount, step_s, asked):
    """The one place where the wall clock counts.  One that is ahead finds that the time has come,
    and one that is behind that it will not come within the timeout, and says so at once."""
    mnt = mount(api, env=clock.env, ttl=TTL_S, timeout=int(10 * SLOWER))
    clock.step(step_s)
    at = email.utils.formatdate(time.time() + 2, usegmt=True)
    api.fault(kind="status", status=503, path=TOKEN, times=1, headers={"Retry-After": at})
    began = time.monotonic()
    if asked == 2:
        assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    else:
        with fails(errno.EIO):
            mnt.read("one", "systemToken")
    assert time.monotonic() - began < 5 * SLOWER
    api.expect(list=1, token=asked)


def test_the_clocks_are_turned(api, clock, asleep):
    """Else all of this would show nothing."""
    before = uptime(asleep)
    clock.suspend(1000)
    assert 1000 <= uptime(asleep) - before < 1060
    clock.step(-5000)
    with fails(errno.EPERM):
        os.mkdir(asleep / "one" / "folder")
    line = asleep.errors()[-1]
    at = time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")
    assert abs(time.time() - 4000 - calendar.timegm(at)) < 60
    api.expect(list=2, token=3, dependencies=3)
