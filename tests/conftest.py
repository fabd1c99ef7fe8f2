"""Shapes are checked while tests run: jaxtyping annotations, enforced by beartype."""

import sys

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
