#!/usr/bin/env bash
# The name in the authors' README; see run_world_model_tuning.sh.
exec bash "$(dirname "${BASH_SOURCE[0]}")/run_world_model_tuning.sh" "$@"
