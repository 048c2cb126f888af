"""A runbook that hands over to another one, on real hosts: the application is down because its disk is full."""

from __future__ import annotations

import json

import pytest

from tests.integration.lab.hosts import LabHost, Remediate, fill

pytestmark = pytest.mark.lab


def test_an_outage_by_a_full_disk_is_cured_by_the_runbook_for_disks_and_proven_by_its_own(
    host: LabHost, remediate: Remediate
) -> None:
    fill(host, "demo")
    # No answer at all while the database waits for room for its log.
    assert host.health() in {0, 503}

    run = remediate.json("service-outage", "--limit", host.name, "--yes")

    runs = {one["runbook"]: one for one in json.loads(remediate("runs", "--json").stdout)}
    child = runs["disk-full"]
    assert run["status"] == child["status"] == "succeeded"
    assert (child["parent"], child["depth"]) == (run["id"], 1)
    assert host.health() == 200
    assert host.used_percent() < 80
    again = remediate.json("service-outage", "--limit", host.name, "--yes")
    assert again["status"] == "not_needed"
