#!/bin/sh
# Runs the given command as one worker of a job. It reads these variables:
#   WORKERS   the number of workers
#   SERVICE   the headless service that names them, and the job's own name
#   PORT      the port on which each worker listens
#   WORKDIR   --workdir of the command
#   JOB_COMPLETION_INDEX   this worker's number from 0, from an Indexed Job
#
# Training that is interrupted saves and exits with 0, which a job would count as
# completed. Until the run is done, this script therefore exits with 75.
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
# Signals to a container go to this shell, which must forward them.
trap 'kill -TERM "$child" 2>/dev/null || true' TERM INT
code=0
wait "$child" || code=$?
# A signal ends `wait`, but not the command.
while kill -0 "$child" 2>/dev/null; do
    code=0
    wait "$child" || code=$?
done
[ "$code" -ne 0 ] || [ -e "$done" ] || code=75
exit "$code"
