"""dohq-artifactory, unmodified: tokens, users and groups on the older API, with a password, a token, and a header."""

import pytest
import requests
from artifactory import ArtifactoryPath
from dohq_artifactory import Group, User
from dohq_artifactory.admin import Token

from cluster import Cluster, claims, eventually, unique


@pytest.fixture
def path(cluster: Cluster):
    """A path on the node whose turn it is; as the administrator unless told otherwise."""

    def make(**credential) -> ArtifactoryPath:
        credential = credential or {"auth": (cluster.admin, cluster.password)}
        return ArtifactoryPath(f"{cluster.next}/artifactory", **credential)

    return make


def made(path: ArtifactoryPath, **parameters) -> Token:
    """A token, created."""
    token = Token(path, **parameters)
    token.create()
    return token


def test_a_token_is_made_found_in_the_list_and_revoked_by_value(path, cluster, user):
    scope = f"member-of-groups:{user.group} api:*"
    token = made(path(), username=user.name, scope=scope, expires_in=0)
    assert (token.token["scope"], token.token["token_type"]) == (scope, "Bearer")
    assert "expires_in" not in token.token and "refresh_token" not in token.token
    assert cluster.accepts(token.jwt_token)

    def listed() -> dict | None:
        reader = Token(path(), username=user.name)
        reader.read()
        return reader.tokens.get(token.token_id)

    item = eventually(listed, "the token in the list of this node")
    assert item["subject"] == f"{cluster.service_id}/users/{user.name}"
    assert item["issuer"] == cluster.service_id
    assert item["refreshable"] is False and "expiry" not in item
    assert item["issued_at"] == claims(token.jwt_token)["iat"]

    Token(path(), jwt_token=token.jwt_token, username=user.name).delete()
    assert cluster.refuses(token.jwt_token)


def test_a_token_is_revoked_by_its_id(path, cluster, user):
    token = made(path(), username=user.name, scope=f"member-of-groups:{user.group}", expires_in=0)
    Token(path(), token_id=token.token_id, username=user.name).delete()
    assert cluster.refuses(token.jwt_token)


def test_a_token_that_cannot_be_revoked_is_an_error(path, cluster, user):
    token = made(path(), username=user.name, scope=f"member-of-groups:{user.group}", expires_in=600)
    with pytest.raises(requests.HTTPError) as refused:
        Token(path(), jwt_token=token.jwt_token, username=user.name).delete()
    assert refused.value.response.status_code == 400
    assert "Token not revocable" in refused.value.response.json()["error_description"]
    assert cluster.accepts(token.jwt_token)


def test_every_parameter_of_the_client_is_understood(path, cluster, user):
    token = made(
        path(),
        username=user.name,
        scope=f'member-of-groups:"{user.group}"',
        expires_in=600,
        refreshable=True,
        audience="jfrt@*",
        grant_type="client_credentials",
    )
    assert token.token["expires_in"] == 600
    assert token.token["refresh_token"]
    assert claims(token.jwt_token)["aud"] == "jfrt@*"


def test_the_reason_of_a_refusal_reaches_the_caller(path, user):
    with pytest.raises(requests.HTTPError) as refused:
        made(path(), username=user.name, scope="no-such-scope:x")
    assert "Unaccepted scope: 'no-such-scope:x'" in str(refused.value)


def test_a_token_serves_as_bearer_and_in_the_header_of_its_own(path, cluster, user):
    admin = made(path(), username=cluster.admin, scope=f"{cluster.service_id}:admin api:*")
    for credential in ({"token": admin.jwt_token}, {"apikey": admin.jwt_token}):
        assert path(**credential).find_user(user.name).name == user.name
    reference = cluster.create(username=cluster.admin, scope="applied-permissions/admin", include_reference_token=True)
    assert path(apikey=reference["reference_token"]).find_user(user.name).name == user.name


def test_a_user_is_made_changed_and_removed(path):
    name = unique("user")
    User(path(), name, email="a@example.org", password="Secret-of-21-characters").create()
    found = path().find_user(name)
    assert (found.email, found.admin) == ("a@example.org", False)
    found = path().find_user(name)
    found.email = "b@example.org"
    found.password = "Another-of-22-character"
    found.update()
    eventually(lambda: path().find_user(name).email == "b@example.org", "the new address")
    eventually(lambda: name in [user.name for user in path().get_users(lazy=True)], "the user in the list")
    found.delete()
    eventually(lambda: path().find_user(name) is None, "the user gone")


def test_a_user_joins_and_leaves_a_group(path, user):
    name = unique("group")
    group = Group(path(), name)
    group.description = "who may read"
    group.create()
    found = path().find_user(user.name)
    found.add_to_group(name)
    found.update()

    def groups() -> set[str]:
        return {group.name for group in path().find_user(user.name).groups if group}

    eventually(lambda: groups() == {user.group, name}, "the user in both groups")
    eventually(lambda: name in [group.name for group in path().get_groups(lazy=True)], "the group in the list")
    path().find_group(name).delete()
    eventually(lambda: path().find_group(name) is None, "the group gone")
    eventually(lambda: groups() == {user.group}, "the user in the own group only")
