# SPDX-License-Identifier: MIT
"""The emulator's faults, log and control path (docs/emulator.md), over real HTTP."""
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import re
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from emulator import EmulatorError, TlsFront  # noqa: E402
from emulator_case import (ABSENT, BINARY, MASK, SERVER, emu, first, get, next_path, notes, post,
                           put, run_curl, sendable, start)  # noqa: E402,F401


# --- the log and waiting ---

def test_log(emu):
    stack = first(emu)
    emu.request("GET", "/v1/stacks?include=name", headers={"If-Match": '"a"', "Host": "h:1"})
    put(emu, stack["_id"], sendable(stack))
    one, two = emu.log()
    assert (one["seq"], one["method"], one["path"], one["query"]) == \
        (1, "GET", "/v1/stacks", "include=name")
    assert (one["status"], one["done"], one["auth"], one["host"]) == (200, True, "ok", "h:1")
    assert (one["if_match"], one["protocol"]) == ('"a"', "HTTP/1.1") and "body" not in one
    assert json.loads(two["body"]) == sendable(stack)
    assert abs(two["t_ms"] / 1000 - time.monotonic()) < 60 and two["t_ms"] >= one["t_ms"]
    assert [e["seq"] for e in emu.log(since=1)] == [2] and emu.seq() == 2
    emu.clear_log()
    assert emu.log() == []
    emu.request("GET", "/v1/stacks")
    assert [e["seq"] for e in emu.log()] == [3]


def test_log_has_a_request_before_its_answer(emu):
    emu.fault(kind="hang")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        hung = pool.submit(emu.request, "GET", "/v1/stacks")
        assert emu.wait("GET", "/v1/stacks") == 1
        assert (emu.log()[0]["status"], emu.log()[0]["done"]) == (None, False)
        emu.clear_faults()
        assert isinstance(hung.exception(20), http.client.RemoteDisconnected)
    emu.wait(answered=True)
    assert (emu.log()[0]["status"], emu.log()[0]["done"]) == (None, True)


def test_wait_for_what_comes_later(emu):
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(emu.wait, "GET", "/v1/stacks/*", 3, timeout=30)
        for _ in range(3):
            emu.request("GET", "/v1/stacks")
            get(emu, f"/v1/stacks/{ABSENT}")
        assert waiting.result(30) == 3
    with pytest.raises(TimeoutError):
        emu.wait(path="/v1/stacks", since=emu.seq(), timeout=0.05)
    with pytest.raises(TimeoutError):
        emu.wait("DELETE", timeout=0)


def test_client_that_leaves_is_noted(emu):
    emu.fault(kind="hang")
    connection = emu.connect()
    connection.request("GET", "/v1/stacks", headers={"Authorization": f"Bearer {emu.token}"})
    emu.wait()
    connection.close()
    emu.wait(answered=True)
    assert emu.log()[0]["status"] is None
    emu.clear_faults()


# --- faults ---

def raw_get(emu, path="/v1/stacks"):
    """Everything that one GET brings, and how it ended: ("eof" or the error's name, bytes)."""
    request = (f"GET {path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {emu.token}\r\n"
               "Connection: close\r\n\r\n").encode()
    received = b""
    with socket.create_connection(("127.0.0.1", emu.port), timeout=20) as s:
        s.sendall(request)
        try:
            while chunk := s.recv(65536):
                received += chunk
        except ConnectionError as error:
            return type(error).__name__, received
    return "eof", received


def test_status_fault(emu):
    emu.fault(kind="status", status=503, headers={"Retry-After": "7"}, times=1)
    status, headers, body = emu.request("GET", "/v1/stacks")
    assert (status, headers["Retry-After"]) == (503, "7")
    assert json.loads(body)["errors"] and emu.log()[0]["fault"] == "1 status"
    assert emu.request("GET", "/v1/stacks")[0] == 200
    emu.fault(kind="status", status=502, headers={"Content-Type": "text/html", "X": ["1", "2"]},
              body="<html>")
    status, headers, body = emu.request("GET", "/v1/stacks")
    assert (status, headers["Content-Type"], body) == (502, "text/html", b"<html>")
    assert headers.get_all("X") == ["1", "2"]


def test_faults_match_skip_and_count(emu):
    stack_id = first(emu)["_id"]
    emu.fault(method="GET", path="/v1/stacks/*/systemToken", kind="status", status=500, skip=1,
              times=2)
    emu.fault(path="/v1/stacks", query="include=*", kind="status", status=504)
    path = f"/v1/stacks/{stack_id}/systemToken"
    assert [emu.request("GET", path)[0] for _ in range(4)] == [200, 500, 500, 200]
    assert emu.request("DELETE", path)[0] == 204
    assert emu.request("GET", "/v1/stacks")[0] == 200
    assert emu.request("GET", "/v1/stacks?include=name")[0] == 504
    assert [f["taken"] for f in emu.faults()] == [2, 1]
    emu.clear_faults(2)
    assert [f["id"] for f in emu.faults()] == [1]
    with pytest.raises(EmulatorError):
        emu.clear_faults(2)


def test_a_fault_by_chance_is_repeated_by_the_same_seed(start):
    def taken(seed):
        emu = start(stacks=1, seed=seed)
        emu.fault(kind="status", status=500, one_in=4)
        return [emu.request("GET", "/v1/stacks")[0] == 500 for _ in range(200)]

    assert 25 < sum(taken(5)) < 75
    assert taken(5) == taken(5) != taken(6)


def test_apply_carries_the_request_out_first(emu):
    stack_id = first(emu)["_id"]
    emu.fault(method="DELETE", kind="status", status=500, apply=True)
    assert emu.request("DELETE", f"/v1/stacks/{stack_id}")[0] == 500
    assert emu.stack(stack_id)["deleted"]


def test_delay_fault_delays_nobody_else(emu):
    emu.fault(path="/v1/stacks", kind="delay", delay_ms=700, times=1)
    start_s = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        late = pool.submit(get, emu, "/v1/stacks")
        emu.wait()
        assert get(emu, "/v1/stacks")[0] == 200
        assert not late.done()
        assert late.result()[0] == 200
    assert time.monotonic() - start_s >= 0.7


def test_latency(emu):
    emu.config(latency_ms=300)
    start_s = time.monotonic()
    assert get(emu, "/v1/stacks")[0] == 200
    assert time.monotonic() - start_s >= 0.3


def test_reset_fault(emu):
    emu.fault(kind="reset", times=1)
    assert raw_get(emu) == ("ConnectionResetError", b"")
    emu.fault(kind="reset", at_byte=25, times=1)
    ending, received = raw_get(emu)
    assert ending == "ConnectionResetError" and received[:12] == b"HTTP/1.1 200"
    assert len(received) == 25
    assert raw_get(emu)[0] == "eof"


def test_truncate_fault(emu):
    emu.fault(kind="truncate", at_byte=10)
    ending, received = raw_get(emu)
    head, body = received.split(b"\r\n\r\n", 1)
    length = int(re.search(rb"Content-Length: (\d+)", head)[1])
    assert ending == "eof" and len(body) == 10 < length
    with pytest.raises(http.client.IncompleteRead):
        emu.request("GET", "/v1/stacks")


def test_garbage_fault(emu):
    emu.fault(kind="garbage", times=1)
    assert not raw_get(emu)[1].startswith(b"HTTP")
    emu.fault(kind="garbage", body=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n\xff", times=1)
    assert raw_get(emu)[1].endswith(b"-5\r\n\r\n\xff")


def test_drop_fault_applies_and_says_nothing(emu):
    emu.fault(method="POST", kind="drop", times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        post(emu, SERVER)
    assert get(emu, "/v1/stacks")[1][-1]["name"] == "alpha"
    assert emu.log()[0]["fault"] == "1 drop" and emu.log()[0]["status"] is None


def test_drip_fault(emu):
    expected = get(emu, "/v1/stacks/" + ABSENT)
    emu.fault(kind="drip", drip_ms=2)
    start_s = time.monotonic()
    assert get(emu, "/v1/stacks/" + ABSENT) == expected
    assert time.monotonic() - start_s >= 0.002 * 60


def test_body_fault(emu):
    emu.fault(path="/v1/stacks", kind="body", body='[{"_id":5}]', times=1,
              headers={"Link": '<http://h/v1/stacks?cursor=1>; rel="next"'})
    status, headers, body = emu.request("GET", "/v1/stacks")
    assert (status, body) == (200, b'[{"_id":5}]') and 'rel="next"' in headers["Link"]
    emu.fault(kind="body", body=b"\xff\x00\xfe", times=1)
    assert emu.request("GET", "/v1/stacks")[2] == b"\xff\x00\xfe"


def test_huge_bodies_cost_no_memory(emu):
    emu.fault(kind="body", body="x" * 1000, repeat=100_000, times=1)
    assert emu.request("GET", "/v1/stacks")[2] == b"x" * 100_000_000
    emu.fault(kind="body", body="0" * 1_000_000, repeat=50, content_encoding="gzip", times=1)
    _, headers, bomb = emu.request("GET", "/v1/stacks")
    assert headers["Content-Encoding"] == "gzip" and len(bomb) < 1_000_000
    assert gzip.decompress(bomb) == b"0" * 50_000_000


def test_hundreds_hang_and_others_do_not(emu):
    emu.fault(path="/v1/stacks", kind="hang")
    request = f"GET /v1/stacks HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {emu.token}\r\n\r\n"
    sockets = []
    for _ in range(400):
        sockets.append(socket.create_connection(("127.0.0.1", emu.port), timeout=20))
        sockets[-1].sendall(request.encode())
    emu.wait(path="/v1/stacks", count=400)
    assert get(emu, f"/v1/stacks/{ABSENT}")[0] == 404
    emu.clear_faults()
    for s in sockets:
        assert s.recv(1) == b""
        s.close()
    assert get(emu, "/v1/stacks")[0] == 200


@pytest.mark.parametrize("spec", [{}, {"kind": "fire"}, {"kind": "status", "status": 99},
                                  {"kind": "delay", "delay_ms": -1}, {"kind": "hang", "times": "2"},
                                  {"kind": "body", "body_base64": "!"}])
def test_wrong_faults_are_refused(emu, spec):
    with pytest.raises(EmulatorError) as error:
        emu.fault(**spec)
    assert error.value.status == 400 and emu.faults() == []


# --- the account from behind ---

def test_same_seed_same_account(start):
    one, two, other = start(stacks=50, seed=7), start(stacks=50, seed=7), start(stacks=50, seed=8)
    assert one.account() == two.account() != other.account()
    stack_id = first(one)["_id"]
    assert one.rotate(stack_id) == two.rotate(stack_id) != one.rotate(stack_id)


def test_generated_names_are_unique_and_plain(start):
    emu = start(stacks=3000)
    names = [s["name"] for s in emu.account()]
    assert len(set(names)) == 3000 and all(re.fullmatch("[a-z]+(-[a-z0-9]+)+", n) for n in names)
    servers = sum(s["type"] == "server" for s in emu.account())
    assert 2100 < servers < 2400


def test_account_file_and_round_trip(start, tmp_path):
    stacks = start(stacks=5).account()
    stacks[1]["deleted"] = True
    stacks[2]["dependencies"] = {"imports": []}
    file = tmp_path / "account.json"
    file.write_text(json.dumps(stacks))
    emu = start(account=str(file))
    assert emu.account() == stacks and len(get(emu, "/v1/stacks")[1]) == 4
    emu.set_account([])
    assert get(emu, "/v1/stacks") == (204, None)
    emu.set_account(stacks)
    assert emu.account() == stacks
    for wrong in ({}, [5], [stacks[0], stacks[0]], "[", [{}, 1]):
        with pytest.raises(EmulatorError):
            emu.set_account(wrong)
    assert emu.account() == stacks


def test_colleague(emu):
    stack = first(emu)
    changed_stack = emu.patch_stack(stack["_id"], {"name": None, "server": {
        "hostURI": "http://new", "ipRanges": None, "systemToken": "t"}, "new": {"a": {"b": None}}})
    assert changed_stack["server"] == {"systemToken": "t", "hostURI": "http://new"}
    assert "name" not in changed_stack and changed_stack["new"] == {"a": {}}
    assert changed_stack["lastModified"] > stack["lastModified"]
    assert get(emu, f"/v1/stacks/{stack['_id']}")[1]["server"]["systemToken"] == MASK
    assert emu.patch_stack(stack["_id"], {"lastModified": 5})["lastModified"] == 5
    with pytest.raises(EmulatorError):
        emu.patch_stack(ABSENT, {})


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\\u0000b", b"\\ud800", b"a/b", b"\x01", b"..",
                                  "é\U0001f600".encode()])
def test_raw_records_are_served_byte_for_byte(emu, name):
    raw = (b'{"_id": "%s",\t"name":"' % ABSENT.encode() + name + b'", "type":"server", "n": 1.10,'
           b'"server":{"systemToken":"tok"},"createdAt":1,"lastModified":"never"}')
    emu.add_stack(raw)
    shown = raw.replace(b'"tok"', b'"******"')
    assert emu.request("GET", f"/v1/stacks/{ABSENT}")[2] == shown
    assert shown in emu.request("GET", "/v1/stacks")[2]
    assert get(emu, f"/v1/stacks/{ABSENT}/systemToken")[1] == {"systemToken": "tok"}
    with pytest.raises(EmulatorError) as error:
        emu.add_stack(raw)
    assert error.value.status == 409


def test_added_records_get_what_they_lack(emu):
    stack = emu.add_stack({"name": "x", "type": "server"})
    assert re.fullmatch("[0-9a-f]{24}", stack["_id"]) and stack["lastModified"]
    assert get(emu, f"/v1/stacks/{stack['_id']}/systemToken")[0] == 200
    assert emu.add_stack({"_id": "../x", "name": "y"})["_id"] == "../x"
    emu.delete_stack("../x")
    assert emu.stack("../x")["deleted"]


def test_control_refuses_what_it_does_not_know(emu):
    for method, path in (("GET", "x"), ("POST", "health"), ("GET", "stacks/a/b/c"), ("GET", "")):
        assert emu.request(method, "/_emulator/" + path)[0] == 404
    assert emu.request("PUT", "/_emulator/config", b"{")[0] == 400
    assert emu.request("PUT", "/_emulator/config", {"page_size": 0})[0] == 400
    assert emu.request("PUT", "/_emulator/config", {"etag": "big"})[0] == 400
    assert emu.log() == []


# --- listening, the program ---

def test_unix_socket(start, tmp_path):
    path = tmp_path / "s"
    emu = start(stacks=3, unix=path)
    assert get(emu, "/v1/stacks")[0] == 200
    answer = run_curl(emu, "--unix-socket", str(path), "http://localhost/v1/stacks")
    assert len(json.loads(answer.stdout)) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    emu.fault(kind="drop", times=1)
    with pytest.raises(http.client.RemoteDisconnected):
        get(emu, "/v1/stacks")
    emu.stop()
    assert not path.exists()


def test_stale_unix_socket_is_taken_over(start, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    assert get(start(stacks=1, unix=path), "/v1/stacks")[0] == 200


@pytest.mark.skipif(not TlsFront.program(), reason="nghttpx is not installed")
@pytest.mark.parametrize("unix", [False, True])
def test_http2_over_tls(start, tmp_path, unix):
    emu = start(stacks=4, page_size=3, unix=tmp_path / "s" if unix else None)
    with TlsFront(emu, tmp_path / "tls") as front:
        answer = run_curl(emu, "--http2", "--cacert", front.cacert, "-D", "-",
                          front.url + "/v1/stacks")
        assert answer.stdout.startswith(b"HTTP/2 200")
        assert f"link: <{front.url}/v1/stacks?cursor=".encode() in answer.stdout
        assert emu.log()[-1]["protocol"] == "HTTP/2"
        assert run_curl(emu, front.url + "/v1/stacks").returncode == 60  # unknown CA


def test_keep_alive(emu):
    connection = emu.connect()
    for _ in range(3):
        connection.request("GET", "/v1/stacks", headers={"Authorization": f"Bearer {emu.token}"})
        assert connection.getresponse().read()
    connection.close()
    assert len({e["connection"] for e in emu.log()}) == 1


@pytest.mark.parametrize("args", [
    ["--listen=0.0.0.0:0"], ["--listen=192.0.2.1:0"], ["--listen=[::]:0"], ["--listen=localhost:0"],
    ["--listen=127.0.0.1"], ["--listen=127.0.0.1:x"], ["--listen=unix:"], ["--account=/nonexistent"],
    ["--token-file=/nonexistent"], ["--stacks=x"], ["--stacks=-1"], ["--etag=big"], ["--nonsense"],
    ["extra"], ["--page-size=0"], ["--account=/dev/null"]])
def test_wrong_arguments(args):
    done = subprocess.run([BINARY, *args], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert "stacks-emulator: " in done.stderr and done.stderr.count("\n") == 1


def test_help_and_version():
    for option, text in (("--help", "usage: stacks-emulator"), ("--version", "stacks-emulator ")):
        done = subprocess.run([BINARY, option], capture_output=True, text=True, timeout=20,
                              check=True)
        assert done.stdout.startswith(text) and done.stderr == ""
        assert all(len(line) <= 80 for line in done.stdout.splitlines())


def test_token_file(start, tmp_path):
    file = tmp_path / "token"
    file.write_text("from-file\nrest\n")
    emu = start(stacks=1, args=[f"--token-file={file}"])
    assert get(emu, "/v1/stacks", token="from-file")[0] == 200


@pytest.mark.parametrize("data", ids=range(16), argvalues=[
    b"", b"\r\n\r\n", b"GET\r\n\r\n", b"GET /v1/stacks\r\n\r\n", b"\xff\xfe\x00" * 100,
    b"GET /v1/stacks HTTP/1.1\r\n\r\n", b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/stacks?" + b"&=%" * 10_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /v1/stacks HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 50_000 + b"\r\n",
    b"POST /v1/stacks HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/stacks HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/stacks HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/stacks HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{",
    b"GET /_emulator/stacks/%00%ff%/x/y/z HTTP/1.1\r\nHost: h\r\n\r\n",
    b"DELETE /_emulator/faults/99999999999999999999 HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /_emulator/log?since=-1 HTTP/1.1\r\nHost: h\r\n\r\n",
])
def test_hostile_requests(emu, data):
    with socket.create_connection(("127.0.0.1", emu.port), timeout=20) as s:
        # gone at once, in the middle of whatever it is: RST, not FIN
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(ConnectionError):  # it may refuse before it has read all
            s.sendall(data)
    with socket.create_connection(("127.0.0.1", emu.port), timeout=20) as s:
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
        assert emu.health()["ok"]  # while that connection is still open
    assert emu.health()["ok"]


def test_many_members_are_no_trouble(emu):
    body = '{"type":"server","server":{"hostURI":"http://h"}' + ',"name":"******"' * 200_000 + "}"
    assert emu.request("POST", "/v1/stacks", body)[0] == 201
    assert len(json.dumps(notes(emu))) < 10_000


def test_list_of_a_large_account(start):
    emu = start(stacks=20_000, page_size=1000)
    connection, path, count = emu.connect(), "/v1/stacks", 0
    while path:
        connection.request("GET", path, headers={"Authorization": f"Bearer {emu.token}"})
        response = connection.getresponse()
        count += len(json.loads(response.read()))
        path = next_path(response.headers)[1] if response.headers["Link"] else None
    connection.close()
    assert count == 20_000


def test_ends_on_signals_with_hung_requests(start):
    emu = start(stacks=1)
    emu.fault(kind="hang")
    connection = emu.connect()
    connection.request("GET", "/v1/stacks")
    emu.wait()
    emu.stop()  # raises unless it ended with 0
    connection.close()
    assert emu.process.returncode == 0
