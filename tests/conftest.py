"""Shapes are checked while tests run: jaxtyping annotations, enforced by beartype."""

import os
import shutil
import sys
from collections.abc import Callable

import pytest
from jaxtyping import install_import_hook

CHECKED = [
    "robo_al.acquisition",
    "robo_al.models",
    "robo_al.oracles",
    "robo_al.dataset",
    "robo_al.campaign",
    "robo_al.loop",
    "robo_al_envs",
    "robo_al_policies",
]

install_import_hook(CHECKED, "beartype.beartype")


@pytest.fixture(autouse=True)
def _empty_shelf():
    """No test gets an env that another one has used, or looked at before it was patched."""
    yield
    if shelf := sys.modules.get("robo_al.tasks.shelf"):
        shelf.clear()


@pytest.fixture(scope="session")
def with_rights() -> Callable[..., list[str]]:
    """Return commands for which the rights of files hold, also where tests are run by root."""

    def command(*words: object) -> list[str]:
        if os.geteuid() != 0:
            return [str(word) for word in words]
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv, and root may enter every folder")
        return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *map(str, words)]

    return command
