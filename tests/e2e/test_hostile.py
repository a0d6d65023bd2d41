# SPDX-License-Identifier: MIT
"""Answers that no sound server gives: an error with its reason; no crash, no hang, no word to
another host, and nothing of what was known before is lost."""
import base64
import errno
import json
import os
import random
import time

import pytest
from account import DEPENDENCIES, LIST, RECORD, TOKEN, Stranger, stack, stack_id
from mount import SLOWER, MountFailed, mounted_at

pytestmark = pytest.mark.misuse("what is asked here is what the fault led to")


def page(*records):
    return json.dumps(records)


def without(*members):
    record = stack("x")
    for member in members:
        del record[member]
    return page(record)


def with_id(value):
    return page(dict(stack("x"), _id=value))


def encoded(raw):
    return dict(body_base64=base64.b64encode(raw).decode())


DEEP = "[" * 100_000
BAD_LISTS = {
    "html": dict(body="<!DOCTYPE html><html><body>Sign in</body></html>",
                 headers={"Content-Type": "text/html"}),
    "nothing": dict(body=""),
    "white space": dict(body=" \n\t "),
    "cut": dict(body=page(stack("x"))[:-10]),
    "cut in a string": dict(body='[{"_id":"0000'),
    "trailing text": dict(body=page(stack("x")) + "]"),
    "two values": dict(body="[][]"),
    "brackets": dict(body=DEEP),
    "closed brackets": dict(body=DEEP + "]" * 100_000),
    "braces": dict(body='[{"a":' * 50_000),
    "deep record": dict(body=page(stack("x")).replace('"x"', '"x","deep":' + "[" * 200 + "]" * 200)),
    "null": dict(body="null"),
    "true": dict(body="true"),
    "number": dict(body="42"),
    "string": dict(body='"stacks"'),
    "object": dict(body='{"stacks":[]}'),
    "error with status 200": dict(body='{"errors":[{"code":"x","message":"y"}]}'),
    "list of nulls": dict(body="[null,null]"),
    "list of numbers": dict(body="[1,2]"),
    "list of lists": dict(body="[[[]]]"),
    "no _id": dict(body=without("_id")),
    "_id null": dict(body=with_id(None)),
    "_id number": dict(body=with_id(17)),
    "_id object": dict(body=with_id({"$oid": stack_id(1)})),
    "_id empty": dict(body=with_id("")),
    "_id dots": dict(body=with_id("../../v1/connections/000")),
    "_id slash": dict(body=with_id("00000000000000000000000/")),
    "_id query": dict(body=with_id("0000000000000000?a=b#cdef")),
    "_id newline": dict(body=with_id("0000000000000000\r\nX: y\r\n\r\n")),
    "_id too short": dict(body=with_id("0" * 23)),
    "_id too long": dict(body=with_id("0" * 25)),
    "_id not hex": dict(body=with_id("g" * 24)),
    "_id with nul": dict(body=page(stack("x")).replace(stack_id(1), "0" * 23 + "\\u0000")),
    "_id of 3 MB": dict(body=with_id("0" * 3_000_000)),
    "name number": dict(body=page(stack(17))),
    "name object": dict(body=page(stack({"a": 1}))),
    "name list": dict(body=page(stack(["x"]))),
    "twice the same _id": dict(body=page(stack("x"), stack("y"))),
    "twice the same key": dict(body=page(stack("x")).replace('"type"', '"name":"y","type"')),
    "twice the _id": dict(body=page(stack("x")).replace(
        '"type"', f'"_id":"{stack_id(2)}","type"')),
    "single quotes": dict(body="[{'_id':'" + stack_id(1) + "'}]"),
    "comment": dict(body="/* */ []"),
    "trailing comma": dict(body=page(stack("x"))[:-1] + ",]"),
    "leading zero": dict(body=page(stack("x")).replace('"type"', '"n":01,"type"')),
    "NaN": dict(body=page(stack("x")).replace('"type"', '"n":NaN,"type"')),
    "control byte": dict(body=page(stack("x")).replace('"x"', '"x\x01y"')),
    "byte order mark": encoded(b"\xef\xbb\xbf[]"),
    "UTF-16": encoded("[]".encode("utf-16")),
    "binary": encoded(bytes(range(256)) * 64),
    "nul": encoded(b"[\0]"),
    "a string of 3 MB": dict(body=page(stack("x", note="n" * 3_000_000))),
    "gzip bomb": dict(body="[" + " " * 65536, repeat=4096, content_encoding="gzip"),
    "not gzip": dict(body="[]", headers={"Content-Encoding": "gzip"}),
    "broken gzip": dict(encoded(b"\x1f\x8b\x08\x00 this is no deflate stream"),
                        headers={"Content-Encoding": "gzip"}),
    "unknown coding": dict(body="[]", headers={"Content-Encoding": "zstd-of-another-kind"}),
    "redirect": dict(kind="status", status=302, headers={"Location": "/v1/stacks"}),
    "status 201": dict(kind="status", status=201, body="[]"),
    "status 299": dict(kind="status", status=299, body="[]"),
    "status 304 to no question": dict(kind="status", status=304),
}


def fault(api, path, answer, **more):
    api.fault(**{"kind": "body", "path": path, **answer, **more})


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(stack("one", 1))
    api.add_stack(stack("two", 2))
    return api


@pytest.mark.parametrize("answer", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_first_page_that_is_no_list(api, new_mount, answer):
    fault(api, LIST, answer)
    mnt = new_mount(api, timeout=20)
    with pytest.raises(MountFailed) as failed:
        mnt.start()
    assert failed.value.returncode == 1
    assert len(failed.value.output.strip().splitlines()) == 1, failed.value.output
    assert len(failed.value.output) < 1000
    assert mounted_at(mnt.path) is None
    api.expect(list=range(1, 5))


@pytest.mark.parametrize("answer", BAD_LISTS.values(), ids=BAD_LISTS)
def test_a_later_list_that_is_none(api, mount, answer):
    mnt = mount(api, timeout=20)
    before = {name: mnt.config(name) for name in mnt.names()}
    fault(api, LIST, answer)
    done = mnt.cli("refresh", mnt.path)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert {name: mnt.config(name) for name in mnt.names()} == before
    assert mnt.errors(), "the reason can be read"
    api.clear_faults()
    mnt.refresh()
    api.expect(list=range(3, 7))  # the bad one may be tried again


def test_a_bad_second_page_gives_no_half_a_list(account, mount):
    api = account(stacks=30, page_size=10)
    fault(api, LIST, dict(body="<html>"), skip=1)
    mnt = mount(api)
    with pytest.raises(OSError) as broken:
        mnt.names()
    assert broken.value.errno == errno.EIO
    assert any(line["errno"] == "EIO" for line in mnt.errors())
    api.clear_faults()
    mnt.refresh()
    assert len(mnt.names()) == 30
    api.expect(list=6)


BAD_DATES = ["yesterday", "", "9999-99-99T99:99:99.999Z", "-1", 17, None, "2024-02-30T00:00:00.000Z",
             "275760-09-13T00:00:00.000Z"]


@pytest.mark.parametrize("date", BAD_DATES, ids=str)
def test_dates_that_are_none(api, mount, date):
    """The tree needs a time, not that one: a stack is not lost for its date."""
    fault(api, LIST, dict(body=page(stack("odd", lastModified=date, createdAt=date))))
    try:
        mnt = mount(api)
    except MountFailed as failed:
        assert failed.returncode == 1
        assert len(failed.output.strip().splitlines()) == 1
    else:
        assert mnt.names() == ["odd"]
        assert os.stat(mnt / "odd" / "config.json").st_size == len(mnt.config("odd"))
        assert os.stat(mnt / "odd").st_mtime >= 0
    api.expect(list=1)


# ---- Link ----

def test_a_link_to_another_host_is_followed_at_home(account, mount):
    """Link's host may differ from one's own; its path and query are what counts."""
    stranger = Stranger()
    try:
        api = account(stacks=20, page_size=10)
        (_, first), (second, _) = api.pages()
        fault(api, LIST, dict(body=first, headers={"Link": f'<{stranger.url}{second}>; rel="next"'}),
              times=1)
        mnt = mount(api)
        assert len(mnt.names()) == 20
        assert stranger.connections == 0
        api.expect(list=2)
    finally:
        stranger.close()


@pytest.mark.parametrize("link", [
    "</v1/stacks>; rel=\"next\"",
    "</v1/stacks?page=loop>; rel=\"next\"",
], ids=["itself", "a loop"])
def test_pages_in_a_loop(api, new_mount, link):
    fault(api, LIST, dict(body=page(stack("x")), headers={"Link": link}))
    mnt = new_mount(api, timeout=20)
    began = time.monotonic()
    try:
        mnt.start()
        with pytest.raises(OSError) as broken:
            mnt.names()
        assert broken.value.errno == errno.EIO
    except MountFailed as failed:
        assert failed.returncode == 1
    assert time.monotonic() - began < 15 * SLOWER
    api.expect(list=range(1, 21))


BAD_LINKS = ["/v1/connections", "/v1/stacks/../connections", "/v1/stacks/%2e%2e/connections",
             "/v1/stacksother", "http://[::1/v1/stacks", "/", "", "javascript:alert(1)",
             "file:///etc/passwd", "/v1/stacks?" + "a" * 8000, "//other.invalid/v2/stacks",
             "/v1/stacks/%2E./connections?x"]


@pytest.mark.parametrize("target", BAD_LINKS, ids=lambda target: target[:30])
def test_a_link_to_somewhere_else_is_not_followed(api, new_mount, target):
    fault(api, LIST, dict(body=page(stack("x")), headers={"Link": f'<{target}>; rel="next"'}))
    mnt = new_mount(api, timeout=20)
    try:
        mnt.start()
        with pytest.raises(OSError) as broken:
            mnt.names()
        assert broken.value.errno == errno.EIO
    except MountFailed as failed:
        assert failed.returncode == 1
        assert len(failed.output.strip().splitlines()) == 1
    api.expect(list=range(1, 3))  # and nothing but /v1/stacks


@pytest.mark.parametrize("link", [
    '</v1/connections>; rel="prev"', "</v1/connections>", "", ";;;", "<", '; rel="next"',
], ids=repr)
def test_a_link_that_is_no_next_page(api, new_mount, link):
    """Without a next page the list is whole; what cannot be read at all may be refused."""
    fault(api, LIST, dict(body=page(stack("x")), headers={"Link": link}))
    mnt = new_mount(api)
    try:
        mnt.start()
        try:
            assert mnt.names() == ["x"]
        except OSError as broken:
            assert broken.errno == errno.EIO
    except MountFailed as failed:
        assert failed.returncode == 1
    api.expect(list=range(1, 3))


# ---- redirects ----

@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(api, new_mount, mount, status):
    stranger = Stranger()
    try:
        mnt = mount(api)
        api.fault(kind="status", status=status, path="/v1/stacks*",
                  headers={"Location": stranger.url + LIST})
        with pytest.raises(OSError) as broken:
            mnt.read("one", "dependencies")
        assert broken.value.errno == errno.EIO
        with pytest.raises(MountFailed):
            new_mount(api).start()
        assert stranger.connections == 0
        api.expect(list=2, dependencies=1)
    finally:
        stranger.close()


# ---- the two small files ----

BAD_TOKENS = {
    "html": dict(body="<html>"), "nothing": dict(body=""), "null": dict(body="null"),
    "list": dict(body="[]"), "no member": dict(body="{}"),
    "number": dict(body='{"systemToken":5}'), "null token": dict(body='{"systemToken":null}'),
    "object": dict(body='{"systemToken":{"a":"b"}}'), "cut": dict(body='{"systemToken":"abc'),
    "twice": dict(body='{"systemToken":"a","systemToken":"b"}'),
    "two lines": dict(body='{"systemToken":"a\\nb"}'), "nul": dict(body='{"systemToken":"a\\u0000"}'),
    "empty": dict(body='{"systemToken":""}'),
    "3 MB": dict(body='{"systemToken":"' + "t" * 3_000_000 + '"}'), "brackets": dict(body=DEEP),
    "redirect": dict(kind="status", status=302, headers={"Location": "/v1/stacks"}),
}
BAD_DEPENDENCIES = {
    "html": dict(body="<html>"), "nothing": dict(body=""), "null": dict(body="null"),
    "list": dict(body="[]"), "string": dict(body='"none"'), "cut": dict(body='{"flows":[{"id":"0'),
    "twice": dict(body='{"flows":[],"flows":[1]}'), "brackets": dict(body='{"a":' + DEEP),
    "3 MB": dict(body='{"flows":["' + "t" * 3_000_000 + '"]}'),
    "bomb": dict(body="{" + " " * 65536, repeat=4096, content_encoding="gzip"),
}


def reading_fails(mnt, file):
    before = len(mnt.errors())
    with pytest.raises(OSError) as broken:
        mnt.read("one", file)
    assert broken.value.errno == errno.EIO
    line = mnt.errors()[-1]
    assert len(mnt.errors()) > before
    assert line["errno"] == "EIO" and line["path"].endswith(f"one/{file}")
    assert line["message"]
    return True


@pytest.mark.parametrize("answer", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_a_token_that_is_none(api, mount, answer):
    mnt = mount(api)
    fault(api, TOKEN, answer, times=1)
    assert reading_fails(mnt, "systemToken")
    assert mnt.config("one")
    assert mnt.read("one", "systemToken") == api.system_token(stack_id(1))
    api.expect(list=1, token=2)


@pytest.mark.parametrize("answer", BAD_DEPENDENCIES.values(), ids=BAD_DEPENDENCIES)
def test_dependencies_that_are_none(api, mount, answer):
    mnt = mount(api)
    fault(api, DEPENDENCIES, answer, times=1)
    assert reading_fails(mnt, "dependencies")
    assert mnt.config("one")
    assert mnt.read("one", "dependencies") == api.dependencies(stack_id(1))
    api.expect(list=1, dependencies=2)


def test_a_token_is_shown_as_what_its_text_means(api, mount):
    mnt = mount(api)
    fault(api, TOKEN, dict(body='{"other":[{}], "systemToken" : "a\\u002Bb\\/c\\"d="}'))
    assert mnt.read("one", "systemToken") == b'a+b/c"d=\n'
    api.expect(list=1, token=1)


# ---- one record ----

@pytest.mark.parametrize("answer", [
    dict(body="<html>"), dict(body="[]"), dict(body=json.dumps(stack("one", 2))),
    dict(body=json.dumps(stack("one", 1))[:-5]), dict(body="null"),
    dict(kind="status", status=204),
], ids=["html", "list", "another stack", "cut", "null", "204"])
def test_a_record_that_is_none(account, mount, answer):
    """Asked for alone after its ttl: the error is shown, and the stack does not vanish."""
    api = account(stacks=20, page_size=10)
    mnt = mount(api, ttl=1)
    name, record = min(api.directories().items())
    mnt.config(name)
    time.sleep(1.2)
    fault(api, RECORD, answer)
    with pytest.raises(OSError) as broken:
        mnt.config(name)
    assert broken.value.errno == errno.EIO
    assert mnt.errors()
    api.clear_faults()
    mnt.refresh()
    assert mnt.config(name) == record.config
    api.expect(list=4, record=1)


def attempts(api):
    return sum(entry["path"].endswith("/dependencies") for entry in api.log())


def resident_bytes(mnt):
    with open(f"/proc/{mnt.pid}/status", encoding="ascii") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.mark.any_requests("what made room is asked for again")
def test_long_dependencies_do_not_fill_the_process(account, mount):
    """Those of each stack are within their bound, and all together are not."""
    api = account(stacks=250)
    mnt = mount(api, rate=0)
    names = mnt.names()
    random.Random(1).shuffle(names)  # nothing is fetched ahead
    text = json.dumps({"flows": [{"id": stack_id(1), "name": "x" * 900_000}]})
    shown = (json.dumps(json.loads(text), indent=2) + "\n").encode()
    api.fault(kind="body", path=DEPENDENCIES, body=text)
    first = mnt / names[0] / "dependencies"
    with open(first, "rb", buffering=0) as kept:
        for name in names:
            assert mnt.read(name, "dependencies") == shown
        assert SLOWER > 1 or resident_bytes(mnt) < 150_000_000, "a sanitizer keeps what is freed"
        os.posix_fadvise(kept.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        assert kept.read(len(shown)) == shown, "what somebody has open stays"
    assert attempts(api) < 1.5 * len(names), "what was fetched ahead in vain stops that"
    assert os.stat(first).st_size == len(shown)
    short = b'{\n  "flows": []\n}\n'
    api.clear_faults()
    api.fault(kind="body", path=DEPENDENCIES, body='{"flows": []}')
    asked_again = 0
    for name in names:
        size = os.stat(mnt / name / "dependencies").st_size
        assert mnt.read(name, "dependencies") == (short if size == len(short) else shown)
        asked_again += size == len(short)
    assert asked_again > len(names) / 2, "of all that had to make room nothing is shown"


# ---- what a server says about an error ----

@pytest.mark.parametrize("body", [
    '{"errors":[{"code":"not_allowed","message":"No.","field":"_id"}]}',
    '{"errors":[{"code":500,"message":"upstream"}]}',
    '{"message":"Unauthorized"}',
    '{"errors":[]}', '{"errors":null}', '{"errors":[null]}', '{"errors":[{"message":5}]}',
    '{"errors":[{"code":{},"message":"m"}]}', "<html>no</html>", "", "null", DEEP,
    '{"errors":[{"message":"' + "long " * 100_000 + '"}]}',
    '{"errors":[{"message":"a\\nb\\u0000c\\u001b[31m"}]}',
], ids=lambda body: body[:40])
def test_error_bodies_of_every_kind(api, mount, body):
    mnt = mount(api)
    api.fault(kind="status", status=403, path=DEPENDENCIES, body=body)
    with pytest.raises(PermissionError) as refused:
        mnt.read("one", "dependencies")
    assert refused.value.errno == errno.EPERM
    line = mnt.errors()[-1]
    assert (line["errno"], line["status"]) == ("EPERM", 403)
    assert len(json.dumps(line)) < 10_000
    assert all("\x1b" not in text for text in mnt.log().splitlines())
    api.expect(list=1, dependencies=1)


STATUSES = {400: errno.EBADMSG, 401: errno.EACCES, 402: errno.EBADMSG, 403: errno.EPERM,
            404: errno.ENOENT, 409: errno.EBUSY, 410: errno.EBADMSG, 413: errno.EFBIG,
            418: errno.EBADMSG, 422: errno.EBADMSG, 500: errno.EIO, 501: errno.EIO, 505: errno.EIO}


@pytest.mark.any_requests("a 401 and a 5xx are tried again")
@pytest.mark.parametrize("status", STATUSES)
def test_a_status_is_one_errno(api, mount, status):
    mnt = mount(api, timeout=3)
    api.fault(kind="status", status=status, path=DEPENDENCIES)
    with pytest.raises(OSError) as refused:
        mnt.read("one", "dependencies")
    assert refused.value.errno == STATUSES[status]
    assert mnt.config("one"), "and nothing else is touched"
