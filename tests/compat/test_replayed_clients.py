"""Requests of clients that come from no package registry, with the methods, paths, credentials and fields that they send,
written down from their sources: the JFrog CLI and its Go client, the Terraform provider, the Vault plugin, secret scanners."""

import base64
import datetime
import threading
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from cluster import Cluster, claims, eventually, header, unique

ACCESS = "/access/api/v1/tokens"
LEGACY = "/artifactory/api/security/token"
DAY_SECS = 24 * 3600


def expired(cluster: Cluster, **parameters) -> dict:
    """A token of one second, over."""
    made = cluster.create(expires_in=1, **parameters)

    def over() -> bool:
        answer = cluster.call("GET", f"{ACCESS}/me", token=made["access_token"])
        return answer.status_code == 401 and answer.json()["errors"][0]["message"] == "Invalid token, expired"

    eventually(over, "the end of a token of one second")
    return made


class TestJfAccessTokenCreate:
    """`jf atc`: JSON with a bearer token; every field is there, an expiry only if one was given."""

    @pytest.mark.parametrize(
        "scope", ["applied-permissions/user", "applied-permissions/admin", "applied-permissions/groups:{group}", "system:metrics:r"]
    )
    def test_the_scope_comes_back_as_it_was_asked_for(self, cluster, user, scope):
        scope = scope.format(group=user.group)
        body = {"refreshable": False, "include_reference_token": False, "username": user.name, "scope": scope}
        answer = cluster.as_admin("POST", ACCESS, json=body)
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert (made["scope"], made["token_type"]) == (scope, "Bearer")
        assert made["expires_in"] == 365 * DAY_SECS, "the default of this API"
        assert isinstance(made["expires_in"], int)
        assert "refresh_token" not in made and "reference_token" not in made
        assert claims(made["access_token"])["jti"] == made["token_id"]

    def test_the_rights_of_a_user_need_that_user(self, cluster):
        # Clients take a 404 here for a server without this API.
        body = {"username": unique("nobody"), "scope": "applied-permissions/user"}
        answer = cluster.as_admin("POST", ACCESS, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "BAD_REQUEST"), answer.text
        assert body["username"] in answer.json()["errors"][0]["message"]

    def test_several_groups_and_admin_in_one_scope(self, cluster, user):
        other = cluster.new_user().group
        scope = f"applied-permissions/groups:{user.group},{other} applied-permissions/admin"
        assert cluster.create(username=user.name, scope=scope)["scope"] == scope

    def test_an_expiry_of_zero_is_left_out(self, cluster, user):
        body = {
            "refreshable": False,
            "include_reference_token": False,
            "username": user.name,
            "scope": "applied-permissions/user",
            "expires_in": 0,
        }
        answer = cluster.as_admin("POST", ACCESS, json=body)
        assert answer.status_code == 200, answer.text
        assert "expires_in" not in answer.json()
        assert "exp" not in claims(answer.json()["access_token"])

    def test_a_reference_token_stands_for_the_token(self, cluster, user):
        body = {
            "refreshable": False,
            "include_reference_token": True,
            "username": user.name,
            "scope": "applied-permissions/user",
            "expires_in": 3600,
        }
        reference = cluster.as_admin("POST", ACCESS, json=body).json()["reference_token"]
        assert cluster.accepts(reference)

    def test_the_go_client_reads_the_claims_with_the_standard_alphabet(self, cluster, user):
        # It decodes with the unpadded standard alphabet, in which `-` and `_` mean nothing.
        for name in ("a~b~c~", "?what?is?this", "ünïcödé-ÿÿÿ", ">>>"):
            scope = f"applied-permissions/groups:{user.group}"
            made = cluster.create(username=name, scope=scope, description="for the alphabet")
            payload = made["access_token"].split(".")[1]
            assert "-" not in payload and "_" not in payload, payload
            assert claims(made["access_token"])["sub"].endswith(f"/users/{name}")

    def test_an_empty_json_body_means_all_defaults(self, cluster, user):
        mine = cluster.create(username=user.name, scope="applied-permissions/user")["access_token"]
        answer = cluster.call(
            "POST", ACCESS, token=mine, data=b"", headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert made["scope"] == "applied-permissions/user"
        assert claims(made["access_token"])["sub"] == f"{cluster.service_id}/users/{user.name}"


class TestJfRefresh:
    """`jf` renews a login: the old access token is the bearer, usually expired, and is in the body as well."""

    @pytest.mark.parametrize("how_old", ["expired", "still valid"])
    def test_both_tokens_change(self, cluster, user, how_old):
        order = {"username": user.name, "scope": "applied-permissions/user", "refreshable": True}
        old = expired(cluster, **order) if how_old == "expired" else cluster.create(expires_in=3600, **order)
        body = {
            "access_token": old["access_token"],
            "grant_type": "refresh_token",
            "refresh_token": old["refresh_token"],
            "refreshable": True,
        }
        answer = cluster.call("POST", ACCESS, token=old["access_token"], json=body)
        assert answer.status_code == 200, answer.text
        new = answer.json()
        assert new["access_token"] != old["access_token"] and new["refresh_token"] != old["refresh_token"]
        assert (new["expires_in"], new["scope"]) == (old["expires_in"], old["scope"])
        before, after = claims(old["access_token"]), claims(new["access_token"])
        assert after["jti"] == new["token_id"] != before["jti"]
        assert (after["sub"], after["scp"], after["aud"]) == (before["sub"], before["scp"], before["aud"])

    def test_a_lost_answer_is_given_again_and_the_chain_goes_on(self, cluster, user):
        pair = cluster.create(
            username=user.name, scope="applied-permissions/user", refreshable=True, expires_in=DAY_SECS
        )

        def refreshed(pair: dict):
            body = {
                "access_token": pair["access_token"],
                "grant_type": "refresh_token",
                "refresh_token": pair["refresh_token"],
                "refreshable": True,
            }
            return cluster.call("POST", ACCESS, token=pair["access_token"], json=body)

        first, again = refreshed(pair).json(), refreshed(pair).json()
        assert (first["access_token"], first["refresh_token"]) == (again["access_token"], again["refresh_token"])
        assert cluster.refuses(pair["access_token"]), "it ended with its refresh"
        assert cluster.accepts(first["access_token"])
        second = refreshed(first)
        assert second.status_code == 200, second.text
        late = refreshed(pair)
        assert late.status_code == 404, late.text
        error = late.json()["errors"][0]
        assert (error["code"], error["message"]) == (
            "NOT_FOUND",
            "Token matching the provided refresh token was not found.",
        )

    def test_jobs_that_refresh_at_the_same_time_get_the_same_successor(self, cluster, user):
        pair = cluster.create(username=user.name, scope="applied-permissions/user", refreshable=True, expires_in=3600)
        body = {
            "access_token": pair["access_token"],
            "grant_type": "refresh_token",
            "refresh_token": pair["refresh_token"],
            "refreshable": True,
        }
        jobs = 12
        together = threading.Barrier(jobs)

        def refresh(_job: int):
            together.wait()
            return cluster.call("POST", ACCESS, token=pair["access_token"], json=body)

        with ThreadPoolExecutor(jobs) as pool:
            answers = list(pool.map(refresh, range(jobs)))
        assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers]
        assert len({(answer.json()["access_token"], answer.json()["refresh_token"]) for answer in answers}) == 1
        assert cluster.accepts(answers[0].json()["access_token"])

    def test_the_older_api_takes_the_pair_alone(self, cluster, user):
        create = {
            "grant_type": "client_credentials",
            "scope": f"api:* member-of-groups:{user.group}",
            "username": user.name,
            "expires_in": "1800",
            "refreshable": "true",
        }
        old = cluster.as_admin("POST", LEGACY, data=create)
        assert old.status_code == 200, old.text
        assert set(old.json()) == {"scope", "access_token", "expires_in", "token_type", "refresh_token"}
        pair = {
            "grant_type": "refresh_token",
            "refresh_token": old.json()["refresh_token"],
            "access_token": old.json()["access_token"],
        }
        new = cluster.call("POST", LEGACY, data=pair)
        assert new.status_code == 200, new.text
        assert new.json()["access_token"] != pair["access_token"]
        assert new.json()["refresh_token"] != pair["refresh_token"]
        assert (new.json()["expires_in"], new.json()["scope"]) == (1800, old.json()["scope"])


class TestGoClientOfTheOlderApi:
    """What the Go client's own tests do with tokens."""

    def create(self, cluster: Cluster, user, **more) -> dict:
        body = {
            "refreshable": "true",
            "scope": f"api:* member-of-groups:{user.group}",
            "username": user.name,
            "audience": "jfrt@*",
            **more,
        }
        answer = cluster.as_admin("POST", LEGACY, data=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def revoke(self, cluster: Cluster, **what) -> tuple[int, str, str]:
        answer = cluster.as_admin("POST", f"{LEGACY}/revoke", data=what)
        return answer.status_code, answer.headers["Content-Type"].split(";")[0], answer.text

    def test_the_refresh_token_is_revoked_and_then_not_found(self, cluster, user):
        made = self.create(cluster, user)
        assert self.revoke(cluster, token=made["refresh_token"]) == (200, "text/plain", "Token revoked")
        assert self.revoke(cluster, token=made["refresh_token"]) == (200, "text/plain", "Token not found")

    def test_what_never_was_a_token_is_not_found(self, cluster):
        assert self.revoke(cluster, token="faketoken") == (200, "text/plain", "Token not found")

    def test_the_access_token_is_revoked_by_value_and_by_id(self, cluster, user):
        for key in ("token", "token_id"):
            made = self.create(cluster, user, expires_in="0")
            assert "expires_in" not in made
            what = made["access_token"] if key == "token" else claims(made["access_token"])["jti"]
            assert self.revoke(cluster, **{key: what}) == (200, "text/plain", "Token revoked")
            assert cluster.refuses(made["access_token"])
            assert self.revoke(cluster, **{key: what}) == (200, "text/plain", "Token not found")

    def test_the_users_tokens_are_found_by_the_end_of_their_subject(self, cluster, user):
        made = self.create(cluster, user)

        def ids() -> list[str]:
            tokens = cluster.as_admin("GET", LEGACY).json()["tokens"]
            return [token["token_id"] for token in tokens if token["subject"].endswith(f"/{user.name}")]

        assert eventually(ids, "the token in the list") == [claims(made["access_token"])["jti"]]

    def test_the_audience_is_every_artifactory(self, cluster, user):
        assert claims(self.create(cluster, user)["access_token"])["aud"] == "jfrt@*"
        assert claims(self.create(cluster, user, audience="*@*")["access_token"])["aud"] == "jfrt@*"


class TestTerraformScopedToken:
    """The provider writes every field, reads what it made, and removes it."""

    def body(self, user, **more) -> dict:
        return {
            "grant_type": "client_credentials",
            "username": user.name,
            "project_key": "",
            "scope": f'applied-permissions/groups:"{user.group}"',
            "expires_in": 7 * DAY_SECS,
            "refreshable": True,
            "description": "made by Terraform",
            "audience": "jfrt@*",
            "include_reference_token": True,
            **more,
        }

    def test_made_read_and_removed(self, cluster, user):
        answer = cluster.as_admin("POST", ACCESS, json=self.body(user))
        assert answer.status_code == 200, answer.text
        made = answer.json()
        assert {"token_id", "access_token", "refresh_token", "reference_token", "expires_in", "scope", "token_type"} <= set(made)
        assert made["scope"] == f'applied-permissions/groups:"{user.group}"'
        read = cluster.as_admin("GET", f"{ACCESS}/{made['token_id']}")
        assert read.status_code == 200, read.text
        item, said = read.json(), claims(made["access_token"])
        assert item["token_id"] == made["token_id"]
        assert (item["subject"], item["issuer"]) == (said["sub"], said["iss"])
        assert (item["expiry"], item["issued_at"]) == (said["exp"], said["iat"])
        assert (item["description"], item["refreshable"]) == ("made by Terraform", True)
        removed = cluster.as_admin("DELETE", f"{ACCESS}/{made['token_id']}")
        assert removed.status_code == 200, removed.text
        for token in (made["access_token"], made["reference_token"]):
            assert cluster.refuses(token)
        again = cluster.as_admin("DELETE", f"{ACCESS}/{made['token_id']}")
        assert (again.status_code, again.text) == (204, "")

    def test_what_was_never_recorded_is_404_and_said_so_at_once(self, cluster, user):
        made = cluster.as_admin(
            "POST", ACCESS, json=self.body(user, refreshable=False, include_reference_token=False, expires_in=600)
        ).json()
        assert made["persisted"] is False
        missing = cluster.as_admin("GET", f"{ACCESS}/{made['token_id']}")
        assert missing.status_code == 404
        assert missing.json()["errors"][0] | {"detail": ""} == {
            "code": "NOT_FOUND",
            "message": "HTTP 404 Not Found",
            "detail": "",
        }

    def test_an_empty_id_is_never_all_tokens(self, cluster):
        answer = cluster.as_admin("DELETE", f"{ACCESS}/")
        assert answer.status_code == 405
        assert answer.json()["errors"][0]["code"] == "METHOD_NOT_ALLOWED"
        assert cluster.accepts(cluster.admin_token)


class TestVaultPlugin:
    """The plugin asks for the version, reads the root certificate, makes tokens and ends them; and it notices by the text
    of the error that its own token has expired. On a cluster of either kind."""

    def test_the_version_has_everything(self, each_cluster):
        answer = each_cluster.as_admin("GET", "/artifactory/api/system/version")
        assert answer.status_code == 200, answer.text
        major, minor, patch = (int(part) for part in answer.json()["version"].split("."))
        assert (major, minor, patch) >= (7, 50, 3), "which is when force_revocable came"

    def certificate(self, cluster: Cluster) -> x509.Certificate:
        answer = cluster.as_admin("GET", "/access/api/v1/cert/root")
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"].startswith("text/plain")
        der = base64.b64decode(answer.text, validate=True)
        return x509.load_der_x509_certificate(der)

    def test_a_token_verifies_with_the_root_certificate(self, each_cluster, request):
        certificate = self.certificate(each_cluster)
        name = unique("v-role-")
        group = each_cluster.new_user().group
        answer = each_cluster.as_admin(
            "POST",
            ACCESS,
            json={
                "grant_type": "client_credentials",
                "username": name,
                "scope": f"applied-permissions/groups:{group}",
                "expires_in": 3600,
                "refreshable": False,
                "description": "vault",
                "audience": "*@*",
                "force_revocable": True,
                "include_reference_token": False,
            },
        )
        assert answer.status_code == 200, answer.text
        made = answer.json()
        algorithm = header(made["access_token"])["alg"]
        assert algorithm == {"eddsa": "EdDSA", "rs256": "RS256"}[request.node.callspec.params["each_cluster"]]
        said = jwt.decode(
            made["access_token"],
            certificate.public_key(),
            algorithms=[algorithm],
            audience="*@*",
            issuer=each_cluster.service_id,
            options={"require": ["exp", "iat", "iss", "sub", "jti"]},
        )
        parts = said["sub"].split("/")
        assert parts == [each_cluster.service_id, "users", name]
        assert (said["jti"], said["scp"]) == (made["token_id"], f"applied-permissions/groups:{group}")
        assert said["ext"] == '{"revocable":"true"}'
        fingerprint = base64.urlsafe_b64encode(certificate.fingerprint(SHA256()))
        assert header(made["access_token"])["kid"] == fingerprint.decode().rstrip("=")
        assert certificate.not_valid_after_utc > datetime.datetime.now(datetime.UTC)
        ended = each_cluster.as_admin("DELETE", f"{ACCESS}/{made['token_id']}")
        assert ended.status_code == 200, ended.text
        assert each_cluster.refuses(made["access_token"])

    def test_an_expired_token_is_said_to_be_expired(self, each_cluster):
        user = each_cluster.new_user()
        token = expired(each_cluster, username=user.name, scope="applied-permissions/user")["access_token"]
        me = each_cluster.call("GET", f"{ACCESS}/me", token=token)
        assert (me.status_code, me.json()["errors"][0]["code"]) == (401, "UNAUTHORIZED")
        assert me.json()["errors"][0]["message"] == "Invalid token, expired"
        version = each_cluster.call("GET", "/artifactory/api/system/version", token=token)
        assert version.status_code == 401
        assert version.json() == {"errors": [{"status": 401, "message": "Token failed verification: expired"}]}

    def test_its_own_token_is_refreshed_with_an_expiry_of_zero_that_means_nothing(self, each_cluster):
        user = each_cluster.new_user()
        old = expired(each_cluster, username=user.name, scope="applied-permissions/user", refreshable=True)
        body = {"grant_type": "refresh_token", "expires_in": 0, "refresh_token": old["refresh_token"]}
        answer = each_cluster.call("POST", ACCESS, token=old["access_token"], json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["expires_in"] == old["expires_in"]
        assert "exp" in claims(answer.json()["access_token"])

    def test_a_booleans_text_is_a_boolean_in_json_and_in_forms(self, cluster, user):
        parameters = {"username": user.name, "scope": "applied-permissions/user", "expires_in": "600"}
        for value in ("true", "True"):
            body = {**parameters, "force_revocable": value, "include_reference_token": value}
            for made in (
                cluster.as_admin("POST", ACCESS, json=body),
                cluster.as_admin("POST", ACCESS, data=body),
            ):
                assert made.status_code == 200, made.text
                assert claims(made.json()["access_token"])["ext"] == '{"revocable":"true"}'
                assert made.json()["reference_token"]

    def test_a_usage_report_is_answered(self, cluster):
        report = {"productId": "vault-plugin-secrets-artifactory/1.8.0", "features": [{"featureId": "Partner/ACC-007449"}]}
        assert cluster.as_admin("POST", "/artifactory/api/system/usage", json=report).status_code == 200


class TestSecretScanners:
    """A scanner that found something looks whether it lives."""

    def test_a_living_reference_token_says_who_it_is(self, cluster, user):
        made = cluster.create(username=user.name, scope="applied-permissions/user", include_reference_token=True)
        reference = made["reference_token"]
        assert len(reference) == 64 and reference.isalnum() and reference.startswith("cmVmdGtu")
        kind, version, expiry, random = base64.b64decode(reference).decode("ascii").split(":")
        assert (kind, version, len(random)) == ("reftkn", "01", 27)
        assert int(expiry) == claims(made["access_token"])["exp"] and len(expiry) == 10
        me = cluster.call("GET", f"{ACCESS}/me", token=reference)
        assert me.status_code == 200, me.text
        assert me.json()["subject"] == f"{cluster.service_id}/users/{user.name}"

    def test_a_dead_one_is_401_in_json(self, cluster, user):
        made = cluster.create(
            username=user.name, scope="applied-permissions/user", include_reference_token=True, expires_in=DAY_SECS
        )
        assert cluster.as_admin("DELETE", f"{ACCESS}/{made['token_id']}").status_code == 200
        never = base64.b64encode(b"reftkn:01:0000000000:" + b"A" * 27).decode()
        assert cluster.refuses(made["reference_token"])
        for token in (made["reference_token"], never):
            me = cluster.call("GET", f"{ACCESS}/me", token=token)
            assert me.status_code == 401
            assert me.json()["errors"][0]["code"] == "UNAUTHORIZED"


class TestTerraformUsersAndGroups:
    """The provider keeps users and groups on the newer API."""

    USERS = "/access/api/v2/users"
    GROUPS = "/access/api/v2/groups"

    def test_a_user_is_made_changed_and_removed(self, cluster, user):
        name = unique("user")
        body = {
            "username": name,
            "email": "a@example.org",
            "password": "Secret-of-21-characters",
            "admin": False,
            "profile_updatable": True,
            "disable_ui_access": True,
            "internal_password_disabled": False,
            "groups": [user.group],
        }
        made = cluster.as_admin("POST", self.USERS, json=body)
        assert made.status_code == 201, made.text
        assert made.json()["username"] == name and "password" not in made.json()
        again = cluster.as_admin("POST", self.USERS, json=body)
        assert again.status_code == 409 and again.json()["errors"], again.text
        read = cluster.as_admin("GET", f"{self.USERS}/{name}")
        assert read.status_code == 200, read.text
        expected = {key: value for key, value in body.items() if key != "password"}
        assert read.json() | expected == read.json()
        assert (read.json()["status"], read.json()["realm"]) == ("enabled", "internal")
        token = cluster.create(username=name, scope="applied-permissions/user", expires_in=600)["access_token"]
        assert cluster.accepts(token)
        changed = cluster.as_admin("PATCH", f"{self.USERS}/{name}", json={"email": "b@example.org", "groups": []})
        assert changed.status_code == 200, changed.text
        read = cluster.as_admin("GET", f"{self.USERS}/{name}?consistency=strong").json()
        assert (read["email"], read["groups"]) == ("b@example.org", [])

        def listed() -> bool:
            users = cluster.as_admin("GET", self.USERS).json()["users"]
            return name in [user["username"] for user in users]

        eventually(listed, "the user in the list")
        removed = cluster.as_admin("DELETE", f"{self.USERS}/{name}")
        assert (removed.status_code, removed.text) == (204, "")
        eventually(lambda: cluster.as_admin("GET", f"{self.USERS}/{name}").status_code == 404, "the user gone")

    def test_a_user_that_is_disabled_or_removed_has_no_tokens(self, cluster):
        user = cluster.new_user()
        token = cluster.create(username=user.name, scope="applied-permissions/user")["access_token"]
        assert cluster.accepts(token)

        def refused_everywhere() -> bool:
            return all(answer.status_code in (401, 403) for answer in cluster.ping(token))

        for status in ("disabled", "enabled"):
            changed = cluster.as_admin("PATCH", f"{self.USERS}/{user.name}", json={"status": status})
            assert changed.status_code == 200, changed.text
            if status == "disabled":
                eventually(refused_everywhere, "the token of a disabled user refused on every node")
        assert cluster.as_admin("DELETE", f"{self.USERS}/{user.name}").status_code == 204
        eventually(refused_everywhere, "the token of a removed user refused on every node")
        again = {"email": "a@example.org", "password": user.password}
        path = f"/artifactory/api/security/users/{user.name}"
        assert cluster.as_admin("PUT", path, json=again).status_code in (200, 201)
        assert refused_everywhere(), "a later user of that name does not inherit tokens"

    def test_a_group_is_made_changed_and_removed(self, cluster, user):
        name = unique("group")
        made = cluster.as_admin("POST", self.GROUPS, json={"name": name, "description": "who may read"})
        assert made.status_code == 201, made.text
        read = cluster.as_admin("GET", f"{self.GROUPS}/{name}")
        assert (read.status_code, read.json()["description"]) == (200, "who may read")
        changed = cluster.as_admin("PATCH", f"{self.GROUPS}/{name}", json={"description": "who may write"})
        assert changed.status_code == 200, changed.text
        assert cluster.as_admin("DELETE", f"{self.GROUPS}/{name}").status_code == 204
        eventually(lambda: cluster.as_admin("GET", f"{self.GROUPS}/{name}").status_code == 404, "the group gone")


class TestSmallerClients:
    """What packages with few users send, where it differs from what the others send."""

    def test_the_service_id_is_asked_for_as_json_and_comes_as_text(self, cluster):
        path = "/artifactory/api/system/service_id"
        answer = cluster.as_admin("GET", path, headers={"Accept": "application/json"})
        assert (answer.status_code, answer.text) == (200, cluster.service_id)
        assert answer.headers["Content-Type"].startswith("text/plain")

    def test_a_ping_needs_no_credential_and_takes_no_bad_one(self, cluster):
        for path in ("/artifactory/api/system/ping", "/api/system/ping", "/access/api/v1/system/ping"):
            answer = cluster.call("GET", path)
            assert (answer.status_code, answer.text) == (200, "OK")
        answer = cluster.call("GET", "/artifactory/api/system/ping", auth=("admin", "not the password"))
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="Artifactory Realm"'
        assert answer.json() == {"errors": [{"status": 401, "message": "Unauthorized"}]}

    def test_a_bad_token_in_the_header_of_its_own_is_forbidden(self, cluster):
        for header in ("X-JFrog-Art-Api", "X-Api-Key"):
            answer = cluster.call("GET", "/artifactory/api/system/ping", headers={header: "a.b.c"})
            assert answer.status_code == 403, answer.text

    def test_a_token_is_revoked_by_its_value_in_json(self, cluster, user):
        made = cluster.create(username=user.name, scope="applied-permissions/user", expires_in=0)
        answer = cluster.as_admin("DELETE", f"{ACCESS}/revoke", json={"token": made["access_token"]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["revoked_token_id"] == answer.json()["revoked-token-id"] == made["token_id"]
        assert cluster.refuses(made["access_token"])

    def test_the_default_expiry_is_read_and_set_on_either_path(self, cluster, user):
        path = "/access/api/v1/config/token/default_expiry"
        before = cluster.as_admin("GET", path).json()["default_token_expiration"]
        try:
            changed = cluster.as_admin(
                "PUT", f"{ACCESS}/default_expiry", data="default_expiry=7200", headers={"Content-Type": "application/json"}
            )
            assert changed.status_code == 200, changed.text

            eventually(lambda: self.in_use(cluster, user) == {7200}, "the default in use on every node")
        finally:
            restored = cluster.as_admin("PUT", path, json={"default_token_expiration": before})
            assert restored.status_code == 200, restored.text
        eventually(lambda: self.in_use(cluster, user) == {before}, "the default in use again")
        read = cluster.as_admin("GET", f"{ACCESS}/default_expiry?consistency=strong").json()
        assert read["default_expiry"] == read["default_token_expiration"] == before

    def in_use(self, cluster: Cluster, user) -> set[int]:
        """The lifetime that tokens get on each node when none is asked for."""
        order = {"username": user.name, "scope": "applied-permissions/user"}
        return {cluster.create(**order)["expires_in"] for _ in cluster.urls}

    def test_every_way_to_the_access_api_is_the_same(self, cluster):
        for prefix in ("/access", "/artifactory/access", "/artifactory/api/access"):
            answer = cluster.as_admin("GET", f"{prefix}/api/v1/tokens/me")
            assert (answer.status_code, answer.json()["username"]) == (200, cluster.admin)
