"""A certificate that is dropped into one node's trusted directory makes the whole cluster accept that issuer's tokens,
by whichever library they were signed; what could be revoked is not accepted, since nobody here would know."""

from pathlib import Path

import pytest

from cluster import Cluster, eventually
from issuer import Issuer, service_id


def trusted_directory(home: Path) -> Path:
    return home / "etc" / "keys" / "trusted"


def drop(cluster: Cluster, issuer: Issuer, node: int = 0) -> Path:
    """Puts the certificate into the directory of one node."""
    directory = trusted_directory(cluster.homes[node])
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{issuer.service_id.partition('@')[2]}.crt"
    file.write_bytes(issuer.pem)
    return file


def everywhere(cluster: Cluster, token: str, status: int) -> bool:
    return all(answer.status_code == status for answer in cluster.ping(token))


def refusals(cluster: Cluster, token: str) -> set[str]:
    """What the nodes say of a token that none of them accepts."""
    said = set()
    for _ in cluster.urls:
        answer = cluster.call("GET", "/access/api/v1/tokens/me", token=token)
        assert answer.status_code == 401, answer.text
        said.add(answer.json()["errors"][0]["message"])
    return said


@pytest.fixture(scope="module", params=["EdDSA", "RS256", "ES256"])
def issuer(request, eddsa: Cluster) -> Issuer:
    """Another service that the cluster has come to trust while it runs."""
    issuer = Issuer(request.param)
    token = issuer.by_pyjwt(issuer.claims())
    assert refusals(eddsa, token) <= {"Invalid token, signature", "Invalid token, issuer"}
    drop(eddsa, issuer)
    eventually(lambda: everywhere(eddsa, token, 200), f"the {request.param} certificate trusted on every node")
    return issuer


@pytest.mark.parametrize("library", ["by_pyjwt", "by_jose"])
class TestAcceptedAndRefused:
    def test_a_plain_token_is_accepted(self, cluster, issuer, library):
        token = getattr(issuer, library)(issuer.claims())
        assert cluster.accepts(token)
        seen = cluster.call("GET", "/circlet/v1/verify", token=token)
        assert seen.status_code == 200, seen.text
        assert seen.json()["subject"] == f"{issuer.service_id}/users/alice"
        assert seen.json()["admin"] is False

    def test_a_revocable_token_is_refused(self, cluster, issuer, library):
        token = getattr(issuer, library)(issuer.claims(revocable=True))
        assert cluster.refuses(token)
        assert refusals(cluster, token) == {"Invalid token, revoked"}

    def test_a_token_without_end_is_refused(self, cluster, issuer, library):
        token = getattr(issuer, library)(issuer.claims(lifetime_secs=None))
        assert refusals(cluster, token) == {"Invalid token, revoked"}

    def test_an_expired_token_is_refused(self, cluster, issuer, library):
        token = getattr(issuer, library)(issuer.claims(lifetime_secs=-1))
        assert refusals(cluster, token) == {"Invalid token, expired"}


def test_older_forms_of_issuer_and_audience_are_read(cluster, issuer):
    long_form = issuer.claims(iss=f"{issuer.service_id}/users/somebody", aud=["jfrt@*", service_id()])
    assert cluster.accepts(issuer.by_pyjwt(long_form))
    kind, ulid = issuer.service_id.split("@")
    older = f"jf-artifactory@{ulid}"
    assert kind == "jfrt"
    assert cluster.accepts(issuer.by_pyjwt(issuer.claims(iss=older, sub=f"{older}/users/alice")))


def test_a_token_for_others_is_refused(cluster, issuer):
    for audience in (service_id(), "jfxr@*", issuer.service_id):
        token = issuer.by_pyjwt(issuer.claims(aud=audience))
        path = "/artifactory/api/system/ping"
        answer = cluster.call("GET", path, token=token)
        assert answer.status_code == 401, (audience, answer.text)
        assert "Token failed verification: audience" in answer.json()["errors"][0]["message"]


def test_a_key_speaks_for_its_own_issuer_only(cluster, issuer):
    for claimed in (cluster.service_id, service_id()):
        token = issuer.by_pyjwt(issuer.claims(iss=claimed, sub=f"{claimed}/users/admin"))
        assert cluster.refuses(token)
    crossed = issuer.by_pyjwt(issuer.claims(sub=f"{cluster.service_id}/users/admin"))
    assert cluster.refuses(crossed)


def test_its_administrators_are_none_here(cluster, issuer):
    token = issuer.by_pyjwt(
        issuer.claims(sub=f"{issuer.service_id}/users/admin", scp="applied-permissions/admin")
    )
    seen = cluster.call("GET", "/circlet/v1/verify", token=token)
    assert (seen.status_code, seen.json()["admin"]) == (200, False)
    assert cluster.call("GET", "/access/api/v1/cert/root", token=token).status_code == 403
    made = cluster.call("POST", "/access/api/v1/tokens", token=token, json={"expires_in": 60})
    assert made.status_code == 403, made.text


def test_only_the_issuer_refreshes_and_revokes(cluster, issuer):
    token = issuer.by_pyjwt(issuer.claims())
    revoked = cluster.as_admin("POST", "/artifactory/api/security/token/revoke", data={"token": token})
    assert revoked.status_code == 400, revoked.text
    said = revoked.json()["error_description"]
    assert issuer.service_id in said and cluster.service_id in said
    assert cluster.accepts(token)


def test_a_certificate_that_is_removed_is_trusted_no_more(cluster):
    issuer = Issuer("EdDSA")
    file = drop(cluster, issuer, node=1)
    token = issuer.by_pyjwt(issuer.claims())
    eventually(lambda: everywhere(cluster, token, 200), "the certificate trusted on every node")
    for home in cluster.homes:
        shown = lambda home=home: any(
            issuer.pem.strip() in file.read_bytes() for file in trusted_directory(home).glob("*.crt")
        )
        eventually(shown, f"the certificate shown in {home.name}")
    file.unlink()
    eventually(lambda: everywhere(cluster, token, 401), "the certificate trusted by no node")


def test_the_node_that_published_a_certificate_logs_so_for_each_peer(cluster):
    issuer = Issuer("EdDSA")
    drop(cluster, issuer, node=2)
    token = issuer.by_pyjwt(issuer.claims())
    eventually(lambda: everywhere(cluster, token, 200), "the certificate trusted on every node")
    log = cluster.homes[2] / "logs" / "artifactory.log"
    for url in cluster.urls[:2]:
        line = f"Publish changes to another access peer [{url}/access] successfully"
        eventually(lambda line=line: log.exists() and line in log.read_text(), f"in {log.name}: {line}")
