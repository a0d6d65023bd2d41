# SPDX-License-Identifier: MIT
"""Waiting for the API: it delays nobody else, and ends by Ctrl-C, by kill and by timeout=."""
import contextlib
import errno
import os
import select
import signal
import subprocess
import time

import pytest
from account import DEPENDENCIES, LIST, TOKEN, stack
from mount import SLOWER, eventually, output_of, run

# A reader of many files at once, as a process of its own: it may have to be killed.
MANY_READERS = """
import sys, threading
def read(path):
    try:
        open(path, "rb").read()
    except OSError as error:
        print(error.errno, flush=True)
threads = [threading.Thread(target=read, args=(path,)) for path in sys.argv[1:]]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

# Perl restarts nothing by itself: an EINTR ends its open and its stat.
UNDER_ALARMS = r"""
use strict; use warnings; use Time::HiRes qw(setitimer ITIMER_REAL); use Fcntl;
my $alarms = 0;
$SIG{ALRM} = sub { $alarms++ };
setitimer(ITIMER_REAL, 0.03, 0.03);
for my $path (@ARGV) {
    my @found = stat($path) or die "stat $path: $!\n";
    sysopen(my $file, $path, O_RDONLY) or die "open $path: $!\n";
    my $text = "";
    while (1) {
        my $n = sysread($file, $text, 65536, length $text);
        next if !defined $n && $!{EINTR};
        die "read $path: $!\n" if !defined $n;
        last if !$n;
    }
    print "$path $found[7] ", length $text, "\n";
}
setitimer(ITIMER_REAL, 0); # or one may come when Perl has given its handler up
print "alarms $alarms\n";
"""


def start(*command, cwd=None):
    return subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd)


def ends_within(process, seconds):
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], seconds * SLOWER)[0])
    finally:
        os.close(pidfd)


@contextlib.contextmanager
def running(*command, cwd=None):
    process = start(*command, cwd=cwd)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    api.add_stack(stack("two", 2))
    return api


@pytest.mark.any_requests("how many of the 200 get onto the wire is not promised")
def test_readers_that_hang_delay_nobody_else(account, mount):
    api = account(stacks=270)
    directories = api.directories()
    servers = [name for name, record in directories.items() if record.type == "server"][:200]
    assert len(servers) > 190
    mnt = mount(api, timeout=30)
    names = mnt.names()
    mnt.config(names[0])
    api.fault(kind="hang", path=TOKEN)
    paths = [mnt / name / "systemToken" for name in servers]
    with running("/usr/bin/python3", "-c", MANY_READERS, *paths) as readers:
        api.wait(path=TOKEN, count=5, timeout=10)
        began = time.monotonic()
        for name in names[:50]:
            assert mnt.config(name) == directories[name].config
        assert mnt.names() == names
        os.stat(mnt / names[1] / "config.json")
        assert time.monotonic() - began < 1 * SLOWER
        began = time.monotonic()
        assert output_of(["cat", mnt / names[3] / "config.json"])
        assert time.monotonic() - began < 1 * SLOWER
        assert readers.poll() is None


@pytest.fixture
def crowd(account, mount):
    """An account, a mount that shows nothing old, and more stacks with a token than there are
    slots."""
    api = account(stacks=120)
    names = [name for name, record in api.directories().items() if record.type == "server"][:70]
    mnt = mount(api, timeout=20, ttl=1, stale=0)
    assert len(mnt.names()) == 120
    return api, mnt, names


@pytest.mark.any_requests("a hung request may be tried again")
def test_an_endpoint_that_hangs_delays_no_other(crowd):
    """The requests that hang would take all the slots that there are for what users wait for."""
    api, mnt, names = crowd
    api.fault(kind="hang", path=DEPENDENCIES)
    with running("/usr/bin/python3", "-c", MANY_READERS,
                 *(mnt / name / "dependencies" for name in names)) as readers:
        api.wait(path=DEPENDENCIES, count=40, timeout=10)
        listed = api.count(path=LIST)
        took = []
        while api.count(path=LIST) < listed + 3:
            began = time.monotonic()
            assert len(mnt.names()) == 120
            assert mnt.config(names[0])
            assert mnt.read(names[len(took) % len(names)], "systemToken")
            took.append(time.monotonic() - began)
        assert readers.poll() is None
    assert max(took) < 1 * SLOWER, "tokens, records and the list, each asked for when it is old"


@pytest.mark.any_requests("a hung request may be tried again")
def test_two_endpoints_that_hang_delay_no_other(crowd):
    """Nor do both of them together take all the slots."""
    api, mnt, names = crowd
    api.fault(kind="hang", path=DEPENDENCIES)
    api.fault(kind="hang", path=TOKEN)
    with running("/usr/bin/python3", "-c", MANY_READERS,
                 *(mnt / name / "dependencies" for name in names)) as readers:
        api.wait(path=DEPENDENCIES, count=40, timeout=10)
        with running("/usr/bin/python3", "-c", MANY_READERS,
                     *(mnt / name / "systemToken" for name in names)) as others:
            eventually(lambda: mnt.status()["http"]["queued"] >= 80)
            listed = api.count(path=LIST)
            took = []
            while api.count(path=LIST) < listed + 3:
                began = time.monotonic()
                assert len(mnt.names()) == 120
                assert mnt.config(names[0])
                took.append(time.monotonic() - began)
            assert readers.poll() is None and others.poll() is None
    assert max(took) < 1 * SLOWER, "the list, asked for when it is old"


def test_a_hanging_token_does_not_hold_up_its_own_directory(api, mount):
    mnt = mount(api)
    api.fault(kind="hang", path=TOKEN)
    with running("cat", mnt / "one" / "systemToken"):
        api.wait(path=TOKEN, count=1, timeout=10)
        began = time.monotonic()
        assert mnt.config("one")
        assert mnt.names("one") == ["config.json", "dependencies", "systemToken"]
        assert mnt.read("one", "dependencies") == api.dependencies(api.records()[0].id)
        assert not os.path.lexists(mnt / "one" / "unknown")
        assert time.monotonic() - began < 1 * SLOWER
    api.expect(list=1, token=1, dependencies=1)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP,
                                    signal.SIGKILL], ids=lambda signum: signum.name)
@pytest.mark.parametrize("file, path", [("systemToken", TOKEN), ("dependencies", DEPENDENCIES)],
                         ids=["token", "dependencies"])
def test_a_signal_ends_a_reader_that_hangs(api, mount, signum, file, path):
    mnt = mount(api)
    api.fault(kind="hang", path=path)
    with running("cat", mnt / "one" / file) as reader:
        api.wait(path=path, count=1, timeout=10)
        reader.send_signal(signum)
        assert ends_within(reader, 2), "the reader cannot be ended"
    assert mnt.config("one")
    endpoint = "token" if file == "systemToken" else file
    api.expect(**{"list": 1, endpoint: 1})


def test_a_signal_ends_a_reader_of_a_hanging_list(account, mount):
    api = account(stacks=250, page_size=100)
    api.fault(kind="hang", path=LIST, skip=1)
    mnt = mount(api)
    with running("ls", mnt.path) as reader:
        api.wait(path=LIST, count=2, timeout=10)
        reader.send_signal(signal.SIGINT)
        assert ends_within(reader, 2), "the reader cannot be ended"
    api.expect(list=2)


@pytest.mark.parametrize("command", [
    ["cat", "one/config.json"], ["stat", "one"], ["ls", "."], ["ls", "one"],
    ["ls", ".stacksfs/by-id"], ["bash", "-c", "echo > .stacksfs/refresh"],
], ids=lambda command: command[-1])
def test_a_signal_ends_who_waits_for_a_renewal(api, mount, command):
    """What is known and old is waited for in other calls than what is not known yet."""
    mnt = mount(api, ttl=1, stale=0)
    for path in ("one/config.json", "one", ".", ".stacksfs/by-id", ".stacksfs/refresh"):
        os.stat(mnt / path)
    mnt.names(), mnt.names("one"), mnt.names(".stacksfs", "by-id")
    time.sleep(1.2)
    api.fault(kind="hang", path=LIST)
    with running(*command, cwd=mnt.path) as reader:
        api.wait(path=LIST, count=2, timeout=10)
        reader.send_signal(signal.SIGINT)
        assert ends_within(reader, 2), "it cannot be ended"
    api.expect(list=2)


def test_another_reader_goes_on_when_one_is_interrupted(api, mount):
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=int(1500 * SLOWER), path=TOKEN)
    with running("cat", mnt / "one" / "systemToken") as first:
        api.wait(path=TOKEN, count=1, timeout=10)
        with running("cat", mnt / "one" / "systemToken") as second:
            first.send_signal(signal.SIGINT)
            assert ends_within(first, 2)
            output, complaint = second.communicate(timeout=10 * SLOWER)
            assert (second.returncode, complaint) == (0, b"")
            assert output == api.system_token(api.records()[0].id)
    api.expect(list=1, token=1)


@pytest.mark.parametrize("file, path", [("systemToken", TOKEN), ("dependencies", DEPENDENCIES)])
def test_timers_break_nothing(api, mount, file, path):
    mnt = mount(api)
    size = len(api.file(api.records()[0], file))
    api.fault(kind="delay", delay_ms=3000, path=path)
    target = mnt / "one" / file
    text = output_of(["perl", "-e", UNDER_ALARMS, target])
    lines = text.splitlines()
    assert lines[0] == f"{target} {size} {size}"
    assert int(lines[1].split()[1]) >= 1, "the alarms did ring, also while a call waits"
    api.expect(**{"list": 1, "token" if file == "systemToken" else file: 1})


def test_timers_break_no_list(account, mount):
    api = account(stacks=250, page_size=100)
    name, record = max(api.directories().items())
    api.fault(kind="delay", delay_ms=1500, path=LIST, skip=1)
    mnt = mount(api)
    target = mnt / name / "config.json"
    text = output_of(["perl", "-e", UNDER_ALARMS, target])
    assert text.splitlines()[0] == f"{target} {len(record.config)} {len(record.config)}"
    api.expect(list=3)


@pytest.mark.any_requests("a hung request may be tried again")
@pytest.mark.parametrize("file, path", [("systemToken", TOKEN), ("dependencies", DEPENDENCIES)])
def test_timeout_bounds_a_request_that_hangs(api, mount, file, path):
    mnt = mount(api, timeout=2)
    api.fault(kind="hang", path=path)
    began = time.monotonic()
    with pytest.raises(TimeoutError) as late:
        mnt.read("one", file)
    assert late.value.errno == errno.ETIMEDOUT
    assert 1.5 < time.monotonic() - began < 2 + 2 * SLOWER
    line = mnt.errors()[-1]
    assert line["errno"] == "ETIMEDOUT"
    assert line["path"].endswith(f"one/{file}")
    api.clear_faults()
    assert mnt.read("one", file) == api.file(api.records()[0], file), "a failure is not cached"


@pytest.mark.any_requests("a hung request may be tried again")
def test_timeout_bounds_a_call_about_what_the_kernel_knows(api, mount):
    """It asks again for a name whose answer has failed it: that must not cost a second timeout."""
    mnt = mount(api, timeout=2, ttl=1, stale=0)
    mnt.config("one")
    time.sleep(1.2)
    api.fault(kind="hang", path=LIST)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        mnt.config("one")
    assert 1.5 < time.monotonic() - began < 2 + 1.5 * SLOWER
    assert len(mnt.errors()) == 1
    api.clear_faults()
    assert mnt.config("one") == api.records()[0].config, "a failure is not cached"


@pytest.mark.parametrize("path", [("one", "config.json"), ("one", "systemToken"),
                                  ("one", "dependencies"), ("one",)], ids="/".join)
def test_a_failed_call_asks_once(api, mount, path):
    mnt = mount(api, ttl=1)
    target = mnt.path.joinpath(*path)
    os.stat(target)
    time.sleep(1.2)
    api.clear_log()
    api.fault(kind="status", status=403)
    for failures in (1, 2, 3):
        with pytest.raises(PermissionError):
            os.stat(target)
        assert len(mnt.errors()) == failures
        api.expect(list=failures)
    api.clear_faults()
    os.stat(target)


@pytest.mark.any_requests("a hung request may be tried again")
@pytest.mark.parametrize("kind", [dict(kind="drip", drip_ms=300), dict(kind="hang"),
                                  dict(kind="truncate", at_byte=3), dict(kind="reset"),
                                  dict(kind="garbage")], ids=lambda fault: fault["kind"])
def test_a_peer_that_misbehaves_is_an_error_in_time(api, mount, kind):
    mnt = mount(api, timeout=2)
    api.fault(path=DEPENDENCIES, **kind)
    began = time.monotonic()
    with pytest.raises(OSError) as broken:
        mnt.read("one", "dependencies")
    assert broken.value.errno in (errno.EIO, errno.ETIMEDOUT, errno.ECONNREFUSED)
    assert time.monotonic() - began < 2 + 2 * SLOWER
    assert mnt.config("one")


@pytest.mark.parametrize("fault", [
    dict(kind="reset"), dict(kind="drop"), dict(kind="truncate", at_byte=2),
    *(dict(kind="status", status=status) for status in (408, 429, 500, 502, 503, 504)),
], ids=lambda fault: str(fault.get("status") or fault["kind"]))
def test_one_failure_is_tried_again(api, mount, fault):
    mnt = mount(api)
    api.fault(path=TOKEN, times=1, **fault)
    assert mnt.read("one", "systemToken") == api.system_token(api.records()[0].id)
    assert mnt.errors() == []
    api.expect(list=1, token=2)


def test_a_wait_that_the_server_asks_for_is_kept(api, mount):
    mnt = mount(api)
    api.fault(kind="status", status=429, path=TOKEN, times=1, headers={"Retry-After": "1"})
    began = time.monotonic()
    assert mnt.read("one", "systemToken")
    assert 0.9 < time.monotonic() - began < 5 * SLOWER
    api.expect(list=1, token=2)


def test_a_wait_longer_than_timeout_fails_at_once(api, mount):
    mnt = mount(api, timeout=5)
    api.fault(kind="status", status=429, path=TOKEN, headers={"Retry-After": "3600"})
    began = time.monotonic()
    with pytest.raises(OSError) as busy:
        mnt.read("one", "systemToken")
    assert busy.value.errno == errno.EBUSY
    assert time.monotonic() - began < 2 * SLOWER
    api.expect(list=1, token=1)


def test_many_slow_tokens_are_asked_for_together(account, mount):
    api = account(stacks=30)
    tokens = {n: r for n, r in api.directories().items() if r.type == "server"}
    wanted = [api.system_token(record.id) for record in tokens.values()]
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=500, path=TOKEN)
    began = time.monotonic()
    readers = [start("cat", mnt / name / "systemToken") for name in tokens]
    assert [reader.communicate()[0] for reader in readers] == wanted
    assert time.monotonic() - began < 0.5 * len(tokens) / 2 * SLOWER
    api.expect(list=1, token=len(tokens))


def test_connections_are_kept(account, mount):
    """Over HTTP/1.1, too: a connection for each request would be most of its cost."""
    api = account()
    api.add_stack(stack("one"))
    mnt = mount(api, max_rotate=0)
    for _ in range(10):
        mnt.read("one", "systemToken")
        subprocess.run(["rm", mnt / "one" / "systemToken"], check=True)
    assert len({entry["connection"] for entry in api.log()}) <= 2
    api.expect(list=1, token=10, rotate=10)


@pytest.mark.any_requests("the hung request may be tried again")
def test_unmounting_does_not_wait_for_the_api(api, mount):
    mnt = mount(api, timeout=30)
    api.fault(kind="hang", path=TOKEN)
    with running("cat", mnt / "one" / "systemToken"):
        api.wait(path=TOKEN, count=1, timeout=10)
        began = time.monotonic()
        os.kill(mnt.pid, signal.SIGTERM)
        assert mnt.wait() == []
        assert time.monotonic() - began < 5 * SLOWER


def test_a_stopped_reader_harms_nobody(api, mount):
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=500, path=TOKEN, times=1)
    with running("cat", mnt / "one" / "systemToken") as reader:
        api.wait(path=TOKEN, count=1, timeout=10)
        reader.send_signal(signal.SIGSTOP)
        assert mnt.config("two")
        eventually(lambda: api.statuses("token")[0] == 200)
        reader.send_signal(signal.SIGCONT)
        output, _ = reader.communicate(timeout=10 * SLOWER)
    assert output == api.system_token(api.records()[0].id)
    assert run(["cat", mnt / "two" / "config.json"]).returncode == 0
    api.expect(list=1, token=1)
