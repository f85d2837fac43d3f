#!/bin/bash
# A sweep as an array of Slurm jobs, for sites that want a script of their own; `epigrok sweep --backend slurm` writes and
# submits one like it. The directory of the sweep is made before, by `epigrok sweep FILE.yaml --out DIR`.
#
#   sbatch --array=0-47%16 deploy/slurm/sweep.sh DIR
#
#SBATCH --job-name=epigrok-sweep
#SBATCH --cpus-per-task=1
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
# Five minutes before the limit: runs are saved, and this task of the array alone goes back into the queue.
#SBATCH --signal=B:USR2@300

# exec: the signal is for the process that saves, not for a shell around it.
exec npx epigrok sweep task "$1" --per-task "${RUNS_PER_TASK:-1}" --quiet
