# SPDX-License-Identifier: MIT
"""What is measured, and what it is measured against: an emulated account behind a wire, mounts of
it, and libfuse's passthrough_ll over a copy of what such a mount shows.

Everything is below one folder, a tmpfs of a mount namespace of our own, and ends with its World.
"""
import contextlib
import dataclasses
import os
import pathlib
import re
import select
import shutil
import subprocess
import time

import mount as mount_lib
from account import Account
from emulator import TlsFront

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = TOP / "build-bench"
TTL_S = 3600  # nothing is renewed while it is measured
MOUNT_OPTIONS = dict(ttl=TTL_S, rate=0, max_rotate=0)
PASSTHROUGH_OPTIONS = f"cache=always,timeout={TTL_S}"


def run(command, cwd=None):
    """Run a program, or a bash line, that must succeed and say nothing; what it prints is dropped.

    Seconds from its start to its end."""
    if isinstance(command, str):
        command = ["bash", "-c", command]
    began = time.perf_counter()
    done = subprocess.run([str(part) for part in command], cwd=cwd, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE)
    took = time.perf_counter() - began
    if done.returncode or done.stderr:
        raise RuntimeError(f"{command}: exit {done.returncode}: {done.stderr.decode()[:2000]}")
    return took


def first_line(process, timeout_s=30):
    """What a server prints when it is ready."""
    if not select.select([process.stdout], [], [], timeout_s)[0]:
        raise RuntimeError(f"{process.args[0]} did not start")
    return process.stdout.readline().decode()


def end(process):
    process.terminate()
    process.wait(20)
    if process.stdout:
        process.stdout.close()


@contextlib.contextmanager
def on_cores(cores):
    """What is started runs on these only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cores_of_service():
    """The first one: it is another machine's work, and where the scheduler happens to put its
    programs must not decide how fast a client is."""
    return {min(os.sched_getaffinity(0))}


def cores_of_client():
    """The others, for as long as the service works: nor must it decide how much of the service's
    core a client takes, which it could not have of another machine's."""
    cores = os.sched_getaffinity(0)
    return cores - cores_of_service() or cores


@dataclasses.dataclass
class Wire:
    """How a client reaches a server."""

    url: str
    cacert: str | None  # of a server behind TLS


@contextlib.contextmanager
def wire(server, folder, rtt_ms, http1=False):
    """A Wire to a server on a port of loopback.

    http1: nothing but HTTP/1.1 to the server itself; else nghttpx stands before it, with TLS and
    HTTP/2.  The delay is between the client and the first of them.
    """
    with contextlib.ExitStack() as stack:
        cacert, port, scheme = None, server.port, "http"
        if not http1:
            front = stack.enter_context(TlsFront(server, folder, args=["--no-ocsp"]))
            cacert, port, scheme = front.cacert, front.port, "https"
        if rtt_ms:
            port = stack.enter_context(delayed(port, rtt_ms))
        yield Wire(f"{scheme}://127.0.0.1:{port}", cacert)


@contextlib.contextmanager
def delayed(port, rtt_ms):
    """Another port, that is so far from the first one."""
    proxy = subprocess.Popen([BUILD / "tests" / "delay-proxy", str(port), str(rtt_ms)],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        yield int(first_line(proxy))
    finally:
        end(proxy)


class Passthrough:
    """libfuse's example, mounted over a folder."""

    unit = None

    def __init__(self, source, mountpoint):
        self.source, self.path = source, pathlib.Path(mountpoint)
        self.path.mkdir(exist_ok=True)
        self.process = None

    @classmethod
    def build(cls, folder):
        """Compile it from libfuse's own examples."""
        cls.unit = folder / "passthrough_ll"
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], check=True,
                               capture_output=True, text=True).stdout.split()
        subprocess.run(["cc", "-O2", "-o", cls.unit, passthrough_source(folder), *flags],
                       check=True)

    def start(self):
        self.process = subprocess.Popen(
            [self.unit, "-f", "-o", f"source={self.source},{PASSTHROUGH_OPTIONS}", self.path],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        mount_lib.eventually(lambda: mount_lib.mounted_at(self.path), every=0.001)
        return self

    def stop(self):
        if self.process:
            run(["umount", self.path])
            self.process.wait(20)
            self.process = None

    def abandon(self):
        """By force, after a failure."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
            with contextlib.suppress(RuntimeError):
                run(["umount", "-l", self.path])


def passthrough_source(folder):
    """Where libfuse's example is.  A small system may have installed the package without its
    documents; then the package itself is asked for."""
    name = "usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"
    installed = pathlib.Path("/", name)
    if not installed.exists():
        unpacked = folder / "libfuse3-dev"
        unpacked.mkdir(exist_ok=True)
        subprocess.run("apt-get -qq -o APT::Sandbox::User=root download libfuse3-dev && dpkg-deb -x libfuse3-dev_*.deb .",
                       shell=True, check=True, cwd=unpacked)
        installed = unpacked / name
    return installed


class World:
    """An account of so many stacks, reached over a wire."""

    def __init__(self, folder, stacks, rtt_ms, http1=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.rtt_ms, self.stacks = rtt_ms, stacks
        self.http1 = http1
        self.mounts = 0
        with on_cores(cores_of_service()), contextlib.ExitStack() as stack:
            self.api = Account(BUILD / "stacks-emulator", stacks=stacks, page_size=100,
                               log_dir=self.folder)
            stack.callback(self.api.stop)
            self.wire = stack.enter_context(wire(self.api, self.folder / "tls", rtt_ms, http1))
            self.stack = stack.pop_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    # ---- mounts ----

    def new_mount(self, **options):
        """One that is yet to be started, in the background as a user does."""
        self.mounts += 1
        return mount_lib.Mount(BUILD / "stacksfs", self.folder, self.wire.url, self.api.token,
                               dict(MOUNT_OPTIONS, cacert=self.wire.cacert) | options,
                               background=True, name=f"mnt{self.mounts}")

    @contextlib.contextmanager
    def launched(self, mnt):
        """A mount that is already there: ended, and its process waited for."""
        try:
            mnt.register()
            yield mnt
        finally:
            problems = mnt.stop()
            shutil.rmtree(mnt.path, ignore_errors=True)
        if problems:
            raise RuntimeError("; ".join(problems))

    @contextlib.contextmanager
    def just_mounted(self, **options):
        mnt = self.new_mount(**options)
        mnt.launch()
        with self.launched(mnt):
            yield mnt

    @contextlib.contextmanager
    def mounted(self, **options):
        """A mount that has the whole list, and of which the kernel has nothing."""
        with self.just_mounted(**options) as mnt:
            os.path.lexists(mnt / "no-such-stack")  # a name is looked for when the list is whole
            yield mnt

    @contextlib.contextmanager
    def passthrough(self):
        self.mounts += 1
        mnt = Passthrough(self.tree(), self.folder / f"mnt{self.mounts}")
        try:
            yield mnt.start()
            mnt.stop()
        finally:
            mnt.abandon()

    def tree(self):
        """A copy of what a mount shows."""
        path = self.folder / "tree"
        if not path.exists():
            with self.mounted() as mnt:
                run(["cp", "-a", f"{mnt.path}/.", path])
        return path

    # ---- the account, as curl asks it ----

    def pages(self):
        """The paths of the list's pages."""
        return [path for path, _ in self.api.pages()]

    def urls_of_parts(self):
        """Those of all tokens and dependencies."""
        return [f"/v1/stacks/{record.id}/{file}" for record in self.api.records()
                for file in record.files if file != "config.json"]

    def servers(self):
        """{directory name: _id} of the stacks that have a token."""
        return {name: record.id for name, record in self.api.directories().items()
                if record.type == "server"}

    def curl(self, name, paths, *options, following=(), straight=False):
        """A command of one curl process that asks for all of the paths, with options of its
        configuration file; then, on the same connection, for what follows: [[path, option, …], …].

        straight: not over the wire, but to the emulator itself."""
        config = self.folder / f"{name}.curl"
        url, cacert = (self.api.url, None) if straight else (self.wire.url, self.wire.cacert)
        common = [f'header = "Authorization: Bearer {self.api.token}"', "globoff", "fail",
                  'noproxy = "*"', *(["http2", f'cacert = "{cacert}"'] if cacert else [])]
        parts = [[paths, options], *(([path], more) for path, *more in following)]
        config.write_text("next\n".join(
            "".join(f"{line}\n" for line in [*common, *options]) +
            "".join(f'url = "{url}{path}"\noutput = /dev/null\n' for path in paths)
            for paths, options in parts))
        return ["curl", "-q", "--no-progress-meter", "-K", config]


def peak_kb(pid):
    """The most memory that a process had, in kB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(re.search(r"VmHWM:\s+(\d+) kB", text).group(1))
