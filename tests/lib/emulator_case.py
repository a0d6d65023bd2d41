# SPDX-License-Identifier: MIT
"""What the emulator's own tests share: fixtures, requests, example bodies."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from emulator import Emulator

BUILD = Path(os.environ.get("STACKSFS_BUILD", "build"))
BINARY = BUILD.resolve() / "stacks-emulator"
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


def next_path(headers):
    """Origin and path of the Link to the next page."""
    match = re.fullmatch(r'<(https?://[^/>]+)(/v1/stacks\?[^>]+)>; rel="next"', headers["Link"])
    return match.groups()


def run_curl(emu, *args):
    """curl with the token; its finished process."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = ["curl", "-s", "--max-time", "20", "-H", f"Authorization: Bearer {emu.token}", *args]
    return subprocess.run(command, capture_output=True, check=False)
