"""Another service: a service id, a key and a certificate of its own, and tokens that other libraries sign with them."""

import base64
import datetime
import json
import secrets
import time
import uuid

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

import npm_jose

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def service_id(kind: str = "jfrt") -> str:
    """A service id of this kind that nobody has: a ULID's first character is at most 7."""
    return f"{kind}@0" + "".join(secrets.choice(CROCKFORD) for _ in range(25))


class Issuer:
    """A service with one key, which signs what it is told to."""

    def __init__(self, algorithm: str):
        self.algorithm = algorithm
        self.service_id = service_id()
        self.key = {
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
            "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        }[algorithm]()
        self.certificate = self._certificate()

    def _certificate(self) -> x509.Certificate:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"JFrog Token Issuer {self.service_id}")])
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=3650))
        )
        return builder.sign(self.key, None if self.algorithm == "EdDSA" else SHA256())

    @property
    def pem(self) -> bytes:
        """The certificate as the file that operators pass on."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def kid(self) -> str:
        """The key's id in the header of tokens: the certificate's fingerprint."""
        return base64.urlsafe_b64encode(self.certificate.fingerprint(SHA256())).decode().rstrip("=")

    @property
    def header(self) -> dict:
        """The header of a token."""
        return {"ver": "2", "typ": "JWT", "alg": self.algorithm, "kid": self.kid}

    def claims(self, *, lifetime_secs: int | None = 600, revocable: bool = False, **changed) -> dict:
        """The claims of a token; `changed` replaces some, or removes those that are None."""
        now = int(time.time())
        claims = {
            "sub": f"{self.service_id}/users/alice",
            "scp": "applied-permissions/user",
            "aud": "*@*",
            "iss": self.service_id,
            "iat": now,
            "jti": str(uuid.uuid4()),
        }
        if lifetime_secs is not None:
            claims["exp"] = now + lifetime_secs
        if revocable:
            claims["ext"] = json.dumps({"revocable": "true"}, separators=(",", ":"))
        return {key: value for key, value in {**claims, **changed}.items() if value is not None}

    def by_pyjwt(self, claims: dict) -> str:
        """A token that PyJWT signs."""
        extra = {key: value for key, value in self.header.items() if key != "alg"}
        return jwt.encode(claims, self.key, algorithm=self.algorithm, headers=extra)

    def by_jose(self, claims: dict) -> str:
        """A token that jose signs."""
        pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return npm_jose.sign(algorithm=self.algorithm, key=pem.decode(), header=self.header, payload=claims)
