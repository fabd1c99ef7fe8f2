#!/usr/bin/env bash
# Runs the tests that touch MuJoCo with the oldest that robo-al supports: it has no `mujoco.batch`.
# usage: mujoco.sh [VERSION]    makes .venv-mujoco at first, about 2 GB
set -euo pipefail

cd "$(dirname "$0")/../.."
version=${1:-$(grep -oP '"mujoco>=\K[0-9.]+' pyproject.toml).0}
environment=.venv-mujoco
python=$environment/bin/python

if [ ! -e "$environment/.installed-$version" ]; then
    ${PYTHON:-python3} -m venv --clear "$environment"
    echo '*' >"$environment/.gitignore"
    sed "s/^mujoco==.*/mujoco==$version/" constraints.txt >"$environment/constraints.txt"
    "$python" -m pip install --quiet --constraint "$environment/constraints.txt" \
        "$(grep '^torch==' constraints.txt)"
    "$python" -m pip install --quiet --constraint "$environment/constraints.txt" \
        --editable ./agent --editable '.[dev]'
    touch "$environment/.installed-$version"
fi

OMP_NUM_THREADS=1 "$python" -m pytest --numprocesses=3 --dist=worksteal -p no:cacheprovider \
    tests/envs tests/oracles tests/agent/drivers/test_mujoco_twin.py tests/agent/envelope/test_envelope.py \
    tests/agent/geometry/test_kinematics.py tests/models/test_true_dynamics.py tests/policies/test_sb3.py \
    tests/envs/test_gymnasium_terminations.py tests/checks/test_checks.py tests/test_plugins.py tests/report/test_video.py
