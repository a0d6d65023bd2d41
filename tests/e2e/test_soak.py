# SPDX-License-Identifier: MIT
"""scripts/soak, for a minute: everybody at once, while one request in ten fails."""
import re

import pytest
from conftest import BUILD, TOP, fuse_is_missing
from mount import SLOWER, mounts_below, run

SECONDS = 60
FAULTS_PERCENT = 10
SOAK = TOP / "tests" / "soak" / "soak.py"


@pytest.mark.seconds(300)
@pytest.mark.skipif(fuse_is_missing(), reason="no /dev/fuse here")
def test_a_minute(harness, work):
    place = work / "soak"
    done = run(["/usr/bin/python3", "-B", SOAK, f"--seconds={SECONDS}", f"--build={BUILD}",
                f"--work={place}"], timeout=280)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"--seed=\d+, 10 % of the requests", done.stdout)
    assert done.stdout.endswith("soak: well\n")
    asked, failed = map(float, re.search(r"(\d+) in all, .* faults \d+ \(([\d.]+) %\)",
                                         done.stdout).groups())
    assert asked > 1000 / SLOWER
    assert FAULTS_PERCENT / 2 < failed < FAULTS_PERCENT * 2
    assert not place.exists() and not mounts_below(work)
