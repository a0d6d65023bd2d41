# SPDX-License-Identifier: MIT
"""The emulator against the API document, over real HTTP."""
import gzip
import json
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "lib"))
from emulator_case import (ABSENT, LAMBDA, MASK, SERVER, emu, first, get, next_path, notes, post,
                           put, run_curl, sendable, start, without)  # noqa: E402,F401


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
