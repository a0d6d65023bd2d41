# SPDX-License-Identifier: MIT
"""docs/performance.md says what each operation costs: here it is done and counted."""
import collections
import contextlib
import shutil

import costs
import pytest
import tables

HEADING, ROUND_TRIPS = tables.read(costs.DOCUMENT, "round trips")


@pytest.mark.seconds(120)
def test_requests_to_the_api(account, mount):
    api = account(stacks=costs.GENERATED, page_size=costs.PAGE)
    costs.add_named(api)
    mnt = mount(api, **costs.MOUNT_OPTIONS)
    documented = costs.documented_requests()
    total = collections.Counter()
    lines = [tables.command(cell) for cell, _ in documented]
    for (cell, cost), (_, asked) in zip(documented, costs.requests(api, mnt, lines)):
        assert asked == cost, cell
        total.update(asked)
    api.expect(**total)


@pytest.mark.any_requests("it is the kernel's that count")
@pytest.mark.parametrize("line", dict.fromkeys(tables.command(row[0]) for row in ROUND_TRIPS))
def test_requests_of_the_kernel(account, new_mount, line):
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    api = account(stacks=costs.STACKS)

    @contextlib.contextmanager
    def mounted():
        yield new_mount(api, **costs.MOUNT_OPTIONS).start()

    found = costs.round_trips(mounted, line)
    for cell, when, *documented in ROUND_TRIPS:
        if tables.command(cell) == line:
            counted = costs.columns(HEADING, found[when])
            wanted = {name: float(value or 0) for name, value in zip(counted, documented)}
            assert counted == pytest.approx(wanted, abs=costs.ALLOWANCE), (when, found[when])
