#!/bin/sh
# Runs the command that follows as one worker of a job, by these variables:
#   WORKERS   how many there are
#   SERVICE   the headless service that names them, and the job's own name
#   PORT      where each of them listens
#   WORKDIR   --workdir of the command
#   JOB_COMPLETION_INDEX   this worker's number from 0, from an Indexed Job
#
# Training that is asked to end saves and exits 0, and a job would count that
# as completed: until the run is done, this ends with 75, "try again".
set -eu

cluster='' index=0
while [ "$index" -lt "$WORKERS" ]; do
    cluster="$cluster${cluster:+, }\"$SERVICE-$index.$SERVICE:$PORT\""
    index=$((index + 1))
done
TF_CONFIG="{\"cluster\": {\"worker\": [$cluster]}, \
\"task\": {\"type\": \"worker\", \"index\": $JOB_COMPLETION_INDEX}}"
export TF_CONFIG

done=$WORKDIR/DONE
[ "$JOB_COMPLETION_INDEX" -eq 0 ] ||
    done=$WORKDIR/worker_$JOB_COMPLETION_INDEX/DONE

"$@" &
child=$!
# A shell keeps signals to itself, and those of a container come to it.
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
code=0
wait "$child" || code=$?
# A signal ends the waiting, not the command.
while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
done
[ "$code" -ne 0 ] || [ -e "$done" ] || code=75
exit "$code"
