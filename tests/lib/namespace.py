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

    def output(self, script, **kwargs):
        done = self.run(script, **kwargs)
        assert (done.returncode, done.stderr) == (0, ""), (done.returncode, done.stdout,
                                                           done.stderr)
        return done.stdout
