# SPDX-License-Identifier: MIT
"""Programs that go through a whole disk, and git, as the README tells how to use them."""
import re
import shutil

import pytest
from account import stack
from conftest import TOP
from mount import output_of, run


@pytest.fixture
def api(account):
    api = account()
    for number in (1, 2):
        api.add_stack(stack(f"stack-{number}", number))
    return api


def test_git_with_its_directory_elsewhere(api, mount, work):
    if not shutil.which("git"):
        pytest.skip("no git here")
    recipe = re.findall(r"^ {6}(git .*)$", (TOP / "README.md").read_text(), re.M)
    assert len(recipe) == 3
    (work / "home").mkdir(exist_ok=True)
    mnt = mount(api, mountpoint=work / "home" / "stacks")
    env = dict(mnt.env, GIT_CONFIG_NOSYSTEM="1", GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@b",
               GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@b")
    done = run("set -e\n" + "\n".join(recipe), env=env, cwd=mnt.path)
    assert done.returncode == 0, done.stderr
    git = ["git", "--git-dir", work / "home" / "stacks.git", "--work-tree", mnt.path]
    listed = output_of([*git, "ls-files"], env=env, cwd=work)
    assert listed.split() == ["stack-1/config.json", "stack-2/config.json"]
    assert output_of([*git, "status", "-uno", "--short"], env=env, cwd=work) == ""
    assert output_of([*git, "show", "HEAD:stack-1/config.json"], env=env, cwd=work).encode() == \
        mnt.config("stack-1")
    api.expect(list=1)


def test_no_git_directory_inside(api, mount):
    mnt = mount(api)
    done = run(["git", "init", mnt.path], env=mnt.env) if shutil.which("git") else None
    assert done is None or "Operation not permitted" in done.stderr
    with pytest.raises(PermissionError):
        (mnt / ".git").mkdir()
    api.expect(list=1)


def test_find_and_df_leave_it_out(api, mount, work):
    mnt = mount(api)
    found = output_of(["find", work, "-fstype", "fuse.stacksfs", "-prune", "-o", "-print"])
    assert "stack-1" not in found
    assert "stack-1" not in output_of(["find", work, "-xdev"])
    assert str(mnt.path) in output_of(["df", "-a", mnt.path])
    assert str(mnt.path) not in run(["df", "-a", "-x", "fuse.stacksfs"]).stdout
    api.expect(list=1)


def test_a_backup_of_the_disk_leaves_it_out(api, mount, work):
    mount(api)
    listed = output_of(["tar", "-C", work, "--one-file-system", "-cf", "-", "."], errors="replace")
    assert "stack-1" not in listed
    output_of(["rsync", "-ax", f"{work}/", work / "copy"])
    assert not list((work / "copy").rglob("stack-1"))
    api.expect(list=1)


def test_an_index_sees_no_token(api, mount):
    """With tokens=no a program that reads everything asks for what depends on each, no more."""
    mnt = mount(api, tokens="no", ro=True)
    read = output_of(["grep", "-rc", "", mnt.path])
    assert "systemToken" not in read and "stack-2/config.json" in read
    api.expect(list=1, dependencies=2)
