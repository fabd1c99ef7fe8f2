"""Shapes are checked while tests run: jaxtyping annotations, enforced by beartype."""

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
