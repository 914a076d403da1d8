"""pyartifactory 1.x, unmodified: it makes and revokes tokens on the older API."""

import pytest
from pyartifactory import Artifactory
from pyartifactory.exception import InvalidTokenDataException, UserNotFoundException
from pyartifactory.models import Group, NewUser

from cluster import Cluster, claims, eventually_raises, unique


@pytest.fixture
def client(cluster: Cluster):
    """A client for one call, on the node whose turn it is; as the administrator unless told otherwise."""

    def make(auth=None) -> Artifactory:
        return Artifactory(url=f"{cluster.next}/artifactory", auth=auth or (cluster.admin, cluster.password))

    return make


def test_a_user_in_a_group_is_made_and_removed(client):
    group, name = unique("group"), unique("user")
    assert client().groups.create(Group(name=group)).name == group
    user = NewUser(name=name, password="Secret-of-21-characters", email="a@example.org", groups=[group])
    made = client().users.create(user)
    assert (made.name, made.groups) == (name, [group])
    assert client().groups.get(group).name == group
    client().users.delete(name)
    eventually_raises(UserNotFoundException, lambda: client().users.get(name), "the user gone")


def test_a_token_with_quoted_groups_is_made(client, cluster, user):
    other = unique("group")
    client().groups.create(Group(name=other))
    made = client().security.create_access_token(user.name, refreshable=True, groups=[user.group, other])
    assert (made.token_type, made.expires_in) == ("Bearer", 3600)
    assert made.refresh_token
    scope = made.scope.replace('"', "").split()
    assert sorted(scope) == sorted(["api:*", f"member-of-groups:{user.group},{other}"])
    assert cluster.accepts(made.access_token)


def test_without_groups_a_user_has_the_own_ones(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=600)
    assert sorted(made.scope.split()) == sorted(["api:*", f"member-of-groups:{user.group}"])
    assert made.refresh_token is None
    assert claims(made.access_token)["iss"] == cluster.service_id
    assert cluster.accepts(made.access_token)


def test_a_token_is_a_password(client, cluster, user):
    made = client().security.create_access_token(user.name, groups=[user.group])
    own = client(auth=(user.name, made.access_token)).security.create_access_token(user.name, expires_in=60)
    assert cluster.accepts(own.access_token)


def test_a_name_without_an_account_needs_a_group(client, cluster, user):
    made = client().security.create_access_token(unique("job"), groups=[user.group])
    assert cluster.accepts(made.access_token)
    with pytest.raises(InvalidTokenDataException) as refused:
        client().security.create_access_token(unique("job"))
    assert "Insufficient scope" in str(refused.value)


def test_a_user_has_the_own_groups_only_and_no_long_tokens(client, user):
    other = unique("group")
    client().groups.create(Group(name=other))
    own = (user.name, user.password)
    client(own).security.create_access_token(user.name, expires_in=3600, groups=[user.group])
    with pytest.raises(InvalidTokenDataException) as refused:
        client(own).security.create_access_token(user.name, groups=[other])
    assert other in str(refused.value)
    with pytest.raises(InvalidTokenDataException) as refused:
        client(own).security.create_access_token(user.name, expires_in=5000, groups=[user.group])
    assert "5000" in str(refused.value) and "3600" in str(refused.value)
    with pytest.raises(InvalidTokenDataException) as refused:
        client(own).security.create_access_token("admin", groups=[user.group])
    assert "admin" in str(refused.value)


def test_a_token_without_end_is_revoked_by_its_value(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=0, groups=[user.group])
    assert cluster.accepts(made.access_token)
    assert client().security.revoke_access_token(token=made.access_token)
    assert cluster.refuses(made.access_token)


def test_a_token_without_end_is_revoked_by_its_id(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=0, groups=[user.group])
    assert client().security.revoke_access_token(token_id=claims(made.access_token)["jti"])
    assert cluster.refuses(made.access_token)


def test_a_token_that_ends_is_not_said_to_be_revoked(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=600, groups=[user.group])
    assert not client().security.revoke_access_token(token=made.access_token)
    assert cluster.accepts(made.access_token)


def test_a_refresh_token_is_always_revoked(client, cluster, user):
    made = client().security.create_access_token(user.name, refreshable=True, groups=[user.group])
    assert client().security.revoke_access_token(token=made.refresh_token)
    pair = {
        "grant_type": "refresh_token",
        "refresh_token": made.refresh_token,
        "access_token": made.access_token,
    }
    refused = cluster.call("POST", "/artifactory/api/security/token", data=pair)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_grant")


def test_what_never_was_a_token_is_not_an_error(client):
    assert client().security.revoke_access_token(token="faketoken")
