# SPDX-License-Identifier: MIT
"""The API's own document has the last word: a mount's traffic goes through prism, which checks
every request and every answer against it.

Needs prism (scripts/setup --contract) and the document: STACKS_OPENAPI, or the file of that name
where the project's neighbours keep it.
"""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess

import pytest
from account import DEPENDENCIES, LIST
from conftest import TOP
from mount import MountFailed, eventually, output_of, run

PRISM = TOP / ".cache" / "contract" / "node_modules" / ".bin" / "prism"
DOCUMENT = pathlib.Path(os.environ.get(
    "STACKS_OPENAPI", TOP.parent / "shared" / "api" / "stacks.openapi.json"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def api(account):
    return account(stacks=12, page_size=5)


class Prism:
    """prism proxy --errors: an exchange that the document does not have becomes an error."""

    def __init__(self, api, work):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log_path = work / "prism.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [PRISM, "proxy", DOCUMENT, api.url, "--errors", "--port", str(port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: "is listening" in self.text() or self.process.poll() is not None,
                   within=60)
        assert self.process.poll() is None, self.text()

    def text(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def violations(self):
        """The last lines are there once the answer is, or soon after: it logs behind our back."""
        return [line for line in self.text().splitlines()
                if re.search("violation|terminated with error", line, re.I)]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def prism(api, work):
    if not shutil.which("node"):
        pytest.skip("no node here, which prism needs")
    if not PRISM.exists():
        pytest.skip("prism is not installed (scripts/setup --contract)")
    if not DOCUMENT.exists():
        pytest.skip(f"the API's document is not at {DOCUMENT.name} (set STACKS_OPENAPI)")
    started = Prism(api, work)
    yield started
    started.stop()


def test_everything_that_a_mount_reads(api, prism, mount, work):
    directories = api.directories()
    mnt = mount(api, url=prism.url, ttl=1)
    output_of(["cp", "-a", f"{mnt.path}/.", work / "copy"])
    for name, record in directories.items():
        for file in record.files:
            shown = (work / "copy" / name / file).read_bytes()
            if file == "dependencies":
                assert json.loads(shown) == json.loads(api.dependencies(record.id))
            else:
                assert shown == api.file(record, file)
    mnt.refresh()
    assert mnt.errors() == []
    servers = sum(record.type == "server" for record in directories.values())
    # Three pages for the first list and for the refresh, and renewals while cp was at it.
    api.expect(list=range(6, 40, 3), record=range(13), token=range(servers, 3 * servers),
               dependencies=range(12, 36))
    assert prism.violations() == []


def test_a_stack_that_is_gone(api, prism, mount):
    mnt = mount(api, url=prism.url)
    name, record = min(api.directories().items())
    mnt.names()
    api.delete_stack(record.id)
    mnt.refresh()
    assert name not in mnt.names()
    api.expect(list=6, record=1)
    assert prism.violations() == []


def test_an_account_without_stacks(api, prism, mount):
    api.set_account([])
    mnt = mount(api, url=prism.url)
    assert mnt.names() == []
    api.expect(list=1)
    assert prism.violations() == []


def test_a_stack_that_has_no_token(api, prism, mount):
    mnt = mount(api, url=prism.url)
    name, record = next((n, r) for n, r in api.directories().items() if r.type == "server")
    api.delete_stack(record.id)
    assert not os.path.lexists(mnt / name / "systemToken")
    api.expect(list=3, token=1)
    assert prism.violations() == []


def test_a_token_that_is_refused(api, prism, mount, new_mount):
    mnt = mount(api, url=prism.url)
    mnt.names()
    api.config(token="another-canary-token")
    with pytest.raises(PermissionError):
        mnt.refresh()
    with pytest.raises(MountFailed) as failed:
        new_mount(api, url=prism.url, token="no-canary-token").start()
    assert "token" in failed.value.output
    api.expect(list=5)
    assert prism.violations() == []


@pytest.mark.misuse("this server does not keep to the document")
@pytest.mark.parametrize("path, body", [(LIST, '[{"_id":17}]'), (DEPENDENCIES, '["none"]')],
                         ids=["list", "dependencies"])
def test_a_violation_would_be_seen(api, prism, mount, path, body):
    """Else an empty list of violations would say nothing."""
    mnt = mount(api, url=prism.url)
    name = min(mnt.names())
    api.fault(kind="body", path=path, body=body)
    if path == LIST:
        mnt.cli("refresh", mnt.path)
    else:
        run(["cat", mnt / name / "dependencies"])
    assert eventually(prism.violations)
    assert mnt.errors()
    api.expect(list=range(3, 8), dependencies=range(5))
