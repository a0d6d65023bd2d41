# SPDX-License-Identifier: MIT
"""A mounted stacksfs, as a process and a directory, for tests.

Nothing here waits by sleeping: readiness is a datagram (or the background command's return), the
end of a process is its pidfd.  Whatever goes wrong, a mount can be got rid of: aborting its
connection frees every process that waits in it.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import select
import shlex
import signal
import socket
import subprocess
import threading
import time

SLOWER = float(os.environ.get("STACKSFS_TEST_SLOWER", "1"))
# What a mount in the foreground is started by: valgrind and its options, or nothing.
WRAPPER = shlex.split(os.environ.get("STACKSFS_TEST_WRAPPER", ""))
START_S = 20 * SLOWER
STOP_S = 20 * SLOWER
MNT_FORCE = 1
TOKEN_ENV = "CELIGO_API_TOKEN"

# Mounts that exist now; the watchdog aborts them when a test takes too long.
live = set()
live_lock = threading.Lock()


class MountFailed(Exception):
    def __init__(self, returncode, output):
        super().__init__(f"stacksfs exited with {returncode}: {output}")
        self.returncode = returncode
        self.output = output


def environment(work, extra=None):
    """A clean one: no proxies, no token, no file outside the test's own folder."""
    keep = ("PATH", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")
    env = {name: os.environ[name] for name in keep if name in os.environ}
    home = pathlib.Path(work, "home")
    home.mkdir(exist_ok=True)
    env.update(HOME=str(home), XDG_STATE_HOME=str(home / "state"), LANG="C.UTF-8", LC_ALL="C.UTF-8")
    env.update(extra or {})
    return {name: str(value) for name, value in env.items() if value is not None}


def run(command, timeout=60, **kwargs):
    """Run a program or, when command is a string, a bash line; its output is captured as text."""
    kwargs.setdefault("env", dict(os.environ, LC_ALL="C.UTF-8"))
    kwargs.setdefault("stdin", subprocess.DEVNULL)
    kwargs.setdefault("errors", "surrogateescape")
    kwargs.setdefault("stdout", subprocess.PIPE)
    kwargs.setdefault("stderr", subprocess.PIPE)
    if isinstance(command, str):
        command = ["bash", "-c", command]
    return subprocess.run([str(part) for part in command], encoding="utf-8",
                          timeout=timeout * SLOWER, check=False, **kwargs)


def output_of(command, **kwargs):
    """Standard output of a program that must succeed and complain of nothing."""
    done = run(command, **kwargs)
    assert done.returncode == 0, (command, done.returncode, done.stdout, done.stderr)
    assert done.stderr == "", (command, done.stderr)
    return done.stdout


def eventually(check, within=10, every=0.02):
    """Ask until check() is true; its last value.  For what no event announces."""
    deadline = time.monotonic() + within * SLOWER
    while True:
        value = check()
        if value or time.monotonic() > deadline:
            assert value, f"not within {within} s: {check}"
            return value
        time.sleep(every)


def mounted_at(path):
    """(major:minor, type) of the topmost mount at path, or None."""
    found = None
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[4].encode().decode("unicode_escape") == str(path):
                found = fields[2], fields[fields.index("-") + 1]
    return found


def mounts_below(path):
    """[(mount point, major:minor)] of what is mounted below a folder."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        rows = [line.split() for line in mounts]
    return [(row[4], row[2]) for row in rows if row[4].startswith(f"{path}/")]


def force_unmount(mountpoint, device):
    abort_connection(mountpoint, device)
    run(["umount", "-l", mountpoint] if os.getuid() == 0
        else ["fusermount3", "-u", "-z", mountpoint])


def abort_connection(mountpoint, device):
    """Every call that waits in the mount, and every later one, fails at once."""
    control = pathlib.Path("/sys/fs/fuse/connections", device.split(":")[1], "abort")
    try:
        control.write_text("1")
    except OSError:  # fusectl is not mounted, or the connection is not ours to end
        ctypes.CDLL(None).umount2(os.fsencode(mountpoint), MNT_FORCE)


def wait_for_exit(pid, timeout):
    """The wait status of a child (also an adopted one), or None when it goes on."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return 0
    try:
        if not select.select([pidfd], [], [], timeout)[0]:
            return None
        with contextlib.suppress(ChildProcessError):
            return os.waitpid(pid, 0)[1]
        return 0
    finally:
        os.close(pidfd)


class NotifySocket:
    """The other end of sd_notify(3)."""

    def __init__(self, work):
        self.path = str(work / "notify")
        if len(self.path) > 100:  # sockaddr_un
            self.path = f"@stacksfs-test-{os.getpid()}-{id(self)}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.socket.bind(self.path.replace("@", "\0", 1))

    def is_ready(self):
        return b"READY=1" in self.socket.recv(4096).split(b"\n")

    def close(self):
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)


class Mount:
    """stacksfs, running.

    options: of -o; a value of None leaves one out, True gives its bare name.
    background: let the command return by itself, as a user does.
    """

    def __init__(self, binary, work, url, token, options=None, background=False, debug=False,
                 env=None, mountpoint=None, name="mnt"):
        self.binary = binary
        self.work = pathlib.Path(work)
        self.path = pathlib.Path(mountpoint or self.work / name)
        self.path.mkdir(exist_ok=True)
        self.log_path = self.work / f"{name}.log"
        self.options = dict(ttl=600)
        self.secrets = [token] if token else []
        if token:
            token_file = self.work / f"{name}.token"
            token_file.touch(mode=0o600)
            token_file.write_text(token + "\n")
            self.options["token_file"] = token_file
        self.options.update(options or {})
        self.url = url
        self.background = background
        self.debug = debug
        self.env = environment(self.work, env)
        self.process = None
        self.pid = None
        self.device = None
        self.seen = {}  # where a secret must not be: taken before the end

    def command(self):
        options = [name if value is True else f"{name}={value}"
                   for name, value in self.options.items() if value is not None]
        command = [self.binary] + ([self.url] if self.url else []) + [self.path]
        if not self.background:
            command.append("-f")
        if self.debug:
            command.append("-d")
        if options:
            command += ["-o", ",".join(options)]
        return [str(part) for part in command]

    def start(self):
        self.launch()
        return self.register()

    def launch(self):
        """What a user does: it is mounted when this returns."""
        if self.background:
            self._start_in_background()
        else:
            self._start_in_foreground()

    def register(self):
        """Learn what stop() and the watchdog need."""
        mounted = mounted_at(self.path)
        assert mounted and mounted[1] == "fuse.stacksfs", mounted
        self.device = mounted[0]
        with live_lock:
            live.add(self)
        if self.pid is None:
            self.pid = self.status()["pid"]
        return self

    def _start_in_background(self):
        done = run(self.command(), env=self.env, timeout=START_S)
        self.log_path.write_text(done.stdout + done.stderr)
        if done.returncode:
            raise MountFailed(done.returncode, done.stderr)

    def _start_in_foreground(self):
        notify = NotifySocket(self.work)
        try:
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(
                    WRAPPER + self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=dict(self.env, NOTIFY_SOCKET=notify.path), start_new_session=True)
            self.pid = self.process.pid
            self._wait_until_ready(notify)
        finally:
            notify.close()

    def _wait_until_ready(self, notify):
        pidfd = os.pidfd_open(self.pid)
        try:
            deadline = time.monotonic() + START_S
            while True:
                left = max(0, deadline - time.monotonic())
                ready = select.select([notify.socket, pidfd], [], [], left)[0]
                if notify.socket in ready and notify.is_ready():
                    return
                if pidfd in ready:
                    raise MountFailed(self.process.wait(), self.log())
                if not ready:
                    self.kill()
                    raise MountFailed(None, "not ready in time: " + self.log())
        finally:
            os.close(pidfd)

    # ---- what is mounted ----

    def __truediv__(self, name):
        return self.path / name

    def read(self, *parts):
        return self.path.joinpath(*parts).read_bytes()

    def config(self, stack):
        return self.read(stack, "config.json")

    def names(self, *parts):
        return sorted(os.listdir(self.path.joinpath(*parts)))

    def status(self):
        return json.loads(self.read(".stacksfs", "status"))

    def errors(self):
        return [json.loads(line) for line in self.read(".stacksfs", "errors").splitlines()]

    def refresh(self):
        """What `echo > .stacksfs/refresh` does: returns when everything has been asked again."""
        fd = os.open(self.path / ".stacksfs" / "refresh", os.O_WRONLY)
        try:
            os.write(fd, b"\n")
        finally:
            os.close(fd)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def cli(self, *arguments):
        return run([self.binary, *arguments], env=self.env)

    # ---- the end of it ----

    def gather_secrets(self):
        """Take what must not hold a secret, while there is something to take."""
        places = {
            "argv": f"/proc/{self.pid}/cmdline",
            "environment": f"/proc/{self.pid}/environ",
            "status": self.path / ".stacksfs" / "status",
            "errors": self.path / ".stacksfs" / "errors",
        }
        for place, path in places.items():
            with contextlib.suppress(OSError):
                self.seen[place] = pathlib.Path(path).read_bytes()

    def leaks(self, more=()):
        """Places where a secret was seen that has no business there."""
        self.seen["log"] = self.log_path.read_bytes() if self.log_path.exists() else b""
        secrets = [s.encode() for s in [*self.secrets, *more] if s]
        return [f"{place}: {secret!r}" for place, content in self.seen.items()
                for secret in secrets if secret in content]

    def unmount(self):
        command = ["umount"] if os.getuid() == 0 else ["fusermount3", "-u"]
        return run([*command, self.path], timeout=STOP_S)

    def stop(self):
        """Unmount and wait for the process; a list of what went wrong."""
        if self.device is None or self not in live:
            return []
        self.gather_secrets()
        problems = []
        done = self.unmount()
        if done.returncode:
            problems.append(f"umount: {done.stderr.strip()}")
            self.abort()
        problems += self.wait()
        return problems

    def wait(self):
        """The process is about to end by itself; a list of what is wrong with how it did."""
        status = wait_for_exit(self.pid, STOP_S)
        if self.process:
            self.process.poll()
        problems = []
        if status is None:
            problems.append("the process did not end")
            self.kill()
        elif status:
            problems.append(f"the process ended with wait status {status:#x}")
        if mounted_at(self.path):
            problems.append("still mounted after the process's end")
            self.abort()
        with live_lock:
            live.discard(self)
        return problems

    def kill(self):
        """What a crash does: the mount stays, dead."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_for_exit(self.pid, STOP_S)
        with live_lock:
            live.discard(self)

    def abort(self):
        """By force: free whoever waits, take the mount off the tree, end the process."""
        if self.device and mounted_at(self.path):
            force_unmount(self.path, self.device)
        if wait_for_exit(self.pid, 2) is None:
            self.kill()
        with live_lock:
            live.discard(self)


def abort_all():
    """Called by the watchdog: no mount may hang the next test."""
    with live_lock:
        stuck = list(live)
    for mount in stuck:
        abort_connection(mount.path, mount.device)
