"""CURVE keys (ZeroMQ, RFC 26): who may speak to an agent, and which agent a host speaks to."""

import os
from pathlib import Path

import zmq
import zmq.auth

from robo_al_agent.errors import SetupError

AGENT, HOST, AUTHORIZED = "agent", "host", "authorized"


def make_keys(folder: Path) -> None:
    """Make a pair of keys for an agent, one for a host, and let that host in.

    Copy `agent.key` and `host.key_secret` to the host; secret files are readable by you alone.

    Raises:
        SetupError: there are keys already.
    """
    if (folder / f"{AGENT}.key").exists():
        raise SetupError(f"{folder}: has keys already; give a new folder")
    mask = os.umask(0o077)
    try:
        (folder / AUTHORIZED).mkdir(parents=True, exist_ok=True)
        for name in (AGENT, HOST):
            zmq.auth.create_certificates(folder, name)
        public = (folder / f"{HOST}.key").read_text()
        (folder / AUTHORIZED / f"{HOST}.key").write_text(public)
    finally:
        os.umask(mask)


def secret(folder: Path, name: str) -> tuple[bytes, bytes]:
    """Return a pair of keys, public and secret.

    Raises:
        SetupError: the file is missing, is no key, or can be read by others.
    """
    path = folder / f"{name}.key_secret"
    try:
        if path.stat().st_mode & 0o077:
            raise SetupError(f"{path}: others can read it; chmod 600 {path}, and think of new keys")
        public, private = zmq.auth.load_certificate(path)
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: {error}; make keys with `robo-al-agent keys`") from None
    if private is None:
        raise SetupError(f"{path}: has no secret key")
    return public, private


def public(folder: Path, name: str) -> bytes:
    """Return a public key; raises `SetupError` where there is none."""
    path = folder / f"{name}.key"
    try:
        return zmq.auth.load_certificate(path)[0]
    except (OSError, ValueError) as error:
        raise SetupError(f"{path}: {error}; copy it from the agent's keys") from None
