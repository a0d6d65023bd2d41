# SPDX-License-Identifier: MIT
"""The API goes away and comes back: the circuit, a refused token, refresh, and the rate."""
import contextlib
import errno
import os
import re
import subprocess
import time

import pytest
from account import DEPENDENCIES, LIST, TOKEN, named, stack_id
from background import meanwhile
from mount import SLOWER, eventually

NAMES = ("one", "two", "three")
FAILURES = 5     # in a row, of requests
PAUSE_S = 2      # until the next probe


@pytest.fixture
def api(account):
    return named(account(), *NAMES)


def failure(call, *arguments):
    with pytest.raises(OSError) as failed:
        call(*arguments)
    return failed.value.errno


def circuit(mnt):
    return mnt.status()["http"]["circuit"]


def open_circuit(mnt):
    """By an access that nothing cached can stand in for."""
    while circuit(mnt)["state"] == "closed":
        failure(mnt.read, "three", "dependencies")


def attempts(api, **wanted):
    return len([e for e in api.log() if all(e[key] == value for key, value in wanted.items())])


@pytest.mark.any_requests("a failed request is tried again")
def test_an_open_circuit_fails_at_once_and_says_why(api, mount):
    mnt = mount(api, timeout=10)
    api.fault(kind="status", status=503)
    open_circuit(mnt)
    assert circuit(mnt)["opened"] == 1
    asked = attempts(api)
    began = time.monotonic()
    for _ in range(20):
        assert failure(mnt.read, "two", "dependencies") == errno.EIO
    assert time.monotonic() - began < 1 * SLOWER
    assert attempts(api) - asked <= 1, "one probe at most in that time"
    line = mnt.errors()[-1]
    assert "503" in line["message"] and "not asked" in line["message"]
    shown = mnt.cli("status", mnt.path).stdout
    assert "circuit     open, for" in shown


@pytest.mark.any_requests("a failed request is tried again")
@pytest.mark.parametrize("fault", [dict(kind="reset"), dict(kind="status", status=500)],
                         ids=["no answer", "5xx"])
def test_recovery_within_ten_seconds_without_a_stampede(api, mount, fault):
    """Readers in a loop, as monitoring is: the first that can be served is, soon."""
    mnt = mount(api, timeout=10)  # no list is renewed: it has a circuit of its own
    mnt.config("one")
    api.fault(**fault)
    open_circuit(mnt)
    served = {}

    def reader(name):
        def read():
            try:
                mnt.read(name, "dependencies")
                served.setdefault(name, time.monotonic())
            except OSError:
                time.sleep(0.02)
        return read

    with meanwhile(*(reader(name) for name in NAMES)):
        before = attempts(api)
        eventually(lambda: attempts(api) >= before + 2, within=3 * PAUSE_S + 2)
        outage = [e["t_ms"] for e in api.log()][before:]
        assert all(b - a > 0.9 * PAUSE_S * 1000 for a, b in zip(outage, outage[1:])), "one at a time"
        back = time.monotonic()
        api.clear_faults()
        eventually(lambda: served.keys() == set(NAMES), within=10)
    assert min(served.values()) - back < 10
    assert circuit(mnt)["state"] == "closed"


@pytest.mark.any_requests("a failed request is tried again")
def test_a_background_renewal_closes_it(api, mount):
    """Only what is cached is used: its renewal finds out that the API is back."""
    mnt = mount(api, ttl=2, stale=3600, timeout=3)
    mnt.config("one")
    api.fault(kind="status", status=502)
    open_circuit(mnt)
    began = time.monotonic()
    eventually(lambda: mnt.config("one") and mnt.status()["api"]["state"] == "stale", within=10)
    api.clear_faults()
    back = time.monotonic()
    eventually(lambda: mnt.config("one") and circuit(mnt)["state"] == "closed", within=10)
    assert time.monotonic() - back < 10 * SLOWER
    assert back - began < 10 * SLOWER
    eventually(lambda: mnt.config("one") and mnt.status()["api"]["state"] == "ok", within=10)
    assert "user.stacksfs.stale" not in os.listxattr(mnt / "one" / "config.json")


@pytest.mark.any_requests("a failed request is tried again")
def test_stale_at_once_while_it_is_open(api, mount):
    mnt = mount(api, ttl=1, timeout=3)
    text = mnt.config("one")
    token = mnt.read("one", "systemToken")
    api.fault(kind="status", status=503)
    open_circuit(mnt)
    eventually(lambda: mnt.config("one") and mnt.status()["api"]["state"] == "stale", within=10)
    began = time.monotonic()
    for _ in range(10):
        assert mnt.config("one") == text
        assert mnt.read("one", "systemToken") == token
    assert time.monotonic() - began < 3.5 * SLOWER
    # Once it is older than ttl, which the API's state may tell of before.
    eventually(lambda: "user.stacksfs.stale" in os.listxattr(mnt / "one" / "config.json"))


@pytest.mark.any_requests("a failed request is tried again")
@pytest.mark.parametrize("fault", [dict(kind="status", status=500), dict(kind="drop")],
                         ids=["5xx", "no answer"])
def test_one_endpoint_that_fails_stops_nothing_else(api, mount, fault):
    """Somebody looks at it again and again, as monitoring does."""
    mnt = mount(api, timeout=10)
    api.fault(path=DEPENDENCIES, **fault)

    def look():
        failure(mnt.read, "one", "dependencies")
        time.sleep(0.01)

    with meanwhile(look):
        eventually(lambda: circuit(mnt)["state"] == "open", within=10)
        for _ in range(5):
            text = mnt.config("two").replace(b"https://", b"https://x.", 1)
            with open(mnt / "two" / "config.json", "wb") as file:
                file.write(text)
            mnt.refresh()
        for name in NAMES:
            assert mnt.read(name, "systemToken")
    assert api.counts()["put"] == 5


@pytest.mark.any_requests("a failed request is tried again")
def test_one_that_goes_on_failing_after_an_outage_keeps_none_back(api, mount):
    """Somebody looks at it again and again, and would be the probe each time."""
    mnt = mount(api, timeout=10)
    text = mnt.config("two").replace(b"https://", b"https://x.", 1)
    api.fault(path=DEPENDENCIES, kind="status", status=503)
    everything = api.fault(kind="status", status=503)
    open_circuit(mnt)
    # And for all, by tokens.
    eventually(lambda: failure(mnt.read, "one", "systemToken") and
               "not asked" in mnt.errors()[-1]["message"])

    def look():
        failure(mnt.read, "one", "dependencies")
        time.sleep(0.01)

    def save():
        with contextlib.suppress(OSError), open(mnt / "two" / "config.json", "wb") as file:
            file.write(text)
        return "put" in api.counts()

    with meanwhile(look):
        api.clear_faults(everything)
        asked = attempts(api)
        eventually(lambda: attempts(api) > asked, within=PAUSE_S + 2)
        eventually(save, within=0.5 * PAUSE_S)


@pytest.mark.any_requests("a failed request is tried again")
@pytest.mark.parametrize("fault", [dict(kind="hang"), dict(kind="status", status=500)],
                         ids=["no answer", "5xx"])
def test_a_list_that_fails_by_itself_is_waited_for_once(account, mount, fault):
    """Each token is answered, and none of that says that what the list shows is not old."""
    api = account(stacks=40)
    tokens = {name: api.system_token(record.id) for name, record in api.directories().items()
              if record.type == "server"}
    some = list(tokens)[:20]
    mnt = mount(api, ttl=1, timeout=30)
    mnt.config(some[0])
    time.sleep(1.2)  # time itself is what makes the list old
    api.fault(path=LIST, **fault)
    began = time.monotonic()
    assert [mnt.read(name, "systemToken") for name in some] == [tokens[name] for name in some]
    assert time.monotonic() - began < 3 + 3 * SLOWER
    assert mnt.status()["api"]["state"] == "stale"
    assert "user.stacksfs.stale" in os.listxattr(mnt / some[0] / "config.json")
    api.clear_faults()
    eventually(lambda: mnt.config(some[0]) and mnt.status()["api"]["state"] == "ok", within=20)


def test_429_does_not_open_it(api, mount):
    mnt = mount(api, timeout=5)
    fault = api.fault(kind="status", status=429, path=DEPENDENCIES, headers={"Retry-After": "0"})
    for _ in range(2 * FAILURES):
        assert failure(mnt.read, "one", "dependencies") == errno.EBUSY
    shown = circuit(mnt)
    assert (shown["state"], shown["opened"]) == ("closed", 0)
    api.clear_faults(fault)
    assert mnt.read("one", "dependencies")
    api.expect(list=1, dependencies=8 * FAILURES + 1)


def test_429_that_says_to_wait_is_believed(api, mount):
    """Not for each reader anew, but for a few seconds at most. A save asks all the same."""
    mnt = mount(api, timeout=5)
    fault = api.fault(kind="status", status=429, headers={"Retry-After": "7"})
    began = time.monotonic()
    for _ in range(FAILURES):
        for name in NAMES:
            assert failure(mnt.read, name, "dependencies") == errno.EBUSY
    message = mnt.errors()[-1]["message"]
    assert "429" in message and re.search(r"not asked again for \d s", message)
    assert circuit(mnt)["state"] == "closed"
    api.clear_faults(fault)
    with open(mnt / "two" / "config.json", "rb+") as file:
        file.write(mnt.config("two").replace(b"https://", b"http://", 1))
        file.truncate()

    def can_read():
        with contextlib.suppress(OSError):
            return mnt.read("one", "dependencies")

    eventually(can_read, within=10)
    assert time.monotonic() - began > 6.9
    api.expect(list=1, dependencies=2, record=1, put=1)


def test_what_is_cached_is_shown_after_429(api, mount):
    mnt = mount(api, ttl=1, timeout=5)
    text, token = mnt.config("one"), mnt.read("one", "systemToken")
    api.fault(kind="status", status=429, headers={"Retry-After": "100"})
    eventually(lambda: "user.stacksfs.stale" in os.listxattr(mnt / "one" / "config.json"))
    asked = attempts(api)
    for _ in range(FAILURES):
        assert mnt.config("one") == text
        assert mnt.read("one", "systemToken") == token
    assert attempts(api) - asked <= 1, "for the token"
    assert failure(mnt.refresh) == errno.EBUSY
    assert mnt.status()["api"]["state"] == "stale"
    api.expect(**api.counts())


@pytest.mark.any_requests("a failed request is tried again")
def test_refresh_in_an_outage_fails_and_keeps_what_is_cached(api, mount):
    mnt = mount(api, timeout=3)
    texts = {name: mnt.config(name) for name in mnt.names()}
    api.fault(kind="status", status=500)
    for _ in range(3):
        done = mnt.cli("refresh", mnt.path)
        assert done.returncode == 1
        assert "not refreshed" in done.stderr
    assert {name: mnt.config(name) for name in mnt.names()} == texts
    api.clear_faults()
    eventually(lambda: mnt.cli("refresh", mnt.path).returncode == 0, within=10)


# ---- what the state is of ----

@pytest.mark.any_requests("a failed request is tried again")
def test_a_token_that_is_served_hides_no_outage_of_the_list(api, mount):
    mnt = mount(api, ttl=1, timeout=3)
    mnt.config("one")
    api.fault(kind="status", status=503, path=LIST)
    eventually(lambda: mnt.config("one") and mnt.status()["api"]["state"] == "stale", within=10)
    assert mnt.read("two", "systemToken") == api.system_token(stack_id(2))
    assert mnt.cli("status", "--check", mnt.path).stdout.startswith("stale: ")
    api.clear_faults()
    eventually(lambda: mnt.config("one") and mnt.status()["api"]["state"] == "ok", within=10)


def test_one_forbidden_token_is_no_outage(api, mount):
    mnt = mount(api)
    api.fault(kind="status", status=403, path=TOKEN)
    assert failure(mnt.read, "one", "systemToken") == errno.EPERM
    done = mnt.cli("status", "--check", mnt.path)
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "ok")
    assert mnt.status()["api"]["last_error"]["errno"] == "EPERM"
    api.expect(list=1, token=1)


# ---- a token that is refused later on ----

def test_a_refused_token_until_the_file_has_a_good_one(api, mount):
    """The file is read again once for each access; no remount is needed."""
    mnt = mount(api, ttl=1, timeout=3)
    text = mnt.config("one")
    api.config(token="the-second-token")
    mnt.secrets.append("the-second-token")
    time.sleep(1.1)  # until what is cached is old
    for _ in range(2):
        assert failure(mnt.config, "one") == errno.EACCES
    assert failure(mnt.read, "one", "systemToken") == errno.EACCES
    assert failure(mnt.refresh) == errno.EACCES
    # Not even when the API cannot be reached after that: it has refused us.
    fault = api.fault(kind="status", status=503)
    assert failure(mnt.config, "one") in (errno.EACCES, errno.EIO)
    api.clear_faults(fault)
    assert mnt.status()["api"]["state"] == "error"
    mnt.options["token_file"].write_text("the-second-token\n")
    eventually(lambda: not mnt.cli("refresh", mnt.path).returncode, within=5)
    assert mnt.config("one") == text
    assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    assert mnt.status()["api"]["state"] == "ok"
    api.expect(**api.counts())


def test_a_token_file_that_is_refused_says_so(api, mount):
    mnt = mount(api, timeout=3)
    file = mnt.options["token_file"]
    api.config(token="the-second-token")
    mnt.secrets.append("the-second-token")
    file.write_text("the-second-token\n")
    file.chmod(0o644)
    for _ in range(3):
        assert failure(mnt.refresh) == errno.EACCES
    assert mnt.log().count("this token file is open to others; run: chmod 600") == 1
    file.chmod(0o600)
    mnt.refresh()
    file.rename(file.with_suffix(".away"))
    api.config(token="the-third-token")
    assert failure(mnt.refresh) == errno.EACCES
    assert "No such file or directory" in mnt.log()
    api.expect(**api.counts())


# ---- the rate ----

def test_a_save_passes_readers_and_readers_are_kept_to_the_rate(account, mount):
    api = account(stacks=120)
    names = sorted(api.directories())
    mnt = mount(api, rate=10, timeout=30)
    rate = mnt.status()["http"]
    assert (rate["rate_per_s"], rate["rate_burst"]) == (10, 30)
    assert rate["rate_left"] <= 30
    readers = [subprocess.Popen(["cat", str(mnt / name / "dependencies")],
                                stdout=subprocess.DEVNULL) for name in names[:60]]
    eventually(lambda: mnt.status()["http"]["queued"] >= 10, within=20)
    began = time.monotonic()
    path = mnt / names[-1] / "config.json"
    path.write_text(path.read_text().replace('"name": "', '"note": "saved", "name": "', 1))
    took = time.monotonic() - began
    waiting = mnt.status()["http"]["queued"]
    assert took < 1.5 * SLOWER, "a GET and a PUT, each at the next free place"
    assert waiting > 0 or SLOWER > 1, "while readers still wait"
    assert [reader.wait() for reader in readers] == [0] * len(readers)
    asked = [e["t_ms"] for e in api.log()]
    most = max(sum(1 for t in asked if start <= t < start + 1000) for start in asked[40:])
    assert most <= 11
    api.expect(**api.counts())
