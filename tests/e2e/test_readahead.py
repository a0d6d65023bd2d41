# SPDX-License-Identifier: MIT
"""What a scan of directories will use next is fetched before it is asked for, and nothing else."""
import fnmatch
import os
import subprocess

import pytest
from account import DEPENDENCIES, LIST, TOKEN, stack, stack_id
from mount import eventually

N_STACKS = 40
N_SERVERS = 30


def name_of(number):
    return f"s{number:02}"


@pytest.fixture
def api(account):
    """s01 to s40; every fourth is a lambda stack."""
    api = account()
    for number in range(1, N_STACKS + 1):
        api.add_stack(stack(name_of(number), number,
                            type="lambda" if number % 4 == 0 else "server"))
    return api


def asked(api, path):
    """The numbers of the stacks whose part was asked for, in that order."""
    return [int(entry["path"].split("/")[3][:8], 16) for entry in api.log()
            if fnmatch.fnmatch(entry["path"], path)]


def scan(mnt, names, numbers):
    for number in numbers:
        for name in names:
            mnt.read(name_of(number), name)


def test_the_second_step_fetches_ahead(api, mount):
    mnt = mount(api)
    scan(mnt, ["dependencies"], [10, 11])
    api.wait("GET", DEPENDENCIES, 4, answered=True)
    assert asked(api, DEPENDENCIES) == [10, 11, 12, 13]
    assert asked(api, TOKEN) == []
    api.expect(list=1, dependencies=4)


def test_it_goes_on_while_the_scan_does(api, mount):
    """And stops where that stops, with at most a window in vain."""
    mnt = mount(api)
    scan(mnt, ["dependencies"], [1, 2, 3, 4])
    api.wait("GET", DEPENDENCIES, 12, answered=True)
    assert asked(api, DEPENDENCIES) == list(range(1, 13))
    api.expect(list=1, dependencies=12)


@pytest.mark.any_requests("a request that was cut off is tried again")
def test_it_is_asked_for_together(api, mount):
    """The second one comes while the first has no answer yet."""
    mnt = mount(api)
    scan(mnt, ["dependencies"], [1, 2, 3])
    api.wait("GET", DEPENDENCIES, 6, answered=True)
    api.fault(kind="hang", path=DEPENDENCIES)
    mnt.read(name_of(4), "dependencies")
    api.wait("GET", DEPENDENCIES, 12)
    api.clear_faults()


@pytest.mark.parametrize("numbers", [[5, 25, 15, 35], [20], [30, 7, 19]], ids=str)
def test_single_reads_fetch_nothing_ahead(api, mount, numbers):
    mnt = mount(api)
    scan(mnt, ["dependencies"], numbers)
    assert asked(api, DEPENDENCIES) == numbers
    api.expect(list=1, dependencies=len(numbers))


def test_tokens_only_in_a_scan_that_reads_tokens(api, mount):
    mnt = mount(api)
    scan(mnt, ["systemToken"], [2, 3])
    api.wait("GET", TOKEN, 4, answered=True)
    assert asked(api, TOKEN) == [2, 3, 5, 6], "a lambda stack has none"
    api.expect(list=1, token=4)


def test_a_listing_leads_nothing_on(api, mount):
    mnt = mount(api)
    scan(mnt, ["systemToken"], [1, 2])
    api.wait("GET", TOKEN, 4, answered=True)
    subprocess.run(["ls", "-R", mnt.path], check=True, stdout=subprocess.DEVNULL)
    for number in range(1, N_STACKS + 1):
        os.listdir(mnt / name_of(number))
    api.expect(list=1, token=4)


PROGRAMS = {
    "rsync": ["rsync", "-a", "./", "../copy"],
    "tar": ["tar", "cf", "../copy.tar", "."],
    "grep": ["grep", "-rq", "nothing has this", "."],
    "cp": ["cp", "-r", ".", "../copy"],
    "bash": ["bash", "-c", "cat */dependencies */systemToken"],
    "dash": ["dash", "-c", "cat */dependencies */systemToken"],
    "zsh": ["zsh", "-c", "cat */dependencies */systemToken"],
    "loop": ["sh", "-c", "for s in *; do cat $s/dependencies $s/systemToken; done 2>/dev/null"],
    "python": [
        "python3", "-c",
        "import pathlib\n"
        "for path in sorted(pathlib.Path('.').glob('*/[ds]*')): path.read_bytes()"],
    "find": ["find", ".", "-type", "f", "-size", "+0"],
}


LATENCY_MS = 50


def asked_together(api):
    """How many requests came while the one before was not answered yet."""
    times = [entry["t_ms"] for entry in api.log() if entry["path"] != LIST]
    return sum(after - before < LATENCY_MS for before, after in zip(times, times[1:]))


@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS.keys())
def test_all_is_asked_for_once(account, mount, command):
    """Ahead of its use, in whichever order a program goes."""
    api = account()
    for number in range(1, N_STACKS + 1):
        name = f"{number * 7 % 10}{'Aa'[number % 2]}{'-x' * (number % 3)}{number}"
        api.add_stack(stack(name, number, type="lambda" if number % 4 == 0 else "server"))
    mnt = mount(api)
    api.config(latency_ms=LATENCY_MS)
    subprocess.run(command, cwd=mnt.path, stdout=subprocess.DEVNULL, check=False)
    assert sorted(asked(api, DEPENDENCIES)) == list(range(1, N_STACKS + 1))
    assert asked_together(api) > (N_STACKS + N_SERVERS) / 2
    api.expect(list=1, dependencies=N_STACKS, token=N_SERVERS)


def test_what_is_seen_is_what_there_is(api, mount):
    """Each file is its own stack's, fetched ahead or not."""
    for number in range(1, N_STACKS + 1):
        api.set_dependencies(stack_id(number), {"exports": [{"id": f"{number}", "name": "n"}]})
    mnt = mount(api)
    for number in range(1, N_STACKS + 1):
        assert f'"{number}"'.encode() in mnt.read(name_of(number), "dependencies")
    api.expect(list=1, dependencies=N_STACKS)


@pytest.mark.any_requests("how many were on their way when the first one failed depends on time")
def test_a_refused_token_is_asked_for_once_each(api, mount):
    """After what was under way has failed nothing is fetched ahead: each use has its own request."""
    mnt = mount(api)
    api.fault(kind="status", status=403, path=TOKEN)
    servers = [number for number in range(1, N_STACKS + 1) if number % 4]
    for number in servers:
        with pytest.raises(PermissionError):
            mnt.read(name_of(number), "systemToken")
    eventually(lambda: all(entry["done"] for entry in api.log()))
    assert len(asked(api, TOKEN)) <= len(servers) + 8


def test_who_waits_goes_before_what_is_fetched_ahead(api, mount):
    """With one request a second, a token that nobody has foreseen comes before the window."""
    mnt = mount(api, rate=1, timeout=60)
    scan(mnt, ["dependencies"], [1])
    mnt.read(name_of(2), "dependencies")  # the burst is over; two more wait for their turn
    mnt.read(name_of(30), "systemToken")
    assert asked(api, TOKEN) == [30]
    before = [entry["path"] for entry in api.log()][:-1]
    assert len(before) <= 1 + 2 + 1
    api.wait("GET", DEPENDENCIES, 4, answered=True)
    api.expect(list=1, dependencies=4, token=1)
