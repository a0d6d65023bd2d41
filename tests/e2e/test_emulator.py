# SPDX-License-Identifier: MIT
"""The emulator against the API document and docs/emulator.md, over real HTTP."""
import concurrent.futures
import gzip
import http.client
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from emulator import Emulator, EmulatorError, TlsFront  # noqa: E402

BUILD = Path(os.environ.get("STACKSFS_BUILD", "build"))
BINARY = BUILD / "stacks-emulator"
MASK = "******"
ABSENT = "0123456789abcdef01234567"  # well-formed, no stack
SERVER = {"name": "alpha", "type": "server", "server": {"hostURI": "https://alpha.example.com"}}
LAMBDA = {"name": "beta", "type": "lambda",
          "lambda": {"accessKeyId": "AKIA1", "secretAccessKey": "s3cret", "awsRegion": "us-east-1",
                     "functionName": "f"}}


@pytest.fixture
def start(tmp_path):
    """Starts emulators that end, cleanly, with the test."""
    started = []

    def run(**options):
        directory = tmp_path / str(len(started))
        directory.mkdir()
        started.append(Emulator(BINARY, log_dir=directory, **options))
        return started[-1]

    yield run
    for emulator in started:
        emulator.stop()


@pytest.fixture
def emu(start):
    return start(stacks=8, seed=5)


def first(emu, kind="server"):
    return next(s for s in emu.account() if s["type"] == kind)


def get(emu, path, **options):
    status, _, body = emu.request("GET", path, **options)
    return status, json.loads(body) if body else None


def put(emu, stack_id, body, **options):
    status, _, text = emu.request("PUT", f"/v1/stacks/{stack_id}", body, **options)
    return status, json.loads(text)


def post(emu, body):
    status, _, text = emu.request("POST", "/v1/stacks", body)
    return status, json.loads(text)


def without(record, *names):
    return {k: v for k, v in record.items() if k not in names}


def sendable(stack):
    """What a careful client sends back of a record."""
    record = json.loads(json.dumps(without(stack, "_id", "createdAt", "lastModified",
                                           "dependencies", "deleted")))
    record.get("server", {}).pop("systemToken", None)
    record.get("lambda", {}).pop("secretAccessKey", None)
    return record


def notes(emu):
    return emu.log()[-1]["notes"]


def run_curl(emu, *args):
    command = ["curl", "-s", "--max-time", "20", "-H", f"Authorization: Bearer {emu.token}", *args]
    return subprocess.run(command, capture_output=True, check=False)


# --- the operations ---

def test_list_has_whole_masked_records_in_order_of_ids(emu):
    status, records = get(emu, "/v1/stacks")
    assert status == 200
    assert [r["_id"] for r in records] == sorted(s["_id"] for s in emu.account())
    for record, stack in zip(records, emu.account()):
        assert record.get("server", {}).get("systemToken", MASK) == MASK
        assert record.get("lambda", {}).get("secretAccessKey", MASK) == MASK
        assert list(record) == list(without(stack, "dependencies", "deleted"))
    assert {r["type"] for r in records} == {"server", "lambda"}


def test_empty_account_is_204_without_body(start):
    status, headers, body = start(stacks=0).request("GET", "/v1/stacks")
    assert (status, body, headers["Link"]) == (204, b"", None)


def test_get_one(emu):
    stack = first(emu)
    status, record = get(emu, f"/v1/stacks/{stack['_id']}")
    stack["server"]["systemToken"] = MASK
    assert (status, record) == (200, without(stack, "dependencies", "deleted"))


@pytest.mark.parametrize("stack_id", [ABSENT, "0", "zz", "0123456789abcdef0123456z", "%2e%2e"])
def test_no_such_stack(emu, stack_id):
    status, body = get(emu, f"/v1/stacks/{stack_id}")
    assert status == 404 and body["errors"][0]["code"] == "not_found"
    assert ("violation: malformed _id" in notes(emu)) == (stack_id != ABSENT)
    assert put(emu, stack_id, SERVER)[0] == 404
    assert emu.request("DELETE", f"/v1/stacks/{stack_id}")[0] == 404
    status, headers, text = emu.request("GET", f"/v1/stacks/{stack_id}/systemToken")
    assert (status, text) == (404, b"")  # the document has no body for it
    assert emu.request("DELETE", f"/v1/stacks/{stack_id}/systemToken")[0] == 404


def test_token_and_rotation(emu):
    stack = first(emu)
    path = f"/v1/stacks/{stack['_id']}/systemToken"
    old = stack["server"]["systemToken"]
    assert get(emu, path) == (200, {"systemToken": old})
    assert emu.request("DELETE", path)[::2] == (204, b"")
    new = get(emu, path)[1]["systemToken"]
    assert new != old and len(new) == len(old)
    assert emu.rotate(stack["_id"]) != new
    assert get(emu, path)[1]["systemToken"] == first(emu)["server"]["systemToken"]


def test_lambda_has_no_token(emu):
    path = f"/v1/stacks/{first(emu, 'lambda')['_id']}/systemToken"
    assert emu.request("GET", path)[0] == 404
    assert emu.request("DELETE", path)[0] == 404


def test_dependencies(emu):
    stack_id = first(emu)["_id"]
    entry = {"id": ABSENT, "name": "f", "paths": ["a.b"], "accessLevel": "owner",
             "dependencyIds": {"stacks": [stack_id]}}
    emu.set_dependencies(stack_id, {"flows": [entry]})
    assert get(emu, f"/v1/stacks/{stack_id}/dependencies") == (200, {"flows": [entry]})
    assert get(emu, f"/v1/stacks/{ABSENT}/dependencies") == (200, {})
    assert get(emu, "/v1/stacks/nonsense/dependencies")[0] == 400


def test_generated_dependencies_follow_the_schema(start):
    emu = start(stacks=60)
    maps = [s["dependencies"] for s in emu.account() if s["dependencies"]]
    assert 5 < len(maps) < 30
    for entries in (m for each in maps for m in each.values()):
        for entry in entries:
            assert set(entry) == {"id", "name", "paths", "accessLevel", "dependencyIds"}


def test_delete_is_soft(emu):
    stack_id = first(emu)["_id"]
    assert emu.request("DELETE", f"/v1/stacks/{stack_id}")[::2] == (204, b"")
    assert get(emu, f"/v1/stacks/{stack_id}")[0] == 404
    assert emu.request("DELETE", f"/v1/stacks/{stack_id}")[0] == 404
    assert get(emu, f"/v1/stacks/{stack_id}/dependencies") == (200, {})
    assert stack_id not in [r["_id"] for r in get(emu, "/v1/stacks")[1]]
    assert emu.stack(stack_id)["deleted"] is True
    emu.restore_stack(stack_id)
    assert get(emu, f"/v1/stacks/{stack_id}")[0] == 200


def test_create(emu):
    status, server = post(emu, SERVER)
    assert status == 201 and server["server"] == {"systemToken": MASK, **SERVER["server"]}
    assert list(server) == ["_id", "name", "type", "server", "createdAt", "lastModified"]
    assert re.fullmatch("[0-9a-f]{24}", server["_id"])
    status, created = post(emu, LAMBDA)
    assert status == 201 and created["lambda"]["secretAccessKey"] == MASK
    assert emu.stack(created["_id"])["lambda"]["secretAccessKey"] == "s3cret"
    token = get(emu, f"/v1/stacks/{server['_id']}/systemToken")[1]["systemToken"]
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert get(emu, "/v1/stacks")[1][-2:] == [server, created]
    assert not emu.violations()


# --- what PUT does ---

def test_put_erases_what_it_omits_but_no_secret(emu):
    stack_id = emu.add_stack({**LAMBDA, "framework": "twoDotZero", "x": 1})["_id"]
    new = {**LAMBDA, "name": "gamma", "lambda": without(LAMBDA["lambda"], "secretAccessKey")}
    status, record = put(emu, stack_id, new)
    assert status == 200 and "framework" not in record and "x" not in record
    assert record["lambda"]["secretAccessKey"] == MASK and record["name"] == "gamma"
    assert emu.stack(stack_id)["lambda"]["secretAccessKey"] == "s3cret"
    server = first(emu)
    status, record = put(emu, server["_id"], SERVER)
    assert record["server"] == {"systemToken": MASK, "hostURI": SERVER["server"]["hostURI"]}
    assert emu.stack(server["_id"])["server"]["systemToken"] == server["server"]["systemToken"]
    assert not emu.violations()


def test_put_moves_last_modified_always(emu):
    stack = first(emu)
    seen = [stack["lastModified"]]
    for _ in range(20):
        seen.append(put(emu, stack["_id"], sendable(stack))[1]["lastModified"])
    assert seen == sorted(set(seen))
    assert emu.stack(stack["_id"])["createdAt"] == stack["createdAt"]


def test_mask_sent_back_is_stored_and_noted(emu):
    stack_id = post(emu, LAMBDA)[1]["_id"]
    body = {**LAMBDA, "lambda": {**LAMBDA["lambda"], "secretAccessKey": MASK}}
    assert put(emu, stack_id, body)[0] == 200
    assert emu.stack(stack_id)["lambda"]["secretAccessKey"] == MASK
    assert notes(emu) == ["mask: lambda.secretAccessKey"]


def test_read_only_fields_are_ignored_and_noted(emu):
    stack = first(emu)
    body = {**sendable(stack), "_id": ABSENT, "createdAt": "x", "lastModified": "y"}
    body["server"]["systemToken"] = "mine"
    status, record = put(emu, stack["_id"], body)
    assert status == 200 and record["_id"] == stack["_id"]
    assert record["createdAt"] == stack["createdAt"]
    assert emu.stack(stack["_id"])["server"]["systemToken"] == stack["server"]["systemToken"]
    assert set(notes(emu)) == {"read-only: _id", "read-only: createdAt", "read-only: lastModified",
                               "read-only: server.systemToken"}


def test_text_survives_byte_for_byte(emu):
    stack_id = first(emu)["_id"]
    odd = (r'"big":9007199254740993,"n":1.10,"e":1E400,"s":"\u00e9\ud83d\ude00\/\ud800\u0000",'
           r'"d":{"b":[1,{"a":-0.0}],"a":2},"dependencies":7,"deleted":true')
    body = '{ "type":"server",\n "name" : "x y",' + odd + \
           ', "server":{"z":1.0,"hostURI":"http://h"}}'
    assert emu.request("PUT", f"/v1/stacks/{stack_id}", body)[0] == 200
    text = emu.request("GET", f"/v1/stacks/{stack_id}")[2].decode()
    assert ('"type":"server","name":"x y",' + odd + ',"server":{"systemToken":"******","z":1.0,'
            '"hostURI":"http://h"},"createdAt"') in text
    assert odd in emu.request("GET", "/v1/stacks")[2].decode()


def test_last_of_several_members_counts(emu):
    body = '{"name":"a","n":1,"name":"b","n":2,"type":"server","server":{"hostURI":"http://h"}}'
    record = emu.request("POST", "/v1/stacks", body)[2].decode()
    assert '"n":1,"name":"b","n":2,' in record and '"a"' not in record


# --- validation ---

def changed(base, **changes):
    record = json.loads(json.dumps(base))
    for path, value in changes.items():
        *outer, name = path.split("__")
        holder = record[outer[0]] if outer else record
        holder.pop(name, None)
        if value is not ABSENT:
            holder[name] = value
    return record


@pytest.mark.parametrize("body, field, code", [
    (changed(SERVER, name=ABSENT), "name", "missing_required_field"),
    (changed(SERVER, name=None), "name", "missing_required_field"),
    (changed(SERVER, name=5), "name", "invalid_type"),
    (changed(SERVER, type=ABSENT), "type", "missing_required_field"),
    (changed(SERVER, type="cloud"), "type", "invalid_enum"),
    (changed(SERVER, framework="oneDotZero"), "framework", "invalid_enum"),
    (changed(SERVER, framework=[]), "framework", "invalid_type"),
    (changed(SERVER, server=ABSENT), "server.hostURI", "missing_required_field"),
    (changed(SERVER, server=[]), "server", "invalid_type"),
    (changed(SERVER, server__hostURI=ABSENT), "server.hostURI", "missing_required_field"),
    (changed(SERVER, server__hostURI=True), "server.hostURI", "invalid_type"),
    (changed(SERVER, server__hostURI="ftp://h"), "server.hostURI", "invalid_value"),
    (changed(SERVER, server__hostURI="https://"), "server.hostURI", "invalid_value"),
    (changed(SERVER, server__ipRanges="10.0.0.0/8"), "server.ipRanges", "invalid_type"),
    (changed(SERVER, server__ipRanges=["10.0.0.0/8", 1]), "server.ipRanges", "invalid_type"),
    (changed(SERVER, **{"lambda": LAMBDA["lambda"]}), "lambda", "invalid_value"),
    (changed(LAMBDA, **{"lambda": ABSENT}), "lambda.accessKeyId", "missing_required_field"),
    (changed(LAMBDA, lambda__accessKeyId=ABSENT), "lambda.accessKeyId", "missing_required_field"),
    (changed(LAMBDA, lambda__secretAccessKey=ABSENT), "lambda.secretAccessKey",
     "missing_required_field"),
    (changed(LAMBDA, lambda__awsRegion="mars-1"), "lambda.awsRegion", "invalid_enum"),
    (changed(LAMBDA, lambda__functionName=ABSENT), "lambda.functionName",
     "missing_required_field"),
    (changed(LAMBDA, lambda__language="Perl"), "lambda.language", "invalid_enum"),
])
def test_unprocessable(emu, body, field, code):
    before = emu.account()
    status, answer = post(emu, body)
    assert status == 422
    assert (answer["errors"][0]["field"], answer["errors"][0]["code"]) == (field, code)
    assert emu.account() == before


def test_every_fault_of_a_body_is_named(emu):
    status, answer = post(emu, {"type": "lambda", "lambda": {}})
    assert status == 422
    assert [e["field"] for e in answer["errors"]] == [
        "name", "lambda.accessKeyId", "lambda.secretAccessKey", "lambda.awsRegion",
        "lambda.functionName"]


def test_type_cannot_be_changed(emu):
    stack = first(emu)
    status, answer = put(emu, stack["_id"], LAMBDA)
    assert status == 422 and answer["errors"][0]["field"] == "type"
    assert emu.stack(stack["_id"]) == stack


@pytest.mark.parametrize("body", ids=range(28), argvalues=[
    b"", b"{", b"[]", b"5", b'"x"', b"{} {}", b'{"a":01}', b'{"a":1.}', b'{"a":1,}', b"[1,]",
    b'{"a" 1}', b"{1:2}", b"nul", b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":"\t"}',
    b'{"a":"\\x"}', b'{"a":"\\u12g4"}', b'{"a":+1}', b'{"a":NaN}', b"[}", b"{]", b'{"a":1]',
    b'{"a"', b'{"a":"', b'{"a":"\\', b"-", b"[" * 1000,
])
def test_malformed_body(emu, body):
    status, answer = post(emu, body)
    assert status == 400 and answer["errors"][0]["code"] in ("invalid_json", "invalid_body")


def test_deep_body_is_no_trouble(emu):
    deep = "[" * 100_000 + "]" * 100_000
    status, _, _ = emu.request("POST", "/v1/stacks", json.dumps(SERVER)[:-1] + f',"d":{deep}}}')
    assert status == 201


def test_body_limit(emu):
    size = 4 << 20
    body = json.dumps({**SERVER, "x": ""})[:-2]
    fits = body + "a" * (size - len(body) - 2) + '"}'
    assert emu.request("POST", "/v1/stacks", fits)[0] == 201
    assert emu.request("POST", "/v1/stacks", fits + " ")[0] == 413


def test_authorization(emu):
    for token, message in ((False, "Unauthorized"), ("other", "Bearer Authentication Failed")):
        status, body = get(emu, "/v1/stacks", token=token)
        assert (status, body) == (401, {"message": message})
    status, body = get(emu, "/v1/nothing", token=False)
    assert status == 401
    basic = {"Authorization": "Basic Zm9vOmJhcg=="}
    assert get(emu, "/v1/stacks", token=False, headers=basic)[0] == 401
    assert [e["auth"] for e in emu.log()] == ["none", "bad", "none", "bad"]
    emu.config(token="rolled")
    assert get(emu, "/v1/stacks")[0] == 200


@pytest.mark.parametrize("method, path, status, note", [
    ("GET", "/v1/stack", 404, "violation: path"),
    ("GET", "/v1/stacks/", 404, "violation: path"),
    ("GET", f"/v1/stacks/{ABSENT}/", 404, "violation: path"),
    ("GET", f"/v1/stacks/{ABSENT}/systemtoken", 404, "violation: path"),
    ("GET", f"/v1/stacks/{ABSENT}/systemToken/x", 404, "violation: path"),
    ("GET", "//v1/stacks", 404, "violation: path"),
    ("GET", "/", 404, "violation: path"),
    ("PATCH", f"/v1/stacks/{ABSENT}", 405, "violation: method"),
    ("HEAD", "/v1/stacks", 405, "violation: method"),
    ("DELETE", "/v1/stacks", 405, "violation: method"),
    ("GET", "/v1/stacks?page=2", 400, "violation: query parameter page"),
    ("GET", "/v1/stacks?include[]=name", 400, "violation: query parameter include[]"),
    ("GET", "/v1/stacks?include=a&include=b", 400, "violation: query parameter include"),
    ("GET", "/v1/stacks?cursor=00", 400, "violation: query parameter cursor"),
    ("GET", f"/v1/stacks/{ABSENT}?x", 400, "violation: query parameter x"),
    ("GET", f"/v1/stacks/{ABSENT}/systemToken?include=a", 400,
     "violation: query parameter include"),
])
def test_what_the_document_does_not_have(emu, method, path, status, note):
    got, headers, body = emu.request(method, path)
    assert got == status
    assert notes(emu) == [note]
    if status == 405:
        assert "GET" in headers["Allow"]
    if method != "HEAD":
        assert json.loads(body)["errors"][0]["message"]
    assert emu.violations()


def test_misuse_is_noted(emu):
    stack = first(emu)
    path = f"/v1/stacks/{stack['_id']}"
    emu.request("GET", path, b"{}")
    assert notes(emu) == ["body: on GET"]
    emu.request("PUT", path, sendable(stack), headers={"Content-Type": "text/plain"})
    assert notes(emu) == ["content-type: text/plain"]
    emu.request("PUT", path, sendable(stack),
                headers={"Content-Type": "application/json; charset=utf-8"})
    assert notes(emu) == []
    run_curl(emu, "-X", "PUT", "-H", "Content-Type:", "--data", "{}", emu.url + path)
    assert notes(emu) == ["content-type: missing"]


# --- include and exclude ---

def test_include_projects(emu):
    stack_id = emu.add_stack({**SERVER, "x": {"a": {"b": 1, "c": 2}}})["_id"]

    def projected(fields):
        status, records = get(emu, f"/v1/stacks?include={fields}")
        assert status == 200
        return next(r for r in records if r["_id"] == stack_id)

    identity = {"_id": stack_id, "name": "alpha"}
    assert projected("nothing") == identity
    assert projected("type") == {**identity, "type": "server"}
    assert projected("server.hostURI") == {**identity, "server": SERVER["server"]}
    assert projected("server.systemToken,x.a.c") == {
        **identity, "server": {"systemToken": MASK}, "x": {"a": {"c": 2}}}
    assert projected("lambda.awsRegion,x.q") == identity
    assert projected("x%2Ctype")["x"] == {"a": {"b": 1, "c": 2}}
    assert list(projected("type,server")) == ["_id", "name", "type", "server"]


def test_exclude_strips(emu):
    stack_id = emu.add_stack({**SERVER, "x": {"a": 1, "b": 2}})["_id"]

    def stripped(fields):
        records = get(emu, f"/v1/stacks?exclude={fields}")[1]
        return next(r for r in records if r["_id"] == stack_id)

    full = stripped("")
    assert full == get(emu, f"/v1/stacks/{stack_id}")[1]
    assert stripped("name,_id") == full  # protected
    assert stripped("server,x.a") == {**without(full, "server"), "x": {"b": 2}}


@pytest.mark.parametrize("query", ["include", "include=", "exclude=", "include=&exclude=", "&"])
def test_empty_values_are_ignored(emu, query):
    assert get(emu, f"/v1/stacks?{query}") == get(emu, "/v1/stacks")


@pytest.mark.parametrize("query", ["include=a&exclude=b", "include=a-b", "exclude=a%20b",
                                   "include=a+b", "include=%C3%A9"])
def test_invalid_query_params(emu, query):
    status, body = get(emu, f"/v1/stacks?{query}")
    assert status == 400 and body["errors"][0]["code"] == "invalid_query_params"
    if query == "include=a&exclude=b":
        assert body["errors"][0]["message"] == (
            "Please provide either include or exclude param in the request query and not both.")
    assert not emu.violations()  # the document knows these


def test_projection_is_ignored_by_id(emu):
    stack_id = first(emu)["_id"]
    plain = get(emu, f"/v1/stacks/{stack_id}")
    assert get(emu, f"/v1/stacks/{stack_id}?include=type&exclude=x-y") == plain


# --- pages ---

def next_path(headers):
    match = re.fullmatch(r'<(https?://[^/>]+)(/v1/stacks\?[^>]+)>; rel="next"', headers["Link"])
    return match.groups()


@pytest.mark.parametrize("paging", ["id", "offset"])
@pytest.mark.parametrize("size", [1, 3, 8, 9])
def test_pages_make_the_whole_list(start, size, paging):
    emu = start(stacks=8, page_size=size, paging=paging)
    path, names, pages = "/v1/stacks", [], 0
    while path:
        status, headers, body = emu.request("GET", path)
        assert status == 200
        pages += 1
        names += [r["name"] for r in json.loads(body)]
        host, path = next_path(headers) if headers["Link"] else (None, None)
        assert host in (None, emu.url)
    assert names == [s["name"] for s in emu.account()] and pages == -(-8 // size)
    assert not emu.violations()


def test_cursor_keeps_the_projection_and_is_ours_alone(start):
    emu = start(stacks=4, page_size=3)
    headers = emu.request("GET", "/v1/stacks?include=type")[1]
    _, path = next_path(headers)
    assert "include=type" in path
    assert [set(r) for r in get(emu, path)[1]] == [{"_id", "name", "type"}]
    assert get(emu, path.replace("include=type&", ""))[0] == 400  # not the list it was made for
    assert get(emu, path[:-1] + ("0" if path[-1] != "0" else "1"))[0] == 400


def test_link_names_the_host_that_was_asked(start):
    emu = start(stacks=4, page_size=3)
    asked = {"Host": "stacks.example:99", "X-Forwarded-Proto": "https"}
    assert next_path(emu.request("GET", "/v1/stacks", headers=asked)[1])[0] == \
        "https://stacks.example:99"
    hostile = emu.request("GET", "/v1/stacks", headers={"Host": "a>b"})[1]
    assert next_path(hostile)[0] == "http://localhost"


def test_offset_pages_drift(start):
    emu = start(stacks=6, page_size=3, paging="offset")
    _, path = next_path(emu.request("GET", "/v1/stacks")[1])
    ids = [s["_id"] for s in emu.account()]
    emu.delete_stack(ids[0])
    assert [r["_id"] for r in get(emu, path)[1]] == ids[4:]  # ids[3] was never shown


# --- validators, compression, rate ---

def test_no_etag_unless_asked_for(emu):
    stack = first(emu)
    path = f"/v1/stacks/{stack['_id']}"
    assert emu.request("GET", path)[1]["ETag"] is None
    ignored = {"If-None-Match": "*", "If-Match": '"x"'}
    assert emu.request("GET", path, headers=ignored)[0] == 200
    assert put(emu, stack["_id"], sendable(stack), headers=ignored)[0] == 200


@pytest.mark.parametrize("part", ["", "?include=type", "/{}", "/{}/systemToken",
                                  "/{}/dependencies"])
@pytest.mark.parametrize("mode", ["strong", "weak"])
def test_if_none_match(start, mode, part):
    emu = start(stacks=3, etag=mode)
    stack_id = first(emu)["_id"]
    path = "/v1/stacks" + part.format(stack_id)
    etag = emu.request("GET", path)[1]["ETag"]
    assert etag.startswith('W/"' if mode == "weak" else '"')
    for header in (etag, f'"other", {etag}', "*"):
        status, headers, body = emu.request("GET", path, headers={"If-None-Match": header})
        assert (status, body, headers["ETag"]) == (304, b"", etag)
    assert emu.request("GET", path, headers={"If-None-Match": '"other"'})[0] == 200
    emu.patch_stack(stack_id, {"type": "server", "name": "other"})
    emu.rotate(stack_id)
    emu.set_dependencies(stack_id, {"flows": []})
    assert emu.request("GET", path, headers={"If-None-Match": etag})[0] == 200
    assert emu.log()[-1]["if_none_match"] == etag


def test_if_match(start):
    emu = start(stacks=3, etag="strong")
    stack = first(emu)
    path = f"/v1/stacks/{stack['_id']}"
    old = emu.request("GET", path)[1]["ETag"]
    status, headers, _ = emu.request("PUT", path, sendable(stack), headers={"If-Match": old})
    assert status == 200 and headers["ETag"] == emu.request("GET", path)[1]["ETag"] != old
    status, answer = put(emu, stack["_id"], sendable(stack), headers={"If-Match": old})
    assert status == 412 and answer["errors"][0]["code"] == "precondition_failed"
    assert put(emu, stack["_id"], sendable(stack), headers={"If-Match": "*"})[0] == 200
    current = emu.request("GET", path)[1]["ETag"]
    assert put(emu, stack["_id"], sendable(stack), headers={"If-Match": "W/" + current})[0] == 412
    packed = emu.request("GET", path, headers={"Accept-Encoding": "gzip"})[1]["ETag"]
    assert packed != current  # another representation, and yet the same version
    assert put(emu, stack["_id"], sendable(stack), headers={"If-Match": packed})[0] == 200
    emu.config(etag="weak")
    weak = emu.request("GET", path)[1]["ETag"]
    assert put(emu, stack["_id"], sendable(stack), headers={"If-Match": weak})[0] == 412


@pytest.mark.parametrize("accept, packed", [
    ("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("deflate, GZIP", True), (None, False),
    ("identity", False), ("gzip;q=0", False), ("gzip; q=0.0, br", False), ("x-gzip", False)])
def test_compression(emu, accept, packed):
    headers = {"Accept-Encoding": accept} if accept else {"Accept-Encoding": ""}
    _, answer, body = emu.request("GET", "/v1/stacks", headers=headers)
    assert (answer["Content-Encoding"] == "gzip") == packed
    assert json.loads(gzip.decompress(body) if packed else body) == get(emu, "/v1/stacks")[1]
    emu.config(gzip=False)
    assert emu.request("GET", "/v1/stacks", headers=headers)[1]["Content-Encoding"] is None


def test_rate_limit(emu):
    emu.config(rate=1, burst=5)
    answers = [emu.request("GET", "/v1/stacks") for _ in range(8)]
    assert [a[0] for a in answers[:5]] == [200] * 5 and answers[-1][0] == 429
    assert int(answers[-1][1]["Retry-After"]) >= 1
    assert json.loads(answers[-1][2])["errors"][0]["code"] == "too_many_requests"
    emu.config(rate=0)
    assert emu.request("GET", "/v1/stacks")[0] == 200


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
        s.sendall(data)
    with socket.create_connection(("127.0.0.1", emu.port), timeout=20) as s:
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


if not shutil.which("curl"):
    pytest.skip("curl is not installed", allow_module_level=True)
