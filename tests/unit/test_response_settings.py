"""The sections http, sources and responses of remediate.yml: what is wrong is told with its line, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate.catalog.http import address
from remediate.catalog.response_rules import check_on_site
from remediate.catalog.settings import Settings
from remediate.domain.alert import AlertMode
from remediate.domain.host import Host
from remediate.domain.response_rule import FromLabel
from remediate.errors import InvalidDocument
from tests.builders import runbook
from tests.unit.test_on_call_settings import problems, settings

SITE = """\
version: 1
sources:
  main: {kind: alertmanager, token: env:MAIN_TOKEN, url: http://127.0.0.1:9093/}
responses:
"""


def read(site: Path, *rules: str) -> Settings:
    return settings(site, SITE + "".join(f"  - {rule}\n" for rule in rules))


def test_a_site_without_the_sections_listens_nowhere_and_answers_nothing(tmp_path: Path) -> None:
    found = settings(tmp_path, "version: 1\n")

    assert (found.http, found.sources, found.responses) == (None, {}, ())


def test_a_rule_is_read_with_its_line(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "{source: main, runbook: disk-full, group: app}",
        "{source: main, runbook: disk-full, group: app, mode: act, unattended: 1, matchers: ['a=~\"x|y\"'],"
        " parameters: {mount: {label: mountpoint}, target_free: 25}, host_label: node, then: [queue-failure]}",
    )
    first, second = found.responses

    assert (first.written_at, second.written_at) == ("remediate.yml:5", "remediate.yml:6")
    assert (first.mode, first.unattended, first.host_label) == (AlertMode.ASK, 0, "instance")
    assert (second.mode, second.unattended, second.host_label) == (AlertMode.ACT, 1, "node")
    assert (first.runbooks, second.runbooks) == (("disk-full",), ("disk-full", "queue-failure"))
    assert second.parameters == {"mount": FromLabel(label="mountpoint"), "target_free": 25}
    assert [str(one) for one in second.matchers] == ['a=~"x|y"']
    assert found.http is not None
    assert found.http.address == ("127.0.0.1", 9180)
    assert found.sources["main"].url == "http://127.0.0.1:9093"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{source: mian, runbook: disk-full, group: app}", "there is no source 'mian'; did you mean main?"),
        ("{source: main, runbook: disk-ful, group: app}", "there is no runbook 'disk-ful'; did you mean disk-full?"),
        ("{source: main, runbook: disk-full}", "responses.0.group: is missing"),
        ("{source: main, runbook: disk-full, group: app, mode: atc}", "responses.0.mode: "),
        ("{source: main, runbook: disk-full, group: app, mode: act, unattended: 5}", "responses.0.unattended: "),
        ("{source: main, runbook: disk-full, group: app, mode: act, unattended: '1'}", "responses.0.unattended: "),
        ("{source: main, runbook: disk-full, group: app, unattended: 1}", "means nothing with `mode: ask`"),
        ("{source: main, runbook: disk-full, group: app, matchers: [severity]}", "'severity' is no matcher"),
        ("{source: main, runbook: disk-full, group: app, matchers: ['a=~(x+)+']}", "repeats a group"),
        ("{source: main, runbook: disk-full, group: app, unatended: 1}", "responses.0.unatended: is not a known field"),
        ("{source: main, runbook: disk-full, group: app, then: [queue-ful]}", "did you mean queue-failure?"),
        ("{source: main, runbook: disk-full, group: app, then: [disk-full]}", "disk-full would be tried twice"),
        ("{source: main, runbook: disk-full, group: app, mode: suggest, then: [queue-failure]}", "nothing is tried"),
        ("{source: main, runbook: disk-full, group: app, parameters: {m: {label: 7}}}", "{label: NAME} is wanted"),
    ],
)
def test_a_wrong_rule_is_refused_with_its_line(tmp_path: Path, rule: str, said: str) -> None:
    (found,) = problems(tmp_path, f"{SITE}  - {rule}\n")

    assert said in found
    assert found.startswith("5: responses.0")


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("sources: {main: {kind: alertmanager}}", "exactly one of token and hmac is wanted"),
        ("sources: {main: {kind: alertmanager, token: 's3cret'}}", "never the secret itself"),
        ("sources: {main: {kind: alertmanager, hmac: env:X}}", "does not sign: give it a token"),
        ("sources: {main: {kind: grafana, hmac: env:X, token: env:Y}}", "exactly one of token and hmac"),
        ("sources: {main: {kind: grafana, token: env:Y, timestamp_header: X}}", "belong to hmac"),
        ("sources: {../x: {kind: grafana, token: env:Y}}", "sources.../x"),
        ("sources: {main: {kind: nagios, token: env:Y}}", "sources.main.kind"),
        ("sources: {main: {kind: grafana, token: env:Y, url: 'file:///etc'}}", "http://HOST:PORT"),
        ("sources: {main: {kind: grafana, token: env:Y, url: 'http://u:p@h'}}", "a password does not belong here"),
        ("http: {listen: '0.0.0.0:9180'}", "tokens would cross the network in the open"),
        ("http: {listen: 'example.org:9180', plain: true}", "it listens at an address of this machine"),
        ("http: {listen: '127.0.0.1:99999'}", "an address and a port are wanted"),
        ("http: {listen: '9180'}", "an address and a port are wanted"),
        ("http: {certificate: /a.pem}", "certificate and key belong together"),
    ],
)
def test_a_wrong_section_is_refused_with_its_line(tmp_path: Path, section: str, said: str) -> None:
    found = problems(tmp_path, f"version: 1\n{section}\n")

    assert any(said in one for one in found), found
    assert all(one.startswith("2: ") for one in found)
    assert not any("s3cret" in one for one in found)


@pytest.mark.parametrize(
    ("text", "host", "own"),
    [
        ("127.0.0.1:1", "127.0.0.1", True),
        ("[::1]:0", "::1", True),
        ("localhost:9", "localhost", True),
        ("[::]:1", "::", False),
    ],
)
def test_an_address_is_read(text: str, host: str, own: bool) -> None:
    assert (address(text).host, address(text).is_own) == (host, own)


def test_a_group_without_hosts_is_refused_with_its_line_and_every_other_problem(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "{source: main, runbook: disk-full, group: ap, matchers: ['alertname=X']}",
        "{source: main, runbook: disk-full, group: app, matchers: ['alertname=X'], parameters: {m: 1}}",
    )
    with pytest.raises(InvalidDocument) as refused:
        check_on_site(found.responses, {"disk-full": runbook()}, [Host(name="near", groups=("all", "app"))])

    assert "remediate.yml:5: responses.0.group: no host of the inventory is in the group 'ap'" in refused.value.message
    assert "remediate.yml:6: responses.1.parameters: m: this runbook has no such parameter" in refused.value.message


def test_rules_are_part_of_the_policy_that_plans_are_bound_to_and_their_lines_are_not(tmp_path: Path) -> None:
    rule = "{source: main, runbook: disk-full, group: app}"
    plain, moved = read(tmp_path, rule), settings(tmp_path, f"# a comment\n{SITE}  - {rule}\n")
    changed = read(tmp_path, rule.replace("app}", "app, mode: act}"))

    assert plain.policy == moved.policy
    assert plain.policy != changed.policy
