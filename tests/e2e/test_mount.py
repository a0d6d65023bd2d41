# SPDX-License-Identifier: MIT
"""Mounting as Linux does: the real mount(8), umount(8) and /etc/fstab, in a mount namespace."""
import os
import re
import shutil

import pytest
from account import stack
from conftest import BUILD, TOP, fuse_is_missing
from mount import run
from namespace import Namespace

pytestmark = [pytest.mark.skipif(fuse_is_missing(), reason="no /dev/fuse here"),
              pytest.mark.any_requests("what a mount asks for is what other files count")]
NOBODY = 65534


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    return api


@pytest.fixture
def namespace(harness):
    namespace = Namespace(BUILD, harness.work)
    namespace.install_helpers()
    return namespace


def fields(folder):
    return f"findmnt -no FSTYPE,SOURCE {folder}"


@pytest.mark.parametrize("fs_type", ["stacksfs", "fuse.stacksfs"])
def test_mount_and_umount(api, folder, token_file, namespace, fs_type):
    output = namespace.output(f"""
        mount -t {fs_type} {api.url} {folder} -o token_file={token_file},ttl=60
        ls {folder}
        {fields(folder)}
        umount {folder}
        ls {folder}
        """)
    assert output.split() == ["one", "fuse.stacksfs", api.url]


def test_the_type_without_a_helper_of_its_own(api, folder, token_file, namespace):
    """mount.fuse3 then calls stacksfs by the type's second part."""
    for link in namespace.sbin.iterdir():
        link.unlink()
    namespace.install_system("mount.fuse", "mount.fuse3")
    output = namespace.output(f"""
        mount -t fuse.stacksfs {api.url} {folder} -o token_file={token_file}
        ls {folder}
        umount {folder}
        """)
    assert output == "one\n"


def test_a_line_of_fstab(api, folder, token_file, namespace):
    """By its mount point, as at boot, and not twice."""
    namespace.fstab(f"{api.url} {folder} stacksfs token_file={token_file},_netdev,nofail,"
                    "x-systemd.automount,x-systemd.idle-timeout=10min 0 0")
    output = namespace.output(f"""
        mount {folder}
        mount -a
        ls {folder}
        umount {folder}
        mount -a
        mount -a
        grep -c ' {folder} ' /proc/self/mountinfo
        umount {folder}
        ls {folder}
        """)
    assert output == "one\n1\n"


def test_an_empty_source_in_fstab(api, folder, token_file, namespace):
    namespace.fstab(f"none {folder} fuse.stacksfs token_file={token_file},defaults 0 0")
    namespace.env["CELIGO_BASE_URL"] = api.url
    output = namespace.output(f"""
        mount -a
        mount -a
        ls {folder}
        {fields(folder)}
        umount {folder}
        """)
    assert output.split() == ["one", "fuse.stacksfs", "none"]


@pytest.mark.parametrize("options", [
    "ro", "rw,sync,dirsync", "noexec,nosuid,nodev,noatime", "exec,suid,dev,relatime,lazytime",
    "noauto,user", "users,owner", "auto,nouser,group", "X-mount.mkdir,comment=x",
    "x-gvfs-show,x-systemd.requires=network-online.target", "strictatime,nodiratime,async",
])
def test_options_that_mount_passes(api, folder, token_file, namespace, options):
    namespace.fstab(f"{api.url} {folder} stacksfs token_file={token_file},{options} 0 0")
    output = namespace.output(f"""
        mount {folder}
        ls {folder}
        umount {folder}
        """)
    assert output == "one\n"


def test_flags_of_mount(api, folder, token_file, namespace):
    output = namespace.output(f"""
        mount -v -f -t stacksfs {api.url} {folder} -o token_file={token_file} >&2 2>/dev/null
        ls {folder}
        mount -n -s -t stacksfs {api.url} {folder} -o token_file={token_file},nonsense=1
        ls {folder}
        umount -l {folder}
        ls {folder}
        """)
    assert output == "one\n"


def test_ro_is_ours(api, folder, token_file, namespace):
    """Changes are refused, .stacksfs/refresh is not."""
    output = namespace.output(f"""
        mount -r -t stacksfs {api.url} {folder} -o token_file={token_file}
        ! touch {folder}/one/x 2>/dev/null
        echo 1 > {folder}/.stacksfs/refresh
        umount {folder}
        echo done
        """)
    assert output == "done\n"


def test_a_failure_is_said(api, folder, namespace, work):
    done = namespace.run(f"mount -t stacksfs {api.url} {folder} -o token_file={work}/none")
    assert done.returncode != 0
    assert f"{work}/none" in done.stderr
    done = namespace.run(f"mount -t stacksfs {api.url} {work}/missing -o token_file={work}/none")
    assert done.returncode != 0 and "missing" in done.stderr


def test_remounting_is_refused_with_a_reason(api, folder, token_file, namespace):
    output = namespace.output(f"""
        mount -t stacksfs {api.url} {folder} -o token_file={token_file}
        ! mount -o remount,ro {folder} 2> {folder}.said
        grep -o 'unmount and mount anew' {folder}.said
        umount {folder}
        """)
    assert output == "unmount and mount anew\n"


def test_a_dead_mount_does_not_keep_mount_from_mounting(api, folder, token_file, namespace):
    namespace.fstab(f"{api.url} {folder} stacksfs token_file={token_file} 0 0")
    output = namespace.output(f"""
        mount {folder}
        pid=$(jq .pid {folder}/.stacksfs/status)
        kill -KILL $pid
        ! ls {folder} 2>/dev/null
        mount {folder}
        ls {folder}
        umount {folder}
        ls {folder}
        """, own_pids=True)
    assert output == "one\n"


def test_sigterm_ends_the_own_mount_only(api, folder, token_file, namespace):
    """It may have been detached, and another one be in its place."""
    output = namespace.output(f"""
        mount -t stacksfs {api.url} {folder} -o token_file={token_file}
        pid=$(jq .pid {folder}/.stacksfs/status)
        exec 9< {folder}/one/config.json
        umount -l {folder}
        mount -t stacksfs {api.url} {folder} -o token_file={token_file}
        kill -TERM $pid
        tail --pid=$pid -f /dev/null
        ls {folder}
        umount {folder}
        exec 9<&-
        ls {folder}
        """, own_pids=True)
    assert output == "one\n"


def test_the_names_in_a_path_of_fstab(api, work, token_file, namespace):
    """Spaces are \\040 there."""
    folder = work / "a b"
    folder.mkdir()
    namespace.fstab(f"{api.url} {str(folder).replace(' ', chr(92) + '040')} stacksfs "
                    f"token_file={token_file} 0 0")
    assert namespace.output(f"mount '{folder}'; ls '{folder}'; umount '{folder}'") == "one\n"


def test_several_accounts(account, work, namespace):
    """A line each, with a token each, and a state directory that they share."""
    lines = []
    for number, name in enumerate(("production", "sandbox", "eu"), 1):
        api = account(token=f"canary-{name}")
        api.add_stack(stack(name, number))
        token = work / f"{name}.token"
        token.touch(mode=0o600)
        token.write_text(api.token)
        (work / name).mkdir()
        lines.append(f"{api.url} {work / name} stacksfs token_file={token},_netdev 0 0")
    namespace.fstab(*lines)
    output = namespace.output(f"""
        mount -a
        for name in production sandbox eu; do ls {work}/$name; done
        stacksfs status
        umount {work}/production {work}/sandbox {work}/eu
        """)
    assert output.split()[:3] == ["production", "sandbox", "eu"]
    assert output.count(f"mount       {work}/") == 3


def test_the_readmes_lines_of_fstab(api, work, namespace):
    """As they are printed, but for the account and the folders."""
    token = work / "etc"
    token.mkdir()
    lines = re.findall(r"^ {4}((?:us|eu) +/\S+ +stacksfs .*)$", (TOP / "README.md").read_text(), re.M)
    assert len(lines) == 4
    for line in lines:
        folder, name = re.search(r"/mnt/(\S+) .*/etc/stacksfs/(\w+)\.token", line).groups()
        (token / f"{name}.token").touch(mode=0o600)
        (token / f"{name}.token").write_text(api.token)
        (work / "mnt" / folder).mkdir(parents=True)
        namespace.fstab(re.sub("^(us|eu)", api.url, line).replace("/mnt", str(work / "mnt"))
                        .replace("/etc/stacksfs", str(token)))
        output = namespace.output(f"mount -a; ls {work}/mnt/{folder}; umount {work}/mnt/{folder}")
        assert output == "one\n"
        shutil.rmtree(work / "mnt")
        namespace.setup.pop()


def test_a_user_mounts_by_the_line_of_fstab(api, work, token_file, namespace):
    """With "user" mount(8) gives up its privileges, and fusermount3 mounts."""
    if run(["sh", "-c", "command -v fusermount3 && command -v setpriv"]).returncode:
        pytest.skip("no fusermount3 or setpriv here")
    folder, home = work / "theirs", work / "home"
    folder.mkdir()
    for path in (folder, home, token_file):
        os.chown(path, NOBODY, NOBODY)
    namespace.fstab(f"{api.url} /mnt/theirs stacksfs token_file=/mnt/token,noauto,user 0 0")
    # A path that anybody may walk, and a device that anybody may open.
    output = namespace.output(f"""
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/theirs /mnt/home
        cp -p {token_file} /mnt/token
        chown {NOBODY}:{NOBODY} /mnt/theirs /mnt/home
        mknod /mnt/fuse c 10 229
        chmod 666 /mnt/fuse
        mount --bind /mnt/fuse /dev/fuse
        as_nobody() {{
            HOME=/mnt/home XDG_STATE_HOME=/mnt/home/state \\
            setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"
        }}
        as_nobody mount /mnt/theirs
        as_nobody ls /mnt/theirs
        ! ls /mnt/theirs 2>/dev/null
        as_nobody umount /mnt/theirs
        as_nobody ls /mnt/theirs
        """)
    assert output == "one\n"


# ---- what is installed ----

def test_the_helpers_are_installed_as_links(namespace):
    for name in ("mount.stacksfs", "mount.fuse.stacksfs"):
        link = namespace.prefix / "sbin" / name
        assert os.readlink(link) == "../bin/stacksfs"
        assert link.resolve() == namespace.prefix / "bin" / "stacksfs"
    assert os.access(namespace.prefix / "bin" / "stacks-emulator", os.X_OK)
