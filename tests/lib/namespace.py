# SPDX-License-Identifier: MIT
"""Namespaces of a test's own.

Namespace: shell scripts as root of a mount namespace, where stacksfs is installed. What they mount, and
what is put over /sbin and /etc/fstab for them, is seen by nobody else and ends with them.

island(): the test itself, and what it starts, in a network that has nothing but a loopback.
"""
import contextlib
import ctypes
import fcntl
import os
import pathlib
import shlex
import socket
import struct

import pytest
from mount import environment, output_of, run

SBIN = os.path.realpath("/sbin")
MANAGER = "/lib/systemd/systemd"

# A user's systemd, as root, in control groups of its own; what it is given to do is in $TASK.
USER_MANAGER = r"""
set -eu
legacy=$(sed -n 's/^[0-9]*:name=systemd://p' /proc/self/cgroup)
if [ -n "$legacy" ]; then
    top=/sys/fs/cgroup/systemd$legacy
else
    top=/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)
fi
group=${top%/}/stacksfs-test-$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} +' EXIT
export LEGACY=$legacy
(
    echo $BASHPID > "$group/cgroup.procs"
    exec unshare --cgroup --mount --propagation private --pid --fork --kill-child --mount-proc \
        bash -c "$INNER"
)
"""
USER_MANAGER_INNER = r"""
set -eu
mount -t tmpfs tmpfs /sys/fs/cgroup
if [ -n "$LEGACY" ]; then
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup /sys/fs/cgroup
fi
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/user/0
export XDG_RUNTIME_DIR=/run/user/0 XDG_DATA_DIRS=/usr/local/share:/usr/share
eval "$BEFORE"
mount --make-rshared / # systemd mounts credentials in a namespace, to be seen in this one
/lib/systemd/systemd --user --log-target=console > "$HOME/manager.log" 2>&1 &
manager=$!
until [ -S /run/user/0/systemd/private ]; do
    kill -0 $manager
    sleep 0.05 # no event tells it
done
systemctl --user is-system-running --wait >/dev/null || true
result=0
bash -euc "$TASK" || result=$?
kill -TERM $manager
wait $manager || true
exit $result
"""

CLONE_FS, CLONE_NEWNS, CLONE_NEWNET = 0x200, 0x20000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def _libc(name, *arguments):
    """A system call that Python 3.11 has no function for."""
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _leave_mounts_of_others():
    """A copy of a mount in a namespace of ours keeps its process from ending when it is unmounted."""
    with open("/proc/thread-self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        rows = [line.split() for line in mounts]
    for row in rows:
        if row[row.index("-") + 1] == "fuse.stacksfs":
            path = row[4].encode().decode("unicode_escape").encode("latin-1")
            with contextlib.suppress(OSError):  # one below it, that has gone with it
                _libc("umount2", path, MNT_DETACH)


def _raise_loopback():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


@contextlib.contextmanager
def island(files):
    """This thread, and what it starts meanwhile, in a network that has loopback alone, and where
    files ({path: another file}) are in place of the system's.

    Mounts that are made in it are seen in it only. Threads that were there before stay outside.
    """
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with contextlib.ExitStack() as stack:
        folder = os.getcwd()
        outside = [stack.enter_context(open(f"/proc/thread-self/ns/{kind}", "rb"))
                   for kind in ("net", "mnt")]
        try:
            _libc("unshare", CLONE_FS | CLONE_NEWNS | CLONE_NEWNET)
        except OSError as error:
            pytest.skip(f"no namespaces can be made here: {error.strerror}")
        try:
            _libc("mount", None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None)
            _leave_mounts_of_others()
            for path, file in files.items():
                _libc("mount", os.fsencode(file), os.fsencode(path), None,
                      ctypes.c_ulong(MS_BIND), None)
            _raise_loopback()
            yield
        finally:
            # A thread that was started meanwhile shares our folder, and one that does cannot move.
            _libc("unshare", CLONE_FS)
            for namespace in outside:
                _libc("setns", namespace.fileno(), 0)
            os.chdir(folder)


class Namespace:
    def __init__(self, build, work):
        if os.geteuid() != 0:
            pytest.skip("needs root")
        if run(["unshare", "--mount", "true"]).returncode:
            pytest.skip("no mount namespace can be made here")
        self.work = work
        self.env = environment(work)
        self.root = work / "installed"
        output_of(["meson", "install", "--no-rebuild", "--quiet", "-C", build,
                   "--destdir", self.root])
        self.sbin = work / "sbin"
        self.sbin.mkdir()
        self.prefix = next(path.parent.parent for path in self.root.rglob("bin/stacksfs"))
        self.setup = [f"mount --bind {shlex.quote(str(self.prefix))} /usr/local",
                      f"mount --bind {shlex.quote(str(self.sbin))} {SBIN}",
                      "export PATH=/usr/local/bin:/usr/bin:/bin"]

    def install_helpers(self):
        """As a distribution's package does: mount(8) looks into /sbin only."""
        for name in ("mount.stacksfs", "mount.fuse.stacksfs"):
            (self.sbin / name).symlink_to("/usr/local/bin/stacksfs")

    def install_system(self, *names):
        for name in names:
            if not pathlib.Path(SBIN, name).exists():
                pytest.skip(f"no {name} here")
            (self.sbin / name).write_bytes(pathlib.Path(SBIN, name).read_bytes())
            (self.sbin / name).chmod(0o755)

    def fstab(self, *lines):
        path = self.work / "fstab"
        path.write_text("".join(line + "\n" for line in lines))
        path.chmod(0o644)
        self.setup.append(f"mount --bind {shlex.quote(str(path))} /etc/fstab")

    def run(self, script, own_pids=False, **kwargs):
        """own_pids: processes may be killed, and whatever is left ends with the script."""
        text = "\n".join(["set -eu", *self.setup, script])
        pids = ["--pid", "--fork", "--kill-child", "--mount-proc"] if own_pids else []
        return run(["unshare", "--mount", "--propagation", "private", *pids, "bash", "-c", text],
                   env=self.env, **kwargs)

    def configure_unit(self, instance, token, conf):
        """What the user unit stacksfs@instance reads, and where its units print."""
        home = self.work / "home"
        configuration = home / ".config" / "stacksfs"
        configuration.mkdir(parents=True)
        (home / ".config" / "systemd").mkdir()
        (home / ".config" / "systemd" / "user.conf").write_text(
            "[Manager]\nDefaultStandardOutput=inherit\nDefaultStandardError=inherit\n")
        (configuration / f"{instance}.token").touch(mode=0o600)
        (configuration / f"{instance}.token").write_text(token)
        (configuration / f"{instance}.conf").write_text(conf)

    def run_by_systemd(self, before, task, **kwargs):
        """before: a script, as run()'s, then task with a user's systemd that runs."""
        env = dict(self.env, INNER=USER_MANAGER_INNER, TASK=task,
                   BEFORE="\n".join([*self.setup, before]))
        return run(["bash", "-c", USER_MANAGER], env=env, **kwargs)

    def output(self, script, **kwargs):
        done = self.run(script, **kwargs)
        assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stdout,
                                                           done.stderr)
        return done.stdout
