"""The run's own TLS certificate, and trust in it alone.

Owns: making it, its fingerprint, the client's TLS settings. Does not own: where it is kept (a Secret), the server.

A run lives for hours and is known to few: its certificate is signed by itself, and clients trust exactly this one. The
handshake with any other fails before a byte of a request, and so of the token, is sent.
"""

import datetime
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field

VALID_BEFORE = datetime.timedelta(days=1)
"""Clocks of other machines may be late."""
VALID_FOR = datetime.timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RunCertificate:
    """Both as PEM."""

    certificate_pem: str
    key_pem: str = field(repr=False)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.certificate_pem)


def make_certificate(run_id: str, names: Sequence[str]) -> RunCertificate:
    """A new key on the curve P-256 and a certificate for these DNS names and IP addresses.

    Takes 0.1 s, most of it for loading the library.
    """
    # cryptography takes 0.1 s and 15 MB, and only who makes a certificate needs it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"aiperf {run_id}"[:64])])
    now = datetime.datetime.now(datetime.UTC)
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - VALID_BEFORE)
        .not_valid_after(now + VALID_FOR)
        # Not an authority: nothing that this key might sign is trusted, only the certificate itself.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    return RunCertificate(
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def fingerprint(certificate_pem: str) -> str:
    """SHA-256 of the certificate, in hex, as `openssl x509 -fingerprint -sha256` has it without colons."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem)).hexdigest()


def pinning_context(certificate_pem: str) -> ssl.SSLContext:
    """TLS settings of a client that accepts this certificate and no other, by whatever name the server is reached.

    Tunnels and node addresses are in no certificate, so the name is not compared.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is what is trusted
    context.load_verify_locations(cadata=certificate_pem)
    return context
