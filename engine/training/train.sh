#!/bin/sh
# From nothing to weights: sources, pools, training, scores, export. Everything is written to WORK and
# every step goes on where it stopped.
#
#     engine/training/train.sh WORK [SONGS]
#
# SONGS is a folder of multitracks to score on. CLONES may name a folder of git clones to use instead
# of the network, STEPS, POOLS and MINUTES set how much is done.
set -eu
mkdir -p "$1"
work=$(cd "$1" && pwd)
songs=${2:+$(cd "$2" && pwd)}
steps=${STEPS:-4000}
pools=${POOLS:-300}
minutes=${MINUTES:-3}
cd "$(dirname "$0")"

[ -d "$work/venv" ] || python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --requirement requirements.txt
# Its only other requirement is for playing aloud.
"$work/venv/bin/pip" install --quiet --no-deps tinysoundfont==0.3.7
python=$work/venv/bin/python

"$python" -m stemtrain.fetch "$work" ${CLONES:+--clones "$CLONES"}
"$python" -m stemtrain.render.speakers "$work"
"$python" -m stemtrain.render.real "$work"
"$python" -m stemtrain.render.pools "$work" --seed 1 --minutes "$minutes" --pools "$pools" \
    --processes "$(nproc)"

if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    processes=1 clips=32
else
    processes=$(nproc) clips=2
fi
OMP_NUM_THREADS=1 "$python" -m torch.distributed.run --standalone --nproc-per-node "$processes" \
    -m stemtrain.train "$work" --name quick --steps "$steps" --clips "$clips"
"$python" -m stemtrain.export "$work/checkpoints/quick/newest.safetensors" "$work/quick.safetensors"
[ -z "$songs" ] || "$python" -m stemtrain.evaluate "$songs" "$work/quick.safetensors"
