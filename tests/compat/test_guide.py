"""The command lines that the guide to access tokens prints, pasted: only the names in angle brackets are filled in."""

import json
import shlex
import subprocess

import pytest

from cluster import Cluster, claims, eventually

# As printed.
PING_WITH_PASSWORD = "curl -u<USERNAME>:<TOKEN> http://ARTIFACTORY_URL/api/system/ping"
PING_WITH_HEADER = 'curl -H "Authorization: Bearer <TOKEN>" http://ARTIFACTORY_URL/api/system/ping'
WITH_USERNAME = '-d "username=<USERNAME>"'
WITH_EXPIRY = '"expires_in=<VALUE_IN_SECONDS>"'

TIMEOUT_SECS = 60


def run(line: str, **values: str) -> tuple[int, str]:
    """Runs a printed line in a shell; returns the status and the body. What the guide doesn't print are curl's flags to be
    quiet and to show the status."""
    line = line.replace("ARTIFACTORY_URL", values.pop("url"))
    for name, value in values.items():
        line = line.replace(f"<{name.upper()}>", value)
    assert "<" not in line, f"something is not filled in: {line}"
    shown = line.replace("curl", "curl --silent --write-out '\\n%{http_code}'", 1)
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, timeout=TIMEOUT_SECS)
    assert done.returncode == 0, done.stderr
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.fixture(params=["", "/artifactory"])
def url(request, cluster: Cluster) -> str:
    """What the guide calls ARTIFACTORY_URL: with and without the context path."""
    return cluster.next.removeprefix("http://") + request.param


def create(cluster: Cluster, *parameters: str) -> dict:
    """A token, made with curl as the guide's parameters are meant to be used."""
    line = ["curl", "--silent", "--show-error", "-u", f"{cluster.admin}:{cluster.password}"]
    line.append(f"{cluster.next}/artifactory/api/security/token")
    done = subprocess.run(
        ["bash", "-c", " ".join([*map(shlex.quote, line), *parameters])],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_token_is_a_password(cluster, url, user):
    made = create(cluster, WITH_USERNAME.replace("<USERNAME>", user.name))
    assert run(PING_WITH_PASSWORD, url=url, username=user.name, token=made["access_token"]) == (200, "OK")


def test_a_token_is_no_password_under_another_name(cluster, url, user):
    made = create(cluster, WITH_USERNAME.replace("<USERNAME>", user.name))
    status, body = run(PING_WITH_PASSWORD, url=url, username="somebody", token=made["access_token"])
    assert status == 401 and "Token principal mismatch." in body


def test_a_token_is_a_bearer_token(cluster, url, user):
    made = create(cluster, WITH_USERNAME.replace("<USERNAME>", user.name))
    assert run(PING_WITH_HEADER, url=url, token=made["access_token"]) == (200, "OK")


def test_a_user_need_not_exist(cluster, url, user):
    made = create(
        cluster, WITH_USERNAME.replace("<USERNAME>", "ci-server"), f'-d "scope=member-of-groups:{user.group}"'
    )
    assert run(PING_WITH_HEADER, url=url, token=made["access_token"]) == (200, "OK")
    assert run(PING_WITH_PASSWORD, url=url, username="ci-server", token=made["access_token"]) == (200, "OK")


def test_an_hour_is_the_default_and_zero_is_for_ever(cluster, user):
    named = WITH_USERNAME.replace("<USERNAME>", user.name)
    made = create(cluster, named)
    assert made["expires_in"] == 3600
    said = claims(made["access_token"])
    assert said["exp"] - said["iat"] == 3600
    made = create(cluster, named, "-d", WITH_EXPIRY.replace("<VALUE_IN_SECONDS>", "0"))
    assert "expires_in" not in made and "exp" not in claims(made["access_token"])


def test_an_expired_token_is_refused(cluster, url, user):
    named = WITH_USERNAME.replace("<USERNAME>", user.name)
    made = create(cluster, named, "-d", WITH_EXPIRY.replace("<VALUE_IN_SECONDS>", "1"))

    def refused() -> bool:
        status, body = run(PING_WITH_HEADER, url=url, token=made["access_token"])
        return status == 401 and "Token failed verification: expired" in body

    eventually(refused, "the end of a token of one second")


def test_a_wrong_token_is_refused(url):
    status, body = run(PING_WITH_HEADER, url=url, token="a.b.c")
    assert status == 401 and "Token failed verification: parse" in body


class TestRefresh:
    """The guide: if only the access token and the refresh token are provided, this pair is used for authentication; if any
    other parameter is, then the request must be authenticated by a token that grants admin permissions."""

    PATH = "/artifactory/api/security/token"

    @pytest.fixture
    def form(self, cluster: Cluster, user) -> dict:
        made = create(cluster, WITH_USERNAME.replace("<USERNAME>", user.name), "-d refreshable=true -d expires_in=1800")
        return {
            "grant_type": "refresh_token",
            "refresh_token": made["refresh_token"],
            "access_token": made["access_token"],
        }

    def test_the_pair_alone_is_enough(self, cluster, form):
        answer = cluster.call("POST", self.PATH, data=form)
        assert answer.status_code == 200, answer.text
        before, after = claims(form["access_token"]), claims(answer.json()["access_token"])
        assert {key: before[key] for key in ("sub", "scp", "aud", "iss")} == {
            key: after[key] for key in ("sub", "scp", "aud", "iss")
        }
        assert after["exp"] - after["iat"] == 1800

    def test_more_needs_an_administrator(self, cluster, user, form):
        more = {**form, "scope": "member-of-groups:*"}
        assert cluster.call("POST", self.PATH, data=more).status_code == 401
        own = cluster.call("POST", self.PATH, data=more, auth=(user.name, user.password))
        assert own.status_code == 403, own.text
        answer = cluster.as_admin("POST", self.PATH, data=more)
        assert answer.status_code == 200, answer.text
        assert "member-of-groups:*" in answer.json()["scope"]


class TestWhoMayAskForWhat:
    """Administrators anything; others for themselves, within their groups, up to an hour. A token never does more than its
    own scope says."""

    PATH = "/artifactory/api/security/token"

    def ask(self, cluster: Cluster, user, **parameters: str):
        return cluster.call("POST", self.PATH, data={"username": user.name, **parameters}, auth=(user.name, user.password))

    def test_a_user_asks_within_the_limits(self, cluster, user):
        for parameters in ({}, {"expires_in": "3600"}, {"scope": f"member-of-groups:{user.group}"}, {"refreshable": "true"}):
            answer = self.ask(cluster, user, **parameters)
            assert answer.status_code == 200, answer.text

    def test_a_user_asks_for_too_much(self, cluster, user):
        other = cluster.new_user()
        for parameters in (
            {"username": other.name},
            {"username": "ci-server", "scope": f"member-of-groups:{user.group}"},
            {"username": f"{cluster.service_id}/ci/server", "scope": f"member-of-groups:{user.group}"},
            {"expires_in": "3601"},
            {"expires_in": "0"},
            {"scope": f"member-of-groups:{other.group}"},
            {"scope": f"{cluster.service_id}:admin"},
        ):
            answer = self.ask(cluster, user, **parameters)
            assert answer.status_code == 400, (parameters, answer.text)
            assert answer.json()["error"] == "invalid_request"

    def test_an_administrators_token_for_a_group_is_no_administrator(self, cluster, user):
        made = create(cluster, f"-d username={cluster.admin}", f"-d scope=member-of-groups:{user.group}")
        token = made["access_token"]
        assert cluster.call("GET", self.PATH, token=token).status_code == 403
        for_another = cluster.call("POST", self.PATH, token=token, data={"username": user.name})
        assert for_another.status_code == 400, for_another.text

    def test_an_admin_token_is_an_administrator(self, cluster, user):
        made = create(cluster, "-d username=mission-control", f"-d scope={cluster.service_id}:admin")
        assert cluster.call("GET", self.PATH, token=made["access_token"]).status_code == 200
        service_id = cluster.call("GET", "/artifactory/api/system/service_id", token=made["access_token"])
        assert (service_id.status_code, service_id.text) == (200, cluster.service_id)


@pytest.fixture
def setting(cluster: Cluster):
    """Changes a setting for the time of one test, and waits until every node goes by it."""
    path = "/circlet/v1/config/{}"
    before = {}

    def change(name: str, value):
        put = cluster.as_admin("PUT", path.format(name), json={"value": value})
        assert put.status_code == 200, put.text

        def everywhere() -> bool:
            seen = [cluster.as_admin("GET", path.format(name)).json()["value"] for _ in cluster.urls]
            return all(str(one) == str(value) for one in seen)

        eventually(everywhere, f"{name} = {value} on every node")

    def remember(name: str, value):
        before.setdefault(name, cluster.as_admin("GET", path.format(name)).json()["value"])
        change(name, value)

    yield remember
    for name, value in before.items():
        change(name, value)


class TestRevoking:
    """`minimum-revocable-expiry` says which tokens that end can be revoked; none by default."""

    PATH = "/artifactory/api/security/token"

    def revoke(self, cluster: Cluster, token: str) -> tuple[int, str]:
        answer = cluster.as_admin("POST", f"{self.PATH}/revoke", data={"token": token})
        return answer.status_code, answer.text if answer.ok else answer.json()["error_description"].partition(" (")[0]

    def make(self, cluster: Cluster, user, expires_in: int) -> str:
        named = WITH_USERNAME.replace("<USERNAME>", user.name)
        expiry = WITH_EXPIRY.replace("<VALUE_IN_SECONDS>", str(expires_in))
        return create(cluster, named, "-d", expiry)["access_token"]

    def test_by_default_no_token_that_ends(self, cluster, user):
        token = self.make(cluster, user, expires_in=30 * 24 * 3600)
        assert self.revoke(cluster, token) == (400, "Token not revocable")
        assert cluster.accepts(token)

    def test_a_token_without_end_must_be_revoked_and_is(self, cluster, user):
        token = self.make(cluster, user, expires_in=0)
        assert cluster.accepts(token)
        assert self.revoke(cluster, token) == (200, "Token revoked")
        assert cluster.refuses(token)
        assert self.revoke(cluster, token) == (200, "Token not found")

    def test_from_the_minimum_on(self, cluster, user, setting):
        setting("token.minimum-revocable-expiry", 600)
        below, at = self.make(cluster, user, expires_in=599), self.make(cluster, user, expires_in=600)
        assert self.revoke(cluster, below) == (400, "Token not revocable")
        assert self.revoke(cluster, at) == (200, "Token revoked")
        assert cluster.accepts(below)
        assert cluster.refuses(at)

    def test_with_a_minimum_of_zero_every_token(self, cluster, user, setting):
        setting("token.minimum-revocable-expiry", 0)
        token = self.make(cluster, user, expires_in=60)
        assert cluster.accepts(token)
        assert self.revoke(cluster, token) == (200, "Token revoked")
        assert cluster.refuses(token)


class TestLongestExpiryOfUsers:
    """`non-admin-max-duration`: an hour by default, whatever the operator sets otherwise."""

    PATH = "/artifactory/api/security/token"

    @pytest.mark.parametrize(
        ("limit", "allowed", "refused"), [(7200, ["7200"], ["7201", "0"]), (60, ["60"], ["61", "3600"]), (0, ["999999", "0"], [])]
    )
    def test_the_operator_sets_it(self, cluster, user, setting, limit, allowed, refused):
        setting("token.non-admin-max-duration", limit)
        for expiry, status in [*((expiry, 200) for expiry in allowed), *((expiry, 400) for expiry in refused)]:
            body = {"username": user.name, "expires_in": expiry}
            answer = cluster.call("POST", self.PATH, data=body, auth=(user.name, user.password))
            assert answer.status_code == status, (expiry, answer.text)


class TestExternalUsers:
    """A user of an external authentication server can still refresh the own token after having been removed from there; one
    of this server cannot."""

    PATH = "/artifactory/api/security/token"

    @pytest.mark.parametrize(("realm", "status"), [("ldap", 200), ("internal", 401)])
    def test_refreshing_after_the_removal(self, cluster, user, realm, status):
        path = f"/artifactory/api/security/users/{user.name}"
        assert cluster.as_admin("POST", path, json={"realm": realm}).status_code == 200
        body = {"username": user.name, "scope": f"member-of-groups:{user.group}", "refreshable": "true"}

        def made() -> dict | None:
            # The node must have heard of the realm.
            if cluster.as_admin("GET", path + "?consistency=strong").json()["realm"] != realm:
                return None
            answer = cluster.call("POST", self.PATH, data=body, auth=(user.name, user.password))
            assert answer.status_code == 200, answer.text
            return answer.json()

        pair = eventually(made, "the realm of the user")
        assert cluster.as_admin("DELETE", path).status_code == 200
        form = {"grant_type": "refresh_token", **{key: pair[key] for key in ("access_token", "refresh_token")}}
        answer = cluster.call("POST", self.PATH, data=form)
        assert answer.status_code == status, answer.text
        if status == 200:
            assert cluster.accepts(answer.json()["access_token"])
