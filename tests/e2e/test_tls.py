# SPDX-License-Identifier: MIT
"""TLS and HTTP/2, with a real server (nghttpx) in front of the emulator."""
import os
import re
import time

import pytest
from account import stack
from emulator import TlsFront
from expected import all_configs
from mount import SLOWER, MountFailed, mounted_at, output_of

STACKS = 40
NO_OCSP = ["--no-ocsp"]  # else a helper of nghttpx asks the certificate's issuer


@pytest.fixture
def api(account):
    return account(stacks=STACKS)


@pytest.fixture
def front(api, work):
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    with TlsFront(api, work / "tls", args=NO_OCSP) as front:
        yield front


def test_a_certificate_of_ones_own(api, front, mount):
    directories = api.directories()
    mnt = mount(api, url=front.url, cacert=front.cacert)
    output = output_of("cat */config.json", cwd=mnt.path)
    assert output == all_configs(directories)
    assert mnt.status()["source"].startswith(front.url)
    api.expect(list=1)


def test_an_unknown_certificate_is_refused(api, front, new_mount):
    mnt = new_mount(api, url=front.url, timeout=10)
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert failed.value.returncode == 1
    assert len(failed.value.output.strip().splitlines()) == 1
    assert re.search("certificate", failed.value.output, re.I)
    assert mounted_at(mnt.path) is None
    api.expect()  # the token did not leave the machine


def test_a_certificate_for_another_name_is_refused(api, front, new_mount):
    """The certificate is for 127.0.0.1 and localhost."""
    mnt = new_mount(api, url=front.url.replace("127.0.0.1", "127.0.0.2"), cacert=front.cacert,
                    timeout=5)
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert failed.value.returncode == 1
    api.expect()


def test_a_name_that_the_certificate_has(api, front, mount):
    mnt = mount(api, url=front.url.replace("127.0.0.1", "localhost"), cacert=front.cacert)
    assert len(mnt.names()) == STACKS
    api.expect(list=1)


def test_plain_http_to_a_tls_port_is_an_error(api, front, new_mount):
    mnt = new_mount(api, url=front.url.replace("https", "http"), timeout=5)
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert failed.value.returncode == 1
    assert len(failed.value.output.strip().splitlines()) == 1
    api.expect()


def test_tls_to_a_plain_port_is_an_error(api, new_mount):
    mnt = new_mount(api, url=api.url.replace("http", "https", 1), timeout=5)
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert failed.value.returncode == 1
    assert len(failed.value.output.strip().splitlines()) == 1
    assert mounted_at(mnt.path) is None
    api.expect()


def test_a_backup_over_few_connections(api, front, mount, work):
    """HTTP/2: what is asked at the same time shares connections."""
    records = api.directories()
    mnt = mount(api, url=front.url, cacert=front.cacert)
    api.fault(kind="delay", delay_ms=200, path="*/systemToken")
    servers = [name for name, record in records.items() if record.type == "server"]
    began = time.monotonic()
    paths = " ".join(f"'{mnt.path}/{name}/systemToken'" for name in servers)
    output_of(f"printf '%s\\n' {paths} | xargs -P 20 -n 1 cat")
    took = time.monotonic() - began
    api.clear_faults()
    assert took < 0.2 * len(servers) / 3 * SLOWER
    connected = connections_to(mnt.pid, front.port)
    assert connected <= 2, f"{connected} connections: is it HTTP/2?"
    api.expect(list=1, token=len(servers))


def connections_to(pid, port):
    """How many TCP connections a process holds to a port here."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        match = re.match(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        if match:
            inodes.add(match.group(1))
    count = 0
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in table.readlines()[1:]:
            fields = line.split()
            count += fields[9] in inodes and int(fields[2].split(":")[1], 16) == port
    return count


def test_cacert_is_read_before_the_mount_goes_to_the_background(api, front, mount):
    mnt = mount(api, url=front.url, cacert=front.cacert, background=True, ttl=1)
    assert len(mnt.names()) == STACKS
    os.unlink(front.cacert)
    with open(front.cacert, "w", encoding="ascii") as empty:
        empty.write("")
    assert mnt.config(mnt.names()[0])
    api.expect(list=range(1, 4))


def test_a_stack_with_odd_bytes_over_http2(account, work, mount):
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    api = account()
    api.add_stack(stack("naïve 🚀"))
    with TlsFront(api, work / "tls", args=NO_OCSP) as front:
        mnt = mount(api, url=front.url, cacert=front.cacert)
        assert mnt.names() == ["naïve 🚀"]
        assert mnt.config("naïve 🚀") == api.records()[0].config
        assert mnt.stop() == []
    api.expect(list=1)


def test_a_server_that_ends_its_connections(account, work, mount):
    """nghttpx ends one on which a thousand streams were reset in a short time, and libcurl 7.88
    resets every second one whose answer has no body.  What was under way on it goes on, once."""
    if not TlsFront.program():
        pytest.skip("no nghttpx here (Debian: nghttp2-proxy)")
    api = account(stacks=300)
    ports = work / "ports"
    told = [f"--accesslog-file={ports}", "--accesslog-format=$remote_port"]
    with TlsFront(api, work / "tls", args=NO_OCSP + told) as front:
        mnt = mount(api, url=front.url, cacert=front.cacert, rate=0, max_rotate=0)
        names = output_of("printf '%s\\n' */systemToken", cwd=mnt.path).split()
        connections = []
        while len(connections) < 15 and len(set(connections)) < 2:
            output_of("printf '%s\\0' */systemToken | xargs -0 -P 8 -n 30 rm", cwd=mnt.path)
            connections.append(len(set(ports.read_text().split())))
        if len(set(connections)) < 2:
            pytest.skip("no connection was ended: another nghttpx, or another libcurl")
        rotated = [e for e in api.log() if e["method"] == "DELETE" and e["status"] == 204]
        assert len(rotated) == len(connections) * len(names)
        assert not mnt.status()["errors"]
        api.expect(**api.counts())
