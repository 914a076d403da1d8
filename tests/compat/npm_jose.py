"""The way to npm's jose: a process for each question."""

import json
import os
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).with_name("npm_jose.mjs")
TIMEOUT_SECS = 60


def verify(**question) -> dict:
    """What jose says of a token: header and payload, or why it refuses."""
    return _ask({"do": "verify", **question})


def sign(**question) -> str:
    """A token that jose signs."""
    return _ask({"do": "sign", **question})["token"]


def _ask(question: dict) -> dict:
    environment = {**os.environ, "NODE_MODULES": os.environ["COMPAT_NODE_MODULES"]}
    asked = subprocess.run(
        ["node", str(SCRIPT)],
        input=json.dumps(question),
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
    )
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)
