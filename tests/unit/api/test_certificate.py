import ssl

import pytest
from cryptography import x509

from aiperf.api.certificate import RunCertificate, fingerprint, make_certificate, pinning_context

OURS = make_certificate("run-1", ["aiperf-1.ns.svc", "10.0.0.7", "::1"])


def handshake(server: RunCertificate, client: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Over memory. Raises: ssl.SSLError."""
    folder = tmp_path_factory.mktemp("tls")
    (folder / "crt").write_text(server.certificate_pem)
    (folder / "key").write_text(server.key_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname="whatever"),
        context.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ends[0].write(b"x")


def test_the_pinned_certificate_is_accepted_by_any_name(tmp_path_factory: pytest.TempPathFactory) -> None:
    handshake(OURS, pinning_context(OURS.certificate_pem), tmp_path_factory)


def test_it_is_accepted_by_strict_checks_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    context = pinning_context(OURS.certificate_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
    handshake(OURS, context, tmp_path_factory)


def test_another_certificate_of_the_same_names_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    other = make_certificate("run-1", ["aiperf-1.ns.svc", "10.0.0.7", "::1"])
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(other, pinning_context(OURS.certificate_pem), tmp_path_factory)


def test_names_and_addresses_are_in_the_certificate() -> None:
    certificate = x509.load_pem_x509_certificate(OURS.certificate_pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["aiperf-1.ns.svc"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7", "::1"]


def test_the_fingerprint_is_of_the_certificate() -> None:
    assert OURS.fingerprint == fingerprint(OURS.certificate_pem)
    assert len(OURS.fingerprint) == 64
    assert make_certificate("run-1", []).fingerprint != OURS.fingerprint


def test_the_key_is_not_shown() -> None:
    assert "PRIVATE" not in repr(OURS)
