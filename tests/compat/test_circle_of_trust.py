"""A circle of trust: two clusters that hold each other's root certificate, each placed as the guide says: `etc/keys/root.crt`
of the one becomes `etc/keys/trusted/[name].crt` on a node of the other. One signs with Ed25519, the other with RSA."""

import shutil

import pytest

from cluster import Cluster, eventually


@pytest.fixture(scope="module", autouse=True)
def circle(eddsa: Cluster, rs256: Cluster):
    for here, there, name in ((eddsa, rs256, "eddsa"), (rs256, eddsa, "rs256")):
        trusted = there.homes[1] / "etc" / "keys" / "trusted"
        trusted.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(here.homes[2] / "etc" / "keys" / "root.crt", trusted / f"{name}.crt")
        token = create(here, expires_in="600")["access_token"]
        eventually(
            lambda there=there, token=token: all(answer.ok for answer in there.ping(token)),
            f"the {name} cluster trusted by every node of the other",
        )


@pytest.fixture(params=["eddsa", "rs256"])
def pair(request, eddsa, rs256) -> tuple[Cluster, Cluster]:
    """The issuer, and the other one."""
    return (eddsa, rs256) if request.param == "eddsa" else (rs256, eddsa)


def create(cluster: Cluster, **parameters: str) -> dict:
    user = cluster.new_user()
    body = {"username": user.name, "audience": "*", **parameters}
    answer = cluster.as_admin("POST", "/artifactory/api/security/token", data=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_token_that_ends_is_good_on_the_other(pair):
    issuer, other = pair
    assert other.accepts(create(issuer, expires_in="600")["access_token"])


def test_a_token_that_could_be_revoked_is_good_on_its_issuer_only(pair):
    issuer, other = pair
    token = create(issuer, expires_in="0")["access_token"]
    assert issuer.accepts(token)
    assert other.refuses(token)


def test_a_token_for_its_issuer_only_is_refused(pair):
    issuer, other = pair
    token = create(issuer, expires_in="600", audience=issuer.service_id)["access_token"]
    assert issuer.accepts(token)
    assert other.refuses(token)


def test_only_the_issuer_refreshes(pair):
    issuer, other = pair
    made = create(issuer, expires_in="600", refreshable="true")
    form = {"grant_type": "refresh_token", **{key: made[key] for key in ("refresh_token", "access_token")}}
    legacy = other.call("POST", "/artifactory/api/security/token", data=form)
    access = other.call("POST", "/access/api/v1/tokens", token=form["access_token"], json=form)
    for refused in (legacy, access):
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request"), refused.text
        assert issuer.service_id in refused.text and other.service_id in refused.text
    refreshed = issuer.call("POST", "/artifactory/api/security/token", data=form)
    assert refreshed.status_code == 200, refreshed.text
    assert other.accepts(refreshed.json()["access_token"])


def test_only_the_issuer_revokes(pair):
    issuer, other = pair
    token = create(issuer, expires_in="0")["access_token"]
    refused = other.as_admin("POST", "/artifactory/api/security/token/revoke", data={"token": token})
    assert refused.status_code == 400, refused.text
    assert issuer.service_id in refused.text and other.service_id in refused.text
    assert issuer.accepts(token)
    revoked = issuer.as_admin("POST", "/artifactory/api/security/token/revoke", data={"token": token})
    assert (revoked.status_code, revoked.text) == (200, "Token revoked")
