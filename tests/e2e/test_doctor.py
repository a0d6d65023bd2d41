# SPDX-License-Identifier: MIT
"""stacksfs doctor: a line for each thing that mounting needs, and status when saves were refused."""
import http.server
import json
import os
import re
import socket
import stat
import threading

import pytest
from account import LIST, stack
from conftest import STACKSFS
from emulator import TlsFront
from mount import TOKEN_ENV, environment, mounted_at, run


pytestmark = pytest.mark.any_requests("test_all_is_well counts them")


@pytest.fixture
def api(account):
    api = account(page_size=2)
    for number in range(1, 6):
        api.add_stack(stack(f"stack-{number}", number))
    return api


@pytest.fixture
def doctor(api, stacksfs):
    """{name: (word, text)} of the lines, with the exit status checked against them."""
    def run(*arguments, env=None, **kwargs):
        done = stacksfs("doctor", *arguments, env=env, **kwargs)
        assert done.stderr == ""
        assert api.token not in done.stdout
        *lines, verdict = done.stdout.splitlines()
        found = {}
        for line in lines:
            word, name, text = re.fullmatch(r"(ok|note|FAIL|-) +(\S+(?: \S+)?)  +(.*)", line).groups()
            assert name not in found
            found[name] = word, text
        failed = [word for word, _ in found.values() if word == "FAIL"]
        assert done.returncode == (1 if failed else 0)
        assert verdict.startswith("Mounting would " + ("fail" if failed else "work"))
        return found

    return run


def failures(found):
    return {name for name, (word, _) in found.items() if word == "FAIL"}


def test_all_is_well(api, folder, token_file, doctor, work):
    found = doctor(api.url, folder, "-o", f"token_file={token_file}")
    assert failures(found) == set()
    assert found["mount point"] == ("ok", f"{folder}: an empty directory")
    assert found["URL"] == ("ok", api.url)
    assert str(token_file) in found["token"][1]
    assert re.match(r"token accepted; 5 stacks, listed by 3 requests in \d+ ms", found["account"][1])
    assert re.match(r"\d+ ms for an answer", found["latency"][1])
    assert found["clock"] == ("ok", "agrees with the API's")
    assert found["rate"][1].startswith("100 requests a second")
    assert mounted_at(folder) is None
    assert not (work / "home" / "state").exists(), "nothing is made"
    assert api.statuses("list") == [401, 200, 200, 200], "and nothing but the list is asked"
    assert api.violations() == []


def test_without_operands(api, doctor):
    found = doctor(env={"CELIGO_BASE_URL": api.url, TOKEN_ENV: api.token})
    assert failures(found) == set()
    assert found["mount point"][0] == "-"
    assert found["token"] == ("ok", f"from {TOKEN_ENV}")


def test_a_source_alone_and_a_mount_point_alone(api, folder, doctor):
    env = {"CELIGO_BASE_URL": api.url, TOKEN_ENV: api.token}
    assert doctor(api.url, env=env)["mount point"][0] == "-"
    assert doctor(folder, env=env)["URL"][1] == api.url


def test_a_credential(api, work, doctor):
    (work / "stacksfs.token").write_text(api.token)
    found = doctor(api.url, env={"CREDENTIALS_DIRECTORY": work})
    assert found["token"] == ("ok", f"from {work}/stacksfs.token, a credential")


def test_a_refused_token(api, doctor):
    found = doctor(api.url, env={TOKEN_ENV: "wrong-canary"})
    assert failures(found) == {"account"}
    assert "refused" in found["account"][1] and "wrong-canary" not in str(found)


def test_no_token(api, doctor):
    found = doctor(api.url)
    assert failures(found) == {"token"}
    assert found["account"][0] == "-"


def test_a_token_file_that_others_can_read(api, token_file, doctor):
    token_file.chmod(0o644)
    found = doctor(api.url, "-o", f"token_file={token_file}")
    assert failures(found) == {"token"}
    assert "chmod 600" in found["token"][1]


def test_a_bad_source(api, doctor):
    found = doctor("https://user:canary@example.com", "-o", "ro", env={TOKEN_ENV: api.token})
    assert failures(found) == {"URL"}
    assert "canary" not in str(found)


def test_an_unknown_host(api, doctor):
    found = doctor("https://no-such-host.invalid", "-o", "timeout=5", env={TOKEN_ENV: api.token})
    assert failures(found) == {"name"}
    assert "no-such-host.invalid" in found["name"][1]


def test_nobody_listens(api, doctor):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        found = doctor(url, "-o", "timeout=5", env={TOKEN_ENV: api.token})
    assert failures(found) == {"connection"}
    assert "127.0.0.1" in found["connection"][1] and "check the URL" in found["connection"][1]


def test_no_answer(api, doctor):
    api.fault(kind="hang", path=LIST)
    found = doctor(api.url, "-o", "timeout=1", env={TOKEN_ENV: api.token})
    assert failures(found) == {"connection"}
    assert "timeout=" in found["connection"][1], "what to do"


def test_a_list_that_fails(api, doctor):
    api.fault(kind="status", status=403, path=LIST,
              body='{"errors":[{"code":"c","message":"Not on a Monday."}]}')
    found = doctor(api.url, env={TOKEN_ENV: api.token})
    assert failures(found) == {"account"}
    assert "Not on a Monday" in found["account"][1]


def test_a_missing_mount_point(api, work, doctor):
    found = doctor(api.url, work / "missing", env={TOKEN_ENV: api.token})
    assert failures(found) == {"mount point"}
    assert "mkdir" in found["mount point"][1]


def test_a_mount_point_that_is_taken(api, mount, doctor):
    mnt = mount(api)
    found = doctor(api.url, mnt.path, env={TOKEN_ENV: api.token})
    assert failures(found) == {"mount point"}
    assert "mounted already" in found["mount point"][1]
    api.expect(**api.counts())


def test_a_dead_mount(api, mount, doctor):
    mnt = mount(api, background=True)
    mnt.kill()
    found = doctor(api.url, mnt.path, env={TOKEN_ENV: api.token})
    assert failures(found) == set()
    assert found["mount point"][0] == "note" and "clears" in found["mount point"][1]
    mnt.abort()
    api.expect(**api.counts())


def test_a_state_directory_that_cannot_be(api, work, doctor):
    (work / "file").touch()
    found = doctor(api.url, "-o", f"state={work}/file/below", env={TOKEN_ENV: api.token})
    assert failures(found) == {"state"}


@pytest.mark.parametrize("modes, works", [
    ({".": 0o500}, False),
    ({".": 0o700, "history": 0o500, "lost": 0o700}, False),
    ({".": 0o700, "history": 0o700, "lost": 0o500}, False),
    ({".": 0o500, "history": 0o700, "lost": 0o700}, True),
    ({".": 0o500, "history": 0o750}, False),
    ({".": 0o700, "history": 0o750}, True),
], ids=str)
def test_doctor_and_mounting_agree_on_a_state_directory(api, folder, work, token_file, modes, works):
    """Where nothing can be kept, mounting says so, and not the first save."""
    state = work / "kept"
    for name, mode in reversed(modes.items()):
        (state / name).mkdir(parents=True, exist_ok=True)
        (state / name).chmod(mode)
    # Root as the unit of systemd has it: modes count for it, too.
    user = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    more = [api.url, folder, "-o", f"state={state},token_file={token_file}"]
    env = environment(work)
    found = run([*user, STACKSFS, "doctor", *more], env=env)
    assert {".", *os.listdir(state)} == set(modes), "nothing is made"
    assert {name: stat.S_IMODE(os.stat(state / name).st_mode) for name in modes} == modes
    done = run([*user, STACKSFS, *more], env=env)
    state.chmod(0o700)
    assert (found.returncode == 0, done.returncode == 0) == (works, works), found.stdout + done.stderr
    if works:
        assert run(f"fusermount3 -u {folder}").returncode == 0
    else:
        assert re.search(r"FAIL +state +/.*: Permission denied; give -o state=", found.stdout)
        assert done.stderr.endswith(": Permission denied (give another -o state=DIR, or state=none)\n")


def test_a_proxy_does_the_look_up(api, doctor):
    """And what a proxy's URL holds is not shown."""
    found = doctor("https://no-such-host.invalid", "-o",
                   "timeout=5,proxy=http://user:canary-pass@127.0.0.1:1", env={TOKEN_ENV: api.token})
    assert found["name"] == ("ok", "no-such-host.invalid: left to the proxy")
    assert failures(found) == {"connection"}
    assert "canary-pass" not in str(found)


@pytest.mark.parametrize("variable, hosts", [
    ("no_proxy", "no-such-host.invalid"), ("NO_PROXY", "example.com, .Invalid"), ("no_proxy", "*"),
])
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_host_that_needs_no_proxy(api, folder, stacksfs, doctor, variable, hosts, by):
    proxy = "http://127.0.0.1:1"
    env = {TOKEN_ENV: api.token, variable: hosts}
    options = "timeout=5"
    if by == "option":
        options += f",proxy={proxy}"
    else:
        env["https_proxy"] = proxy
    found = doctor("https://no-such-host.invalid", "-o", options, env=env)
    assert failures(found) == {"name"}
    assert "left to the proxy" not in found["name"][1]
    mounted = stacksfs("https://no-such-host.invalid", folder, "-o", options, env=env)
    assert "could not find no-such-host.invalid" in mounted.stderr
    env[variable] = "host.invalid,nvalid"
    found = doctor("https://no-such-host.invalid", "-o", options, env=env)
    assert found["name"] == ("ok", "no-such-host.invalid: left to the proxy")
    assert failures(found) == {"connection"}


def test_a_proxy_that_refuses_the_way(doctor):
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            self.send_error(407)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        found = doctor("https://no-such-host.invalid", "-o",
                       f"timeout=5,proxy=http://127.0.0.1:{proxy.server_port}",
                       env={TOKEN_ENV: "no-token"})
        proxy.shutdown()
    assert failures(found) == {"connection"}
    said = found["connection"][1]
    assert "the proxy refused the way to no-such-host.invalid" in said and "407" in said


# ---- TLS ----

@pytest.fixture
def front(api, work):
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    with TlsFront(api, work / "tls", args=["--no-ocsp"]) as front:
        yield front


def test_a_certificate(api, front, doctor):
    found = doctor(front.url, "-o", f"cacert={front.cacert}", env={TOKEN_ENV: api.token})
    assert failures(found) == set()
    word, text = found["TLS"]
    assert word == "note", "it ends in two days"
    assert re.match(r"trusted, until \d{4}-\d\d-\d\d \(1 d 23 h\), issued by .*stacksfs test CA", text)


def test_a_certificate_that_nobody_trusts(api, front, doctor):
    found = doctor(front.url, env={TOKEN_ENV: api.token})
    assert failures(found) == {"TLS"}
    assert "cacert" in found["TLS"][1], "what to do"
    assert api.counts() == {}


def test_a_missing_file_of_authorities(api, work, doctor):
    found = doctor(api.url, "-o", f"cacert={work}/none", env={TOKEN_ENV: api.token})
    assert "cacert" in failures(found)


# ---- status, when a save was refused ----

def test_status_names_refused_saves_and_drafts(api, mount, stacksfs):
    mnt = mount(api)
    (mnt / "new").mkdir()
    for name in ("stack-1", "new"):
        with pytest.raises(OSError):
            (mnt / name / "config.json").write_text("{")
    (mnt / "other").mkdir()
    (mnt / "other" / "config.json").touch()
    done = stacksfs("status", mnt.path)
    assert (done.returncode, done.stderr) == (0, "")
    refused = [line[12:] for line in done.stdout.splitlines()
               if line.startswith(("refused     ", "            /"))]
    assert sorted(refused) == [f"{mnt.path}/new/config.json",
                               f"{mnt.path}/stack-1/config.json.refused"]
    assert f"\nunsaved     {mnt.path}/other/config.json\n" in done.stdout
    done = stacksfs("status", "--check", mnt.path)
    assert done.returncode == 1
    assert done.stdout.startswith(f"refused: {mnt.path}, list ")
    shown = json.loads(stacksfs("status", "--json", mnt.path).stdout)
    assert sorted(shown["refused"]) == ["/new/config.json", "/stack-1/config.json.refused"]
    assert shown["drafts"] == ["/other/config.json"]

    (mnt / "stack-1" / "config.json.refused").unlink()
    done = stacksfs("status", "--check", mnt.path)
    assert done.returncode == 1
    assert done.stdout.endswith(f": 1 save refused, {mnt.path}/new/config.json\n")
    (mnt / "new" / "config.json").unlink()
    assert stacksfs("status", "--check", mnt.path).returncode == 0
    api.expect(list=3)
