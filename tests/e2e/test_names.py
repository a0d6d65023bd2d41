# SPDX-License-Identifier: MIT
"""Names: every stack has a directory, and each directory means one stack for the mount's life."""
import os
import re

import pytest
from account import stack, stack_id
from expected import directory_names, escaped, name_bytes, unescaped

ODD = {
    "slash": ("a/b", "a%2Fb"),
    "only a slash": ("/", "%2F"),
    "dot": (".", "%2E"),
    "dot dot": ("..", "%2E."),
    "leading dot": (".profile", "%2Eprofile"),
    "dots inside": ("a.b..c", "a.b..c"),
    "percent": ("a%2Fb", "a%252Fb"),
    "percent in lower case": ("a%2fb", "a%252fb"),
    "percent alone": ("100% x %zz %", "100% x %zz %"),
    "escape of an escape": ("%252F", "%25252F"),
    "newline": ("a\nb", "a%0Ab"),
    "tab and bell": ("\t\a", "%09%07"),
    "escape sequence": ("\x1b[31m", "%1B[31m"),
    "delete": ("a\x7fb", "a%7Fb"),
    "nul": ("a\0b", "a%00b"),
    "space": (" a b ", " a b "),
    "emoji": ("deploy 🚀", "deploy 🚀"),
    "accents": ("naïve – Größe", "naïve – Größe"),
    "decomposed": ("cafe\u0301", "cafe\u0301"),
    "quotes": ("it's \"q\" `x` $y \\z", "it's \"q\" `x` $y \\z"),
    "dash": ("-rf", "-rf"),
    "glob": ("*?[a]", "*?[a]"),
    "tilde": ("~", "~"),
    "255 bytes": ("n" * 255, "n" * 255),
    "one byte too long": ("n" * 256, "n" * 230 + "~" + stack_id(1)),
    "300 bytes": ("m" * 300, "m" * 230 + "~" + stack_id(1)),
    "300 bytes of emoji": ("🚀" * 75, "🚀" * 57 + "~" + stack_id(1)),
    "long by its escapes": ("/" * 100, "%2F" * 76 + "~" + stack_id(1)),
    "empty": ("", stack_id(1)),
    "its control directory's": (".stacksfs", "%2Estacksfs"),
}
RAW = {
    "invalid UTF-8": (b"caf\xe9", "caf%E9"),
    "overlong": (b"\xc0\xaf", "%C0%AF"),
    "cut off": (b"a\xf0\x9f", "a%F0%9F"),
    "lone surrogate": (b"\\ud800x", "%ED%A0%80x"),
    "escaped nul": (b"a\\u0000b", "a%00b"),
    "escaped slash": (b"a\\/b", "a%2Fb"),
    "escaped letter": (b"\\u0041", "A"),
    "surrogate pair": (b"\\ud83d\\ude80", "🚀"),
}


def raw_stack(name, number=1):
    return (b'{"_id":"' + stack_id(number).encode() + b'","name":"' + name + b'","type":"server",'
            b'"server":{"hostURI":"https://x.example.com"},"createdAt":"2023-05-01T10:00:00.000Z",'
            b'"lastModified":"2024-02-29T12:34:56.789Z"}')


def is_complete(mnt, name, record):
    """The directory is listed, and everything in it opens."""
    assert name in mnt.names()
    assert os.getxattr(mnt / name, "user.stacksfs.id") == record.id.encode()
    assert mnt.config(name) == record.config
    assert mnt.names(name) == record.files
    return True


@pytest.mark.parametrize("name, directory", ODD.values(), ids=ODD)
def test_a_name_and_its_directory(account, mount, name, directory):
    api = account()
    api.add_stack(stack(name))
    record, = api.records()
    for mnt in mount(api), mount(api):
        assert mnt.names() == [directory]
        assert is_complete(mnt, directory, record)
        assert mnt.read(directory, "systemToken") == api.system_token(record.id)
    if "~" not in directory and name:
        assert unescaped(directory) == name.encode()
    api.expect(list=2, token=2)


@pytest.mark.parametrize("name, directory", RAW.values(), ids=RAW)
def test_a_name_of_raw_bytes(account, mount, name, directory):
    api = account()
    api.add_stack(raw_stack(name))
    record, = api.records()
    for mnt in mount(api), mount(api):
        assert mnt.names() == [directory]
        assert is_complete(mnt, directory, record)
    api.expect(list=2)


def test_all_of_them_at_once(account, mount):
    api = account()
    for number, (name, _) in enumerate(ODD.values(), 1):
        api.add_stack(stack(name, number))
    directories = api.directories()
    for mnt in mount(api), mount(api):
        assert mnt.names() == sorted(directories)
        assert all(is_complete(mnt, name, record) for name, record in directories.items())
    api.expect(list=2)


@pytest.mark.parametrize("digits", ["0123456789abcdef01234567", "ffffffffffffffffffffffff"])
def test_a_name_that_looks_like_one_with_an_id(account, mount, digits):
    api = account()
    name = "x~" + digits
    api.add_stack(stack(name))
    mnt = mount(api)
    directory, = mnt.names()
    assert not re.search(r"~[0-9a-f]{24}$", directory)
    assert unescaped(directory) == name.encode()
    assert directory.encode() == b"".join(escaped(name_bytes(name)))
    assert is_complete(mnt, directory, api.records()[0])
    api.expect(list=1)


def test_the_oldest_of_one_name_is_plain(account, mount):
    api = account()
    for number in (5, 3, 9):
        api.add_stack(stack("same", number))
    directories = api.directories()
    for mnt in mount(api), mount(api):
        assert mnt.names() == ["same", f"same~{stack_id(5)}", f"same~{stack_id(9)}"]
        assert all(is_complete(mnt, name, record) for name, record in directories.items())
        assert os.getxattr(mnt / "same", "user.stacksfs.id") == stack_id(3).encode()
    api.expect(list=2)


def test_several_without_a_name(account, mount):
    api = account()
    for number in (1, 2):
        api.add_stack(stack("", number))
    api.add_stack(stack(None, 3))
    mnt = mount(api)
    assert mnt.names() == [stack_id(1), stack_id(2), stack_id(3)]
    api.expect(list=1)


def test_several_of_one_long_name(account, mount):
    api = account()
    for number in (1, 2):
        api.add_stack(stack("y" * 255, number))
    mnt = mount(api)
    assert mnt.names() == sorted(["y" * 255, "y" * 230 + "~" + stack_id(2)])
    assert all(is_complete(mnt, name, r) for name, r in directory_names(api.records()).items())
    api.expect(list=1)


def test_same_names_on_two_pages(account, mount):
    api = account(page_size=2)
    for number in range(1, 6):
        api.add_stack(stack("same", number))
    mnt = mount(api)
    assert mnt.names() == ["same"] + [f"same~{stack_id(n)}" for n in range(2, 6)]
    api.expect(list=3)


def test_names_differ_by_case(account, mount):
    api = account()
    api.add_stack(stack("Billing", 1))
    api.add_stack(stack("billing", 2))
    mnt = mount(api)
    assert mnt.names() == ["Billing", "billing"]
    assert not os.path.lexists(mnt / "BILLING")
    api.expect(list=1)


def test_no_name_before_the_list_is_whole(account, mount):
    """On the first page alone `same` would be the younger one."""
    api = account(page_size=1)
    api.add_stack(stack("same", 2))
    api.add_stack(stack("other", 3))
    younger = stack("same", 4)
    api.add_stack(younger)
    api.fault(kind="delay", delay_ms=500, path="/v1/stacks", skip=1)
    mnt = mount(api)
    assert os.getxattr(mnt / "same", "user.stacksfs.id") == stack_id(2).encode()
    assert mnt.names() == ["other", "same", f"same~{stack_id(4)}"]
    api.expect(list=3)


def test_a_suffix_stays_when_the_plain_one_goes(account, mount):
    api = account()
    for number in (1, 2):
        api.add_stack(stack("x", number))
    mnt = mount(api)
    suffixed = f"x~{stack_id(2)}"
    assert mnt.names() == ["x", suffixed]
    api.delete_stack(stack_id(1))
    mnt.refresh()
    assert mnt.names() == [suffixed]
    assert not os.path.lexists(mnt / "x")
    mnt.refresh()
    assert mnt.names() == [suffixed]
    assert mount(api).names() == ["x"], "a new mount decides anew"
    api.expect(list=4, record=1)


def test_a_plain_name_stays_when_an_older_one_appears(account, mount):
    api = account()
    api.add_stack(stack("x", 5))
    mnt = mount(api)
    assert mnt.names() == ["x"]
    api.add_stack(stack("x", 1))
    mnt.refresh()
    assert mnt.names() == ["x", f"x~{stack_id(1)}"]
    assert os.getxattr(mnt / "x", "user.stacksfs.id") == stack_id(5).encode()
    api.expect(list=2)


def test_a_stack_renamed_elsewhere(account, mount):
    api = account()
    api.add_stack(stack("before", 1))
    mnt = mount(api)
    inode = os.stat(mnt / "before").st_ino
    api.patch_stack(stack_id(1), {"name": "after"})
    mnt.refresh()
    assert mnt.names() == ["after"]
    assert os.stat(mnt / "after").st_ino == inode
    assert os.readlink(mnt / "before") == "after", "the old name is a symlink"
    assert mnt.read("before", "config.json") == mnt.config("after") == api.records()[0].config
    api.expect(list=2)


def test_the_oldest_of_many_old_names_is_given_up(account, mount):
    """A stack that is renamed all the time keeps the last eight."""
    api = account()
    api.add_stack(stack("name-0", 1))
    mnt = mount(api)
    for number in range(1, 11):
        os.stat(mnt / f"name-{number - 1}")
        api.patch_stack(stack_id(1), {"name": f"name-{number}"})
        mnt.refresh()
    assert mnt.names() == ["name-10"]
    assert [n for n in range(11) if os.path.lexists(mnt / f"name-{n}")] == list(range(2, 11))
    assert os.readlink(mnt / "name-2") == "name-10"
    api.expect(list=11)


def test_the_size_of_a_link_follows_mv(account, mount):
    """Of an older name, and of the link by _id: lstat gives the length of what readlink gives."""
    api = account()
    api.add_stack(stack("before", 1))
    mnt = mount(api)
    mnt.config("before")
    api.patch_stack(stack_id(1), {"name": "after"})
    mnt.refresh()
    links = [mnt / "before", mnt / ".stacksfs" / "by-id" / stack_id(1)]
    assert [os.lstat(link).st_size for link in links] == [len("after"), len("../../after")]
    os.rename(mnt / "after", mnt / "much longer")
    assert [os.lstat(link).st_size for link in links] == [len("much longer"),
                                                          len("../../much longer")]
    assert [os.readlink(link) for link in links] == ["much longer", "../../much longer"]
    assert all(os.path.samefile(link, mnt / "much longer") for link in links)
    api.expect(list=2, record=1, put=1)


def test_an_old_name_gives_way_to_a_new_stack(account, mount):
    api = account()
    api.add_stack(stack("before", 1))
    mnt = mount(api)
    api.patch_stack(stack_id(1), {"name": "after"})
    mnt.refresh()
    api.add_stack(stack("before", 2))
    mnt.refresh()
    assert mnt.names() == ["after", "before"]
    assert not os.path.islink(mnt / "before")
    assert os.getxattr(mnt / "before", "user.stacksfs.id") == stack_id(2).encode()
    api.expect(list=3)


def test_two_stacks_that_swap_their_names(account, mount):
    api = account()
    api.add_stack(stack("a", 1))
    api.add_stack(stack("b", 2))
    mnt = mount(api)
    api.patch_stack(stack_id(1), {"name": "b"})
    api.patch_stack(stack_id(2), {"name": "a"})
    mnt.refresh()
    ids = {name: os.getxattr(mnt / name, "user.stacksfs.id").decode() for name in mnt.names()}
    assert sorted(ids.values()) == [stack_id(1), stack_id(2)]
    for name, found in ids.items():
        assert mnt.config(name) == api.record(found).config
        assert re.match(r"b(~|$)" if found == stack_id(1) else r"a(~|$)", name)
    api.expect(list=2)


def test_a_shell_that_stands_in_a_renamed_directory(account, mount):
    api = account()
    api.add_stack(stack("before", 1))
    mnt = mount(api)
    here = os.open(mnt / "before", os.O_PATH)
    try:
        api.patch_stack(stack_id(1), {"name": "after"})
        mnt.refresh()
        config = os.open("config.json", os.O_RDONLY, dir_fd=here)
        assert os.read(config, 65536) == api.records()[0].config
        os.close(config)
    finally:
        os.close(here)
    api.expect(list=2)
