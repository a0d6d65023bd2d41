# SPDX-License-Identifier: MIT
"""The cache: fresh for ttl, renewed behind the reader's back, never silently wrong."""
import concurrent.futures
import errno
import json
import os
import threading
import time

import pytest
from account import LIST, RECORD, named, stack, stack_id
from background import run_in_background
from mount import SLOWER, eventually, output_of
from saving import lambda_stack

LONG_LIST = dict(stacks=250, page_size=100)


def let_pass(seconds):
    """Time itself is what is waited for here: nothing announces that an answer has become old."""
    time.sleep(seconds)


def hosts(mnt, name):
    return json.loads(mnt.config(name))["server"]["hostURI"]


def change(api, number=1, host="https://changed.example.com/and/longer"):
    api.patch_stack(stack_id(number), {"server": {"hostURI": host}})
    return host


@pytest.fixture
def api(account):
    """Three stacks: one, two, three."""
    return named(account(), "one", "two", "three")


def test_fresh_answers_are_not_asked_for_again(api, mount):
    mnt = mount(api)
    for _ in range(5):
        mnt.read("one", "systemToken")
        mnt.read("one", "dependencies")
        mnt.config("two")
        os.stat(mnt / "three" / "config.json")
    api.expect(list=1, token=1, dependencies=1)


def test_a_stack_that_becomes_a_server_has_a_token(account, mount):
    """That it had none was kept by the kernel, too."""
    api = account()
    api.add_stack(lambda_stack("one"))
    mnt = mount(api)
    token = mnt / "one" / "systemToken"
    assert not os.path.lexists(token)
    api.patch_stack(stack_id(1), stack("one") | {"lambda": None})
    mnt.refresh()
    assert mnt.names("one") == ["config.json", "dependencies", "systemToken"]
    assert token.read_bytes() == api.file(api.record(stack_id(1)), "systemToken")
    api.expect(list=2, token=1)


# ---- refresh ----

def refresh_by_file(mnt):
    mnt.refresh()


def refresh_by_shell(mnt):
    output_of("echo > .stacksfs/refresh", cwd=mnt.path)


def refresh_by_command(mnt):
    done = mnt.cli("refresh", mnt.path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("refresh", [refresh_by_file, refresh_by_shell, refresh_by_command])
def test_refresh_shows_an_edit_at_once(api, mount, refresh):
    mnt = mount(api)
    before = os.stat(mnt / "one" / "config.json")
    mnt.config("one")
    host = change(api)
    assert hosts(mnt, "one") != host
    refresh(mnt)
    after = os.stat(mnt / "one" / "config.json")
    record = api.records()[0]
    assert after.st_size == len(record.config) != before.st_size
    assert after.st_mtime_ns == record.modified_ms * 1_000_000 != before.st_mtime_ns
    assert after.st_ino == before.st_ino
    assert mnt.config("one") == record.config
    api.expect(list=2)


def test_refresh_shows_new_and_gone_stacks(api, mount):
    mnt = mount(api)
    assert mnt.names() == ["one", "three", "two"]
    before = os.stat(mnt.path)
    api.add_stack(stack("four", 4))
    api.delete_stack(stack_id(2))
    mnt.refresh()
    assert mnt.names() == ["four", "one", "three"]
    assert not os.path.lexists(mnt / "two")
    assert mnt.config("four") == api.directories()["four"].config
    after = os.stat(mnt.path)
    assert after.st_mtime_ns != before.st_mtime_ns, "the set of names has changed"
    api.expect(list=2, record=1)


def test_a_name_looked_for_too_early_appears(api, mount):
    mnt = mount(api)
    assert not os.path.lexists(mnt / "four")
    api.add_stack(stack("four", 4))
    mnt.refresh()
    assert os.path.isdir(mnt / "four")
    api.expect(list=2)


def test_refresh_renews_tokens_and_dependencies(api, mount):
    mnt = mount(api)
    mnt.read("one", "systemToken"), mnt.read("one", "dependencies")
    api.rotate(stack_id(1))
    api.set_dependencies(stack_id(1), {"flows": [{"id": stack_id(9), "name": "nightly"}]})
    mnt.refresh()
    assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    assert mnt.read("one", "dependencies") == api.dependencies(stack_id(1))
    api.expect(list=2, token=2, dependencies=2)


@pytest.mark.parametrize("file, endpoint", [("systemToken", "token"), ("dependencies",) * 2])
def test_refresh_finds_a_file_that_was_not_there(api, mount, file, endpoint):
    """The kernel remembers absence too."""
    mnt = mount(api)
    api.fault(kind="status", status=404, path=f"*/{file}", times=1)
    for _ in range(3):
        assert not os.path.lexists(mnt / "one" / file)
    mnt.refresh()
    assert mnt.read("one", file) == api.file(api.records()[0], file)
    assert file in mnt.names("one")
    api.expect(**{"list": 2, endpoint: 2})


def test_an_unchanged_root_keeps_its_time(api, mount):
    mnt = mount(api)
    before = os.stat(mnt.path).st_mtime_ns
    mnt.refresh()
    change(api)
    mnt.refresh()
    assert os.stat(mnt.path).st_mtime_ns == before
    api.expect(list=3)


def test_a_refresh_that_fails_says_so_and_keeps_what_is_there(api, mount):
    mnt = mount(api, timeout=2)
    before = mnt.config("one")
    fault = api.fault(kind="status", status=403, path=LIST)
    done = mnt.cli("refresh", mnt.path)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(OSError) as refused:
        mnt.refresh()
    assert refused.value.errno == errno.EPERM
    assert mnt.names() == ["one", "three", "two"]
    assert mnt.config("one") == before
    api.clear_faults()
    assert fault
    mnt.refresh()
    api.expect(list=4)


# ---- ttl ----

@pytest.mark.any_requests("depends on how often is looked within a ttl")
def test_an_edit_is_seen_within_ttl(api, mount):
    mnt = mount(api, ttl=1)
    mnt.config("one")
    host = change(api)
    api.add_stack(stack("four", 4))
    began = time.monotonic()
    eventually(lambda: hosts(mnt, "one") == host and "four" in mnt.names(), within=3)
    assert time.monotonic() - began < 1.6 * SLOWER
    record = api.directories()["one"]
    assert os.stat(mnt / "one" / "config.json").st_size == len(record.config)


@pytest.mark.any_requests("depends on how often is looked within a ttl")
def test_nothing_old_is_shown_after_ttl_by_any_path(api, mount):
    mnt = mount(api, ttl=1)
    mnt.config("one"), mnt.names(), os.stat(mnt / "two" / "config.json")
    host = change(api)
    api.delete_stack(stack_id(3))
    let_pass(1.1)
    assert hosts(mnt, "one") == host
    assert mnt.names() == ["one", "two"]
    assert not os.path.lexists(mnt / "three" / "config.json")


@pytest.mark.any_requests("depends on how often is looked within a ttl")
def test_a_token_and_dependencies_have_a_ttl_too(api, mount):
    mnt = mount(api, ttl=1)
    mnt.read("one", "systemToken"), mnt.read("one", "dependencies")
    api.rotate(stack_id(1))
    api.set_dependencies(stack_id(1), {"imports": [{"id": stack_id(9), "name": "x"}]})
    let_pass(1.1)
    assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    assert mnt.read("one", "dependencies") == api.dependencies(stack_id(1))


def test_an_idle_mount_asks_nothing(api, mount):
    mnt = mount(api, ttl=1)
    mnt.config("one")
    let_pass(2.5)
    api.expect(list=1)


@pytest.mark.any_requests("a second renewal may have begun")
def test_a_renewal_happens_behind_the_readers_back(api, mount):
    """In the second half of a ttl an access starts one, and none waits for it."""
    ttl = int(4 * SLOWER)
    mnt = mount(api, ttl=ttl)
    mnt.config("one")
    began = time.monotonic()
    api.fault(kind="delay", delay_ms=int(ttl / 4 * 1000), path=LIST)
    slowest = 0
    while api.counts()["list"] < 2:
        before = time.monotonic()
        mnt.config("one"), mnt.names(), os.stat(mnt / "two" / "config.json")
        slowest = max(slowest, time.monotonic() - before)
        assert time.monotonic() - began < ttl, "no renewal was begun in time"
    assert time.monotonic() - began > ttl / 2 - 0.3, "too early"
    host = change(api)
    eventually(lambda: hosts(mnt, "one") == host or api.counts()["list"] > 2, within=ttl)
    assert slowest < ttl / 8


@pytest.mark.any_requests("depends on how often is looked within a ttl")
def test_a_used_mount_never_waits(api, mount):
    ttl = int(2 * SLOWER)
    mnt = mount(api, ttl=ttl)
    mnt.config("one")
    api.fault(kind="delay", delay_ms=int(ttl / 4 * 1000), path=LIST)
    end = time.monotonic() + 3 * ttl
    while time.monotonic() < end:
        before = time.monotonic()
        mnt.config("one")
        assert time.monotonic() - before < ttl / 5
        time.sleep(ttl / 40)
    assert api.counts()["list"] >= 3


@pytest.mark.any_requests("every access asks")
def test_a_ttl_of_nothing_asks_every_time(api, mount):
    mnt = mount(api, ttl=0)
    for round in range(3):
        host = change(api, host=f"https://{round}.example.com/{'x' * round}")
        assert hosts(mnt, "one") == host
        api.rotate(stack_id(1))
        assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    api.add_stack(stack("four", 4))
    assert "four" in mnt.names()


# ---- one record of a long list ----

def test_one_old_record_of_a_long_list_is_asked_for_alone(account, mount):
    api = account(**LONG_LIST)
    mnt = mount(api, ttl=2)
    name, record = sorted(api.directories().items())[123]
    mnt.config(name)
    api.expect(list=3)
    api.patch_stack(record.id, {"framework": "twoDotZero", "note": "changed elsewhere"})
    let_pass(2.2)
    assert mnt.config(name) == api.record(record.id).config
    api.expect(list=3, record=1)


def test_a_second_old_record_asks_for_the_list(account, mount):
    api = account(**LONG_LIST)
    mnt = mount(api, ttl=2)
    first, second, third = mnt.names()[100:103]
    for name in (first, second, third):
        mnt.config(name)
    let_pass(2.2)
    mnt.config(first)
    api.expect(list=3, record=1)
    mnt.config(second)
    mnt.config(third)
    api.expect(list=6, record=1)


def test_an_old_record_of_a_short_list_asks_for_the_list(api, mount):
    mnt = mount(api, ttl=1)
    mnt.config("one")
    let_pass(1.2)
    mnt.config("one")
    api.expect(list=2)


# ---- one request however many wait ----

@pytest.mark.parametrize("file, endpoint", [("systemToken", "token"), ("dependencies",) * 2])
def test_many_readers_of_a_cold_file_cost_one_request(api, mount, file, endpoint):
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=700, path=f"*/{file}")
    wanted = api.file(api.records()[0], file)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        together = threading.Barrier(40)

        def read(_):
            together.wait()
            return mnt.read("one", file)

        assert set(pool.map(read, range(40))) == {wanted}
    api.expect(**{"list": 1, endpoint: 1})


def test_many_readers_of_a_cold_list_cost_one_chain(account, mount):
    api = account(**LONG_LIST)
    directories = api.directories()
    api.fault(kind="delay", delay_ms=400, path=LIST, skip=1)
    mnt = mount(api)
    names = sorted(directories)[:40]
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        texts = list(pool.map(mnt.config, names))
    assert texts == [directories[name].config for name in names]
    api.expect(list=3)


def test_many_readers_of_an_old_record_cost_one_request(account, mount):
    api = account(**LONG_LIST)
    name, record = max(api.directories().items())
    mnt = mount(api, ttl=int(2 * SLOWER))
    mnt.config(name)
    let_pass(2.2 * SLOWER)
    api.fault(kind="delay", delay_ms=400, path=RECORD)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        assert set(pool.map(lambda _: mnt.config(name), range(40))) == {record.config}
    api.expect(list=3, record=1)


# ---- versions ----

def test_an_open_file_keeps_its_version(api, mount):
    mnt = mount(api)
    old = api.records()[0].config
    with open(mnt / "one" / "config.json", "rb", buffering=0) as kept:
        assert kept.read(10) == old[:10]
        change(api)
        mnt.refresh()
        new = api.records()[0].config
        assert len(new) > len(old)
        assert mnt.config("one") == new
        kept.seek(0)
        assert kept.read() == old, "who reads on reads one version, whole"
        assert os.fstat(kept.fileno()).st_ino == os.stat(mnt / "one" / "config.json").st_ino
        assert mnt.config("one") == new, "and gives its pages to nobody else"
    api.expect(list=2)


def test_an_open_file_that_was_not_read_yet_keeps_its_version(api, mount):
    """The kernel has none of its pages: they must come from the version that was opened."""
    api.patch_stack(stack_id(1), {"note": "old " * 50_000})
    mnt = mount(api)
    old = api.records()[0].config
    with open(mnt / "one" / "config.json", "rb", buffering=0) as kept:
        api.patch_stack(stack_id(1), {"note": "new! " * 60_000})
        mnt.refresh()
        assert mnt.config("one") == api.records()[0].config
        assert kept.read(len(old)) == old
        assert kept.read(100) == b""
        assert os.fstat(kept.fileno()).st_size == len(old)
        assert mnt.config("one") == api.records()[0].config
    api.expect(list=2)


def test_an_open_file_outlives_its_stack(api, mount):
    mnt = mount(api)
    old = api.records()[1].config
    with open(mnt / "two" / "config.json", "rb", buffering=0) as kept:
        api.delete_stack(stack_id(2))
        mnt.refresh()
        assert not os.path.lexists(mnt / "two")
        assert kept.read() == old
    api.expect(list=2, record=1)


@pytest.mark.parametrize("etag", ["strong", "weak"])
def test_what_has_not_changed_is_not_sent_again(account, mount, etag):
    api = account(etag=etag, **LONG_LIST)
    directories = api.directories()
    mnt = mount(api)
    output_of("cat */config.json", cwd=mnt.path)
    api.clear_log()
    mnt.refresh()
    assert api.statuses("list") == [304, 304, 304]
    name = min(directories)
    assert mnt.config(name) == directories[name].config
    assert mnt.names() == sorted(directories)
    api.patch_stack(directories[name].id, {"note": "changed"})
    mnt.refresh()
    assert sorted(api.statuses("list")[3:]) == [200, 304, 304]
    assert b"changed" in mnt.config(name)
    api.expect(list=6)


@pytest.mark.parametrize("pages", [1, 3])
def test_a_new_page_behind_an_unchanged_one_is_seen(account, mount, pages):
    """The last page was full: its own text, and so its ETag, says nothing of the next one."""
    api = account(etag="strong", page_size=20, stacks=20 * pages)
    mnt = mount(api)
    before = mnt.names()
    api.add_stack(stack("zzz", 0xffffffff))
    mnt.refresh()
    assert mnt.names() == sorted([*before, "zzz"])
    api.expect(list=pages + pages + 1)


def test_a_single_record_is_validated_too(account, mount):
    api = account(etag="strong", **LONG_LIST)
    mnt = mount(api, ttl=2)
    name, record = sorted(api.directories().items())[5]
    mnt.config(name)
    for status in (200, 304):
        let_pass(2.2)
        assert mnt.config(name) == record.config
        assert api.statuses("record")[-1] == status
    api.expect(list=3, record=2)


# ---- lists that are not to be believed ----

def page_without(api, number, *gone):
    """A page of the list, as it is but for some records, with its Link header."""
    text, headers = api.get(list(api.pages())[number][0])
    kept = [raw for raw in json.loads(text) if raw["_id"] not in gone]
    link = headers.get("Link")
    return dict(body=json.dumps(kept), headers={"Link": link} if link else {})


def test_a_record_lost_between_two_pages_does_not_vanish(account, mount):
    """Pages by offset: what is deleted on page 1 pulls a living record off page 2."""
    api = account(paging="offset", **LONG_LIST)
    records = api.records()
    mnt = mount(api)
    names = mnt.names()
    lost = next(name for name, record in api.directories().items() if record.id == records[100].id)
    spoilt = page_without(api, 1, records[100].id)
    api.fault(kind="body", path=LIST, skip=1, times=1, **spoilt)
    mnt.cli("refresh", mnt.path)
    assert lost in mnt.names()
    assert mnt.names() == names
    assert mnt.config(lost) == records[100].config
    # Its own GET is what is believed, and the chain is run once more.
    api.expect(list=9, record=1)


@pytest.mark.parametrize("deleted, cost", [
    (1, dict(list=9, record=2)),
    (4, dict(list=9, record=8)),
    (20, dict(list=7, record=8)),  # too many to be asked about; and a page less
])
def test_deletions_while_the_list_is_read_make_no_stack_vanish(account, mount, deleted, cost):
    """Stacks of the first page are deleted behind the reader's back: as many living ones slip off
    the second page before it is asked for."""
    api = account(stacks=60, page_size=20, paging="offset")
    before, records = api.directories(), api.records()
    gone = {record.id for record in records[:deleted]}
    mnt = mount(api)
    assert mnt.names() == sorted(before)
    api.fault(kind="delay", apply=True, delay_ms=int(500 * SLOWER), path=LIST, times=1)
    refresh = run_in_background(mnt.cli, "refresh", mnt.path)
    api.wait(method="GET", path=LIST, count=4 + api.own("list"), timeout=10)
    for stack_to_delete in sorted(gone):
        api.delete_stack(stack_to_delete)
    refresh()
    assert mnt.names() == sorted(n for n, r in before.items() if r.id not in gone)
    api.expect(**cost)


@pytest.mark.parametrize("glitch", [
    dict(kind="status", status=204),
    dict(kind="body", body="[]"),
    dict(kind="body", body="short"),
], ids=["204", "empty", "short"])
def test_a_glitch_makes_no_stack_vanish(account, mount, glitch):
    api = account(**LONG_LIST)
    directories = api.directories()
    mnt = mount(api)
    assert mnt.names() == sorted(directories)
    if glitch.get("body") == "short":
        glitch = dict(glitch, body="[" + ",".join(r.raw for r in api.records()[:100]) + "]")
    api.fault(path=LIST, times=1, **glitch)
    mnt.cli("refresh", mnt.path)
    assert mnt.names() == sorted(directories)
    name = max(directories)
    assert mnt.config(name) == directories[name].config
    api.expect(list=7)


def test_gone_is_what_its_own_get_calls_gone(account, mount):
    api = account(**LONG_LIST)
    mnt = mount(api)
    gone = [name for name, record in api.directories().items()][:3]
    ids = [api.directories()[name].id for name in gone]
    mnt.names()
    for stack_to_delete in ids:
        api.delete_stack(stack_to_delete)
    api.clear_log()
    mnt.refresh()
    assert not set(gone) & set(mnt.names())
    assert len(mnt.names()) == 247
    assert api.statuses("record") == [404] * 3
    api.expect(list=3, record=3)


def test_a_stack_that_cannot_be_asked_about_is_not_gone(account, mount):
    api = account(**LONG_LIST)
    mnt = mount(api, timeout=2)
    name, record = min(api.directories().items())
    mnt.names()
    api.delete_stack(record.id)
    api.fault(kind="status", status=403, path=RECORD)
    assert mnt.cli("refresh", mnt.path).returncode == 1
    assert name in mnt.names(), "a failure is never absence"
    api.clear_faults()
    mnt.refresh()
    assert name not in mnt.names()
    api.expect(list=9, record=2)


def test_an_answer_overtaken_by_a_newer_one_is_dropped(account, mount):
    """A list asked for first, made before the change and delivered after the record's own GET."""
    api = account(**LONG_LIST)
    mnt = mount(api, ttl=int(2 * SLOWER))
    record = api.records()[0]  # on the page that comes late
    name = next(name for name, other in api.directories().items() if other.id == record.id)
    mnt.config(name)
    let_pass(2.2 * SLOWER)
    api.fault(kind="delay", apply=True, delay_ms=int(1500 * SLOWER), path=LIST, times=1)
    slow = run_in_background(mnt.cli, "refresh", mnt.path)
    api.wait(method="GET", path=LIST, count=4 + api.own("list"), timeout=10)
    api.patch_stack(record.id, {"note": "newer"})
    assert b"newer" in mnt.config(name)
    slow()
    assert b"newer" in mnt.config(name)
    api.expect(list=range(6, 10), record=range(1, 3))


# ---- when the API cannot be reached ----

@pytest.mark.any_requests("a failed request is tried again")
def test_what_is_cached_is_served_while_the_api_is_down(api, mount):
    mnt = mount(api, ttl=1, timeout=5)
    config, token = mnt.config("one"), mnt.read("one", "systemToken")
    api.fault(kind="status", status=503)
    let_pass(1.2)
    began = time.monotonic()
    assert mnt.config("one") == config
    assert time.monotonic() - began < 4.5 * SLOWER
    assert mnt.read("one", "systemToken") == token
    assert mnt.names() == ["one", "three", "two"]
    assert mnt.status()["api"]["state"] == "stale"
    assert "user.stacksfs.stale" in os.listxattr(mnt / "one" / "config.json")
    began = time.monotonic()
    for _ in range(20):
        mnt.config("two")
    assert time.monotonic() - began < 4 * SLOWER, "only the first one waits"
    api.clear_faults()
    host = change(api)
    eventually(lambda: hosts(mnt, "one") == host, within=8)
    assert mnt.status()["api"]["state"] == "ok"


@pytest.mark.any_requests("a failed request is tried again")
def test_not_longer_than_stale_allows(api, mount):
    mnt = mount(api, ttl=1, stale=2, timeout=2)
    mnt.config("one")
    api.fault(kind="status", status=503)
    let_pass(3.5)
    with pytest.raises(OSError) as refused:
        mnt.config("one")
    assert refused.value.errno in (errno.EIO, errno.ETIMEDOUT)


@pytest.mark.any_requests("a failed request is tried again")
def test_never_after_the_token_was_refused(api, mount):
    mnt = mount(api, ttl=1, timeout=2)
    mnt.config("one")
    api.fault(kind="status", status=401, body='{"message":"Bearer Authentication Failed"}')
    let_pass(1.2)
    with pytest.raises(PermissionError) as refused:
        mnt.config("one")
    assert refused.value.errno == errno.EACCES
