# SPDX-License-Identifier: MIT
"""What every end-to-end test gets: an emulated account, mounts of it, and a watchdog.

Each test works in a folder of its own below the build directory (not in /tmp, where editors and
other programs behave differently).  After each one: no daemon crashed or was left, no request was
one that the API's document does not have, no secret stands where it does not belong, and the
requests of the mount were counted.
"""
import ctypes
import faulthandler
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import stat
import sys
import threading

import pytest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("STACKSFS_BUILD", TOP / "build")).resolve()
sys.path.insert(0, str(TOP / "tests" / "lib"))

import mount as mount_lib  # noqa: E402

TEST_S = 60 * mount_lib.SLOWER
LEFT_S = 2  # for a thread to end that no test waits for any more
LONG = "STACKSFS_TEST_LONG" in os.environ
#: For what waits by the clock most of its time.
NOT_SLOWED_DOWN = pytest.mark.skipif(
    mount_lib.SLOWER > 1 and not LONG,
    reason="where programs are slower its waits are longer: with --long")
STACKSFS = BUILD / "stacksfs"
EMULATOR = BUILD / "stacks-emulator"
PR_SET_CHILD_SUBREAPER = 36
MARKERS = {
    "any_requests(reason)": "the number of requests depends on time, so it is not asserted",
    "misuse(reason)": "the test itself makes requests that the document does not have",
    "seconds(n)": "the test may take that long",
    "long": "takes minutes: only with scripts/test --long",
}


def fuse_is_missing():
    try:
        return not stat.S_ISCHR(os.stat("/dev/fuse").st_mode)
    except OSError:
        return True


def pytest_configure(config):
    for marker, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{marker}: {meaning}")
    # A daemon that went to the background becomes our child, so that its end is seen.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    config.stash[outcomes] = {}


def pytest_make_parametrize_id(val):
    """Long values make bad names: they go into messages, folders and environment variables."""
    if isinstance(val, (str, bytes)) and len(val) > 60:
        return ascii(val[:30])
    return None


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="a long one: scripts/test --long"))


# ---- results for scripts/test: one outcome a test ----

outcomes = pytest.StashKey()
harness_key = pytest.StashKey()
WORSE = ["skipped", "passed", "failed"]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    results = item.config.stash[outcomes]
    if report.when == "call" or report.outcome != "passed":
        before = results.get(item.nodeid, "skipped")
        results[item.nodeid] = max(before, report.outcome, key=WORSE.index)
    if report.skipped and item.stash.get(harness_key, None):
        item.stash[harness_key].counted = True  # there was nothing to count
    if report.failed:
        if item.stash.get(harness_key, None):
            item.stash[harness_key].failed = True
            for title, text in item.stash[harness_key].evidence():
                report.sections.append((title, text))
        report.sections.append(("again", f"scripts/test e2e -k '{item.originalname}'"))


def pytest_sessionfinish(session):
    path = os.environ.get("STACKSFS_TEST_RESULTS")
    if path:
        values = list(session.config.stash[outcomes].values())
        counts = {outcome: values.count(outcome) for outcome in WORSE}
        pathlib.Path(path).write_text(json.dumps(counts))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    """Python waits for every thread that is not a daemon's: those of a test that failed, maybe for
    ever, and then nobody hears of it."""
    left = [thread for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()]
    for thread in left:
        thread.join(LEFT_S)
    left = [thread.name for thread in left if thread.is_alive()]
    if left:
        print("threads were left:", *left, flush=True)
        os._exit(1)


# ---- one test's surroundings ----

def children():
    """Processes that are ours to wait for: started, or adopted when their parent ended."""
    found = set()
    for task in pathlib.Path("/proc/self/task").iterdir():
        try:
            found.update(int(pid) for pid in (task / "children").read_text().split())
        except FileNotFoundError:
            pass
    return found


def describe_process(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return "?"


def end_children(pids):
    """Of processes that should have ended by now; a list of what is wrong with them."""
    problems = []
    for pid in pids:
        name = describe_process(pid)
        status = mount_lib.wait_for_exit(pid, 2 * mount_lib.SLOWER)
        if status is None:
            problems.append(f"a process was left: {name}")
            os.kill(pid, signal.SIGKILL)
            mount_lib.wait_for_exit(pid, 5)
        elif os.WIFSIGNALED(status):
            problems.append(f"a process was ended by signal {os.WTERMSIG(status)}: {name}")
    return problems


class Watchdog:
    """After its time every mount is aborted, which frees whoever waits in one, us too.

    A test that waits elsewhere, or waits on, is interrupted by a signal some seconds later.
    """

    def __init__(self, seconds):
        self.fired = False
        self.test_is_over = threading.Event()
        self.main = threading.main_thread().ident
        self.timer = threading.Timer(seconds, self.fire)
        self.timer.daemon = True
        self.timer.start()

    def fire(self):
        self.fired = True
        faulthandler.dump_traceback(file=sys.__stderr__)
        mount_lib.abort_all()
        if not self.test_is_over.wait(5):
            signal.pthread_kill(self.main, signal.SIGALRM)

    def cancel(self):
        self.timer.cancel()


def on_alarm(_signum, _frame):
    raise TimeoutError("the test took too long; its mounts were aborted")


class Harness:
    def __init__(self, work):
        self.work = work
        self.accounts = []
        self.mounts = []
        self.failed = False
        self.counted = False

    def evidence(self):
        for mount in self.mounts:
            log = mount.log()
            if log:
                yield f"{mount.path.name}: log", log[-6000:]
        for account in self.accounts:
            try:
                yield "requests", account.describe_log()
            except Exception as error:  # the emulator itself may be what is broken
                yield "requests", f"cannot be had: {error!r}"

    def tear_down(self, misuse, counted):
        problems = []
        for mount in reversed(self.mounts):
            problems += mount.stop()
        for mountpoint, device in mount_lib.mounts_below(self.work):
            problems.append(f"still mounted: {mountpoint}")
            mount_lib.force_unmount(mountpoint, device)
        for account in self.accounts:
            problems += self.end_account(account, misuse)
        if counted and not self.counted and not self.failed:
            problems.append("the test asserts no number of requests")
        return problems

    def end_account(self, account, misuse):
        problems = []
        try:
            secrets = account.secrets()
            for mount in self.mounts:
                problems += [f"a secret in the {leak}" for leak in mount.leaks(secrets)]
            if not misuse:
                problems += [f"misuse of the API: {note}" for note in account.violations()]
        except (OSError, ValueError) as error:
            problems.append(f"the emulator: {error!r}")
        finally:
            account.stop()
        return problems


@pytest.fixture
def work(request):
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", request.node.name)[:48]
    path = BUILD / "e2e" / f"{request.node.path.stem.removeprefix('test_')}-{name}"
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


@pytest.fixture
def harness(request, work):
    node = request.node
    limit = node.get_closest_marker("seconds")
    before = children()
    harness = node.stash[harness_key] = Harness(work)
    signal.signal(signal.SIGALRM, on_alarm)
    watchdog = Watchdog(limit.args[0] * mount_lib.SLOWER if limit else TEST_S)
    yield harness
    watchdog.test_is_over.set()
    try:
        problems = harness.tear_down(
            misuse=bool(node.get_closest_marker("misuse")),
            counted=bool(harness.accounts) and not node.get_closest_marker("any_requests"))
    finally:
        watchdog.cancel()
        ended = end_children(children() - before)
    problems += ended
    if watchdog.fired:
        problems.append("the test took too long")
    assert not problems, "\n".join(problems)
    if not harness.failed:
        shutil.rmtree(work, ignore_errors=True)


@pytest.fixture
def folder(work):
    """A mount point."""
    path = work / "here"
    path.mkdir()
    return path


@pytest.fixture
def token_file(api, work):
    """The token of the test's account (its fixture api) as --token-file wants it."""
    path = work / "token"
    path.touch(mode=0o600)
    path.write_text(api.token + "\n")
    return path


@pytest.fixture
def account(harness):
    """account(stacks=250, page_size=100, …) starts an emulator of its own."""
    from account import Account

    class CountedAccount(Account):
        def expect(self, **counts):
            harness.counted = True
            super().expect(**counts)

    def start(**options):
        options.setdefault("stacks", 0)
        started = CountedAccount(EMULATOR, **options)
        harness.accounts.append(started)
        return started

    return start


@pytest.fixture
def new_mount(harness):
    """new_mount(account, …) prepares a Mount without starting it."""
    if fuse_is_missing():
        pytest.skip("no /dev/fuse here")

    def prepare(account=None, background=False, debug=False, env=None, url=None, token=True,
                mountpoint=None, **options):
        number = len(harness.mounts)
        bearer = account.token if account and token is True else token or None
        prepared = mount_lib.Mount(STACKSFS, harness.work, url or account.url, bearer, options,
                                   background=background, debug=debug, env=env,
                                   mountpoint=mountpoint,
                                   name=f"mnt{number}" if number else "mnt")
        harness.mounts.append(prepared)
        return prepared

    return prepare


@pytest.fixture
def mount(new_mount):
    """mount(account, ttl=5, …) mounts it; keywords are options of -o."""
    return lambda *args, **kwargs: new_mount(*args, **kwargs).start()


@pytest.fixture
def stacksfs(harness):
    """Runs the command itself: stacksfs("status", path)."""
    def command(*arguments, env=None, **kwargs):
        return mount_lib.run([STACKSFS, *arguments], env=mount_lib.environment(harness.work, env),
                             **kwargs)

    return command
