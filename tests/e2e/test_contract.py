# SPDX-License-Identifier: MIT
"""The API's own document has the last word: a mount's traffic goes through prism, which checks
every request and every answer against it.

Needs prism (scripts/setup --contract) and the document: STACKS_OPENAPI, or the file of that name
where the project's neighbours keep it.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess

import pytest
from account import stack_id
from conftest import TOP
from mount import eventually, output_of

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
        return [line for line in self.text().splitlines()
                if "Violation" in line or "terminated with error" in line]

    def stop(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def prism(api, work):
    if not PRISM.exists() or not shutil.which("node"):
        pytest.skip("prism is not installed (scripts/setup --contract)")
    if not DOCUMENT.exists():
        pytest.skip(f"the API's document is not at {DOCUMENT.name} (set STACKS_OPENAPI)")
    started = Prism(api, work)
    yield started
    started.stop()


@pytest.mark.any_requests("prism stands between")
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
    assert api.counts()["list"] >= 6
    assert prism.violations() == []


@pytest.mark.any_requests("prism stands between")
def test_a_stack_that_is_gone(api, prism, mount):
    mnt = mount(api, url=prism.url)
    name, record = min(api.directories().items())
    mnt.names()
    api.delete_stack(record.id)
    mnt.refresh()
    assert name not in mnt.names()
    assert stack_id(1) != record.id
    assert prism.violations() == []
