# SPDX-License-Identifier: MIT
"""A token that is replaced while the mount lives: the account behind it must stay the same."""
import errno
import os

import pytest
from account import named, stack, stack_id

OTHER_TOKEN = "another-canary-token"


@pytest.fixture
def api(account):
    return named(account(page_size=2), "one", "two", "three")


@pytest.fixture
def mnt(api, mount):
    mnt = mount(api, ttl=300)
    mnt.secrets += [api.token, OTHER_TOKEN]
    mnt.config("one")
    return mnt


def replace(api, mnt, stacks, token=OTHER_TOKEN):
    """The token file is another's, and the server shows that one's stacks."""
    api.set_account(stacks)
    api.config(token=token)
    mnt.options["token_file"].write_text(token + "\n")


def refused(call, *arguments):
    with pytest.raises(PermissionError) as failed:
        call(*arguments)
    assert failed.value.errno == errno.EACCES
    return True


@pytest.mark.parametrize("others", [[stack("other", 9)], []], ids=["other stacks", "none"])
def test_another_accounts_list_is_refused(api, mnt, others):
    kept, first = api.account(), api.token
    replace(api, mnt, others)
    for _ in range(2):
        assert refused(mnt.refresh)
        assert "another account" in mnt.errors()[-1]["message"]
        assert mnt.names() == ["one", "three", "two"], "what was there stays"
    done = mnt.cli("refresh", mnt.path)
    assert done.returncode == 1 and "another account" in done.stderr
    assert mnt.config("one")
    replace(api, mnt, kept, first)
    mnt.refresh()
    assert mnt.names() == ["one", "three", "two"]
    # Two pages; a 401 and the other's one page, twice that page; a 401 and two pages.
    api.expect(list=9)


def test_another_accounts_404_is_no_absence(api, mnt):
    replace(api, mnt, [stack("other", 9)])
    assert refused(os.stat, mnt / "one" / "systemToken")
    assert mnt.names("one") == ["config.json", "dependencies", "systemToken"]
    assert refused(mnt.refresh)
    assert mnt.names() == ["one", "three", "two"]
    # A list that tells whose token it is, and the refresh's.
    api.expect(list=4, token=2)


def test_a_new_token_of_the_same_account(api, mnt):
    """Also when all but one of its stacks are gone by then."""
    left = [record for record in api.account() if record["_id"] == stack_id(2)]
    replace(api, mnt, left + [stack("new", 9)])
    mnt.refresh()
    assert mnt.names() == ["new", "two"]
    assert mnt.read("two", "systemToken") == api.system_token(stack_id(2))
    assert not os.path.lexists(mnt / "one")
    api.expect(list=4, record=2, token=1)


def test_an_account_may_become_empty(api, mnt):
    for number in (1, 2, 3):
        api.delete_stack(stack_id(number))
    mnt.refresh()
    assert mnt.names() == []
    api.expect(list=3, record=3)


def save_new(mnt):
    os.makedirs(mnt / "new", exist_ok=True)
    with open(mnt / "new" / "config.json", "w", encoding="utf-8") as file:
        file.write('{"name": "new", "type": "server", "server": {"hostURI": "https://h.example"}}')


def test_another_account_gets_no_stack(api, mnt):
    replace(api, mnt, [stack("other", 9)])
    for _ in range(3):
        assert refused(save_new, mnt)
    assert [record["name"] for record in api.account()] == ["other"]
    assert mnt.names() == ["new", "one", "three", "two"]
    assert b"h.example" in mnt.config("new"), "the text is kept"
    api.expect(**api.counts())


def test_a_new_token_creates_when_it_is_known_to_be_the_same_accounts(api, mnt):
    replace(api, mnt, api.account())
    assert refused(save_new, mnt), "before anybody has looked"
    mnt.refresh()
    save_new(mnt)
    assert "new" in [record["name"] for record in api.account()]
    api.expect(**api.counts())
