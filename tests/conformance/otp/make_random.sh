#!/bin/sh
# make_random.sh SEED COUNT OUT_PREFIX
# Makes OUT_PREFIX.jsonl.gz (scenarios) and OUT_PREFIX.norm.jsonl.gz (the oracle's
# normalized traces) from a seed, checking them under disturbed scheduling.
set -e
here=$(cd "$(dirname "$0")" && pwd); seed=$1; n=$2; py=${PYTHON:-python3}
case $3 in /*) out=$3;; *) out=$(pwd)/$3;; esac
t=$(mktemp -d); trap 'rm -rf "$t"' EXIT
cd "$here/../../.."
tool() { name=$1; shift; "$py" -m "tests.conformance.otp.$name" "$@"; }
tool generate --seed "$seed" --count "$n" > "$t/a.jsonl"
"$here/run_oracle.sh" "$t/a.jsonl" "$t/a.raw" 1
tool trim "$t/a.jsonl" "$t/a.raw" > "$t/s.jsonl"
"$here/run_oracle.sh" "$t/s.jsonl" "$t/s.raw" 1
tool normalize "$t/s.jsonl" "$t/s.raw" "$t/s.norm"
for k in "1 jobs=1" "2 jobs=8" "2 jobs=4 chaos=101" "2 jobs=4 chaos=202" "1 jobs=4 chaos=303"; do
  # shellcheck disable=SC2086
  "$here/run_oracle.sh" "$t/s.jsonl" "$t/x.raw" $k
  tool compare "$t/s.jsonl" "$t/s.norm" "$t/x.raw" --diffs 3 ||
    tool compare "$t/s.jsonl" "$t/s.norm" "$t/x.raw" --names | tail -n +2 >> "$t/unstable"
done
"$py" - "$t" "$out" <<'PY'
import pathlib, sys
from tests.conformance.otp.normalize import dump_jsonl, load_jsonl
t, out = sys.argv[1:]
unstable = pathlib.Path(t, "unstable")
bad = set(unstable.read_text().split()) if unstable.exists() else set()
sc, tr = load_jsonl(t + "/s.jsonl"), load_jsonl(t + "/s.norm")
keep = [i for i, s in enumerate(sc) if s["name"] not in bad and not any(x.get("timeout") for x in tr[i].get("steps", ()))]
dump_jsonl(out + ".jsonl.gz", [sc[i] for i in keep])
dump_jsonl(out + ".norm.jsonl.gz", [tr[i] for i in keep])
print("kept %d of %d scenarios" % (len(keep), len(sc)))
PY
