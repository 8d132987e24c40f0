#!/usr/bin/env bash
# ScienceWorld, every stage from tidy plans to a table and a report. Needs Java; the field's splits are built in.
#   bash runs/scienceworld.sh [cpu|long|gpu] [SEED] [OUT]
# cpu: all stages with a part of the play and training, an hour on two cores. long: the play
# and training of the shipped policy, and every row of its table; not run in one piece. gpu was never run.
# Policy and world model learn from `wide` and `more`: variations of the simulator's training split, none of them in
# `valid`, `dev` or in the field's test splits. Figures and what was learnt from them: RESULTS.md; sizes: docs/recipes.md.
sizes="cpu long gpu"
source "$(dirname "$0")/common.sh"

if [[ $size == cpu ]]; then # a part of the play, once, and one command a decision
  called=roles splits=(wide) part=(1/6 4/6) draws=(1) noise=(0.2) rare_noise=(0.15) moved_noise=(0.2)
  base=scratch:small copies=2 epochs=1.5 wm_epochs=0.8 batch=4 lr=1.5e-3 tune_lr=7e-4 wm_lr=4e-4 # small steps, many
  replay=wide proposals=1 focuses=(1/32 17/32) own=(1/8 5/8) states=300 updates=3 value_warmup=1 games=8 evals=800
else
  called=target splits=(wide more) part=(1/2 2/2) draws=(1 2 3) noise=(0 0.3) rare_noise=(0.15 0.25)
  moved_noise=(0 0.2) base=scratch:small copies=2 epochs=2.8 wm_epochs=0.7 batch=8 lr=2e-3 tune_lr=1e-3 wm_lr=5e-4
  replay=more proposals=5 focuses=(1/8 5/8) own=(1/2 2/2) states=1500 updates=10 value_warmup=3 games=24 evals=400
  [[ $size == long ]] || base=scratch:base epochs=6 wm_epochs=2 states=6000 updates=60
fi
# Behind a temperature stands on which side of the task's limit it is; what the task names is called "target", and in the
# `cpu` size its boxes and rooms are called by their roles too.
texts=(readings=compared names=$called)
# An episode needs a JVM: two processes with one each are faster than one with two.
env=(--env scienceworld --batch-size 1)
model=(--renderer history --max-state-tokens 3500 --window 200 --batch-size $batch --held-out 0.02 --seed "$seed")
held=(--action constrained --action-tokens 32 --proposals $proposals)

# 1. Play of an expert who looks around before it names things, with detours; of tasks that have few variations more, also
# with what the task names in another room.
detours=(--env-option "${texts[@]}" expert=tidy commands=detours --max-steps 120)
for split in "${splits[@]}"; do
  shards "$split" "${part[@]}" "${env[@]}" --split $split "${detours[@]}" --epsilon "${noise[@]}" --seed "$seed"
done
halves rare "${env[@]}" --split rare "${detours[@]}" --epsilon "${rare_noise[@]}" --seed $((seed + 1))
for draw in "${draws[@]}"; do
  halves "moved-$draw" "${env[@]}" --split rare --env-option "${texts[@]}" expert=tidy commands=detours \
    moved=$draw --max-steps 120 --epsilon "${moved_noise[@]}" --seed $((seed + 1 + draw))
done
data=(--data)
for name in "${splits[@]}" rare "${draws[@]/#/moved-}"; do data+=("$out/$name-1" "$out/$name-2"); done
names=(--rename runs/scienceworld_names.json) # most of them invented: what cannot be known has to be read

# 2. Policy: the expert's actions where they are sure, and what follows every action, in one sequence an episode; each
# episode told again under other names, of rare tasks more often (`times` in the file). Then imitation alone.
train policy "${data[@]}" "${model[@]}" --base $base --only-sure --objective iwm --observation-weight 0.3 \
  "${names[@]}" --renamed $copies --epochs $epochs --lr $lr --eval-steps $evals --out "$out/policy"
tune() { # NAME BASE FLAG...
  local name=$1 from=$2
  shift 2
  train policy "${data[@]}" "${model[@]}" --base "$out/$from/model" --only-sure --eval-steps 0 "${names[@]}" "$@" \
    --out "$out/$name"
}
if [[ $size == cpu ]]; then
  tune sft policy --renamed 1 --epochs 0.8 --lr $tune_lr
else
  tune sft-1 policy --renamed 2 --epochs 1 --lr $tune_lr
  tune sft sft-1 --renamed 1 --epochs 1 --lr 7e-4
fi

# 3. The policy's own play (D_roll), with focuses on the wrong thing now and then, and the world model (eq. 1), which goes
# on from what the policy knows of the world. It learns to tell fatal focuses, which the environment's text does not.
shards play "${focuses[@]}" "${env[@]}" --split wide --env-option "${texts[@]}" expert=tidy commands=focuses \
  --behaviour policy --policy "$out/policy/model" "${held[@]}" --epsilon 0.05 --max-steps 50 --seed "$seed" "${device[@]}"
train world-model --data "$out"/wide-[12]/"expert-${noise[-1]}.jsonl" "$out"/rare-[12]/expert-0.15.jsonl "$out"/play-[12] \
  "${model[@]}" --base "$out/policy/model" --epochs $wm_epochs --lr $wm_lr --tell-loss "All is lost." --copies 8 \
  --copies-of "All is lost." --max-observation-tokens 96 --eval-episodes 4 --out "$out/world_model"
world=(--world-model "$out/world_model/model" --avoid "No known action matches that input" "All is lost")

# 4. Labels (eq. 5) on the policy's own states, in variations that it has not learnt from, for an agent that writes a few
# commands and looks before it sends one; warm-up (eq. 6). 5. A2C (eqs. 7-8): what is learnt is K.
shards own "${own[@]}" "${env[@]}" --split spare --env-option "${texts[@]}" expert=tidy commands=grammar \
  --behaviour policy --policy "$out/sft/model" "${held[@]}" --epsilon 0 --max-steps 50 --seed "$seed" "${device[@]}"
"$itp" label --data "$out"/own-[12] --policy "$out/sft/model" "${world[@]}" --action generate --only-sure --k-max 1 \
  --states $states --lambda-k 0.2 --batch-size 16 --seed "$seed" "${device[@]}" --out "$out/labels"
train warmup --labels "$out/labels" --policy "$out/sft/model" --data "$out"/$replay-[12] --k-max 1 \
  --foresight label --replay 0.5 --balance --eta 1 --epochs 1 --batch-size 8 --lr 1e-4 --seed "$seed" --out "$out/warmup"
"$itp" train a2c --env scienceworld --split spare --env-option "${texts[@]}" commands=grammar \
  --policy "$out/warmup/model" "${world[@]}" "${held[@]}" --envs 2 --workers 2 --updates $updates \
  --rollout 32 --value-warmup $value_warmup --max-steps 40 \
  --limit loss --cost paper --lambda-k 0.01 --beta 0.02 --lr 1e-5 --head-lr 1e-3 --lr-schedule linear \
  --eval-every $updates --eval-episodes $games --seed "$seed" "${a2c_device[@]}" --out "$out/a2c"

# 6. The table, at the field's limits of steps.
table=("${env[@]}" --seed 0)
both() { # NAME POLICY FLAG...: the two splits side by side
  local name=$1 from=$2
  shift 2
  for split in test_seen test_unseen; do row "$split-$name" --split $split --policy "$out/$from" "$@"; done
}
grammar=(--env-option "${texts[@]}" commands=grammar "${held[@]}")
both a2c-learned a2c/best "${grammar[@]}" --planner itp "${world[@]}" --horizon learned
if [[ $size != cpu ]]; then # a row takes ten minutes and more
  both act sft/model "${grammar[@]}" --planner act
  both free sft/model --env-option "${texts[@]}" --planner act --action generate --action-tokens 32
  both itp-1 a2c/best "${grammar[@]}" --planner itp "${world[@]}" --horizon fixed:1
  both warmup-learned warmup/model "${grammar[@]}" --planner itp "${world[@]}" --horizon learned
fi
finish_table
