"""nginx asks circlet before it lets a request through, with docs/nginx.conf as it is but for the addresses."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from urllib.parse import unquote, urlparse

import pytest
import requests

from cluster import REQUEST_TIMEOUT_SECS, Cluster, eventually, unique

CONFIGURATION = Path(__file__).parents[2] / "docs/nginx.conf"
NAMES = ("Subject", "User", "Groups", "Admin")


class Service(ThreadingHTTPServer):
    """What stands behind nginx: it remembers the headers of the last request, and how many there were."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.headers: dict[str, str] = {}
        self.requests = 0


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.headers = dict(self.headers)
        self.server.requests += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"in")

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def service():
    service = Service()
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    yield service
    service.shutdown()
    thread.join()
    service.server_close()


def _free_port() -> int:
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def proxy(cluster: Cluster, service: Service, tmp_path: Path):
    """The URL of an nginx in front of the service."""
    text, port = CONFIGURATION.read_text(), _free_port()
    places = [urlparse(url).netloc for url in cluster.urls]
    for number, place in enumerate(places, 1):
        text = text.replace(f"server 127.0.0.1:808{number};", f"server {place};")
    for before, after in [(8000, port), (9000, service.server_port)]:
        assert f"127.0.0.1:{before}" in text
        text = text.replace(f"127.0.0.1:{before}", f"127.0.0.1:{after}")
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    run = f"daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;"
    command = ["nginx", "-p", str(tmp_path), "-c", str(file), "-g", run]
    log = (tmp_path / "output").open("w+")
    nginx = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"

        def answers():
            assert nginx.poll() is None, (tmp_path / "output").read_text()
            try:
                return requests.get(url, timeout=REQUEST_TIMEOUT_SECS).status_code == 401
            except requests.ConnectionError:
                return False

        eventually(answers, "nginx answers")
        yield url
    finally:
        nginx.terminate()
        nginx.wait(REQUEST_TIMEOUT_SECS)
        log.close()


def _ask(url: str, method: str = "GET", **headers: str) -> requests.Response:
    return requests.request(
        method, f"{url}/some/thing", headers=headers, data=b"x" * 10, timeout=REQUEST_TIMEOUT_SECS
    )


def test_nginx_lets_through_whom_circlet_knows_and_says_who_it_is(cluster: Cluster, service: Service, proxy: str):
    user = cluster.new_user()
    token = cluster.create(username=user.name, scope=f"applied-permissions/groups:{user.group}", expires_in=600)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    forged = {f"X-Circlet-{name}": "admin" for name in NAMES}
    for method in ("GET", "POST"):
        answer = eventually(
            lambda: (found := _ask(proxy, method, **bearer, **forged)).status_code == 200 and found, "nginx lets it in"
        )
        assert answer.text == "in"
        told = {name: unquote(service.headers[f"X-Circlet-{name}"]) for name in NAMES}
        subject = f"{cluster.service_id}/users/{user.name}"
        assert told == {"Subject": subject, "User": user.name, "Groups": user.group, "Admin": "false"}
        assert "Authorization" not in service.headers


def test_nginx_keeps_out_whom_circlet_does_not_know(cluster: Cluster, service: Service, proxy: str):
    before = service.requests
    unknown = _ask(proxy)
    assert (unknown.status_code, "WWW-Authenticate" in unknown.headers) == (401, True)
    assert _ask(proxy, Authorization="Bearer nonsense").status_code == 401
    # A bad credential in this header is 403 in the contract, and stays that.
    assert _ask(proxy, **{"X-JFrog-Art-Api": "nonsense"}).status_code == 403
    assert service.requests == before, "nothing of that has reached the service"
    revocable = cluster.create(username=unique("robot"), scope="applied-permissions/groups:x", force_revocable=True)
    gone = cluster.as_admin("DELETE", f"/access/api/v1/tokens/{revocable['token_id']}")
    assert gone.status_code == 200, gone.text
    bearer = f"Bearer {revocable['access_token']}"
    eventually(lambda: _ask(proxy, Authorization=bearer).status_code == 401, "the revoked token is refused")
    proxied = requests.get(f"{proxy}/verify", timeout=REQUEST_TIMEOUT_SECS)
    assert proxied.status_code == 404, "the location that asks circlet is nginx's own"


@pytest.fixture
def paired(cluster: Cluster, rs256: Cluster):
    """A cluster that the one behind nginx follows."""
    invited = rs256.as_admin("POST", "/circlet/v1/circle/invitations", json={"guest": cluster.service_id})
    assert invited.status_code == 201, invited.text
    body = {"invitation": invited.json()["invitation"], "name": "paired"}
    accepted = cluster.as_admin("POST", "/circlet/v1/circle/members", json=body)
    assert accepted.status_code == 201, accepted.text
    yield rs256
    for here, there in ((cluster, rs256), (rs256, cluster)):
        gone = here.as_admin("DELETE", f"/circlet/v1/circle/members/{there.service_id}")
        assert gone.status_code == 204, gone.text


def test_nginx_lets_a_token_of_the_circle_through_under_its_whole_subject(
    cluster: Cluster, paired: Cluster, service: Service, proxy: str
):
    group = unique("group")
    for there in (cluster, paired):
        made = there.as_admin("PUT", f"/artifactory/api/security/groups/{group}", json={"name": group})
        assert made.status_code in (200, 201), made.text
    scope = f"applied-permissions/groups:{group}"
    token = paired.create(username="robot", scope=scope, expires_in=600, force_revocable=True)
    bearer = {"Authorization": f"Bearer {token['access_token']}"}
    eventually(lambda: _ask(proxy, **bearer).status_code == 200, "the paired cluster's token is let through")
    told = {name: unquote(service.headers[f"X-Circlet-{name}"]) for name in NAMES}
    subject = f"{paired.service_id}/users/robot"
    assert told == {"Subject": subject, "User": subject, "Groups": group, "Admin": "false"}
    gone = paired.as_admin("DELETE", f"/access/api/v1/tokens/{token['token_id']}")
    assert gone.status_code == 200, gone.text
    eventually(lambda: _ask(proxy, **bearer).status_code == 401, "what the paired cluster revoked is kept out")
