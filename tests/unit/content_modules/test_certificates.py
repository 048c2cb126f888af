"""What a certificate says, and whether its key fits: read without a library, whatever somebody put into the file."""

from __future__ import annotations

import contextlib
import json
from datetime import timedelta
from pathlib import Path

import pytest
from ansible.module_utils.certificate_der import CertificateError, covers, from_der, from_pem
from ansible.module_utils.certificate_pair import MOST_BYTES, certificate_facts, pair_facts, read_certificate, read_pair
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import NOW, Made, make

PLAIN = make()
SHORT = 1024


def test_it_says_what_the_library_says() -> None:
    authority = make((), common_name="authority")
    made = make(("shop.example.org", "www.example.org"), by=authority, begins=-10, ends=80)
    seen = from_pem(made.pem)

    assert seen.names == ("shop.example.org", "www.example.org")
    assert (seen.subject, seen.issuer) == ("CN=shop", "CN=authority")
    assert seen.not_before == made.certificate.not_valid_before_utc
    assert seen.not_after == made.certificate.not_valid_after_utc
    assert int(seen.serial, 16) == made.certificate.serial_number
    assert (seen.key_type, seen.key_bits, seen.weakness) == ("EC", 256, "")
    assert round(seen.days_left(NOW)) == 80
    assert seen == from_der(made.der)


def test_of_a_chain_the_first_certificate_counts() -> None:
    other = make(("other.example.org",))
    assert from_pem(b"junk before\n" + PLAIN.pem + other.pem).names == ("shop.example.org",)


@pytest.mark.parametrize(("bits", "weak"), [(1024, True), (2048, False)])
def test_a_short_key_is_weak(bits: int, weak: bool) -> None:
    seen = from_pem(make(key=rsa.generate_private_key(65537, bits)).pem)
    assert (seen.key_type, seen.key_bits, bool(seen.weakness)) == ("RSA", bits, weak)


def test_a_name_that_looks_like_output_stays_one_line() -> None:
    seen = from_pem(make(common_name="shop\nnotAfter=Jan  1 2099\x1b[31m").pem)
    assert "\n" not in seen.subject
    assert "\x1b" not in seen.subject
    assert seen.days_left(NOW) < 91


def test_dates_beyond_two_digits_are_read(tmp_path: Path) -> None:
    seen = from_pem(make(ends=365 * 60).pem)
    assert seen.not_after > NOW + timedelta(days=365 * 59)


def test_of_very_many_names_no_more_are_kept_than_anybody_would_look_at() -> None:
    seen = from_pem(make([f"n{number}.example.org" for number in range(1500)]).pem)
    facts = certificate_facts(seen, NOW)
    assert (len(seen.names), len(facts["names"])) == (1000, 20)


@pytest.mark.parametrize(
    ("names", "name", "is_covered"),
    [
        (("shop.example.org",), "SHOP.example.org", True),
        (("*.example.org",), "shop.example.org", True),
        (("*.example.org",), "a.shop.example.org", False),
        (("*.example.org",), "example.org", False),
        (("shop.example.org",), "www.example.org", False),
    ],
)
def test_which_names_it_is_for(names: tuple[str, ...], name: str, is_covered: bool) -> None:
    assert covers(from_pem(make(names).pem), name) is is_covered


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"junk",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----\n",
        PLAIN.pem.replace(b"-----END", b"-----NO"),
        PLAIN.pem[:200] + b"\n-----END CERTIFICATE-----\n",
        PLAIN.key_pem,
        b"-----BEGIN CERTIFICATE-----\n" + b"MIIB" * 60000 + b"\n-----END CERTIFICATE-----\n",
    ],
)
def test_junk_is_an_error_and_nothing_else(content: bytes) -> None:
    with pytest.raises(CertificateError):
        from_pem(content)


@given(st.integers(0, len(PLAIN.der) - 1), st.integers(0, 255))
def test_one_wrong_byte_never_leads_to_more_than_an_error(place: int, byte: int) -> None:
    damaged = bytearray(PLAIN.der)
    damaged[place] = byte
    with contextlib.suppress(CertificateError):
        assert json.loads(json.dumps(certificate_facts(from_der(bytes(damaged)), NOW)))


@given(st.integers(0, len(PLAIN.der) - 1))
def test_a_certificate_that_is_cut_off_is_none(length: int) -> None:
    with pytest.raises(CertificateError):
        from_der(PLAIN.der[:length])


@given(st.binary(max_size=200))
def test_no_bytes_lead_to_more_than_an_error(content: bytes) -> None:
    with pytest.raises(CertificateError):
        from_der(content)


def files(directory: Path) -> tuple[str, str]:
    return str(directory / "fullchain.pem"), str(directory / "privkey.pem")


def test_a_whole_pair_has_no_troubles(tmp_path: Path) -> None:
    facts = pair_facts(read_pair(*files(PLAIN.put(tmp_path))), NOW)
    assert (facts["key_fits"], facts["key_mode"], facts["key_troubles"]) == (True, "0600", [])


@pytest.mark.parametrize("key", [ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)])
def test_the_key_of_another_certificate_does_not_fit(tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    Made(PLAIN.certificate, key).put(tmp_path)
    pair = read_pair(*files(tmp_path))
    assert not pair.key_fits
    assert "does not belong" in pair.key_troubles[0]


def test_a_short_key_that_fits_is_told_apart_from_one_that_does_not(tmp_path: Path) -> None:
    pair = read_pair(*files(make(key=rsa.generate_private_key(65537, SHORT)).put(tmp_path)))
    assert pair.key_fits
    assert pair.key_troubles == ("an RSA key of 1024 bits is too short",)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_key_that_everybody_may_use_is_a_trouble(tmp_path: Path, mode: int) -> None:
    pair = read_pair(*files(PLAIN.put(tmp_path, mode)))
    assert pair.key_fits
    assert f"{mode:04o}" in pair.key_troubles[0]


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_key_that_is_none_is_a_trouble_and_its_content_is_not_told(tmp_path: Path, content: bytes) -> None:
    PLAIN.put(tmp_path)
    (tmp_path / "privkey.pem").write_bytes(content)
    pair = read_pair(*files(tmp_path))
    assert not pair.key_fits
    assert "AAAA" not in " ".join(pair.key_troubles)


def test_a_key_that_is_not_there_or_is_a_directory_is_a_trouble(tmp_path: Path) -> None:
    PLAIN.put(tmp_path)
    (tmp_path / "privkey.pem").unlink()
    assert "cannot be read" in read_pair(*files(tmp_path)).key_troubles[0]
    (tmp_path / "privkey.pem").mkdir()
    assert not read_pair(*files(tmp_path)).key_fits


def test_a_huge_file_is_not_read_through(tmp_path: Path) -> None:
    with (tmp_path / "fullchain.pem").open("wb") as target:
        target.truncate(MOST_BYTES * 4096)
    with pytest.raises(CertificateError, match="larger than a chain"):
        read_certificate(str(tmp_path / "fullchain.pem"))


def test_a_file_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match="set where nginx reads it"):
        read_certificate(str(tmp_path / "none.pem"))
