#!/usr/bin/env bash
# Tests the driver `lerobot` in an environment of LeRobot's own, which does not fit into ours: lerobot
# 0.4.4 wants an older torch, so it is installed without what it asks for, and then gets what its
# robots import. Its image code imports torchvision, which no robot calls: an empty one stands in.
# usage: drivers.sh    makes .venv-lerobot at first, about 1.3 GB
set -euo pipefail

cd "$(dirname "$0")/../.."
environment=.venv-lerobot
python=$environment/bin/python

if [ ! -e "$environment/.installed" ]; then
    ${PYTHON:-python3} -m venv "$environment"
    echo '*' >"$environment/.gitignore"
    "$python" -m pip install --quiet "$(grep '^torch==' constraints.txt)"
    "$python" -m pip install --quiet --no-deps lerobot==0.4.4 accelerate==1.15.0
    "$python" -m pip install --quiet av==15.1.0 datasets==4.8.5 deepdiff==8.6.2 draccus==0.10.0 \
        einops==0.8.2 feetech-servo-sdk==1.0.0 huggingface-hub==0.35.3 packaging==25.0 \
        pillow==13.0.0 psutil==7.2.2 safetensors==0.8.0 tqdm==4.70.1 pytest pytest-timeout
    stub=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/torchvision
    mkdir -p "$stub/transforms"
    touch "$stub/__init__.py" "$stub/transforms/__init__.py" "$stub/transforms/functional.py"
    "$python" -m pip install --quiet --editable ./agent
    touch "$environment/.installed"
fi

# Our own conftest checks shapes with libraries that are not installed here.
"$python" -m pytest --noconftest -p no:cacheprovider --override-ini=filterwarnings= \
    tests/agent/drivers/test_lerobot.py
