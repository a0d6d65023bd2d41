# SPDX-License-Identifier: MIT
"""Shell scripts as root of a mount namespace of their own, where stacksfs is installed.

What they mount, and what is put over /sbin and /etc/fstab for them, is seen by nobody else and
ends with them.
"""
import os
import pathlib
import shlex

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
