#!/usr/bin/env bash
# ScienceWorld, every stage from tidy plans to a table and a report. Needs Java; the field's splits are built in.
#   bash runs/scienceworld.sh [cpu|gpu] [SEED] [OUT]
# On two CPU cores it takes about four hours, most of it resets of JVMs and long sequences; the gpu size was never run.
# Policy and world model learn from `wide`: variations of the simulator's training split, none of them in `valid` or in
# the field's test splits. Figures, times and what was learnt from them: RESULTS.md. What the sizes mean: docs/recipes.md.
source "$(dirname "$0")/common.sh"

if [[ $size == cpu ]]; then
  base=scratch:small epochs=7 wm_epochs=0.6 states=2000 updates=10 jvms=2
else
  base=scratch:base epochs=12 wm_epochs=2 states=6000 updates=60 jvms=12
fi
games=(--env scienceworld --split wide --env-option expert=tidy)
model=(--renderer history --max-state-tokens 3500 --window 200 --batch-size 8 --held-out 0.02 --seed "$seed")

# Plays all of `wide` into $out/NAME-1 and NAME-2. An episode needs a JVM, and resets take longest: two processes with one
# each are faster than one with two.
halves() { # NAME FLAG...
  local name=$1 half=681
  shift
  mkdir -p "$out"
  "$itp" collect "${games[@]}" "$@" --batch-size 1 --skip $half --seed "$seed" --out "$out/$name-2" \
    > "$out/$name-2.log" 2>&1 &
  local second=$!
  "$itp" collect "${games[@]}" "$@" --batch-size 1 --episodes $half --seed "$seed" --out "$out/$name-1"
  wait $second || refuse "the second half of the play failed: see $out/$name-2.log"
}

# One stage at a time trains here, so on a CPU it may have both cores.
train() { env ${OMP_NUM_THREADS:+OMP_NUM_THREADS=2} "$itp" train "$@"; }

# 1. Play of an expert who looks around before it names things, with and without detours.
halves data commands=detours --epsilon 0 0.3 --max-steps 120

# 2. Policy: the expert's actions where they are sure, and what follows every action, in one sequence an episode.
train policy --data "$out"/data-[12] "${model[@]}" --base $base --only-sure --objective iwm \
  --observation-weight 0.3 --epochs $epochs --lr 2e-3 --out "$out/policy"

# 3. The policy's own play (D_roll), and the world model (eq. 1), which goes on from what the policy knows of the world. It
# learns to tell fatal focuses, which the environment's text does not.
halves play --behaviour policy --policy "$out/policy/model" --action-tokens 32 --epsilon 0 --max-steps 50 "${device[@]}"
data=(--data "$out"/data-[12] "$out"/play-[12])
train world-model "${data[@]}" "${model[@]}" --base "$out/policy/model" --epochs $wm_epochs --lr 5e-4 \
  --tell-loss "All is lost." --copies 8 --copies-of "All is lost." --max-observation-tokens 96 --eval-episodes 4 \
  --out "$out/world_model"
world=(--world-model "$out/world_model/model" --avoid "No known action matches that input" "All is lost")

# 4. Labels (eq. 5) on the policy's own states for an agent that writes a few commands and looks before it sends one;
# warm-up (eq. 6). 5. A2C (eqs. 7-8): what is learnt is K.
"$itp" label --data "$out"/play-[12] --policy "$out/policy/model" "${world[@]}" --action generate --only-sure --k-max 1 \
  --states $states --lambda-k 0.2 --batch-size 16 --seed "$seed" "${device[@]}" --out "$out/labels"
train warmup --labels "$out/labels" --policy "$out/policy/model" "${data[@]}" --k-max 1 --foresight label \
  --replay 0.5 --balance --eta 1 --epochs 1 --batch-size 8 --lr 1e-4 --seed "$seed" --out "$out/warmup"
"$itp" train a2c --env scienceworld --split wide --policy "$out/warmup/model" "${world[@]}" --action generate \
  --action-tokens 32 --envs $jvms --workers $jvms --updates $updates --rollout 32 --value-warmup 3 --max-steps 40 \
  --limit loss --cost paper --lambda-k 0.01 --beta 0.02 --lr 1e-5 --head-lr 1e-3 --lr-schedule linear --eval-every 10 \
  --eval-episodes 24 --seed "$seed" "${a2c_device[@]}" --out "$out/a2c"

# 6. The table, at the field's limits of steps.
play() { # NAME SPLIT POLICY FLAG...
  local name=$1 split=$2 from=$3
  shift 3
  "$itp" eval --env scienceworld --split "$split" --batch-size $jvms --workers $jvms --seed 0 --action generate \
    --action-tokens 32 --policy "$out/$from" "${device[@]}" "$@" --out "$out/eval/$split-$name"
}
for split in test_seen test_unseen; do
  play act $split policy/model --planner act
  for stage in warmup/model a2c/best; do
    play "${stage%/*}-act" $split "$stage" --planner act
    play "${stage%/*}-itp-1" $split "$stage" --planner itp "${world[@]}" --horizon fixed:1
    play "${stage%/*}-learned" $split "$stage" --planner itp "${world[@]}" --horizon learned
  done
done
"$itp" compare "$out"/eval/*
"$itp" report "$out/eval" "$out/a2c" --out "$out/report.html"
