# SPDX-License-Identifier: MIT
"""The command line: it works and says so by exit 0, or it says in one line what to do."""
import concurrent.futures
import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import pytest
from account import LIST, stack
from conftest import STACKSFS
from mount import (SLOWER, TOKEN_ENV, abort_connection, environment, eventually, mounted_at,
                   output_of, run, wait_for_exit)


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    return api


def refused(done, *words):
    """Exit 1 with one line on stderr that has these words, nothing on stdout."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert re.search(word, lines[0], re.I), (word, lines[0])
    return lines[0]


def unmount(path):
    assert run(["umount", path]).returncode == 0


def end_of(pid):
    """Wait for a background daemon; how it ended."""
    return wait_for_exit(pid, 20 * SLOWER)


def pid_of(path):
    return json.loads((path / ".stacksfs" / "status").read_text())["pid"]


# ---- what cannot work is said at once, and nothing is left ----

@pytest.mark.parametrize("options, words", [
    ("colour=blue", ["colour"]),
    ("ttl=soon", ["ttl", "soon"]),
    ("ttl=-1", ["ttl"]),
    ("ttl=", ["ttl"]),
    ("ttl", ["ttl"]),
    ("ttl=99999999999999999999", ["ttl"]),
    ("timeout=0x10", ["timeout"]),
    ("stale=1h", ["stale"]),
    ("rate=many", ["rate"]),
    ("tokens=perhaps", ["tokens"]),
    ("umask=999", ["umask"]),
    ("uid=nobody-here", ["uid"]),
    ("cacert=/nonexistent.pem", ["/nonexistent.pem"]),
])
def test_a_bad_option(api, folder, token_file, stacksfs, options, words):
    refused(stacksfs(api.url, folder, "-o", f"token_file={token_file},{options}"), *words)
    assert mounted_at(folder) is None
    api.expect()


def test_an_unknown_flag(api, folder, stacksfs):
    done = stacksfs(api.url, folder, "--frobnicate")
    assert done.returncode == 1
    assert "frobnicate" in done.stderr and done.stdout == ""
    api.expect()


def test_no_arguments(stacksfs):
    done = stacksfs()
    assert done.returncode == 1
    assert "--help" in done.stderr or "usage" in done.stderr.lower()


def test_too_many_arguments(api, folder, stacksfs):
    assert stacksfs(api.url, folder, "third").returncode == 1
    assert mounted_at(folder) is None
    api.expect()


@pytest.mark.parametrize("where, words", [
    ("missing", ["missing"]),
    ("file", ["file", "director"]),
    ("file/below", ["file"]),
])
def test_a_bad_mount_point(api, work, token_file, stacksfs, where, words):
    (work / "file").write_text("x")
    refused(stacksfs(api.url, work / where, "-o", f"token_file={token_file}"), *words)
    api.expect()


@pytest.mark.parametrize("source, words", [
    ("http://api.example.com", ["https|loopback"]),
    ("http://10.0.0.1:8080", ["https|loopback"]),
    ("http://127.0.0.1.example.com", ["https|loopback"]),
    ("http://localhost.example.com", ["https|loopback"]),
    ("ftp://127.0.0.1", ["ftp|https"]),
    ("https://user:secret@api.example.com", []),
    ("https://", []),
    ("mars", ["mars|us|eu"]),
    ("https://api.example.com/?x=1", []),
    ("https://api.example.com/#x", []),
    ("https://api.example.com:99999", []),
    ("https://api example.com", []),
])
def test_a_bad_source(api, folder, token_file, stacksfs, source, words):
    done = stacksfs(source, folder, "-o", f"token_file={token_file},timeout=5")
    line = refused(done, *words)
    assert "secret" not in line
    assert mounted_at(folder) is None
    api.expect()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_file_that_others_can_read(api, folder, token_file, stacksfs, mode):
    token_file.chmod(mode)
    line = refused(stacksfs(api.url, folder, "-o", f"token_file={token_file}"), "token", "chmod|mode")
    assert str(token_file) in line
    api.expect()


@pytest.mark.parametrize("content", ["", "\n", "two words\n", "with\r\nX-Header: y\n", "caf\u00e9\n",
                                     "x" * 100_000], ids=repr)
def test_a_token_that_cannot_be_one(api, folder, token_file, stacksfs, content):
    token_file.write_text(content)
    line = refused(stacksfs(api.url, folder, "-o", f"token_file={token_file}"), "token")
    assert content.strip() == "" or content.strip()[:20] not in line
    api.expect()


def test_a_missing_token_file(api, folder, work, stacksfs):
    refused(stacksfs(api.url, folder, "-o", f"token_file={work}/none"), f"{work}/none")
    api.expect()


def test_no_token_at_all(api, folder, stacksfs):
    refused(stacksfs(api.url, folder), "token", f"token_file|{TOKEN_ENV}")
    api.expect()


def test_a_token_that_the_api_refuses(api, folder, token_file, stacksfs):
    token_file.write_text("wrong-canary-token\n")
    done = stacksfs(api.url, folder, "-o", f"token_file={token_file}")
    refused(done, "token|401", "refused|unauthori|Bearer Authentication Failed")
    assert "wrong-canary" not in done.stderr
    assert mounted_at(folder) is None
    api.expect(list=1)


def test_an_api_that_is_not_there(api, folder, token_file, stacksfs):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        refused(stacksfs(url, folder, "-o", f"token_file={token_file},timeout=3"),
                re.escape(url[7:]), "refused|connect")
        assert time.monotonic() - began < 3 + 2 * SLOWER
    api.expect()


def test_a_host_that_is_unknown(api, folder, token_file, stacksfs):
    began = time.monotonic()
    refused(stacksfs("https://no-such-host.invalid", folder, "-o",
                     f"token_file={token_file},timeout=5"), "no-such-host.invalid")
    assert time.monotonic() - began < 5 + 2 * SLOWER
    api.expect()


def test_an_api_that_hangs(api, folder, token_file, stacksfs):
    api.fault(kind="hang", path=LIST)
    began = time.monotonic()
    refused(stacksfs(api.url, folder, "-o", f"token_file={token_file},timeout=2"),
            "time|answer")
    assert time.monotonic() - began < 2 + 2 * SLOWER
    assert mounted_at(folder) is None
    api.expect(list=range(1, 5))


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_api_that_refuses_the_list(api, folder, token_file, stacksfs, status):
    """What the server says is passed on."""
    api.fault(kind="status", status=status, path=LIST,
              body='{"errors":[{"code":"c","message":"Not on a Monday."}]}')
    refused(stacksfs(api.url, folder, "-o", f"token_file={token_file},timeout=2"),
            "Not on a Monday", re.escape(api.url))
    api.expect(list=range(1, 5))


def test_a_mount_point_that_is_taken(api, mount, token_file, stacksfs):
    mnt = mount(api)
    refused(stacksfs(api.url, mnt.path, "-o", f"token_file={token_file}"), "mounted|busy")
    assert mnt.names() == ["one"], "and the mount that is there goes on"
    api.expect(list=1)


def test_two_starts_at_once(api, folder, new_mount):
    """Neither was there when the other looked; one of them is told so."""
    fault = api.fault(kind="hang", path=LIST)
    starts = [new_mount(api, background=True, mountpoint=folder) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = [pool.submit(start.launch) for start in starts]
        api.wait(path=LIST, count=2)
        api.clear_faults(fault)
        concurrent.futures.wait(futures)
    errors = [future.exception() for future in futures]
    assert errors.count(None) == 1, errors
    failed = next(error for error in errors if error)
    assert "mounted there meanwhile" in failed.output
    mnt = starts[errors.index(None)].register()
    assert mnt.names() == ["one"]
    assert mnt.stop() == []
    assert mounted_at(folder) is None
    api.expect(list=range(2, 10))


def test_messages_are_the_same_in_the_foreground(api, folder, token_file, stacksfs):
    token_file.chmod(0o644)
    refused(stacksfs(api.url, folder, "-f", "-o", f"token_file={token_file}"), "token")
    api.expect()


# ---- where the token comes from ----

def test_a_token_from_the_environment_leaves_it(api, mount):
    mnt = mount(api, token=False, env={TOKEN_ENV: api.token})
    assert mnt.names() == ["one"]
    with open(f"/proc/{mnt.pid}/environ", "rb") as process:
        assert api.token.encode() not in process.read()
    with open(f"/proc/{mnt.pid}/cmdline", "rb") as process:
        assert api.token.encode() not in process.read()
    api.expect(list=1)


def test_a_token_from_a_credentials_directory(api, mount, work):
    (work / "credentials").mkdir()
    (work / "credentials" / "stacksfs.token").write_text(api.token)
    (work / "credentials" / "stacksfs.token").chmod(0o444)
    mnt = mount(api, token=False, env={"CREDENTIALS_DIRECTORY": work / "credentials",
                                       TOKEN_ENV: "not-this-one"})
    assert mnt.names() == ["one"]
    api.expect(list=1)


def test_a_token_file_goes_before_all_else(api, mount, work):
    mnt = mount(api, env={"CREDENTIALS_DIRECTORY": work, TOKEN_ENV: "not-this-one"})
    assert mnt.names() == ["one"]
    api.expect(list=1)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n\n"], ids=repr)
def test_white_space_after_a_token(api, new_mount, ending):
    mnt = new_mount(api)
    mnt.options["token_file"].write_text(api.token + ending)
    mnt.start()
    assert mnt.names() == ["one"]
    api.expect(list=1)


def test_a_token_from_the_terminal(api, folder, work):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(STACKSFS, [str(STACKSFS), api.url, str(folder)], environment(work))
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        asked = False
        while select.select([terminal], [], [], 20 * SLOWER)[0]:
            shown += os.read(terminal, 4096)
            if not asked and re.search(rb"token[^\n]*: *$", shown, re.I):
                asked = True
                os.write(terminal, api.token.encode() + b"\n")
    assert wait_for_exit(pid, 20 * SLOWER) == 0, shown
    os.close(terminal)
    assert api.token.encode() not in shown, "what is typed is not echoed"
    assert os.listdir(folder) == ["one"]
    daemon = pid_of(folder)
    unmount(folder)
    assert end_of(daemon) == 0
    api.expect(list=1)


def test_a_new_token_is_read_again(api, mount):
    mnt = mount(api)
    mnt.secrets.append(api.token)
    api.config(token="another-canary-token")
    mnt.options["token_file"].write_text("another-canary-token\n")
    mnt.refresh()
    assert mnt.read("one", "systemToken") == api.system_token(api.records()[0].id)
    assert api.statuses("list")[:3] == [200, 401, 200]
    api.expect(list=3, token=1)


def test_a_token_that_was_withdrawn(api, mount):
    mnt = mount(api)
    config = mnt.config("one")
    api.config(token="another-canary-token")
    for _ in range(3):
        with pytest.raises(PermissionError):
            mnt.read("one", "systemToken")
    assert mnt.config("one") == config, "what is fresh stays readable"
    api.expect(list=1, token=range(3, 7))  # each is tried once more at most


def test_the_source_from_the_environment(api, mount):
    mnt = mount(api, url="none", env={"CELIGO_BASE_URL": api.url})
    assert mnt.names() == ["one"]
    assert mnt.status()["source"].startswith(api.url)
    api.expect(list=1)


def test_no_source_at_all_is_the_environments(api, folder, token_file, stacksfs):
    done = stacksfs(folder, "-o", f"token_file={token_file}", env={"CELIGO_BASE_URL": api.url})
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(folder) == ["one"]
    daemon = pid_of(folder)
    unmount(folder)
    assert end_of(daemon) == 0
    api.expect(list=1)


@pytest.mark.parametrize("ending", ["/", "/v1", "/v1/"])
def test_endings_of_a_source(api, mount, ending):
    mnt = mount(api, url=api.url + ending)
    assert mnt.names() == ["one"]
    api.expect(list=1)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy",
                                      "ALL_PROXY"])
def test_no_proxy_for_this_machine(api, mount, variable):
    mnt = mount(api, env={variable: "http://127.0.0.1:1"}, timeout=5)
    assert mnt.names() == ["one"]
    api.expect(list=1)


def test_no_proxy_for_this_machine_by_option(api, mount):
    mnt = mount(api, proxy="http://127.0.0.1:1", timeout=5)
    assert mnt.names() == ["one"]
    api.expect(list=1)


# ---- in the background ----

def test_the_command_returns_when_it_works(api, mount):
    mnt = mount(api, background=True)
    assert mnt.log() == "", "silence is success"
    assert mnt.names() == ["one"]
    assert os.getsid(mnt.pid) == mnt.pid, "a session of its own"
    assert os.readlink(f"/proc/{mnt.pid}/cwd") == "/"
    for fd in (0, 1, 2):
        assert os.readlink(f"/proc/{mnt.pid}/fd/{fd}") == "/dev/null"
    api.expect(list=1)


def test_the_first_page_is_there_before_the_command_returns(account, mount):
    api = account(stacks=30, page_size=10)
    api.fault(kind="delay", delay_ms=400, path=LIST, times=1)
    began = time.monotonic()
    mnt = mount(api, background=True)
    assert time.monotonic() - began > 0.4
    assert api.statuses("list")[0] == 200
    assert len(mnt.names()) == 30
    api.expect(list=3)


def test_command_substitution_does_not_hang(api, folder, token_file, work):
    done = run(f'out=$("{STACKSFS}" "{api.url}" "{folder}" -o token_file="{token_file}" 2>&1); '
               'echo "rc=$? out=$out"', env=environment(work), timeout=20)
    assert done.stdout == "rc=0 out=\n"
    daemon = pid_of(folder)
    unmount(folder)
    assert end_of(daemon) == 0
    api.expect(list=1)


def test_it_takes_no_open_files_along(api, folder, token_file, work):
    reading, writing = os.pipe()
    done = subprocess.run([STACKSFS, api.url, folder, "-o", f"token_file={token_file}"],
                          pass_fds=(writing,), env=environment(work), check=False)
    os.close(writing)
    assert done.returncode == 0
    daemon = pid_of(folder)
    held = [os.readlink(f"/proc/{daemon}/fd/{fd}") for fd in os.listdir(f"/proc/{daemon}/fd")]
    unmount(folder)
    assert end_of(daemon) == 0
    os.close(reading)
    assert not [name for name in held if str(token_file) in name]
    api.expect(list=1)


def test_a_dead_earlier_mount_is_cleared(api, mount, new_mount):
    first = mount(api, background=True)
    first.kill()
    with pytest.raises(OSError):
        os.listdir(first.path)
    again = new_mount(api, background=True, mountpoint=first.path)
    again.start()
    assert again.names() == ["one"]
    assert again.stop() == []
    assert mounted_at(first.path) is None, "the dead one is gone, not covered"
    api.expect(list=2)


def test_a_dead_mount_is_cleared_also_while_somebody_stands_in_it(api, mount, new_mount):
    first = mount(api, background=True)
    held = os.open(first.path, os.O_PATH)
    try:
        first.kill()
        again = new_mount(api, background=True, mountpoint=first.path)
        again.start()
        assert again.names() == ["one"]
        assert again.stop() == []
    finally:
        os.close(held)
    api.expect(list=2)


# ---- signals ----

@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_a_signal_unmounts(api, mount, signum, background):
    mnt = mount(api, background=background)
    os.kill(mnt.pid, signum)
    assert mnt.wait() == []
    assert os.listdir(mnt.path) == []
    api.expect(list=1)


def test_a_signal_unmounts_while_a_file_is_open(api, mount):
    mnt = mount(api)
    with open(mnt / "one" / "config.json", "rb"):
        os.kill(mnt.pid, signal.SIGTERM)
        assert mnt.wait() == []
    api.expect(list=1)


def test_nobody_reads_what_it_logs(api, folder, token_file, work):
    """A stopped terminal, a pager: neither callers nor a signal wait for it."""
    reader, writer = os.pipe()
    process = subprocess.Popen([STACKSFS, api.url, folder, "-f", "-o", f"token_file={token_file}"],
                               env=environment(work), stdin=subprocess.DEVNULL, stderr=writer)
    try:
        os.close(writer)
        eventually(lambda: mounted_at(folder))
        assert run("mkdir one/refused-{1..3000} 2>/dev/null; ls", cwd=folder,
                   timeout=20 * SLOWER).stdout == "one\n"
        process.terminate()
        assert process.wait(10 * SLOWER) == 0
    finally:
        os.close(reader)
        process.kill()
        process.wait()
    assert mounted_at(folder) is None
    api.expect(list=1)


MAKE_AND_REMOVE = """
import os, sys
print(flush=True)
while True:
    try:
        os.mkdir(sys.argv[1])
        os.rmdir(sys.argv[1])
    except OSError:
        break
"""


def test_a_signal_unmounts_while_the_root_is_locked(account, mount):
    """By a rename that waits for the service, with names to be dropped and others that would change
    the root in a queue behind it."""
    names = [f"s{number:04}" for number in range(2000)]
    api = account(page_size=2000)
    api.set_account([stack(name, number) for number, name in enumerate(names, 1)])
    mnt = mount(api, timeout=4)
    assert len(mnt.names()) == len(names)
    assert mnt.status()["stacks"]["total"] == len(names)
    api.fault(kind="hang", method="PUT")
    users = [subprocess.Popen(["mv", names[0], "moved"], cwd=mnt.path, stderr=subprocess.DEVNULL)]
    try:
        api.wait(method="PUT", count=1)
        for number in range(6):
            user = subprocess.Popen([sys.executable, "-c", MAKE_AND_REMOVE, f"draft{number}"],
                                    cwd=mnt.path, stdout=subprocess.PIPE)
            users.append(user)
            assert user.stdout.read(1)
        api.set_account([stack(f"other-{name}" if number > 1 else name, number)
                         for number, name in enumerate(names, 1)])
        os.kill(mnt.pid, signal.SIGHUP)
        api.wait(path=LIST, count=2, answered=True)
        os.kill(mnt.pid, signal.SIGTERM)
        assert mnt.wait() == []
        for user in users:
            user.wait(10 * SLOWER)
    finally:
        for user in users:
            user.kill()
            if user.stdout:
                user.stdout.close()
    api.expect(**api.counts())


def test_a_signal_unmounts_while_it_is_in_use(api, mount):
    """By who opens one file after the other, of what the kernel has in its caches."""
    mnt = mount(api)
    opener = ("import os, sys\n"
              "os.read(os.open('config.json', os.O_RDONLY), 1)\n"
              "print(flush=True)\n"
              "try:\n"
              "    while True:\n"
              "        os.close(os.open('config.json', os.O_RDONLY))\n"
              "except OSError:\n"
              "    pass\n")
    users = [subprocess.Popen([sys.executable, "-I", "-c", opener], cwd=mnt / "one",
                              stdout=subprocess.PIPE) for _ in range(16)]
    for user in users:
        user.stdout.readline()
    began = time.monotonic()
    os.kill(mnt.pid, signal.SIGTERM)
    assert mnt.wait() == []
    assert time.monotonic() - began < 5 * SLOWER
    for user in users:
        assert user.wait(10 * SLOWER) == 0
        user.stdout.close()
    api.expect(list=1)


@pytest.mark.parametrize("background", [False, True], ids=["foreground", "background"])
def test_hangup_refreshes(api, mount, background):
    """Without a terminal, -f or not."""
    mnt = mount(api, background=background)
    api.add_stack(stack("two", 2))
    os.kill(mnt.pid, signal.SIGHUP)
    api.wait(method="GET", path=LIST, count=2, timeout=10)
    eventually(lambda: mnt.names() == ["one", "two"])
    api.expect(list=2)


def test_a_closed_terminal_unmounts_a_foreground_mount(api, folder, token_file, work):
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(STACKSFS, [str(STACKSFS), api.url, str(folder), "-f", "-o",
                           f"token_file={token_file}"], environment(work))
    eventually(lambda: mounted_at(folder))
    assert os.listdir(folder) == ["one"]
    os.close(terminal)
    assert wait_for_exit(pid, 10 * SLOWER) is not None
    assert mounted_at(folder) is None
    api.expect(list=1)


# ---- status and refresh ----

def test_status_for_people(api, mount, stacksfs):
    mnt = mount(api)
    done = stacksfs("status", mnt.path)
    assert (done.returncode, done.stderr) == (0, "")
    assert api.url in done.stdout and "ok" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 120
    api.expect(list=1)


def test_status_finds_the_only_mount(api, mount, stacksfs):
    mnt = mount(api)
    done = stacksfs("status")
    assert str(mnt.path) in done.stdout
    assert done.stderr == ""
    api.expect(list=1)


def test_status_for_programs(api, mount, stacksfs):
    mnt = mount(api)
    done = stacksfs("status", "--json", mnt.path)
    assert done.returncode == 0
    shown = json.loads(done.stdout)
    assert shown["mountpoint"] == str(mnt.path)
    assert shown["pid"] == mnt.pid
    assert shown["api"]["state"] == "ok"
    api.expect(list=1)


@pytest.mark.skipif(os.getuid() != 0 or os.stat("/dev/fuse").st_mode & 0o006 != 0o006 or
                    not shutil.which("setpriv"), reason="only root, and only where all may mount")
def test_root_sees_another_users_mount(api, token_file, stacksfs):
    """The kernel lets root into it no more than anybody else."""
    with tempfile.TemporaryDirectory() as place:
        mnt, token = os.path.join(place, "mnt"), os.path.join(place, "token")
        os.mkdir(mnt)
        shutil.copy(token_file, token)
        for path in (place, mnt, token):
            os.chown(path, 65534, 65534)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        program = shutil.copy(STACKSFS, place)
        os.chmod(program, 0o755)
        done = run([*user, program, api.url, mnt, "-o", f"token_file={token},state=none"])
        assert done.returncode == 0, done.stderr
        try:
            done = stacksfs("status", "--check", mnt)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(f"ok: {mnt}")
            assert stacksfs("refresh", mnt).returncode == 0
        finally:
            assert run([*user, "fusermount3", "-u", mnt]).returncode == 0
    api.expect(list=2)


@pytest.mark.any_requests("a failed request is tried again")
def test_status_for_monitoring(api, mount, stacksfs):
    mnt = mount(api, ttl=1, timeout=2)
    mnt.config("one")
    assert stacksfs("status", "--check", mnt.path).returncode == 0
    api.fault(kind="status", status=503)
    assert stacksfs("refresh", mnt.path).returncode == 1
    done = stacksfs("status", "--check", mnt.path)
    assert done.returncode not in (0, 127)
    assert done.stdout.strip() or done.stderr.strip()
    api.clear_faults()
    eventually(lambda: stacksfs("refresh", mnt.path).returncode == 0, within=15)
    assert stacksfs("status", "--check", mnt.path).returncode == 0


@pytest.mark.parametrize("dead", [False, True], ids=["living", "dead"])
def test_a_mount_points_name_makes_no_second_line(api, mount, stacksfs, work, dead):
    """Whoever may mount chooses the name, and root and its monitor see every mount."""
    mnt = mount(api, mountpoint=work / "mnt\nok: \033[2Jother", background=True)
    shown = f"{work}/mnt?ok: ?[2Jother"
    if dead:
        os.kill(mnt.pid, signal.SIGKILL)
        wait_for_exit(mnt.pid, 10)
    (line,) = stacksfs("status", "--check", mnt.path).stdout.splitlines()
    assert line.startswith(f"dead: {shown}: " if dead else f"ok: {shown}, ")
    first = stacksfs("status", mnt.path).stdout.splitlines()[0]
    assert first.startswith(f"mount       {shown}, http")
    if dead:
        (line,) = stacksfs("refresh", mnt.path).stderr.splitlines()
        assert line.startswith(f"stacksfs: {shown}: not refreshed: ")
        mnt.abort()
    api.expect(list=1)


@pytest.mark.parametrize("command", [["status"], ["status", "--json"], ["status", "--check"],
                                     ["refresh"]], ids=" ".join)
def test_a_subcommand_where_nothing_is_mounted(folder, stacksfs, command):
    done = stacksfs(*command, folder)
    assert done.returncode not in (0, 127)
    said = (done.stdout + done.stderr).strip()
    assert len(said.splitlines()) == 1
    assert str(folder) in said


def test_subcommands_on_a_dead_mount(api, mount, stacksfs):
    mnt = mount(api, background=True)
    os.kill(mnt.pid, signal.SIGKILL)
    wait_for_exit(mnt.pid, 10)
    for command in ("status", "refresh"):
        done = stacksfs(command, mnt.path)
        assert done.returncode not in (0, 127)
        assert re.search("umount|fusermount3", done.stdout + done.stderr), "what to do"
    mnt.abort()
    api.expect(list=1)


def test_refresh_needs_a_mount_point(stacksfs):
    assert stacksfs("refresh").returncode == 1


# ---- as mount(8)'s helper ----

@pytest.fixture
def helper(work):
    path = work / "mount.stacksfs"
    path.symlink_to(STACKSFS)
    return path


def test_the_helper_form(api, folder, token_file, helper, work):
    """mount -t stacksfs URL DIR -o … calls /sbin/mount.stacksfs so: flags after the operands."""
    done = run([helper, api.url, folder, "-v", "-s", "-n", "-o",
                f"rw,token_file={token_file},ttl=60,_netdev,nofail,noexec,nosuid,nodev,"
                "relatime"], env=environment(work))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(folder) == ["one"]
    daemon = pid_of(folder)
    unmount(folder)
    assert end_of(daemon) == 0
    api.expect(list=1)


def test_the_helper_form_without_a_source(api, folder, token_file, helper, work):
    done = run([helper, "none", folder, "-o", f"rw,dev,suid,token_file={token_file}"],
               env=environment(work, {"CELIGO_BASE_URL": api.url}))
    assert (done.returncode, done.stderr) == (0, "")
    assert os.listdir(folder) == ["one"]
    daemon = pid_of(folder)
    unmount(folder)
    assert end_of(daemon) == 0
    api.expect(list=1)


def test_the_helpers_fake_mounts_nothing(api, folder, token_file, helper, work):
    done = run([helper, api.url, folder, "-f", "-o", f"rw,token_file={token_file}"],
               env=environment(work), timeout=20)
    assert done.returncode == 0
    assert mounted_at(folder) is None
    api.expect()


# ---- the log ----

def test_debugging_shows_the_kernels_requests_and_the_apis(api, mount):
    mnt = mount(api, debug=True)
    config = mnt.config("one")
    mnt.read("one", "systemToken")
    with pytest.raises(FileNotFoundError):
        mnt.read("two", "config.json")
    log = mnt.log()
    for line in ("debug fs: open /one/config.json: ok", "debug fs: read /one/systemToken: ok",
                 "debug fs: lookup /two: "):
        assert line in log, line
    assert re.search(r"debug http: #\d+ GET /v1/stacks: 200, \d+ bytes, \d+ ms", log)
    secret = api.system_token(api.records()[0].id).decode().strip()
    assert secret not in log and api.token not in log
    assert config.decode().splitlines()[1] not in log
    api.expect(list=1, token=1)


# ---- words for people ----

def test_help(stacksfs):
    done = stacksfs("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) < 80
    for word in ("MOUNTPOINT", "token_file", "ttl", "timeout", "stale", "refresh", "status", "eu"):
        assert word in done.stdout, word


def test_version(stacksfs):
    done = stacksfs("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.match(r"stacksfs \d+\.\d+\.\d+", done.stdout)


# ---- the kernel's table of mounts ----

def test_it_names_itself_in_the_table_of_mounts(api, mount):
    mnt = mount(api)
    line, = [line for line in open("/proc/self/mountinfo", encoding="utf-8")
             if f" {mnt.path} " in line]
    assert "fuse.stacksfs" in line
    assert "default_permissions" in line
    assert api.token not in line and "token_file" not in line
    assert output_of(["findmnt", "-no", "FSTYPE", mnt.path]).strip() == "fuse.stacksfs"
    api.expect(list=1)


def test_two_mounts_of_one_account(api, mount):
    first, second = mount(api), mount(api, background=True)
    assert first.config("one") == second.config("one")
    assert first.stop() == []
    assert second.names() == ["one"]
    api.expect(list=2)


def test_a_mount_that_was_aborted_ends(api, mount):
    mnt = mount(api)
    abort_connection(mnt.path, mnt.device)
    status = wait_for_exit(mnt.pid, 10 * SLOWER)
    assert status is not None, "the process goes on without a kernel to serve"
    mnt.abort()
    api.expect(list=1)
