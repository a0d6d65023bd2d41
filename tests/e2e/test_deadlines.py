# SPDX-License-Identifier: MIT
"""Every system call ends within timeout=, also one that takes several requests, each of them slow.

What one request comes to with each fault is in test_faults.py; here are TLS, sums of requests, and who
looks on meanwhile.
"""
import concurrent.futures
import contextlib
import errno
import os
import time

import pytest
from account import DEPENDENCIES, LIST, RECORD, TOKEN, named, stack
from conftest import NOT_SLOWED_DOWN
from emulator import TlsFront
from gate import Gate
from mount import SLOWER, run
from saving import editable, fails, write

pytestmark = [pytest.mark.any_requests("what is late is asked for again"),
              pytest.mark.misuse("a lost answer makes requests twice"), NOT_SLOWED_DOWN]

TIMEOUT_S = int(2 * SLOWER)
DEAD_TIMEOUT_S = int(6 * SLOWER) # libcurl counts silence and age in whole seconds
SLACK_S = 1 * SLOWER
NEW = b'{"name": "new", "type": "server", "server": {"hostURI": "https://h.example"}}\n'


@pytest.fixture
def api(account):
    return named(account(), "one", "two", "three", "four", make=editable)


@contextlib.contextmanager
def in_time(most=1):
    """The block ends within timeout=, or so many times that."""
    began = time.monotonic()
    yield
    took = time.monotonic() - began
    assert took < most * TIMEOUT_S + SLACK_S, f"{took:.1f} s"


def messages(mnt):
    return [line["message"] for line in mnt.errors()]


# ---- the way there ----

def change(mnt):
    write(mnt, "two", mnt.config("two").replace(b"value0", b"value1"))


def create(mnt):
    os.mkdir(mnt / "new")
    write(mnt, "new", NEW)


def rotate(mnt):
    done = run(["rm", mnt / "three" / "systemToken"])
    if "Connection timed out" in done.stderr:
        raise TimeoutError(errno.ETIMEDOUT, done.stderr)


def empty(mnt):
    """What rm -r does before it asks."""
    os.listdir(mnt / "four")
    for name in ("config.json", "systemToken", "dependencies"):
        os.unlink(mnt / "four" / name)


def remove(mnt):
    os.rmdir(mnt / "four")


def rename(mnt):
    os.rename(mnt / "two", mnt / "deux")


CALLS = {
    # In no order the stack behind the last one read: nothing is fetched ahead, over the same way.
    "read": lambda mnt: mnt.read("two", "dependencies"),
    "save": change, "create": create, "rotate": rotate, "remove": remove,
}


@pytest.fixture
def gated(api, mount, work):
    """gated(timeout=…): a mount over HTTP/2, ready for CALLS, and the gate that its connections go
    through."""
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    with contextlib.ExitStack() as stack:
        front = stack.enter_context(TlsFront(api, work / "tls", args=["--no-ocsp"]))
        gate = stack.enter_context(contextlib.closing(Gate(front.port)))

        def make(**options):
            mnt = mount(api, url=f"https://127.0.0.1:{gate.port}", cacert=front.cacert, **options)
            mnt.read("three", "systemToken")  # else rm would ask for it, too
            empty(mnt)
            return mnt, gate

        yield make


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_server_that_says_nothing_to_a_client_hello(gated, call):
    mnt, gate = gated(timeout=TIMEOUT_S)
    text = mnt.config("one")
    gate.hold()
    with in_time(), fails(errno.ETIMEDOUT):
        call(mnt)
    assert "SSL connection timeout" in messages(mnt)[-1]
    assert mnt.config("one") == text
    assert mnt.stop() == []


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_connection_that_has_died_without_a_word(gated, call):
    """As after a change of networks.  It takes half of the time to see it, and then it is left; what
    asks nothing before it changes something may need all of it."""
    mnt, gate = gated(timeout=DEAD_TIMEOUT_S)
    gate.mute()
    if call is rotate:
        with fails(errno.ETIMEDOUT):
            call(mnt)
    else:
        call(mnt)
    if call is not create: # which has a connection of its own
        began = time.monotonic()
        rotate(mnt)
        mnt.read("one", "dependencies")
        assert time.monotonic() - began < DEAD_TIMEOUT_S / 4
    assert mnt.stop() == []


# ---- sums of requests ----

SUMS = {
    "save": (change, [("GET", RECORD), ("PUT", RECORD)]),
    "rename": (rename, [("GET", RECORD), ("PUT", RECORD)]),
    "remove": (remove, [("GET", DEPENDENCIES), ("DELETE", RECORD)]),
}
NAMES = ["four", "one", "three", "two"]


def living(api):
    return sorted(s["name"] for s in api.account() if not s["deleted"])


def slow(api, requests, parts):
    """Each request takes a part of the time that there is."""
    for (method, path), part in zip(requests, parts):
        api.fault(kind="delay", delay_ms=int(part * TIMEOUT_S * 1000), method=method, path=path)


@pytest.fixture
def mnt(api, mount):
    mnt = mount(api, timeout=TIMEOUT_S)
    mnt.config("two")
    empty(mnt)
    return mnt


@pytest.mark.parametrize("call, requests", SUMS.values(), ids=SUMS)
def test_slow_requests_that_fit_together(api, mnt, call, requests):
    slow(api, requests, [0.4, 0.4])
    began = time.monotonic()
    call(mnt)
    assert 0.8 * TIMEOUT_S <= time.monotonic() - began < TIMEOUT_S + SLACK_S
    assert living(api) != NAMES or b"value1" in mnt.config("two")


@pytest.mark.parametrize("call, requests", SUMS.values(), ids=SUMS)
def test_slow_requests_that_do_not_fit_together(api, mnt, call, requests):
    """The second was sent, and no time is left to ask what became of it."""
    slow(api, requests, [0.45, 0.7])
    with in_time(), fails(errno.ETIMEDOUT):
        call(mnt)
    assert "may have been" in messages(mnt)[-1]
    if call is change:
        assert b"value1" in mnt.read("two", "config.json.refused")
    api.clear_faults()
    mnt.refresh()
    assert mnt.names() == living(api)
    if call is change:
        assert mnt.config("two") == api.records()[1].config


@pytest.mark.parametrize("call, requests", SUMS.values(), ids=SUMS)
def test_no_time_is_left_for_the_second_request(api, mnt, call, requests):
    """The first one's answer is lost again and again: what changes anything is never sent."""
    slow(api, requests, [1.5])
    with in_time(), fails(errno.ETIMEDOUT):
        call(mnt)
    api.clear_faults()
    assert not [entry for entry in api.log() if entry["method"] in ("PUT", "DELETE")]
    assert living(api) == NAMES


@pytest.mark.parametrize("by_rename", [False, True])
def test_who_waits_for_anothers_save_has_the_same_time(api, mnt, by_rename):
    """What is left of it when that has ended is for its own."""
    api.fault(kind="hang", method="PUT", path=RECORD)
    text = mnt.config("two")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, mnt, "two", text.replace(b"value0", b"value1"))
        api.wait("PUT", RECORD)
        with in_time(), fails(errno.ETIMEDOUT):
            if by_rename:
                write(mnt, "two", text.replace(b"value0", b"value2"), file="new")
                os.rename(mnt / "two" / "new", mnt / "two" / "config.json")
            else:
                write(mnt, "two", text.replace(b"value0", b"value2"))
        with fails(errno.ETIMEDOUT):
            first.result()
    api.clear_faults()
    assert b"value2" in mnt.read("two", "config.json.refused")


def test_a_creation_that_is_looked_for_first(api, mnt):
    """After a POST whose answer was lost the next save lists, then sends."""
    api.fault(kind="reset", method="POST", path=LIST)
    api.fault(kind="status", status=403, method="GET", path=LIST)
    with fails(errno.ETIMEDOUT):
        create(mnt)
    api.clear_faults()
    slow(api, [("GET", LIST), ("POST", LIST)], [0.45, 0.7])
    with in_time(), fails(errno.ETIMEDOUT):
        write(mnt, "new", NEW)
    api.clear_faults()
    write(mnt, "new", NEW)
    assert living(api) == sorted([*NAMES, "new"])


def test_a_rotation_that_is_looked_after(api, mnt):
    """Its answer is lost, and the token, by which it could be known, comes late."""
    mnt.read("three", "systemToken")
    api.fault(kind="drop", method="DELETE", path=TOKEN, delay_ms=800 * TIMEOUT_S)
    slow(api, [("GET", TOKEN)], [1.5])
    with in_time():
        assert "timed out" in run(["rm", mnt / "three" / "systemToken"]).stderr
    assert "may have been rotated" in messages(mnt)[-1]


def test_pages_each_of_which_is_slow(account, mount):
    """A list has its time for each page; one that hangs ends it."""
    api = account(stacks=40, page_size=10)
    mnt = mount(api, timeout=TIMEOUT_S, ttl=1, stale=0)
    names = mnt.names()
    slow(api, [("GET", LIST)], [0.4])
    began = time.monotonic()
    mnt.refresh()
    assert 1.6 * TIMEOUT_S <= time.monotonic() - began < 2 * TIMEOUT_S + SLACK_S
    api.clear_faults()
    api.fault(kind="hang", path=LIST, skip=2)
    with in_time(), fails(errno.ETIMEDOUT):
        mnt.refresh()
    api.clear_faults()
    assert mnt.names() == names


def test_pages_that_come_are_waited_for_although_there_is_an_old_list(account, mount):
    """What is old is shown when no answer comes, not when there are many."""
    api = account(stacks=60, page_size=10)
    mnt = mount(api, ttl=1)
    mnt.names()
    api.add_stack(stack("new", 0xffffffff))
    time.sleep(1.2)  # time itself is what makes the list old
    slow(api, [("GET", LIST)], [0.35])  # each page in time, seven of them not
    began = time.monotonic()
    assert "new" in mnt.names()
    assert time.monotonic() - began > 3
    assert mnt.status()["api"]["state"] == "ok"


def test_two_things_to_ask_for_on_one_path(api, mount):
    """The kernel asks for each name of a path by itself, and each has its time."""
    mnt = mount(api, timeout=TIMEOUT_S, ttl=1, stale=0)
    mnt.config("one")
    time.sleep(2)  # time itself is what makes it old; the token nobody has asked for yet
    slow(api, [("GET", LIST)], [0.4])
    api.fault(kind="hang", path=TOKEN)
    began = time.monotonic()
    with in_time(most=2), fails(errno.ETIMEDOUT):
        mnt.read("one", "systemToken")
    assert time.monotonic() - began > 1.1 * TIMEOUT_S


# ---- who looks on ----

def looks_on_while(mnt, api, calls, look):
    """Everything hangs, for each of the calls, and look() is quick."""
    look()  # so that the kernel knows the names
    api.fault(kind="hang")
    took, asked = [], api.seq()
    with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
        waiting = [pool.submit(call, mnt) for call in calls]
        api.wait(count=len(calls), since=asked)
        while not any(call.done() for call in waiting):
            began = time.monotonic()
            look()
            took.append(time.monotonic() - began)
        for call in waiting:
            with fails(errno.ETIMEDOUT, errno.EPERM):
                call.result()
    assert len(took) > 10
    assert max(took) < 1 * SLOWER


def test_what_is_cached_is_served_while_others_wait(api, mnt):
    calls = [change, create, rotate, lambda mnt: mnt.refresh(),
             lambda mnt: mnt.read("one", "dependencies")]
    looks_on_while(mnt, api, calls,
                   lambda: (mnt.config("one"), mnt.names(), mnt.names("one"), mnt.status()))


@pytest.mark.parametrize("call", [rename, remove])
def test_what_the_kernel_knows_is_served_while_the_root_is_locked(api, mnt, call):
    """By the kernel, for as long as a name in it is changed: listing it would have to wait."""
    looks_on_while(mnt, api, [call],
                   lambda: (mnt.config("one"), mnt.names("one"), mnt.status()))
