# SPDX-License-Identifier: MIT
"""What is installed, the tarball of a release, and the Debian packages in a clean Debian."""
import os
import shutil

import pytest
from account import stack
from conftest import BUILD, TOP, fuse_is_missing
from mount import environment, output_of, run

pytestmark = pytest.mark.any_requests("what a mount asks for is what other files count")

INSTALLED = """
bin/stacks-emulator bin/stacksfs sbin/mount.fuse.stacksfs sbin/mount.stacksfs
lib/systemd/system/stacksfs@.service lib/systemd/user/stacksfs@.service
lib/systemd/user/stacksfs-backup@.service lib/systemd/user/stacksfs-backup@.timer
share/bash-completion/completions/stacksfs share/fish/vendor_completions.d/stacksfs.fish
share/zsh/site-functions/_stacksfs
""".split()
PAGES = """
share/man/man1/stacks-emulator.1 share/man/man1/stacksfs.1 share/man/man8/mount.fuse.stacksfs.8
share/man/man8/mount.stacksfs.8
""".split()


def test_what_is_installed(harness):
    output_of(["meson", "install", "--no-rebuild", "--quiet", "-C", BUILD,
               "--destdir", harness.work / "installed"])
    binary, = harness.work.rglob("bin/stacksfs")
    prefix = binary.parent.parent
    found = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if not path.is_dir()}
    assert found - set(PAGES) == set(INSTALLED)
    assert shutil.which("scdoc") is None or set(PAGES) <= found
    for name in ("system", "user"):
        assert "@BINDIR@" not in (prefix / f"lib/systemd/{name}/stacksfs@.service").read_text()


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            pytest.skip(f"no {program} here")
    if not (TOP / ".git").exists():
        pytest.skip("this is no clone")


@pytest.mark.long
@pytest.mark.seconds(900)
def test_the_tarball_builds_and_its_tests_pass(harness):
    needs("git")
    env = dict(environment(harness.work), GIT_CONFIG_GLOBAL="/dev/null")
    shutil.rmtree(BUILD / "meson-dist", ignore_errors=True)
    done = run(["meson", "dist", "-C", BUILD, "--no-tests", "--allow-dirty", "--formats=xztar"],
               env=env, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    tarball, = (BUILD / "meson-dist").glob("*.tar.xz")
    output_of(["tar", "-xf", tarball, "-C", harness.work])
    source, = harness.work.glob("stacksfs-*")
    for step in (["setup", "out"], ["compile", "-C", "out"],
                 ["test", "-C", "out", "--no-rebuild", "--suite", "unit", "--print-errorlogs"]):
        done = run(["meson", *step], cwd=source, env=env, timeout=800)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    shutil.rmtree(BUILD / "meson-dist")


# ---- in a clean Debian ----

INSIDE = """
set -eu
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 bash -euc "$1"
"""


class Debian:
    """A fresh system in a folder, entered in a mount namespace."""

    def __init__(self, root):
        self.root = root
        done = run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", root,
                    "--include=fuse3,jq,libcjson1,libcurl4,libfuse3-3,libmicrohttpd12,man-db"],
                   timeout=240)
        if done.returncode:
            pytest.skip(f"mmdebstrap does not run here: {done.stderr[-300:]}")

    def output(self, script):
        done = run(["unshare", "--mount", "--propagation", "private", "bash", "-c", INSIDE, "-",
                    self.root, script], timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self):
        """But for what others leave: the books of dpkg, man and mount(8)."""
        books = ("var/lib/dpkg/", "var/log/", "var/cache/", "run/", "var/lib/systemd/deb-systemd-")
        paths = self.output("find / -xdev -mindepth 1 -printf '%P\\n'").splitlines()
        return {path for path in paths if not path.startswith(books)}


@pytest.mark.long
@pytest.mark.seconds(900)
def test_the_debian_packages(account, harness):
    """Built, clean by lintian, installed, mounted through fstab, removed and purged."""
    needs("git", "dpkg-buildpackage", "dh", "lintian", "mmdebstrap")
    if os.geteuid() != 0 or fuse_is_missing():
        pytest.skip("needs root and /dev/fuse")
    done = run([TOP / "scripts" / "package", "--no-tests"], timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    packages = [path for path in map(os.path.abspath, done.stdout.split()) if "-dbgsym" not in path]
    packages = [TOP / "build" / "package" / os.path.basename(path) for path in packages]
    assert len(packages) == 2

    api = account()
    api.add_stack(stack("one", 1))
    debian = Debian(harness.work / "debian")
    before = debian.files()
    for package in packages:
        shutil.copy(package, debian.root / "srv")
    output = debian.output(f"""
        dpkg -i /srv/*.deb >&2
        rm /srv/*.deb
        echo '{api.token}' > /etc/stacksfs/one.token
        chmod 600 /etc/stacksfs/one.token
        mkdir /mnt/one
        echo '{api.url} /mnt/one stacksfs token_file=/etc/stacksfs/one.token,state=/var/lib/stacksfs/one,_netdev,nofail 0 0' > /etc/fstab
        stacksfs doctor {api.url} /mnt/one -o token_file=/etc/stacksfs/one.token,state=/var/lib/stacksfs/one >&2
        mount -a
        ls /mnt/one
        stacksfs status --check /mnt/one >&2
        umount /mnt/one
        man stacksfs | sed -n 's/^ *\\(stacksfs - .*\\)/\\1/p'
        stacks-emulator --version
        """)
    assert output.splitlines()[:2] == [
        "one", "stacksfs - mount the stacks of an integrator.io account as directories"]
    assert (debian.root / "var/lib/stacksfs/one").is_dir()

    debian.output("""
        dpkg -r stacksfs stacks-emulator >&2
        test -d /var/lib/stacksfs
        rm /etc/stacksfs/one.token /etc/fstab
        rmdir /mnt/one
        dpkg -P stacksfs stacks-emulator >&2
        """)
    assert debian.files() - before == set()
    assert before - debian.files() <= {"etc/fstab"}
