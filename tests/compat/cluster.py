"""The cluster that the clients are run against: three nodes, of which every call takes the next.

A client that was written for a single server knows nothing of that. What one node has made, the next one finds at once,
since it makes sure before it says that there is no such thing. What one node has changed or removed, the next one may still
see as it was, for the short while that `verify.max-staleness` allows; tests wait for that (`eventually`).
"""

import base64
import itertools
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import requests

REQUEST_TIMEOUT_SECS = 30
DEADLINE_SECS = 90
POLL_SECS = 0.05
# verify.max-staleness, as it is by default, and the 200 ppm of drift that clocks are allowed.
STALENESS_SECS_MAX = 2.0 * 1.0002


@dataclass
class User:
    """A user with a password, in one group."""

    name: str
    password: str
    group: str


class Cluster:
    """A running cluster, as the ready file of `circlet dev` describes it."""

    def __init__(self, ready_file: Path):
        ready = json.loads(ready_file.read_text())
        self.service_id: str = ready["service_id"]
        self.urls: list[str] = [node["url"] for node in ready["nodes"]]
        self.homes: list[Path] = [Path(node["home"]) for node in ready["nodes"]]
        self.admin: str = ready["admin"]["username"]
        self.password: str = ready["admin"]["password"]
        self.admin_token: str = ready["admin"]["access_token"]
        assert len(self.urls) == 3, "each call goes to another of three nodes"
        self._turn = itertools.cycle(self.urls)

    @property
    def next(self) -> str:
        """The URL of the node whose turn it is."""
        return next(self._turn)

    def call(self, method: str, path: str, *, token: str | None = None, **rest) -> requests.Response:
        """One request to the node whose turn it is; with this token as bearer, or with what `rest` says. A node that can't
        answer now (503), as happens on a busy machine, is asked again."""
        headers = dict(rest.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = self.next + path
        deadline = time.monotonic() + DEADLINE_SECS
        while True:
            answer = requests.request(method, url, headers=headers, timeout=REQUEST_TIMEOUT_SECS, **rest)
            if answer.status_code != 503 or time.monotonic() > deadline:
                return answer
            time.sleep(POLL_SECS)

    def as_admin(self, method: str, path: str, **rest) -> requests.Response:
        """One request with the administrator's token."""
        return self.call(method, path, token=self.admin_token, **rest)

    def create(self, **parameters) -> dict:
        """A token of the Access API, made by the administrator."""
        response = self.as_admin("POST", "/access/api/v1/tokens", json=parameters)
        assert response.status_code == 200, response.text
        return response.json()

    def new_user(self) -> User:
        """A user that no other test knows, in a group that no other test knows."""
        user = User(name=unique("user"), password=unique("Password-"), group=unique("group"))
        group = self.as_admin("PUT", f"/artifactory/api/security/groups/{user.group}", json={"name": user.group})
        assert group.status_code in (200, 201), group.text
        body = {"email": "a@example.org", "password": user.password, "groups": [user.group]}
        created = self.as_admin("PUT", f"/artifactory/api/security/users/{user.name}", json=body)
        assert created.status_code in (200, 201), created.text
        return user

    def ping(self, token: str) -> list[requests.Response]:
        """What every node says to a ping with this token."""
        path = "/artifactory/api/system/ping"
        return [self.call("GET", path, token=token) for _ in self.urls]

    def accepts(self, token: str) -> bool:
        """Whether every node takes the token."""
        return all(answer.status_code == 200 for answer in self.ping(token))

    def refuses(self, token: str) -> bool:
        """Whether every node refuses the token. What was revoked is refused where a request is sent later than the bound
        that the cluster promises; before that it may be."""
        promised = time.monotonic() + STALENESS_SECS_MAX
        while True:
            late = time.monotonic() > promised
            codes = {answer.status_code for answer in self.ping(token)}
            assert codes <= {200, 401}, codes
            if codes == {401} or late:
                return codes == {401}
            time.sleep(POLL_SECS)


def unique(prefix: str) -> str:
    """A name that nothing else has."""
    return f"{prefix}{uuid.uuid4().hex[:12]}"


def claims(token: str) -> dict:
    """The claims of a token, not verified: what a client that only looks finds."""
    return json.loads(_segment(token, 1))


def header(token: str) -> dict:
    """The header of a token."""
    return json.loads(_segment(token, 0))


def _segment(token: str, number: int) -> bytes:
    text = token.split(".")[number]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def eventually(holds, what: str):
    """Asks until the answer is something true, and returns it; gives up with what was waited for."""
    deadline = time.monotonic() + DEADLINE_SECS
    while True:
        answer = holds()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECS} s: {what}"
        time.sleep(POLL_SECS)


def eventually_raises(exception: type[Exception], call, what: str):
    """Calls until it raises this: a node may not have heard of the latest change for as long as the bound allows."""

    def raises() -> bool:
        try:
            call()
        except exception:
            return True
        return False

    eventually(raises, what)
