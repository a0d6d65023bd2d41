# SPDX-License-Identifier: MIT
"""The name server answers no more, or says that there is no such name.

In a network that has a loopback and nothing else, over TLS, so that what a mount asks shares one
connection (HTTP/2), and only a POST, and who finds the connection gone, looks the name up.
The resolver of the C library would wait for minutes: what ends earlier is ended by stacksfs.

libcurl keeps an address for a minute. So the mounts of this file are made when it begins, and lie
idle until that is over; in the meantime come the tests that mount for themselves.
"""
import concurrent.futures
import contextlib
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time

import pytest
from account import Account, stack_id
from background import run_in_background
from conftest import BUILD, EMULATOR, NOT_SLOWED_DOWN, STACKSFS
from emulator import TlsFront
from gate import Gate
from mount import SLOWER, Mount, MountFailed, eventually, mounted_at, run
from name_server import NO_ERROR, NXDOMAIN, SERVFAIL, SILENT, NameServer
from namespace import island
from saving import edit, editable, write

pytestmark = [pytest.mark.seconds(150), NOT_SLOWED_DOWN]

HOST = "api.stacks.test"
TIMEOUT_S = int(6 * SLOWER)
SLACK_S = 1.5 * SLOWER
CACHED_S = 60  # libcurl's, from the last answer of the name server
CONNECTIONS = 8  # at most, at once
PAUSE_S = 2      # of the circuit breaker, between two probes
NAMES = [f"s{number:02}" for number in range(1, 31)]
NEW = b'{"name": "new", "type": "server", "server": {"hostURI": "https://h.example"}}\n'
SYSTEM = {"resolv.conf": "nameserver 127.0.0.1\noptions timeout:30 attempts:5\n",
          "nsswitch.conf": "hosts: dns\n"}
#: Of the mounts that lie idle: the test, and its options.
AGED = {
    "test_what_has_a_living_connection_goes_on": {},
    "test_without_a_connection": dict(ttl=1),
    "test_unmounting_while_a_look_up_hangs": dict(ttl=1),
    "test_sigterm_while_a_reader_waits_for_a_look_up": {},
    "test_sigterm_while_a_creation_waits_for_a_look_up": {},
    "test_a_name_that_is_gone[NXDOMAIN]": {},
    "test_a_name_that_is_gone[SERVFAIL]": {},
}


class World:
    """An account behind TLS, on a name; each mount comes through a gate of its own."""

    def __init__(self, work):
        self.api = Account(EMULATOR, stacks=0, log_dir=work)
        self.work = work
        for number, name in enumerate(NAMES, 1):
            self.api.add_stack(editable(name, number))
        self.front = TlsFront(self.api, work / "tls", host=HOST, args=["--no-ocsp"])
        self.aged, self.gates, self.aged_at = {}, {}, 0

    def start(self):
        for number, (test, options) in enumerate(AGED.items()):
            gate = self.gates[test] = Gate(self.front.port)
            self.aged[test] = Mount(STACKSFS, self.work, f"https://{HOST}:{gate.port}", self.api.token,
                                    dict(dict(timeout=TIMEOUT_S, cacert=self.front.cacert), **options),
                                    name=f"mnt{number}").start()
        self.aged_at = time.monotonic() + CACHED_S + 2

    def stop(self):
        problems = []
        for mnt in self.aged.values():
            problems += mnt.stop()
            problems += mnt.leaks(self.api.secrets())
        for gate in self.gates.values():
            gate.close()
        self.front.stop()
        self.api.stop()
        return problems


@pytest.fixture(scope="module")
def work_of_all():
    work = BUILD / "e2e" / "resolver"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    yield work
    shutil.rmtree(work)


@pytest.fixture(scope="module")
def name_server(work_of_all):
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    files = {}
    for name, text in SYSTEM.items():
        (work_of_all / name).write_text(text)
        files[f"/etc/{name}"] = work_of_all / name
    with island(files), contextlib.closing(NameServer()) as server:
        yield server


@pytest.fixture(scope="module", autouse=True)
def world(name_server, work_of_all):
    world = World(work_of_all)
    try:
        world.start()
        yield world
    finally:
        problems = world.stop()
    assert not problems, problems


@pytest.fixture
def dns(name_server):
    yield name_server
    name_server.answer = NO_ERROR


@pytest.fixture
def mnt(request, world, harness, dns):
    """This test's mount: its one connection lives, and libcurl has forgotten the address."""
    mnt = world.aged[request.node.name]
    harness.mounts.append(mnt)
    # libcurl tells nobody that it has forgotten.
    eventually(lambda: time.monotonic() > world.aged_at, within=CACHED_S + 5, every=0.5)
    dns.asked.clear()
    return mnt


@pytest.fixture
def gate(request, world):
    return world.gates[request.node.name]


def timed(call, *arguments):
    """(errno or 0, seconds) of a call."""
    began, failed = time.monotonic(), 0
    try:
        call(*arguments)
    except OSError as error:
        failed = error.errno
    return failed, time.monotonic() - began


def create(mnt, name="new"):
    with contextlib.suppress(FileExistsError):
        os.mkdir(mnt / name)
    write(mnt, name, NEW)


def rotate(mnt, name):
    done = run(["rm", mnt / name / "systemToken"])
    if done.returncode:
        words = {os.strerror(code): code for code in errno.errorcode}
        raise OSError(words[done.stderr.strip().rsplit(": ", 1)[-1]], done.stderr)


def drop_connections(gate):
    gate.shut()
    gate.open()


def n_threads(mnt):
    return len(os.listdir(f"/proc/{mnt.pid}/task"))


def reasons(mnt, code):
    return [line["message"] for line in mnt.errors() if line["errno"] == errno.errorcode[code]]


# ---- mounting ----

@pytest.fixture
def cold(world, new_mount):
    """A mount that is not made yet."""
    return new_mount(url=world.front.url.replace("127.0.0.1", HOST), token=world.api.token,
                     cacert=world.front.cacert, timeout=int(3 * SLOWER))


def mounting_fails(mnt):
    began = time.monotonic()
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert time.monotonic() - began < mnt.options["timeout"] + SLACK_S
    assert failed.value.returncode == 1
    assert mounted_at(mnt.path) is None
    line, = failed.value.output.strip().splitlines()
    return line


def test_mounting_with_a_silent_name_server(cold, dns):
    dns.answer = SILENT
    line = mounting_fails(cold)
    assert f"no name server answers, to find {HOST}" in line
    assert "check the network" in line


@pytest.mark.parametrize("code", [NXDOMAIN, SERVFAIL], ids=["NXDOMAIN", "SERVFAIL"])
def test_mounting_what_has_no_name(cold, dns, code):
    dns.answer = code
    line = mounting_fails(cold)
    assert f"Could not resolve host: {HOST}" in line
    assert "check the URL" in line


def test_mounting_is_interrupted_while_a_look_up_hangs(cold, dns):
    dns.answer = SILENT
    dns.asked.clear()
    cold.options["timeout"] = 60
    process = subprocess.Popen(cold.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=cold.env)
    eventually(lambda: dns.asked)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=2 * SLOWER)
    assert process.returncode == 1
    assert b"interrupted" in said
    assert mounted_at(cold.path) is None


@pytest.mark.parametrize("proxy", [None, "http://proxy.stacks.test:1"], ids=["direct", "proxy"])
def test_doctor_with_a_silent_name_server(stacksfs, cold, dns, proxy):
    dns.answer = SILENT
    options = ",".join(f"{name}={value}" for name, value in dict(cold.options, proxy=proxy).items()
                       if value is not None)
    began = time.monotonic()
    done = stacksfs("doctor", cold.url, cold.path, "-o", options)
    assert time.monotonic() - began < cold.options["timeout"] + SLACK_S
    assert done.returncode == 1
    failed, = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert "no name server answers" in failed


# ---- the mounts that were made when it answered ----

def test_what_has_a_living_connection_goes_on(mnt, world, dns):
    """Who needs a new connection, to create, ends in time; nobody else is delayed."""
    dns.answer = SILENT
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(timed, create, mnt)
        eventually(lambda: HOST in dns.asked)
        took = [timed(mnt.read, name, file) for name in NAMES
                for file in ("config.json", "dependencies")]
        took += [timed(edit, mnt, NAMES[1], "value0", "value1"), timed(rotate, mnt, NAMES[2])]
        assert {failed for failed, _ in took} == {0}
        assert max(seconds for _, seconds in took) < 1 * SLOWER
        assert not waiting.done(), "or nobody waited meanwhile"
        failed, seconds = waiting.result()
        assert failed == errno.ETIMEDOUT
        assert seconds < TIMEOUT_S + SLACK_S
    said, = reasons(mnt, errno.ETIMEDOUT)
    assert f"no name server answers, to find {HOST}" in said
    assert mnt.config("new") == NEW
    assert world.api.stack(stack_id(2))["server"]["hostURI"].endswith("value1")
    dns.answer = NO_ERROR
    eventually(lambda: timed(create, mnt)[0] == 0, within=10)
    assert world.api.by_name("new")


def test_without_a_connection(mnt, gate, dns):
    """Stale-if-error for what is cached, ETIMEDOUT for the rest; it is over soon after the
    name server's return, and meanwhile the look-ups that hang are few."""
    texts = {name: mnt.config(name) for name in NAMES}
    idle, most = n_threads(mnt), 0
    dns.answer = SILENT
    drop_connections(gate)
    began = time.monotonic()
    over = threading.Event()

    def read_on(name):
        ends = []
        while not over.is_set():
            ends.append(timed(mnt.read, name, "dependencies"))
            over.wait(0.05)
        return ends

    with concurrent.futures.ThreadPoolExecutor(len(NAMES)) as pool:
        readers = [pool.submit(read_on, name) for name in NAMES]
        try:
            eventually(lambda: timed(mnt.config, NAMES[0])[1] < 4 * SLOWER
                       and "user.stacksfs.stale" in os.listxattr(mnt / NAMES[0] / "config.json"))
            while time.monotonic() - began < 2 * TIMEOUT_S:
                cached = [timed(mnt.config, name) for name in NAMES]
                assert max(seconds for _, seconds in cached) < 1 * SLOWER
                most = max(most, n_threads(mnt) - idle)
            assert mnt.status()["api"]["state"] == "stale"
            assert {name: mnt.config(name) for name in NAMES} == texts
            # Those that were under way when the circuit opened, then a probe at a time after that.
            assert 0 < most <= CONNECTIONS + 2 * TIMEOUT_S / PAUSE_S, most
        finally:
            over.set()
        ends = [end for reader in readers for end in reader.result()]
    assert {failed for failed, _ in ends} == {errno.ETIMEDOUT}
    assert max(seconds for _, seconds in ends) < TIMEOUT_S + SLACK_S
    assert any("no name server answers" in text for text in reasons(mnt, errno.ETIMEDOUT))
    dns.answer = NO_ERROR
    eventually(lambda: timed(mnt.read, NAMES[0], "dependencies")[0] == 0, within=10)
    eventually(lambda: mnt.config(NAMES[0]) and mnt.status()["api"]["state"] == "ok")


def begin_a_look_up_that_hangs(call, mnt, gate, dns):
    """call waits for one, in a thread: what waits for its end."""
    idle = n_threads(mnt)
    dns.answer = SILENT
    drop_connections(gate)
    waiting = run_in_background(timed, call, mnt)
    eventually(lambda: HOST in dns.asked and n_threads(mnt) > idle)
    return waiting


def test_unmounting_while_a_look_up_hangs(mnt, gate, dns):
    """That of a renewal in the background, so that nobody holds the mount."""
    waiting = begin_a_look_up_that_hangs(lambda mnt: mnt.config(NAMES[0]), mnt, gate, dns)
    assert waiting()[0] == 0
    began = time.monotonic()
    assert mnt.stop() == []
    assert time.monotonic() - began < 1 * SLOWER


def test_sigterm_while_a_reader_waits_for_a_look_up(mnt, gate, dns):
    waiting = begin_a_look_up_that_hangs(lambda mnt: mnt.read(NAMES[0], "dependencies"), mnt, gate, dns)
    began = time.monotonic()
    os.kill(mnt.pid, signal.SIGTERM)
    assert mnt.wait() == []
    assert time.monotonic() - began < 3 * SLOWER
    assert waiting()[0] in (errno.ECONNABORTED, errno.ENOTCONN)


def test_sigterm_while_a_creation_waits_for_a_look_up(mnt, gate, dns):
    waiting = begin_a_look_up_that_hangs(create, mnt, gate, dns)
    began = time.monotonic()
    os.kill(mnt.pid, signal.SIGTERM)
    assert mnt.wait() == []
    assert time.monotonic() - began < TIMEOUT_S + 2 * SLOWER
    assert waiting()[0]
    lost = pathlib.Path(mnt.env["XDG_STATE_HOME"]).rglob("lost/*")
    assert NEW in [path.read_bytes() for path in lost if path.is_file()]


@pytest.mark.parametrize("code", [NXDOMAIN, SERVFAIL], ids=["NXDOMAIN", "SERVFAIL"])
def test_a_name_that_is_gone(mnt, gate, dns, code):
    dns.answer = code
    drop_connections(gate)
    for call, arguments in ((mnt.read, (NAMES[0], "dependencies")), (create, (mnt,)),
                            (rotate, (mnt, NAMES[0]))):
        failed, seconds = timed(call, *arguments)
        assert failed == errno.EHOSTUNREACH
        assert seconds < TIMEOUT_S + SLACK_S
    assert all(f"Could not resolve host: {HOST}" in text for text in reasons(mnt, errno.EHOSTUNREACH))
    assert mnt.config(NAMES[0])
    dns.answer = NO_ERROR
    eventually(lambda: timed(mnt.read, NAMES[0], "dependencies")[0] == 0, within=10)
