#!/usr/bin/env bash
# Installs one built distribution in an empty environment and tries it from a folder that has its
# own `envs` and `policies`, as many labs do.   usage: smoke.sh dist/robo_al-*.whl
set -euo pipefail

distribution=$(realpath "$1")
constraints=$(realpath "$(dirname "$0")/../../constraints.txt")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

${PYTHON:-python3} -m venv "$folder/venv"
bin=$folder/venv/bin
"$bin/python" -m pip install --quiet --constraint "$constraints" "$(grep '^torch==' "$constraints")"
agent=$(realpath "$(dirname "$1")"/agent/*.whl)
"$bin/python" -m pip install --quiet --constraint "$constraints" "$agent" "$distribution"

mkdir -p "$folder/lab/envs" "$folder/lab/policies"
echo 'MINE = "envs"' >"$folder/lab/envs/__init__.py"
echo 'MINE = "policies"' >"$folder/lab/policies/__init__.py"
cd "$folder/lab"
export OMP_NUM_THREADS=1

"$bin/python" - <<'PYTHON'
from importlib.metadata import distribution

import envs, policies
import robo_al, robo_al_envs, robo_al_policies

assert (envs.MINE, policies.MINE) == ("envs", "policies")
files = distribution("robo-al").files
top = {file.parts[0] for file in files if file.parts[0] != ".."}
modules = {name for name in top if not name.endswith(".dist-info")}
assert modules == {"robo_al", "robo_al_envs", "robo_al_policies"}, modules
PYTHON

"$bin/robo-al" list envs
"$bin/robo-al" run pendulum --out run --rounds 2 --rollout_steps 10 --candidates 4 --contexts 2 \
    --evaluation.starts 1 --evaluation.every 2
"$bin/robo-al" show run --json
test -s run/report.html
echo "smoke test passed: $(basename "$distribution")"
