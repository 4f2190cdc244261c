# Steps of CI, and what the summary says of them: source it, then `step NAME COMMAND...`.
# A step may add lines to the file in CI_NOTES: what it skipped, or why it has checked nothing (NOT CHECKED).

results=()
passed=0
unchecked=0
current=""
CI_NOTES=$(mktemp)
export CI_NOTES

summary() {
  local status=$? failed=0
  printf '\n== summary\n'
  for line in ${results[@]+"${results[@]}"}; do echo "$line"; done
  if [ "$status" -ne 0 ]; then
    failed=1
    echo "FAILED       $current"
    notes
  fi
  echo "steps: $passed passed, $unchecked not checked, $failed failed"
  rm -f "$CI_NOTES"
}
trap summary EXIT

notes() {
  while IFS= read -r line; do
    case $line in "NOT CHECKED"*) ;; *) echo "             $current: $line" ;; esac
  done < "$CI_NOTES"
}

step() {
  current=$1
  shift
  printf '\n== %s: %s\n' "$current" "$*"
  : > "$CI_NOTES"
  local start=$SECONDS reason
  "$@"
  if reason=$(grep -m 1 '^NOT CHECKED' "$CI_NOTES"); then
    unchecked=$((unchecked + 1))
    results+=("NOT CHECKED  $current ($((SECONDS - start)) s)${reason#NOT CHECKED}")
  else
    passed=$((passed + 1))
    results+=("ok           $current ($((SECONDS - start)) s)")
  fi
  while IFS= read -r line; do results+=("$line"); done < <(notes)
}
