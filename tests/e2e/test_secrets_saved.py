# SPDX-License-Identifier: MIT
"""Secrets are write-only: they survive an edit, a new one may be typed over the mask, the mask
never leaves, and what the service says of one is said without it."""
import errno
import json
import os

import programs
import pytest
from account import LIST, RECORD, stack_id
from background import run_in_background
from mount import run
from saving import (ID, REFUSAL, editable, edit, error_of, fails, history, is_shown, kept,
                    lambda_stack, last_error, refuse, refused_text, write)

MASK = "******"
OLD = "S3cretOfTheLambda"
NEW = "N3wS3cret/typed+in=="


@pytest.fixture
def api(account):
    api = account()
    api.add_stack(lambda_stack("work", 1, OLD, note="value0"))
    api.add_stack(editable("one", 2))
    return api


@pytest.fixture
def mnt(api, mount):
    """The new secret, too, may be nowhere but where a text is kept."""
    mnt = mount(api, debug=True)
    mnt.secrets += [OLD, NEW, json.dumps(NEW)[1:-1], NEW.replace("/", "\\/")]
    yield mnt
    mnt.gather_secrets()
    assert mnt.leaks() == []
    for xattr in (error_of(mnt, name) for name in mnt.names() if os.path.lexists(
            mnt / name / "config.json")):
        assert NEW not in (xattr or "")
    assert not any(NEW.encode() in text for text in kept(mnt, "history").values())
    assert not [note for note in api.violations() if "mask" in note]


def secret(api, number=1):
    return api.stack(stack_id(number))["lambda"]["secretAccessKey"]


def with_secret(mnt, value, name="work"):
    record = json.loads(mnt.config(name))
    record["lambda"]["secretAccessKey"] = value
    return json.dumps(record, indent=2).encode() + b"\n"


@pytest.mark.parametrize("name", ["vim", "sed -i", "cp", "jq, mv", "python r+", "tar x"])
def test_an_edit_leaves_it_alone(api, mnt, work, name):
    if programs.missing(name):
        pytest.skip(f"{name} is not installed")
    with programs.ALL[name](programs.Place(work, mnt / "work", marker="value0")) as session:
        session.edit("value0", "value1")
        outcome = session.save()
        assert outcome.ok, outcome
        session.quit()
    assert secret(api) == OLD
    assert is_shown(api, mnt, "work").json["lambda"]["secretAccessKey"] == MASK
    sent, = api.sent("put")
    assert "secretAccessKey" not in sent["lambda"]
    assert sent["lambda"]["accessKeyId"] == "AKIA0123456789"
    api.expect(list=1, record=1, put=1)


def test_a_new_one_typed_over_the_mask(api, mnt):
    write(mnt, "work", with_secret(mnt, NEW))
    assert secret(api) == NEW
    assert is_shown(api, mnt, "work").json["lambda"]["secretAccessKey"] == MASK
    assert api.sent("put")[0]["lambda"]["secretAccessKey"] == NEW
    # And the next edit leaves that one alone.
    edit(mnt, "work", "value0", "value1")
    assert secret(api) == NEW
    assert kept(mnt) == {}
    api.expect(list=1, record=2, put=2)


def test_one_that_is_typed_again(api, mnt):
    """Nothing tells that it is the same: it is sent."""
    write(mnt, "work", with_secret(mnt, OLD))
    assert secret(api) == OLD
    assert api.counts()["put"] == 1
    api.expect(list=1, record=1, put=1)


def test_one_that_is_corrected_in_the_same_buffer(api, mnt):
    """The server shows neither the first nor the second one: that is nobody's change."""
    wrong, right = (with_secret(mnt, value) for value in (NEW[::-1], NEW))
    mnt.secrets.append(NEW[::-1])
    write(mnt, "work", wrong)
    write(mnt, "work", right)
    assert secret(api) == NEW
    write(mnt, "work", right.replace(b"value0", b"value1"))
    assert secret(api) == NEW
    assert is_shown(api, mnt, "work").json["note"] == "value1"
    assert "secretAccessKey" not in api.sent("put")[2]["lambda"]
    api.expect(list=1, record=3, put=3)


def test_its_line_left_out(api, mnt):
    record = json.loads(mnt.config("work"))
    del record["lambda"]["secretAccessKey"]
    record["note"] = "value1"
    write(mnt, "work", json.dumps(record).encode())
    assert secret(api) == OLD
    assert is_shown(api, mnt, "work").json["note"] == "value1"
    api.expect(list=1, record=1, put=1)


def test_only_its_line_left_out_is_no_change(api, mnt):
    record = json.loads(mnt.config("work"))
    del record["lambda"]["secretAccessKey"]
    write(mnt, "work", json.dumps(record).encode())
    assert secret(api) == OLD
    is_shown(api, mnt, "work")
    assert "put" not in api.counts()
    api.expect(**api.counts())


def test_a_name_may_look_like_a_mask(api, mnt):
    os.mkdir(mnt / MASK)
    write(mnt, MASK, json.dumps({"name": MASK, "type": "server",
                                 "server": {"hostURI": "https://x.example.com"}}).encode())
    assert api.sent("post")[0]["name"] == MASK
    assert run(["sed", "-i", "s/x.example/y.example/", mnt / MASK / "config.json"]).returncode == 0
    assert api.sent("put")[0]["name"] == MASK
    api.expect(list=1, record=1, post=1, put=1)


def test_a_mask_of_a_field_that_is_not_known(api, mnt):
    """Wherever the record itself shows a mask, none is sent back."""
    raw = json.dumps(editable("odd", 3, vault={"pin": MASK, "hint": "value1"}))
    api.add_stack(raw)
    mnt.refresh()
    edit(mnt, "odd", "value1", "value2")
    assert api.sent("put")[0]["vault"] == {"hint": "value2"}
    api.expect(list=2, record=1, put=1)


def test_a_mask_that_cannot_be_left_out(api, mnt):
    """In an array a place is no identity: a changed element with a mask in it is refused."""
    api.add_stack(editable("odd", 3, vaults=[{"pin": MASK, "hint": "value1"}]))
    mnt.refresh()
    text = mnt.config("odd")
    with fails(errno.EBADMSG):
        edit(mnt, "odd", "value1", "value2")
    assert "vaults" in json.dumps(last_error(mnt, errno="EBADMSG"))
    assert mnt.config("odd") == text
    assert "put" not in api.counts()
    edit(mnt, "odd", "value0", "value2")  # while the element is as it was
    assert api.counts()["put"] == 1
    api.expect(**api.counts())


def test_a_token_typed_into_the_text(api, mnt):
    """It cannot be set: it is generated."""
    before = api.stack(stack_id(2))["server"]["systemToken"]
    record = json.loads(mnt.config("one"))
    record["server"]["systemToken"] = NEW
    record["note"] = "note1"
    write(mnt, "one", json.dumps(record).encode())
    assert api.stack(stack_id(2))["server"]["systemToken"] == before
    assert "systemToken" not in api.sent("put")[0]["server"]
    assert is_shown(api, mnt, "one", stack_id(2)).json["server"]["systemToken"] == MASK
    api.expect(list=1, record=1, put=1)


# ---- what is said of it ----

def echoing(form):
    return dict(REFUSAL, field="lambda.secretAccessKey",
                message=f"lambda.secretAccessKey: {form} is not a key (got {form}, 20 characters)")


@pytest.mark.parametrize("form", [NEW, json.dumps(NEW), NEW.replace("/", "\\/")],
                         ids=["plain", "quoted", "escaped"])
def test_a_message_that_echoes_it(api, mnt, form):
    text = with_secret(mnt, NEW)
    refuse(api, error=echoing(form))
    with fails(errno.EBADMSG):
        write(mnt, "work", text)
    line = last_error(mnt, status=422)
    assert NEW not in json.dumps(line) and NEW.replace("/", "\\/") not in json.dumps(line)
    assert "is not a key" in line["message"] and MASK in line["message"]
    assert "is not a key" in error_of(mnt, "work")
    status = mnt.cli("status", mnt.path)
    assert NEW not in status.stdout + status.stderr
    assert refused_text(mnt, "work") == text, "the text itself is its owner's"
    assert secret(api) == OLD
    api.expect(list=1, record=1, put=1)


def test_an_echo_in_the_code_and_the_field(api, mnt):
    text = with_secret(mnt, NEW)
    refuse(api, error={"code": NEW, "message": "no", "field": "lambda." + NEW})
    with fails(errno.EBADMSG):
        write(mnt, "work", text)
    assert NEW not in json.dumps(last_error(mnt, status=422))
    api.expect(list=1, record=1, put=1)


def test_an_echo_at_creation(api, mnt):
    record = {key: value for key, value in lambda_stack("fresh", 9, NEW).items()
              if key not in ("_id", "createdAt", "lastModified")}
    refuse(api, method="POST", path=LIST, error=echoing(NEW))
    os.mkdir(mnt / "fresh")
    with fails(errno.EBADMSG):
        write(mnt, "fresh", json.dumps(record).encode())
    assert NEW not in json.dumps(mnt.errors())
    assert "is not a key" in last_error(mnt, status=422)["message"]
    assert run(["rm", "-r", mnt / "fresh"]).returncode == 0
    assert api.counts()["post"] == 1
    api.expect(list=1, post=1)


def test_a_conflict_about_it_names_no_value(api, mnt):
    text = with_secret(mnt, NEW).replace(b"value0", b"ours")
    api.patch_stack(ID, {"note": "theirs"})
    with fails(errno.EBUSY):
        write(mnt, "work", text)
    line = json.dumps(last_error(mnt, errno="EBUSY"))
    assert NEW not in line and "note" in line
    assert secret(api) == OLD
    api.expect(list=1, record=1)


def test_a_dry_run_masks_what_it_would_send(api, mount):
    mnt = mount(api, dry_run=True)
    mnt.secrets.append(NEW)
    with fails(errno.EROFS):
        write(mnt, "work", with_secret(mnt, NEW).replace(b"value0", b"value1"))
    line = json.dumps(last_error(mnt, errno="EROFS"))
    assert "value1" in line and MASK in line and NEW not in line
    assert set(api.counts()) <= {"list", "record"}
    api.expect(**api.counts())


def test_a_lost_answer_with_a_new_one(api, mnt):
    """What the service shows cannot tell whether the secret is there: both are masked."""
    text = with_secret(mnt, NEW)
    api.fault(kind="drop", method="PUT", path=RECORD, apply=True, times=1)
    try:
        write(mnt, "work", text)
    except OSError as error:
        assert error.errno == errno.ETIMEDOUT or error.errno == errno.EIO, error
        assert refused_text(mnt, "work") == text
    assert secret(api) == NEW
    assert api.counts()["put"] <= 2
    api.expect(**api.counts())


def test_a_lost_save_of_a_new_one_and_a_colleague(api, mnt):
    """That the record has another date shows that somebody has changed it, and not that it was
    us: they have typed the old one again, which is as little to be seen as ours."""
    text = with_secret(mnt, NEW)
    api.fault(kind="status", method="PUT", path=RECORD, status=503, delay_ms=700, times=1)
    writing = run_in_background(write, mnt, "work", text)
    api.wait("PUT", RECORD)
    api.patch_stack(ID, {"lambda": {"secretAccessKey": OLD}})
    writing()
    assert secret(api) == NEW
    assert kept(mnt) == {}
    api.expect(list=1, record=2, put=2)


def test_histories_and_backups_have_none(api, mnt):
    write(mnt, "work", with_secret(mnt, NEW).replace(b"value0", b"value1"))
    edit(mnt, "work", "value1", "value2")
    for text in history(mnt, 2, "work"):
        assert json.loads(text)["lambda"]["secretAccessKey"] == MASK
    api.expect(list=1, record=2, put=2)
