# SPDX-License-Identifier: MIT
""".stacksfs: how the mount is, what went wrong, and the stacks by their _id."""
import errno
import json
import os
import stat
import time

import pytest
from account import DEPENDENCIES, LIST, TOKEN, stack, stack_id
from mount import SLOWER, eventually, output_of, run

MEMBERS = {
    "version": str, "source": str, "mountpoint": str, "pid": int, "uptime_s": (int, float),
    "api": dict, "stacks": dict, "cache": dict, "requests": dict, "http": dict, "scratch": dict,
    "errors": int,
}
PARTS = {
    "api": {"state", "since_s", "list_age_s", "list_took_ms", "ttl_s", "last_error"},
    "stacks": {"total", "server", "lambda", "other"},
    "cache": {"hits", "misses", "stale"},
    "requests": {"list", "record", "token", "dependencies"},
    "http": {"calls", "tries", "retries", "failures", "running", "queued", "rate_per_s",
             "received_bytes", "latency_ms"},
    "scratch": {"bytes", "limit"},
}
ERROR_MEMBERS = {"time", "path", "op", "errno", "status", "code", "message", "field", "request"}


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    api.add_stack(stack("two", 2))
    return api


def test_status_has_its_members(account, mount):
    api = account(stacks=20)
    types = [record.type for record in api.records()]
    mnt = mount(api, ttl=77, rate=55)
    output_of("cat */config.json", cwd=mnt.path)
    status = mnt.status()
    assert {name: isinstance(status.get(name), kind) for name, kind in MEMBERS.items()} == {
        name: True for name in MEMBERS}
    for part, members in PARTS.items():
        assert members <= set(status[part]), part
    assert status["mountpoint"] == str(mnt.path)
    assert status["source"].startswith(api.url)
    assert status["pid"] == mnt.pid
    assert 0 <= status["uptime_s"] < 60
    assert status["api"]["state"] == "ok"
    assert status["api"]["ttl_s"] == 77
    assert status["api"]["last_error"] in (None, "")
    assert status["stacks"] == {"total": 20, "server": types.count("server"),
                                "lambda": types.count("lambda"), "other": 0}
    assert status["requests"]["list"] == {"200": 1}
    assert status["http"]["rate_per_s"] == 55
    assert set(status["http"]["latency_ms"]) == {"p50", "p90", "p99"}
    assert status["errors"] == 0
    api.expect(list=1)


def test_status_counts_requests_by_endpoint_and_status(api, mount):
    mnt = mount(api)
    mnt.read("one", "systemToken"), mnt.read("one", "dependencies"), mnt.read("two", "dependencies")
    api.fault(kind="status", status=403, path=TOKEN)
    with pytest.raises(PermissionError):
        mnt.read("two", "systemToken")
    requests = mnt.status()["requests"]
    assert requests["list"] == {"200": 1}
    assert requests["token"] == {"200": 1, "403": 1}
    assert requests["dependencies"] == {"200": 2}
    assert requests["record"] == {}
    assert mnt.status()["errors"] == 1
    api.expect(list=1, token=2, dependencies=2)


def test_hits_and_misses(api, mount):
    mnt = mount(api)
    before = mnt.status()["cache"]
    mnt.read("one", "systemToken")
    after = mnt.status()["cache"]
    assert after["misses"] > before["misses"]
    for _ in range(3):
        mnt.read("one", "systemToken")
    assert mnt.status()["cache"]["misses"] == after["misses"]
    api.expect(list=1, token=1)


@pytest.mark.parametrize("file", ["status", "errors"])
def test_fstat_gives_the_size_of_what_is_open(api, mount, file):
    """tar, among others, believes it.  Meanwhile the text has become longer, and others look."""
    mnt = mount(api)
    with open(mnt / ".stacksfs" / file, "rb") as opened:
        with pytest.raises(OSError):
            os.mkdir(mnt / "one" / "folder")
        mnt.read("one", "systemToken"), mnt.read("two", "dependencies")
        output_of(["stat", mnt / ".stacksfs" / file])
        size = os.fstat(opened.fileno()).st_size
        assert size == len(opened.read())
        assert os.stat(mnt / ".stacksfs" / file).st_size > size
    api.expect(list=1, token=1, dependencies=1)


def test_status_is_a_snapshot_for_each_open(api, mount):
    mnt = mount(api)
    path = mnt / ".stacksfs" / "status"
    with open(path, "rb", buffering=0) as first:
        start = first.read(20)
        for _ in range(30):
            mnt.read("one", "dependencies")
            os.stat(path)
        mnt.refresh()
        rest = first.read(1_000_000)
        old = json.loads(start + rest)
        assert old["requests"]["list"] == {"200": 1}
        first.seek(0)
        assert first.read(1_000_000) == start + rest
    assert mnt.status()["requests"]["list"] == {"200": 2}
    api.expect(list=2, dependencies=1)


def test_programs_read_status(api, mount):
    mnt = mount(api)
    assert output_of("jq -r .api.state .stacksfs/status", cwd=mnt.path) == "ok\n"
    assert output_of("cat .stacksfs/status | jq -r .stacks.total", cwd=mnt.path) == "2\n"
    assert output_of("cp .stacksfs/status ../copy && jq -r .errors ../copy", cwd=mnt.path) == "0\n"
    assert output_of("head -c 1 .stacksfs/status", cwd=mnt.path) == "{"
    assert json.loads(output_of(["tail", "-n", "100", mnt / ".stacksfs" / "status"]))
    api.expect(list=1)


def test_an_error_leaves_a_line(api, mount):
    mnt = mount(api)
    assert mnt.errors() == []
    api.fault(kind="status", status=422, path=DEPENDENCIES,
              body='{"errors":[{"code":"invalid_ref","message":"There is no such.","field":"_id"}]}')
    with pytest.raises(OSError) as refused:
        mnt.read("one", "dependencies")
    assert refused.value.errno == errno.EBADMSG
    line, = mnt.errors()
    assert set(line) >= ERROR_MEMBERS
    assert line["path"].lstrip("/") == "one/dependencies"
    assert line["errno"] == "EBADMSG"
    assert line["status"] == 422
    assert line["code"] == "invalid_ref"
    assert "There is no such." in line["message"]
    assert line["field"] == "_id"
    assert line["time"].endswith("Z") and line["time"][:2] == "20"
    assert line["op"] and line["request"]
    assert "invalid_ref" in mnt.log() or "There is no such." in mnt.log()
    api.expect(list=1, dependencies=1)


def test_a_code_that_is_a_number(api, mount):
    mnt = mount(api)
    api.fault(kind="status", status=400, path=DEPENDENCIES,
              body='{"errors":[{"code":500,"message":"From above."}]}')
    with pytest.raises(OSError):
        mnt.read("one", "dependencies")
    line, = mnt.errors()
    assert str(line["code"]) == "500"
    assert "From above." in line["message"]
    api.expect(list=1, dependencies=1)


def test_the_other_form_of_a_401(api, mount):
    mnt = mount(api)
    api.fault(kind="status", status=401, path=DEPENDENCIES,
              body='{"message":"Bearer Authentication Failed"}')
    with pytest.raises(PermissionError):
        mnt.read("one", "dependencies")
    line, = mnt.errors()
    assert (line["errno"], line["status"]) == ("EACCES", 401)
    assert "Bearer Authentication Failed" in line["message"]
    api.expect(list=1, dependencies=range(1, 3))  # tried once more at most


def test_errors_are_in_order_and_bounded(api, mount):
    mnt = mount(api, rate=0)
    api.fault(kind="status", status=403, path="*/systemToken")
    api.fault(kind="status", status=404, path=DEPENDENCIES)
    for _ in range(3):
        run(["cat", mnt / "one" / "systemToken"])
    lines = mnt.errors()
    assert len(lines) >= 1
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)
    for _ in range(600):
        try:
            os.stat(mnt / "two" / "systemToken")
        except OSError:
            pass
    assert os.stat(mnt / ".stacksfs" / "errors").st_size < 1 << 20
    assert len(mnt.errors()) <= 1000
    api.expect(list=1, token=603)


def test_no_error_where_there_is_none(api, mount):
    mnt = mount(api)
    for parts in (["none"], ["one", "none"], [".stacksfs", "none"]):
        assert not os.path.lexists(mnt.path.joinpath(*parts))
    assert mnt.errors() == []
    assert mnt.status()["errors"] == 0
    api.expect(list=1)


def test_by_id(account, mount):
    api = account(stacks=10)
    directories = api.directories()
    mnt = mount(api)
    by_id = mnt / ".stacksfs" / "by-id"
    assert mnt.names(".stacksfs", "by-id") == sorted(r.id for r in directories.values())
    for name, record in directories.items():
        assert os.readlink(by_id / record.id) == f"../../{name}"
        assert (by_id / record.id / "config.json").read_bytes() == record.config
    assert not os.path.lexists(by_id / stack_id(99))
    assert not os.path.lexists(by_id / "nonsense")
    api.expect(list=1)


def test_by_id_follows_a_rename(api, mount):
    mnt = mount(api)
    link = mnt / ".stacksfs" / "by-id" / stack_id(1)
    assert os.readlink(link) == "../../one"
    api.patch_stack(stack_id(1), {"name": "a/b"})
    mnt.refresh()
    assert os.readlink(link) == "../../a%2Fb"
    assert (link / "config.json").read_bytes() == api.records()[0].config
    api.delete_stack(stack_id(1))
    mnt.refresh()
    assert mnt.names(".stacksfs", "by-id") == [stack_id(2)]
    assert not os.path.lexists(link)
    api.expect(list=3, record=1)


def test_by_id_is_never_older_than_a_refresh(api, mount):
    mnt = mount(api)
    link = mnt / ".stacksfs" / "by-id" / stack_id(1)
    assert os.lstat(link).st_size == len("../../one")
    api.patch_stack(stack_id(1), {"name": "a longer name"})
    mnt.refresh()
    assert os.lstat(link).st_size == len("../../a longer name") == len(os.readlink(link))
    old = os.lstat(mnt / "one")
    assert old.st_size == len("a longer name")
    api.patch_stack(stack_id(1), {"name": "short"})
    mnt.refresh()
    assert os.lstat(mnt / "one").st_size == len("short")
    api.delete_stack(stack_id(1))
    mnt.refresh()
    with pytest.raises(FileNotFoundError):
        os.lstat(link)
    api.restore_stack(stack_id(1))
    mnt.refresh()
    assert os.readlink(link) == "../../short"
    api.expect(list=5, record=1)


def test_readme(api, mount):
    mnt = mount(api)
    text = mnt.read(".stacksfs", "README").decode("utf-8")
    for word in ("config.json", "systemToken", "dependencies", "refresh", "status", "errors"):
        assert word in text
    assert text.endswith("\n")
    assert max(map(len, text.splitlines())) <= 100
    api.expect(list=1)


def test_what_the_disk_does_not_take(api, mount, work):
    """A save goes on all the same, and whoever watches is told that there is no way back."""
    history = work / "kept" / "history"
    history.mkdir(parents=True)
    (work / "kept").chmod(0o700)
    history.chmod(0o700)
    (history / "one").write_text("in the place of a directory")
    mnt = mount(api, state=work / "kept")
    text = mnt.config("one").replace(b"host.example.com", b"other.example.com")
    (mnt / "one" / "config.json").write_bytes(text)
    eventually(lambda: mnt.status()["unwritten"] == {"texts": 1, "why": "Not a directory"})
    assert "archive: a text could not be written to history: Not a directory" in mnt.log()
    done = mnt.cli("status", "--check", mnt.path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"unwritten: {mnt.path}")
    assert done.stdout.endswith(": 1 text of history and lost: Not a directory\n")
    assert "unwritten   1 texts of history and lost, Not a directory" in mnt.cli("status", mnt.path).stdout
    api.expect(list=1, record=1, put=1)


def too_much(path):
    with open(path, "wb", buffering=0) as file:
        while True:
            file.write(bytes(128 * 1024))


@pytest.mark.parametrize("code, path, act, says", [
    (errno.ENOSPC, "/one/x", lambda mnt: too_much(mnt / "one" / "x"), "-o scratch="),
    (errno.EFBIG, "/one/config.json", lambda mnt: os.truncate(mnt / "one" / "config.json", 2 << 20),
     "1 MiB"),
    (errno.EEXIST, "/one", lambda mnt: os.rename(mnt / "one", mnt / "two"), "stack of that name"),
], ids=lambda value: errno.errorcode.get(value) if isinstance(value, int) else "")
def test_what_is_refused_here_has_its_reason(api, mount, code, path, act, says):
    mnt = mount(api, scratch="1M")
    with pytest.raises(OSError) as refused:
        act(mnt)
    assert refused.value.errno == code
    line, = mnt.errors()
    assert (line["path"], line["errno"]) == (path, errno.errorcode[code])
    assert says in line["message"] and says in mnt.log()
    api.expect(list=1)


def test_refresh_waits_until_it_is_done(api, mount):
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=600, path=LIST)
    began = time.monotonic()
    mnt.refresh()
    assert time.monotonic() - began > 0.55
    assert api.statuses("list") == [200, 200]
    api.expect(list=2)


def test_refresh_in_the_ways_of_the_shell(api, mount):
    mnt = mount(api)
    for command in ("echo > refresh", "echo now >> refresh", "printf x > refresh",
                    "echo 1 | tee refresh"):
        api.clear_log()
        done = run(command, cwd=mnt / ".stacksfs")
        assert (done.returncode, done.stderr) == (0, ""), command
        assert api.counts()["list"] >= 1, command
    api.expect(list=1)


def test_refreshes_at_the_same_time_all_end(api, mount):
    mnt = mount(api)
    api.fault(kind="delay", delay_ms=200, path=LIST)
    done = run("for i in 1 2 3 4 5 6; do echo > refresh & done; wait", cwd=mnt / ".stacksfs")
    assert (done.returncode, done.stderr) == (0, "")
    api.expect(list=range(2, 8))


def test_kinds_and_modes(api, mount):
    mnt = mount(api)
    control = mnt / ".stacksfs"
    assert stat.S_ISDIR(os.lstat(control / "by-id").st_mode)
    for name in ("status", "errors", "README", "refresh"):
        assert stat.S_ISREG(os.lstat(control / name).st_mode)
    assert stat.S_IMODE(os.lstat(control / "errors").st_mode) & 0o077 == 0
    assert os.access(control / "refresh", os.W_OK)
    assert len({os.lstat(control / name).st_ino for name in os.listdir(control)}) == len(
        os.listdir(control))
    output_of(["ls", "-laR", control])
    api.expect(list=1)


@pytest.mark.any_requests("a failed request is tried again")
def test_the_state_of_the_api(api, mount):
    mnt = mount(api, ttl=1, timeout=1)
    mnt.config("one")
    assert mnt.status()["api"]["state"] == "ok"
    api.fault(kind="status", status=500)
    run(["cat", mnt / ".stacksfs" / "status"])
    mnt.cli("refresh", mnt.path)
    failing = mnt.status()["api"]
    assert failing["state"] in ("stale", "error")
    assert failing["last_error"]
    assert failing["since_s"] < 10 * SLOWER
    api.clear_faults()
    deadline = time.monotonic() + 15 * SLOWER
    while mnt.cli("refresh", mnt.path).returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    assert mnt.status()["api"]["state"] == "ok"
