from __future__ import annotations

from pathlib import Path

import pytest

from remediate.catalog.database import DatabaseSettings
from remediate.catalog.settings import read_settings
from remediate.errors import InvalidDocument, UsageError

URL = "postgresql://remediate@db.example:5432/records"
WANTED = "postgresql://USER@HOST:PORT/NAME is wanted"


def problems_of(tmp_path: Path, section: str) -> list[str]:
    file = tmp_path / "remediate.yml"
    file.write_text(f"version: 1\ndatabase:\n{section}")
    with pytest.raises(InvalidDocument) as refused:
        read_settings(tmp_path, {})
    return [line.removeprefix(f"{file}:") for line in refused.value.message.split("\n  ")[1:]]


def test_without_the_section_the_record_is_a_file_in_the_state_directory(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text("version: 1\n")

    assert read_settings(tmp_path, {}).database == DatabaseSettings(url=None, password=None, schema_name="remediate")


def test_a_server_is_named_with_the_place_of_its_password(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text(
        f"version: 1\ndatabase: {{url: '{URL}', password: 'env:SECRET', schema: incidents}}\n"
    )

    assert read_settings(tmp_path, {}).database == DatabaseSettings.model_validate(
        {"url": URL, "password": "env:SECRET", "schema": "incidents"}
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me@db/records",
        "postgresql://me@[::1]:5432/records",
        "postgresql://me@db/records?sslmode=verify-full&sslrootcert=/etc/ssl/ca.pem",
        "postgresql://me@/records?host=/var/run/postgresql",
        "postgresql://me%40corp@db/records",
    ],
)
def test_addresses_of_servers_and_of_local_sockets_are_taken(url: str) -> None:
    assert DatabaseSettings(url=url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "records.db",
        "sqlite:///records.db",
        "postgres://me@db/records",
        "postgresql+psycopg://me@db/records",
        "postgresql://db/records",
        "postgresql://me@db",
        "postgresql://me@db/",
        "postgresql://me@db/a/b",
        "postgresql://me@/records",
        "postgresql://me@/records?host=db",
        "postgresql://me@db/records?host=/var/run/postgresql",
        "postgresql://me@db:0/records",
        "postgresql://me@db:99999/records",
        "postgresql://me@db:port/records",
        "postgresql://me@[::1/records",
        "postgresql://me@db/records#part",
        "postgresql://me@db/records?sslmode",
        "postgresql://me@db/rec ords\x1b",
    ],
)
def test_anything_that_is_no_address_of_one_database_is_refused(tmp_path: Path, url: str) -> None:
    assert problems_of(tmp_path, f"  url: {_quoted(url)}\n") == [f"3: database.url: {WANTED}"]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hush@db/records",
        "postgresql://me:@db/records",
        "postgresql://me@db/records?password=hush",
        "postgresql://me:hush@db:port/records",
        "sqlite://me:hush@db/records",
    ],
)
def test_a_password_in_the_address_is_refused_and_never_repeated(tmp_path: Path, url: str) -> None:
    (problem,) = problems_of(tmp_path, f"  url: {_quoted(url)}\n")

    assert problem.startswith("3: database.url: ")
    assert "hush" not in problem


@pytest.mark.parametrize("password", ["hush", "env:", "env:2", "env:A B", "file:", "file:relative", "vault:x", "ENV:A"])
def test_a_password_that_is_no_reference_is_refused_and_never_repeated(tmp_path: Path, password: str) -> None:
    assert problems_of(tmp_path, f"  url: {URL}\n  password: {_quoted(password)}\n") == [
        "4: database.password: a reference such as env:NAME or file:/absolute/path is wanted, never the secret itself"
    ]


def test_every_problem_of_the_section_is_told_at_once(tmp_path: Path) -> None:
    section = "  url: postgresql://me@db/x?options=-cfsync=off\n  password: 5\n  schema: pg_mine\n  host: db\n"

    assert problems_of(tmp_path, section) == [
        "3: database.url: options is not a known option: host, sslcert, sslkey, sslmode, sslrootcert are",
        "4: database.password: input should be a valid string",
        "5: database.schema: names that begin with pg_ belong to the server",
        "6: database.host: is not a known field",
    ]


def test_a_password_without_a_server_is_refused_because_it_would_be_ignored(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "  password: env:SECRET\n") == ["2: database: has a password and no url"]


def test_the_environment_names_another_server_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text(f"version: 1\ndatabase: {{url: '{URL}', password: 'env:SECRET'}}\n")
    other = "postgresql://me@other/records"

    assert read_settings(tmp_path, {"REMEDIATE_DATABASE": other}).database == DatabaseSettings.model_validate(
        {"url": other, "password": "env:SECRET"}
    )
    assert read_settings(tmp_path, {"REMEDIATE_DATABASE": ""}).database.url == URL


def test_a_wrong_server_in_the_environment_is_refused_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "remediate.yml").write_text("version: 1\n")
    with pytest.raises(UsageError) as refused:
        read_settings(tmp_path, {"REMEDIATE_DATABASE": "postgresql://me:hush@db/records"})

    assert refused.value.message == (
        "REMEDIATE_DATABASE cannot be used: a password does not belong here: use `password: env:NAME` or "
        "`password: file:/path`."
    )


def _quoted(text: str) -> str:
    escaped = text.replace("\x1b", "\\e")
    return f'"{escaped}"'
