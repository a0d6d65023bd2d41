# SPDX-License-Identifier: MIT
"""What the kernel keeps: a warm tree is read without this process."""
import os
import subprocess
import sys

import pytest
from mount import output_of
from opcodes import calls, settled_replies, stored

STACKS = 40


@pytest.fixture
def api(account):
    return account(stacks=STACKS)


def cost(mnt, action):
    """Requests of the kernel for an action, when it is done for the third time."""
    action(), action()
    before = settled_replies(mnt.pid)
    action()
    return settled_replies(mnt.pid) - before


def few(count):
    """A kernel short of memory may have dropped a page or an entry."""
    return range(count + 2 + STACKS // 10)


def test_names_and_attributes(api, mount):
    mnt = mount(api)
    names = mnt.names()
    assert cost(mnt, lambda: [os.stat(mnt / name / "config.json") for name in names]) in few(0)
    assert cost(mnt, lambda: [os.path.lexists(mnt / f"{name}-not") for name in names]) in few(0)
    assert cost(mnt, lambda: [os.access(mnt / name, os.R_OK | os.X_OK) for name in names]) in few(0)
    api.expect(list=1)


def test_a_config_costs_an_open_and_a_release(api, mount):
    """No lookup, no attributes, no read, no flush."""
    mnt = mount(api)
    names = mnt.names()
    found = cost(mnt, lambda: output_of(["cat", *(mnt / name / "config.json" for name in names)]))
    assert found in few(2 * STACKS)
    assert found >= STACKS, "opens do reach us: is it the right process that is looked at?"
    api.expect(list=1)


def test_a_listing_costs_an_open_and_a_release(api, mount):
    mnt = mount(api)

    def look():
        return [entry.stat().st_size for entry in os.scandir(mnt.path)]

    assert cost(mnt, mnt.names) in few(2)
    assert cost(mnt, look) in few(2)
    assert cost(mnt, lambda: [mnt.names(name) for name in mnt.names()]) in few(2 + 2 * STACKS)
    api.expect(list=1)


def test_a_listing_brings_names_and_attributes_along(api, mount):
    """A first ls -l asks for whole listings, and not for each entry by itself."""
    mnt = mount(api)
    before = settled_replies(mnt.pid)
    for entry in os.scandir(mnt.path):
        entry.stat()
    assert settled_replies(mnt.pid) - before in range(STACKS // 2)
    api.expect(list=1)


def test_an_only_core_is_left_to_the_caller(api, new_mount):
    """Who looks for the next request without end there keeps its sender from it."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        mnt = new_mount(api).start()
        names = mnt.names()
        output_of(["cat", *(mnt / name / "config.json" for name in names)])
        replies, reads = settled_replies(mnt.pid), calls(mnt.pid, "syscr")
        output_of(["cat", *(mnt / name / "config.json" for name in names)])
        replies = settled_replies(mnt.pid) - replies
    finally:
        os.sched_setaffinity(0, cores)
    assert STACKS <= replies
    assert calls(mnt.pid, "syscr") - reads <= 2 * replies + 10, "one in vain before each sleep"
    api.expect(list=1)


def server(api):
    return next(n for n, record in api.directories().items() if record.type == "server")


def test_a_token_leaves_the_page_cache(api, mount, work):
    """The open of a known one fills its page, the last close overwrites it, and nothing is read."""
    mnt = mount(api)
    token = mnt / server(api) / "systemToken"
    text = token.read_bytes()
    with stored(mnt.pid, work) as texts:
        with open(token, "rb") as one:
            assert one.read() == text
            settled_replies(mnt.pid)
            with open(token, "rb") as two:
                assert two.read() == text
            assert one.read() == b""
        settled_replies(mnt.pid)
        assert token.read_bytes() == text
    blank = bytes(len(text))
    assert texts == [text, blank, text, blank]
    assert cost(mnt, token.read_bytes) in few(4), "open, release; and two that are no replies"
    api.expect(list=1, token=1)


def test_a_token_is_right_in_everyones_eyes(api, mount):
    """Opened and closed by many at once, each sees it whole, and never what overwrites it."""
    mnt = mount(api)
    token = mnt / server(api) / "systemToken"
    text = token.read_bytes()

    line = ("import mmap, sys\n"
            "for _ in range(300):\n"
            "    with open(sys.argv[1], 'rb') as file:\n"
            "        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)\n"
            "        if not file.read().hex() == mapped[:].hex() == sys.argv[2]:\n"
            "            sys.exit('not the token')\n"
            "        mapped.close()\n")
    readers = [subprocess.Popen([sys.executable, "-c", line, token, text.hex()], text=True,
                                stderr=subprocess.PIPE) for _ in range(8)]
    assert [reader.communicate()[1] for reader in readers] == [""] * 8
    api.expect(list=1, token=1)
