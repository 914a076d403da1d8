"""Libraries that know JWT and X.509 and nothing else verify our tokens with what `cert/root` says, and nothing else."""

import base64
import json

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import npm_jose
from cluster import Cluster, header


@pytest.fixture
def certificate(each_cluster: Cluster) -> x509.Certificate:
    """The root certificate, as the cluster hands it out unformatted."""
    answer = each_cluster.as_admin("GET", "/access/api/v1/cert/root")
    assert answer.status_code == 200, answer.text
    return x509.load_der_x509_certificate(base64.b64decode(answer.text, validate=True))


@pytest.fixture(params=["plain", "recorded", "refreshable", "for ever", "legacy"])
def token(request, each_cluster: Cluster) -> str:
    """A token of every kind."""
    user = each_cluster.new_user()
    parameters = {
        "plain": {"expires_in": 600},
        "recorded": {"expires_in": 86400},
        "refreshable": {"expires_in": 600, "refreshable": True},
        "for ever": {"expires_in": 0},
    }
    if request.param == "legacy":
        body = {"username": user.name, "audience": "*@*"}
        answer = each_cluster.as_admin("POST", "/artifactory/api/security/token", data=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]
    order = {"username": user.name, "scope": "applied-permissions/user", **parameters[request.param]}
    return each_cluster.create(**order)["access_token"]


def altered(token: str) -> str:
    """The same token with another subject."""
    head, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    claims["sub"] = claims["sub"].rpartition("/")[0] + "/admin"
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return ".".join((head, payload, signature))


def audience(token: str) -> str:
    """Who may accept the token, as it says itself."""
    return jwt.decode(token, options={"verify_signature": False})["aud"]


def test_pyjwt(each_cluster, certificate, token):
    key, algorithm = certificate.public_key(), header(token)["alg"]
    rules = {"algorithms": [algorithm], "audience": audience(token), "issuer": each_cluster.service_id}
    said = jwt.decode(token, key, options={"require": ["iat", "sub", "jti"]}, **rules)
    assert said["sub"].startswith(f"{each_cluster.service_id}/users/")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(altered(token), key, **rules)


def test_a_member_that_reads_rsa_only(eddsa, rs256):
    """It reads what a cluster signs with RSA, and nothing that one signs with Ed25519."""
    for cluster, readable in ((rs256, True), (eddsa, False)):
        formatted = cluster.as_admin("GET", "/access/api/v1/cert/root?formatted=true")
        key = x509.load_pem_x509_certificate(formatted.content).public_key()
        user = cluster.new_user()
        order = {"username": user.name, "scope": "applied-permissions/user", "expires_in": 600}
        token = cluster.create(**order)["access_token"]
        rules = {"algorithms": ["RS256"], "audience": audience(token), "issuer": cluster.service_id}
        if readable:
            assert jwt.decode(token, key, **rules)["sub"] == f"{cluster.service_id}/users/{user.name}"
        else:
            with pytest.raises(jwt.InvalidAlgorithmError):
                jwt.decode(token, key, **rules)


def test_jose(each_cluster, certificate, token):
    question = {
        "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        "algorithm": header(token)["alg"],
        "issuer": each_cluster.service_id,
        "audience": audience(token),
    }
    verified = npm_jose.verify(token=token, **question)
    assert verified.get("header") == header(token), verified
    assert verified["payload"]["sub"].startswith(f"{each_cluster.service_id}/users/")
    assert npm_jose.verify(token=altered(token), **question) == {"refused": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"}


def test_the_certificate_is_the_same_in_both_forms_and_on_every_node(each_cluster, certificate):
    for _ in each_cluster.urls:
        formatted = each_cluster.as_admin("GET", "/access/api/v1/cert/root?formatted=true")
        assert formatted.headers["Content-Type"].startswith("text/plain")
        assert x509.load_pem_x509_certificate(formatted.content) == certificate
    assert certificate.issuer == certificate.subject
    certificate.verify_directly_issued_by(certificate)
    assert each_cluster.service_id in certificate.subject.rfc4514_string()


def test_the_certificate_is_for_administrators(each_cluster):
    user = each_cluster.new_user()
    token = each_cluster.create(username=user.name, scope="applied-permissions/user")["access_token"]
    assert each_cluster.call("GET", "/access/api/v1/cert/root", token=token).status_code == 403
    assert each_cluster.call("GET", "/access/api/v1/cert/root").status_code == 401
