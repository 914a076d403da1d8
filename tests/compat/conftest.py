"""The clusters, started by scripts/compat, and what a test needs on them."""

import os
from pathlib import Path

import pytest

from cluster import Cluster, User


def _cluster(variable: str) -> Cluster:
    ready_file = os.environ.get(variable)
    assert ready_file, f"{variable} names no ready file of `circlet dev`; run scripts/compat"
    return Cluster(Path(ready_file))


@pytest.fixture(scope="session")
def eddsa() -> Cluster:
    """Three nodes that sign with Ed25519."""
    return _cluster("COMPAT_EDDSA_READY")


@pytest.fixture(scope="session")
def rs256() -> Cluster:
    """Three nodes that sign with RSA."""
    return _cluster("COMPAT_RS256_READY")


@pytest.fixture(scope="session")
def cluster(eddsa: Cluster) -> Cluster:
    """The cluster for tests that don't care how tokens are signed: as it is by default."""
    return eddsa


@pytest.fixture(params=["eddsa", "rs256"])
def each_cluster(request) -> Cluster:
    """One cluster after the other, for what depends on how tokens are signed."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def user(cluster: Cluster) -> User:
    """A user of the test's own."""
    return cluster.new_user()
