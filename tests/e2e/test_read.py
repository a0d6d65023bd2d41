# SPDX-License-Identifier: MIT
"""Reading: what the tree shows is what the API says, for the price that is promised."""
import contextlib
import errno
import mmap
import os
import re
import stat

import pytest
from account import DEPENDENCIES, LIST, TOKEN, stack, stack_id
from expected import MTIME_SPREAD_S, all_configs
from mount import output_of, run

RAW = """{"_id":"%s","zebra":9007199254740993,"name":"raw","apple":1.10,"big":1E400,"minus":-0,
  "escapes":"\\u00e9 \\/ \\u0041 \\ud83d\\ude00 \\t","empty":{},"none":[ ],"nested":{"b":[1,{"a":[]}],"a":null},
  "type":"server","server":{"hostURI":"https://x.example.com","systemToken":"t0ken"},"yes":true,
  "createdAt":"2023-05-01T10:00:00.000Z","lastModified":"2024-02-29T12:34:56.789Z"}""" % stack_id(7)
RAW_SHOWN = """{
  "_id": "%s",
  "zebra": 9007199254740993,
  "name": "raw",
  "apple": 1.10,
  "big": 1E400,
  "minus": -0,
  "escapes": "\\u00e9 \\/ \\u0041 \\ud83d\\ude00 \\t",
  "empty": {},
  "none": [],
  "nested": {
    "b": [
      1,
      {
        "a": []
      }
    ],
    "a": null
  },
  "type": "server",
  "server": {
    "hostURI": "https://x.example.com",
    "systemToken": "******"
  },
  "yes": true,
  "createdAt": "2023-05-01T10:00:00.000Z",
  "lastModified": "2024-02-29T12:34:56.789Z"
}
""" % stack_id(7)


def all_files(directories):
    return [(name, file) for name, record in directories.items() for file in record.files]


def test_every_config_for_one_list(account, mount):
    api = account(stacks=250, page_size=100)
    directories = api.directories()
    mnt = mount(api)
    text = output_of("cat */config.json", cwd=mnt.path)
    assert text == all_configs(directories)
    assert mnt.names() == sorted(directories)
    api.expect(list=3)


def test_one_config_of_a_long_list_is_no_call_of_its_own(account, mount):
    api = account(stacks=250, page_size=100)
    directories = api.directories()
    mnt = mount(api)
    name = max(directories)
    assert mnt.config(name) == directories[name].config
    assert mnt.config(name) == directories[name].config
    api.expect(list=3)


def test_recursive_tools_ask_once_for_each_file(account, mount):
    api = account(stacks=250, page_size=100)
    records = api.directories().values()
    mnt = mount(api, rate=0)
    once = dict(list=3, token=sum(r.type == "server" for r in records), dependencies=len(records))
    output_of("cat */config.json", cwd=mnt.path)
    api.expect(list=3)
    output_of(["ls", "-lR", mnt.path])
    api.expect(**once)
    found = output_of(["grep", "-rl", "hostURI", mnt.path]).split()
    assert len(found) == once["token"]
    output_of(["ls", "-lR", mnt.path])
    api.expect(**once)


def test_the_text_is_the_servers_own(account, mount):
    api = account()
    api.add_stack(RAW.encode())
    mnt = mount(api)
    assert mnt.config("raw").decode() == RAW_SHOWN == api.records()[0].config.decode()
    api.expect(list=1)


def test_sizes_are_true(account, mount):
    api = account(stacks=12)
    directories = api.directories()
    mnt = mount(api)
    for name, file in all_files(directories):
        path = mnt / name / file
        before = os.stat(path)
        content = path.read_bytes()
        assert before.st_size == len(content) == os.stat(path).st_size
        assert before.st_blocks == (len(content) + 511) // 512
        assert content == api.file(directories[name], file)
    api.expect(list=1, dependencies=12, token=len(all_files(directories)) - 24)


def test_parts_of_a_file(account, mount):
    api = account(stacks=1)
    (name, record), = api.directories().items()
    mnt = mount(api)
    with open(mnt / name / "config.json", "rb") as config:
        with mmap.mmap(config.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            assert mapped[:] == record.config
        assert os.pread(config.fileno(), 10, 7) == record.config[7:17]
        assert os.pread(config.fileno(), 10, len(record.config) - 3) == record.config[-3:]
        assert os.pread(config.fileno(), 10, len(record.config) + 3) == b""
    assert output_of(["tail", "-c", "9", mnt / name / "config.json"]).encode() == record.config[-9:]
    api.expect(list=1)


def test_times_of_records(account, mount):
    api = account(stacks=12)
    directories = api.directories()
    mnt = mount(api)
    for name, record in directories.items():
        for path in (mnt / name, mnt / name / "config.json"):
            assert os.stat(path).st_mtime_ns == record.modified_ms * 1_000_000
            assert os.stat(path).st_ctime_ns == record.modified_ms * 1_000_000
    api.expect(list=1)


def test_times_of_tokens_and_dependencies_follow_their_content(account, mount):
    api = account()
    api.add_stack(stack("plain"))
    created_s = api.records()[0].created_ms // 1000

    def times(mnt):
        found = {file: os.stat(mnt / "plain" / file).st_mtime_ns
                 for file in ("systemToken", "dependencies")}
        assert all(0 <= created_s - t // 10**9 <= MTIME_SPREAD_S for t in found.values()), found
        return found

    first, second = mount(api), mount(api)
    before = times(first)
    assert times(second) == before
    length = os.stat(first / "plain" / "systemToken").st_size
    api.rotate(stack_id(1))
    api.set_dependencies(stack_id(1), {"flows": [{"id": stack_id(9), "name": "f"}]})
    first.refresh()
    after = times(first)
    assert after["systemToken"] != before["systemToken"]
    assert after["dependencies"] != before["dependencies"]
    assert os.stat(first / "plain" / "systemToken").st_size == length
    assert times(mount(api)) == after
    api.expect(list=4, token=4, dependencies=4)


def test_inode_numbers(account, mount):
    api = account(stacks=40)
    directories = api.directories()

    def inodes(mnt):
        return {(name, *rest): os.stat(mnt.path.joinpath(name, *rest)).st_ino
                for name, record in directories.items()
                for rest in [(), *((file,) for file in record.files)]}

    first, second = mount(api), mount(api)
    found = inodes(first)
    assert found == inodes(second)
    assert len(set(found.values())) == len(found)
    for name, record in directories.items():
        in_order = [found[name, file] for file in ("systemToken", "dependencies", "config.json")
                    if file in record.files]
        assert in_order == sorted(in_order)
    listed = {entry.name: entry.inode() for entry in os.scandir(first.path)}
    assert listed == {name: found[name,] for name in directories}
    tokens = sum(r.type == "server" for r in directories.values())
    api.expect(list=2, token=2 * tokens, dependencies=80)


def test_modes_owners_links(account, mount):
    api = account(stacks=3)
    directories = api.directories()
    mnt = mount(api)
    name = next(name for name, record in directories.items() if record.type == "server")

    def look(*parts):
        found = os.stat(mnt.path.joinpath(*parts))
        return oct(found.st_mode), found.st_uid, found.st_gid, found.st_nlink

    me = os.getuid(), os.getgid()
    assert look() == (oct(stat.S_IFDIR | 0o700), *me, 2 + 3)
    assert look(name) == (oct(stat.S_IFDIR | 0o700), *me, 2)
    assert look(name, "config.json") == (oct(stat.S_IFREG | 0o600), *me, 1)
    assert look(name, "systemToken") == (oct(stat.S_IFREG | 0o400), *me, 1)
    assert look(name, "dependencies") == (oct(stat.S_IFREG | 0o400), *me, 1)
    api.expect(list=1, token=1, dependencies=1)


def test_owner_and_mask_can_be_chosen(account, mount):
    api = account(stacks=3)
    name, record = next((n, r) for n, r in api.directories().items() if r.type == "server")
    mnt = mount(api, uid=1234, gid=2345, umask="022")
    modes = {}
    for parts in ((), (name,), *((name, file) for file in record.files)):
        found = os.stat(mnt.path.joinpath(*parts))
        assert (found.st_uid, found.st_gid) == (1234, 2345)
        modes[parts[-1] if parts else "/"] = oct(stat.S_IMODE(found.st_mode))
    assert modes == {"/": "0o755", name: "0o755", "config.json": "0o644",
                     "systemToken": "0o400", "dependencies": "0o400"}
    api.expect(list=1, token=1, dependencies=1)


NOBODY = 65534


def as_nobody(*command):
    return run(["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *command])


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_other_users_may_look_in_when_they_are_allowed_to(account, mount, work):
    api = account(stacks=3)
    name, record = next((n, r) for n, r in api.directories().items() if r.type == "server")
    if as_nobody("ls", work).returncode:
        pytest.skip("the tests' own folder is closed to others")
    closed = mount(api, umask="022")
    shut = mount(api, allow_other=True)
    opened = mount(api, allow_other=True, umask="022")
    for mnt in closed, shut:
        assert "Permission denied" in as_nobody("ls", mnt.path).stderr
        assert "Permission denied" in as_nobody("cat", mnt / name / "config.json").stderr
    assert as_nobody("cat", opened / name / "config.json").stdout.encode() == record.config
    opened.read(name, "systemToken")
    for secret in (name, "systemToken"), (name, "dependencies"), (".stacksfs", "errors"):
        assert "Permission denied" in as_nobody("cat", opened.path.joinpath(*secret)).stderr
    assert "Permission denied" in as_nobody("touch", opened / name / "config.json").stderr
    # Whether others may read is known once its attributes are.
    api.expect(list=3, token=1, dependencies=1)


def test_extended_attributes(account, mount):
    api = account(stacks=8)
    mnt = mount(api)
    for name, record in api.directories().items():
        directory = mnt / name
        assert os.getxattr(directory, "user.stacksfs.id") == record.id.encode()
        assert os.getxattr(directory, "user.stacksfs.type") == record.type.encode()
        assert {"user.stacksfs.id", "user.stacksfs.type"} <= set(os.listxattr(directory))
        with pytest.raises(OSError) as refused:
            os.getxattr(directory, "user.other")
        assert refused.value.errno == errno.ENODATA
        with pytest.raises(OSError) as refused:
            os.getxattr(directory / "config.json", "security.selinux")
        assert refused.value.errno == errno.EOPNOTSUPP
    api.expect(list=1)


def test_file_system_figures(account, mount):
    api = account(stacks=1)
    mnt = mount(api)
    figures = os.statvfs(mnt.path)
    assert 0 < figures.f_ffree < figures.f_files, "df -i shows how many are used"
    assert figures.f_namemax == 255
    assert 0 < figures.f_bavail <= figures.f_bfree <= figures.f_blocks
    assert 0 < figures.f_frsize
    assert "fuse.stacksfs" in output_of(["df", "-T", mnt.path])
    api.expect(list=1)


def test_lambda_stacks_have_no_token(account, mount):
    api = account(stacks=20)
    mnt = mount(api)
    lambdas = [name for name, record in api.directories().items() if record.type == "lambda"]
    assert lambdas
    for name in lambdas:
        assert mnt.names(name) == ["config.json", "dependencies"]
        assert not os.path.lexists(mnt / name / "systemToken")
    api.expect(list=1)


def test_a_token_that_the_api_does_not_have(account, mount):
    api = account()
    api.add_stack(stack("bare"))
    mnt = mount(api)
    api.fault(kind="status", status=404, path=TOKEN)
    with pytest.raises(FileNotFoundError):
        mnt.read("bare", "systemToken")
    api.expect(list=1, token=1)


def test_no_tokens_when_they_are_not_wanted(account, mount):
    api = account(stacks=5)
    mnt = mount(api, tokens="no")
    for name in mnt.names():
        assert mnt.names(name) == ["config.json", "dependencies"]
        assert not os.path.lexists(mnt / name / "systemToken")
    api.expect(list=1)


def test_the_control_directory_is_hidden(account, mount):
    api = account(stacks=2)
    mnt = mount(api)
    assert ".stacksfs" not in mnt.names()
    assert stat.S_ISDIR(os.stat(mnt / ".stacksfs").st_mode)
    assert {"README", "by-id", "errors", "refresh", "status"} <= set(mnt.names(".stacksfs"))
    api.expect(list=1)


def test_an_empty_account(account, mount):
    api = account(stacks=0)
    mnt = mount(api)
    assert api.statuses("list") == [204]
    assert mnt.names() == []
    assert os.stat(mnt.path).st_nlink == 2
    api.expect(list=1)


@pytest.mark.parametrize("name", [".DS_Store", "._x", ".Trash", ".Trash-1000", ".hidden",
                                  "autorun.inf", ".git", ".directory", "unknown"])
def test_what_is_not_there_costs_nothing(account, mount, name):
    api = account(stacks=3)
    mnt = mount(api)
    for directory in (mnt.path, mnt / mnt.names()[0]):
        for _ in range(3):
            assert not os.path.lexists(directory / name)
            with pytest.raises(FileNotFoundError):
                open(directory / name, "rb")
    api.expect(list=1)


def test_dot_and_dot_dot(account, mount):
    api = account(stacks=2)
    mnt = mount(api)
    name = mnt.names()[0]
    listed = output_of(["ls", "-a", mnt / name]).split()
    assert listed[:2] == [".", ".."]
    assert os.path.samefile(mnt / name / "..", mnt.path)
    assert os.path.samefile(mnt / name / "." / "config.json", mnt / name / "config.json")
    api.expect(list=1)


def test_an_unknown_type_is_shown(account, mount):
    api = account()
    api.add_stack(stack("odd", type="quantum", server=None))
    mnt = mount(api)
    assert mnt.names("odd") == ["config.json", "dependencies"]
    assert os.getxattr(mnt / "odd", "user.stacksfs.id") == stack_id(1).encode()
    api.expect(list=1)


def test_read_only_option(account, mount):
    api = account(stacks=1)
    mnt = mount(api, ro=True)
    (name, record), = api.directories().items()
    assert mnt.config(name) == record.config
    with pytest.raises(OSError) as refused:
        open(mnt / name / "config.json", "wb")
    assert refused.value.errno == errno.EROFS
    mnt.refresh()
    api.expect(list=2)


@pytest.mark.any_requests("a refused request is tried again")
def test_no_secret_is_in_a_debug_log(account, mount):
    api = account(stacks=4)
    mnt = mount(api, debug=True, timeout=2)
    output_of("cat */*", cwd=mnt.path)
    api.fault(kind="status", status=500, path=DEPENDENCIES)
    with contextlib.suppress(OSError):
        mnt.refresh()
    assert LIST in mnt.log(), "a debug log tells of requests"
    mnt.gather_secrets()
    assert mnt.leaks(api.secrets()) == []


@pytest.mark.long
@pytest.mark.seconds(600)
def test_a_hundred_thousand_stacks_in_little_memory(account, mount):
    api = account(stacks=100_000, page_size=1000)
    mnt = mount(api, ttl=3600)
    assert len(mnt.names()) == 100_000
    with open(f"/proc/{mnt.pid}/status", encoding="ascii") as process:
        rss_kb = int(re.search(r"VmRSS:\s+(\d+)", process.read()).group(1))
    assert rss_kb < 150_000
    api.expect(list=100)
