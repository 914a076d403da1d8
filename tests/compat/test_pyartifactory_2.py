"""pyartifactory 2.x, unmodified: it makes tokens on the Access API, users and groups on the older one.

Its one base URL serves both only because `/artifactory/access/...` leads to the Access API as well.
"""

import pytest
from pyartifactory import Artifactory
from pyartifactory.exception import (
    GroupNotFoundError,
    InvalidTokenDataError,
    UserAlreadyExistsError,
    UserNotFoundError,
)
from pyartifactory.models import Group, NewUser, User

from cluster import Cluster, claims, eventually, eventually_raises, unique

DAY_SECS = 24 * 3600


@pytest.fixture
def client(cluster: Cluster):
    """A client for one call, on the node whose turn it is; as the administrator unless told otherwise."""

    def make(**credential) -> Artifactory:
        credential = credential or {"auth": (cluster.admin, cluster.password)}
        return Artifactory(url=f"{cluster.next}/artifactory", **credential)

    return make


def test_a_user_is_made_read_listed_changed_and_removed(client):
    name = unique("user")
    made = client().users.create(NewUser(name=name, password="Secret-of-21-characters", email="a@example.org"))
    assert (made.name, made.email, made.admin, made.realm) == (name, "a@example.org", False, "internal")
    assert client().users.get(name) == made
    with pytest.raises(UserAlreadyExistsError):
        client().users.create(NewUser(name=name, password="Secret-of-21-characters", email="a@example.org"))
    eventually(lambda: name in [user.name for user in client().users.list()], "the user in the list of every node")
    changed = client().users.update(User(name=name, email="b@example.org", disableUIAccess=True))
    assert (changed.email, changed.disableUIAccess) == ("b@example.org", True)
    client().users.delete(name)
    eventually_raises(UserNotFoundError, lambda: client().users.get(name), "the user gone")


def test_a_group_is_made_read_listed_changed_and_removed(client, user):
    name = unique("group")
    made = client().groups.create(Group(name=name, description="who may read", userNames=[user.name]))
    assert (made.name, made.description, made.userNames) == (name, "who may read", [user.name])
    both = {name, user.group}
    eventually(lambda: set(client().users.get(user.name).groups) == both, "the user in both groups")
    eventually(lambda: name in [group.name for group in client().groups.list()], "the group in the list")
    changed = client().groups.update(Group(name=name, description="who may write", userNames=[]))
    assert (changed.description, changed.userNames) == ("who may write", [])
    client().groups.delete(name)
    eventually_raises(GroupNotFoundError, lambda: client().groups.get(name), "the group gone")


def test_an_administrator_makes_a_token_for_a_user(client, cluster, user):
    scope = f"applied-permissions/groups:{user.group}"
    made = client().security.create_access_token(user.name, expires_in=3600, refreshable=True, scope=scope)
    assert (made.scope, made.token_type, made.expires_in) == (scope, "Bearer", 3600)
    assert made.refresh_token
    assert claims(made.access_token)["sub"] == f"{cluster.service_id}/users/{user.name}"
    assert cluster.accepts(made.access_token)


def test_an_administrator_makes_a_token_with_a_token(client, cluster, user):
    bearer = client(access_token=cluster.admin_token)
    made = bearer.security.create_access_token(user.name)
    assert (made.scope, made.refresh_token) == ("applied-permissions/user", None)
    assert cluster.accepts(made.access_token)


def test_an_administrator_makes_a_token_for_a_name_without_an_account(client, cluster, user):
    name = unique("job")
    made = client().security.create_access_token(name, scope=f"applied-permissions/groups:{user.group}")
    assert claims(made.access_token)["sub"] == f"{cluster.service_id}/users/{name}"
    assert cluster.accepts(made.access_token)
    with pytest.raises(UserNotFoundError):
        client().users.get(name)


def test_a_user_makes_tokens_for_themselves_only(client, cluster, user):
    own = client(auth=(user.name, user.password)).security.create_access_token(user.name, expires_in=60)
    assert cluster.accepts(own.access_token)
    again = client(access_token=own.access_token).security.create_access_token(user.name, expires_in=60)
    assert cluster.accepts(again.access_token)
    with pytest.raises(InvalidTokenDataError) as refused:
        client(access_token=own.access_token).security.create_access_token("admin")
    assert "admin" in str(refused.value), "the client prints what was asked, not 'Unknown error'"


def test_a_token_without_end_is_made_and_revoked(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=0)
    assert "exp" not in claims(made.access_token)
    assert cluster.accepts(made.access_token)
    assert client().security.revoke_access_token(made.access_token)
    assert cluster.refuses(made.access_token)


def test_a_long_token_is_revoked_once_and_again(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=DAY_SECS)
    assert client().security.revoke_access_token(made.access_token)
    assert cluster.refuses(made.access_token)
    assert client().security.revoke_access_token(made.access_token), "it is revoked, as was asked"


def test_a_short_token_is_not_said_to_be_revoked(client, cluster, user):
    made = client().security.create_access_token(user.name, expires_in=60)
    assert not client().security.revoke_access_token(made.access_token)
    assert cluster.accepts(made.access_token)


def test_a_revoke_with_somebody_elses_token_changes_nothing(client, cluster, user):
    stranger = cluster.new_user()
    made = client().security.create_access_token(user.name, expires_in=DAY_SECS)
    assert not client(auth=(stranger.name, stranger.password)).security.revoke_access_token(made.access_token)
    assert cluster.accepts(made.access_token)


def test_what_is_wrong_with_a_request_is_said(client, user):
    with pytest.raises(InvalidTokenDataError) as refused:
        client().security.create_access_token(user.name, scope="applied-permissions/everything")
    assert "applied-permissions/everything" in str(refused.value)
    with pytest.raises(InvalidTokenDataError) as refused:
        client().security.create_access_token(user.name, expires_in=-5)
    assert "-5" in str(refused.value)
    with pytest.raises(InvalidTokenDataError):
        client(auth=("admin", "not the password")).security.create_access_token(user.name)
