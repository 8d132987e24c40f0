#!/usr/bin/env bash
# A2C learns to look ahead where mistakes cannot be taken back: household games whose irreversible hazards nobody
# announces, the engine itself as the frozen world model (docs/a2c.md says why), from scratch, on CPU. Three seeds of A2C
# from one warm-up that imagines nothing, then all of them on 200 games they never saw. Resumes when run again.
#   bash runs/irreversible.sh [OUT]
set -euo pipefail
out=${1:-out/irreversible}
itp=${ITP:-.venv/bin/itp}
export OMP_NUM_THREADS=1
env=(--env household --env-option family=irreversible announce=false)

# 1. Imitation of an expert who knows no more than the player: it cannot see the hazards (0.7M parameters).
"$itp" collect "${env[@]}" episodes=3000 --heedless --epsilon 0 0.3 --episodes 3000 --max-steps 30 --out "$out/data"
"$itp" train policy --data "$out/data" --base scratch:tiny --lr 3e-3 --epochs 2 --batch-size 32 --out "$out/policy"

# 2. Labels (eq. 5) and warm-up (eq. 6).
"$itp" label --data "$out/data" --policy "$out/policy/model" --world-model exact --k-max 1 --states 1500 \
  --out "$out/labels"
"$itp" train warmup --labels "$out/labels" --policy "$out/policy/model" --data "$out/data" --k-max 1 --replay 1 \
  --epochs 1 --draws 1 --batch-size 32 --lr 3e-4 --out "$out/warmup"

# 3. A2C, three seeds (eqs. 7-8): which decisions are worth a look ahead?
look=(--world-model exact --avoid "for good" --max-steps 30)
for seed in 0 1 2; do
  "$itp" train a2c "${env[@]}" "${look[@]}" --policy "$out/warmup/model" --seed "$seed" --updates 60 --envs 32 \
    --rollout 12 --gae-lambda 0.95 --limit loss --irreversible-penalty 0.5 --temperature 0.5 --cost paper \
    --lambda-k 0.01 --beta 0.15 --lr 1e-4 --head-lr 1e-2 --value-warmup 3 --eval-every 10 --eval-episodes 100 \
    --out "$out/a2c-$seed"
done

# 4. The table: the warm-up, then the weights of each seed that did best on the validation cut, and its last ones.
for name in warmup/model a2c-{0,1,2}/{best,model}; do
  "$itp" eval "${env[@]}" "${look[@]}" --split valid --planner itp --horizon learned --policy "$out/$name" \
    --episodes 200 --seed 0 --batch-size 64 --out "$out/eval/${name/\//-}"
done
"$itp" compare "$out"/eval/*
