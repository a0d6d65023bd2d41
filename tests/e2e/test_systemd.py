# SPDX-License-Identifier: MIT
"""The units: checked by systemd-analyze, and run by a real systemd where one can be started."""
import errno
import json
import os
import re
import shutil

import pytest
from account import TOKEN, stack
from conftest import BUILD, fuse_is_missing
from mount import run
from namespace import MANAGER, Namespace

pytestmark = pytest.mark.any_requests("what a mount asks for is what other files count")
UNITS = {"user": "lib/systemd/user/stacksfs@.service", "system": "lib/systemd/system/stacksfs@.service"}


@pytest.fixture
def namespace(harness):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    return Namespace(BUILD, harness.work)


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    return api


# ---- as they are written ----

@pytest.mark.parametrize("manager", UNITS)
def test_verify(namespace, manager):
    namespace.env["XDG_RUNTIME_DIR"] = namespace.work
    done = namespace.run(f"systemd-analyze verify --{manager} --man=no /usr/local/{UNITS[manager]}")
    assert (done.returncode, done.stderr) == (0, "")


def test_security_of_the_systems(namespace):
    """Exposed no more than a mounting root has to be."""
    done = namespace.run("systemd-analyze security --offline=yes --threshold=50 --no-pager "
                         f"/usr/local/{UNITS['system']}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Overall exposure level for stacksfs@\S+: [0-4]\.\d", done.stdout)


def test_nothing_that_hides_the_mount(namespace):
    """A mount namespace would; and no_new_privs takes a user's fusermount3 its right."""
    hides = ("ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateMounts ProtectProc "
             "ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups "
             "ReadOnlyPaths InaccessiblePaths TemporaryFileSystem DynamicUser RootDirectory").split()
    privileges = ("NoNewPrivileges SystemCallFilter RestrictAddressFamilies RestrictNamespaces "
                  "LockPersonality MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID "
                  "SystemCallArchitectures ProtectClock ProtectHostname").split()
    for manager, path in UNITS.items():
        text = (namespace.prefix / path).read_text()
        settings = set(re.findall(r"^(\w+)=", text, re.M))
        assert not settings & set(hides)
        assert manager == "system" or not settings & set(privileges)
        assert "Type=notify" in text and "LoadCredential=stacksfs.token:" in text


# ---- as they run ----

@pytest.fixture
def systemd(namespace, api):
    """Runs a script with a user's systemd and the unit stacksfs@test of this account."""
    if fuse_is_missing() or not os.path.exists(MANAGER):
        pytest.skip("no /dev/fuse or no systemd here")
    home = namespace.work / "home"
    namespace.configure_unit("test", api.token, f"SOURCE={api.url}\nOPTIONS=ttl=60,rate=50\n")

    def script(task, before="true"):
        done = namespace.run_by_systemd(before, task, timeout=50)
        log = (home / "manager.log").read_text() if (home / "manager.log").exists() else ""
        assert done.returncode == 0, (done.stdout, done.stderr, log)
        return done.stdout

    return script


START = """
    unit=stacksfs@test.service
    systemctl --user start $unit
    place=$HOME/stacks/test
    pid() { systemctl --user show -P MainPID $unit; }
"""


def test_start_reload_and_stop(systemd, api):
    output = systemd(START + """
        ls $place
        findmnt -no FSTYPE $place
        systemctl --user reload $unit
        until [ "$(jq .requests.list.\\"200\\" $place/.stacksfs/status)" = 2 ]; do sleep 0.05; done
        cat /proc/$(pid)/environ | tr '\\0' '\\n' | grep -c "$(cat $HOME/.config/stacksfs/test.token)" || true
        test -d $HOME/.local/state/stacksfs/test
        systemctl --user stop $unit
        ls $place
        systemctl --user show -P Result $unit
        """)
    assert output.split() == ["one", "fuse.stacksfs", "0", "success"]
    assert api.statuses("list") == [200, 200]


def test_a_crash_leaves_no_dead_mount_and_is_started_again(systemd):
    output = systemd(START + """
        before=$(pid)
        mkdir -p $HOME/.config/systemd/user/$unit.d
        printf '[Service]\\nRestartSec=100ms\\n' > $HOME/.config/systemd/user/$unit.d/soon.conf
        systemctl --user daemon-reload
        kill -KILL $before
        until [ "$(pid)" != $before ] && systemctl --user is-active -q $unit; do sleep 0.05; done
        ls $place
        grep -c " $place " /proc/self/mountinfo
        systemctl --user stop $unit
        """)
    assert output.split() == ["one", "1"]


def test_a_start_that_fails_leaves_the_mount_that_is_there(systemd, api):
    """One that was made by hand, say."""
    output = systemd(f"""
        place=$HOME/stacks/test
        mkdir -p $place
        stacksfs {api.url} $place -o token_file=$HOME/.config/stacksfs/test.token
        pid=$(jq .pid $place/.stacksfs/status)
        ! systemctl --user start stacksfs@test.service 2>/dev/null
        systemctl --user stop stacksfs@test.service
        ls $place
        test $pid = $(jq .pid $place/.stacksfs/status) && echo the same
        fusermount3 -u $place
        tail --pid=$pid -f /dev/null
        """)
    assert output == "one\nthe same\n"


def test_a_refused_token_is_a_failed_start(systemd, api):
    api.config(token="another-canary")
    output = systemd("""
        ! systemctl --user start stacksfs@test.service 2>/dev/null
        systemctl --user show -P ActiveState,Result stacksfs@test.service
        ! mountpoint -q $HOME/stacks/test
        systemctl --user stop stacksfs@test.service
        """)
    assert output.split() == ["exit-code", "activating"]


def test_the_systems_unit_mounts_with_all_that_it_gives_up(systemd, namespace):
    """Run by the same systemd, for root: capabilities, system calls and devices are cut down."""
    for name in ("test.token", "test.conf"):
        source = namespace.work / "home" / ".config" / "stacksfs" / name
        (namespace.work / "etc").mkdir(exist_ok=True)
        shutil.copy2(source, namespace.work / "etc" / name)
    unit = namespace.prefix / UNITS["system"]
    text = unit.read_text().replace("/etc/stacksfs", str(namespace.work / "etc"))
    # The leak checker needs ptrace, one of the things that are given up.
    options = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
    text = text.replace("[Service]", f"[Service]\nEnvironment=ASAN_OPTIONS={options}")
    (namespace.prefix / UNITS["user"]).write_text(
        text.replace("/mnt/stacks", str(namespace.work / "mnt")).replace("network-online.target", ""))
    output = systemd("""
        unit=stacksfs@test.service
        systemctl --user start $unit
        grep NoNewPrivs: /proc/$(systemctl --user show -P MainPID $unit)/status
        grep CapEff: /proc/$(systemctl --user show -P MainPID $unit)/status
        ls """ + str(namespace.work / "mnt" / "test") + """
        systemctl --user stop $unit
        systemctl --user show -P Result $unit
        """)
    assert output.split() == ["NoNewPrivs:", "1", "CapEff:", "0000000000200000", "one", "success"]


def test_the_journal_has_fields(systemd, api, namespace):
    """Of a real journald: what failed, where and why, to be searched for."""
    if not os.path.exists("/lib/systemd/systemd-journald") or not shutil.which("journalctl"):
        pytest.skip("no journald here")
    (namespace.work / "home" / ".config" / "systemd" / "user.conf").unlink()
    api.fault(kind="status", status=403, path=TOKEN)
    output = systemd(START + """
        ! cat $place/one/systemToken 2>/dev/null
        systemctl --user stop $unit
        journalctl --sync >/dev/null 2>&1 || true
        journalctl --directory=/run/log/journal -o json SYSLOG_IDENTIFIER=stacksfs
        """, before="""
        mkdir -p /run/systemd/journal /run/log/journal
        head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \\n' > /run/machine-id
        mount --bind /run/machine-id /etc/machine-id
        /lib/systemd/systemd-journald >/dev/null 2>&1 &
        until [ -S /run/systemd/journal/stdout ]; do kill -0 $!; sleep 0.05; done
        """)
    entries = [json.loads(line) for line in output.splitlines()]
    assert any("is mounted on" in entry["MESSAGE"] for entry in entries)
    failed, = [entry for entry in entries if "ERRNO" in entry]
    assert failed["ERRNO"] == str(errno.EPERM)
    assert failed["STACKSFS_PATH"] == "/one/systemToken"
    assert failed["STACKSFS_OP"] in ("lookup", "getattr", "open")
    assert failed["STACKSFS_MODULE"] == "fs"
    assert failed["PRIORITY"] == "4"
    assert int(failed["STACKSFS_REQUEST"]) > 0
    assert failed["_SYSTEMD_USER_UNIT" if "_SYSTEMD_USER_UNIT" in failed else "_COMM"]
    assert api.token not in output


def test_no_leftover_control_group():
    assert run("find /sys/fs/cgroup -name 'stacksfs-test-*'").stdout == ""
