# SPDX-License-Identifier: MIT
"""Canaries: the bearer token, system tokens and lambda secrets, also those that the server
echoes, are nowhere but where they belong; and what protects them in the process."""
import errno
import json
import os
import pathlib
import shutil
import stat
import subprocess

import pytest
from account import DEPENDENCIES, LIST, Stranger, stack
from emulator import TlsFront
from mount import run
from saving import lambda_stack

BEARER = "bearer-canary-4f1c9e0d7b"
SYSTEM = "system-canary-5a2d8f1e6c"
LAMBDA = "lambda-canary-6b3e9a2f5d"
TYPED = "typed-canary-7c4f0b3a4e"
CANARIES = [BEARER, SYSTEM, LAMBDA, TYPED]
NOBODY = 65534


@pytest.fixture
def api(account):
    api = account(token=BEARER)
    record = stack("one", 1)
    record["server"]["systemToken"] = SYSTEM
    api.add_stack(record)
    api.add_stack(lambda_stack("two", 2, LAMBDA, note="value0"))
    return api


def echo(secrets):
    return json.dumps({"errors": [{"code": "echo", "field": secrets, "message":
                                   f"{secrets} may not do this: {secrets}."}]})


def use_everything(api, mnt):
    """Read and change, well and badly, with a server that echoes what it was sent."""
    assert mnt.read("one", "systemToken") == SYSTEM.encode() + b"\n"
    mnt.config("two"), mnt.read("two", "dependencies")
    api.fault(kind="status", status=422, body=echo(BEARER), path=DEPENDENCIES)
    with pytest.raises(OSError):
        mnt.read("one", "dependencies")
    api.fault(kind="status", status=422, body=echo(BEARER + " " + TYPED), method="PUT")
    record = json.loads(mnt.config("two"))
    record["lambda"]["secretAccessKey"] = TYPED
    with pytest.raises(OSError):
        with open(mnt / "two" / "config.json", "r+b", buffering=0) as file:
            file.truncate(0)
            file.write(json.dumps(record).encode())
            os.fsync(file.fileno())
    api.clear_faults()
    mnt.cli("status", mnt.path)


def seen_in(content):
    return [canary for canary in CANARIES if canary.encode() in content]


def test_nowhere_else(api, mount):
    mnt = mount(api, debug=True)
    use_everything(api, mnt)
    shown = mnt.cli("status", mnt.path).stdout + mnt.cli("status", "--json", mnt.path).stdout
    assert seen_in(shown.encode()) == []
    assert seen_in(mnt.read(".stacksfs", "errors")) == []
    for place in ("cmdline", "environ"):
        assert seen_in(pathlib.Path(f"/proc/{mnt.pid}/{place}").read_bytes()) == [], place
    for name in mnt.names("two"):
        path = mnt / "two" / name
        for key in os.listxattr(path):
            assert seen_in(os.getxattr(path, key)) == [], key
    mnt.gather_secrets()
    assert mnt.leaks(CANARIES) == []
    api.expect(**api.counts())


def test_the_variable_is_overwritten(api, mount):
    mnt = mount(api, token=False, env={"CELIGO_API_TOKEN": BEARER})
    assert mnt.read("one", "systemToken")
    assert seen_in(pathlib.Path(f"/proc/{mnt.pid}/environ").read_bytes()) == []
    api.expect(list=1, token=1)


@pytest.mark.skipif(not shutil.which("gcore"), reason="no gcore here (Debian: gdb)")
@pytest.mark.skipif("asan" in os.environ.get("STACKSFS_BUILD", "") or
                    "tsan" in os.environ.get("STACKSFS_BUILD", ""),
                    reason="a sanitizer's own memory is too large to be dumped")
def test_a_forced_core_has_none(api, mount, work):
    """Of a debugger that minds what is marked as not to be dumped, run by root.

    Not over TLS: what nghttp2 and OpenSSL had in their own buffers is theirs to wipe. There it is
    PR_SET_DUMPABLE that keeps cores from being written."""
    mnt = mount(api)
    use_everything(api, mnt)
    done = run(["gcore", "-o", work / "core", mnt.pid], timeout=60)
    core = work / f"core.{mnt.pid}"
    if not core.exists():
        pytest.skip(f"the process cannot be traced here: {done.stderr[-200:]}")
    # What was typed is also in the refused text, which the user is to find.
    assert [c for c in seen_in(core.read_bytes()) if c != TYPED] == []
    api.expect(**api.counts())


# ---- to nobody else ----

@pytest.fixture
def stranger():
    stranger = Stranger()
    yield stranger
    stranger.close()


@pytest.mark.misuse("a redirect is an error")
@pytest.mark.any_requests("a failed request is tried again")
def test_nothing_is_sent_to_another_address(api, mount, stranger, work):
    proxies = {name: stranger.url for name in (
        "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")}
    mnt = mount(api, timeout=3, env=dict(proxies, no_proxy=""))
    use_everything(api, mnt)
    for status in (301, 302, 303, 307, 308):
        api.fault(kind="status", status=status, headers={"Location": stranger.url + LIST})
        assert mnt.cli("refresh", mnt.path).returncode == 1
        api.clear_faults()
    api.fault(kind="body", body="[]", path=LIST, headers={
        "Link": f'<{stranger.url}/v1/stacks?page=2>; rel="next"'})
    mnt.cli("refresh", mnt.path)
    api.clear_faults()
    assert stranger.connections == 0


def test_netrc_has_no_effect(api, mount, work):
    home = work / "home"
    home.mkdir(exist_ok=True)
    (home / ".netrc").write_text("default login someone password else\n")
    (home / ".netrc").chmod(0o600)
    (home / ".curlrc").write_text("header = \"X-Curlrc: 1\"\n")
    mnt = mount(api)
    assert mnt.read("one", "systemToken")
    assert {entry["auth"] for entry in api.log()} == {"ok"}
    api.expect(list=1, token=1)


@pytest.mark.skipif(not TlsFront.program(), reason="no nghttpx here (Debian: nghttp2-proxy)")
def test_no_key_log(api, mount, work):
    """Whoever has the keys can read the token on the wire."""
    keys = work / "keys"
    with TlsFront(api, work / "tls") as front:
        mnt = mount(api, url=front.url, cacert=front.cacert, env={"SSLKEYLOGFILE": keys})
        assert mnt.read("one", "systemToken")
        assert mnt.stop() == []
    assert not keys.exists()
    api.expect(list=1, token=1)


# ---- from other users ----

def nobody_can(path, flags=os.O_RDONLY):
    code = ("import os, sys\ntry:\n    os.close(os.open(sys.argv[1], int(sys.argv[2])))\n"
            "except OSError as e:\n    sys.exit(e.errno)\n")
    done = subprocess.run(["/usr/bin/python3", "-c", code, str(path), str(flags)], user=NOBODY,
                          group=NOBODY, extra_groups=[], stderr=subprocess.PIPE, check=False)
    return done.returncode


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_second_user(api, mount):
    mnt = mount(api, allow_other=True, umask="022")
    use_everything(api, mnt)
    if nobody_can(mnt.path):
        pytest.skip("nobody cannot get as far as the build directory")
    assert nobody_can(mnt / "one" / "config.json") == 0
    assert nobody_can(mnt / "one" / "config.json", os.O_WRONLY) == errno.EACCES
    for secret in (mnt / "one" / "systemToken", mnt / "one" / "dependencies",
                   mnt / "two" / "config.json.refused", mnt / ".stacksfs" / "errors"):
        assert stat.S_IMODE(os.stat(secret).st_mode) & 0o077 == 0, secret
        assert nobody_can(secret) == errno.EACCES, secret
    assert nobody_can(mnt / ".stacksfs" / "status") == 0
    assert nobody_can(mnt / ".stacksfs" / "refresh", os.O_WRONLY) == errno.EACCES
    lost = pathlib.Path(os.readlink(mnt / ".stacksfs" / "lost"))
    assert nobody_can(lost) in (errno.EACCES, errno.ENOENT)
    for text in lost.rglob("*"):
        assert stat.S_IMODE(text.stat().st_mode) & 0o077 == 0, text
    api.expect(**api.counts())


# ---- of the process ----

def test_what_the_process_holds(api, mount):
    """Nothing that its caller had open, and nothing that a program it starts would get."""
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    inherited = os.readlink(f"/proc/self/fd/{write_end}")
    mnt = mount(api, background=True)
    try:
        held = {fd: os.readlink(f"/proc/{mnt.pid}/fd/{fd}") for fd in os.listdir(
            f"/proc/{mnt.pid}/fd")}
        assert inherited not in held.values()
        for fd in held:
            if int(fd) > 2:
                flags = pathlib.Path(f"/proc/{mnt.pid}/fdinfo/{fd}").read_text()
                assert int(flags.split("flags:")[1].split()[0], 8) & os.O_CLOEXEC, held[fd]
    finally:
        os.close(read_end), os.close(write_end)
    status = pathlib.Path(f"/proc/{mnt.pid}/status").read_text()
    assert "NoNewPrivs:\t0" in status, "fusermount3 is setuid, and unmounts for a plain user"
    api.expect(list=1)
