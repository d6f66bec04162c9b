/** bash: also the 3.2 of macOS, so no associative arrays, no mapfile, and compopt only where it exists. */
import { type Flag, isContextFlag, type Place, quote } from "./places.ts";

export function bashScript(name: string, places: readonly Place[]): string {
  const fn = `_${name.replace(/\W/g, "_")}`;
  const table = (key: (place: Place) => string): string =>
    places
      .map((place) => ({ path: place.path, text: key(place) }))
      .filter(({ text }) => text !== "")
      .map(({ path, text }) => `    ${quote(path)}) printf %s ${quote(text)} ;;`)
      .join("\n");
  const flagTable = (key: (flag: Flag) => string): string =>
    places
      .flatMap((place) => place.flags.map((flag) => ({ at: `${place.path} ${flag.option}`, text: flag.takesValue ? key(flag) : "" })))
      .filter(({ text }) => text !== "")
      .map(({ at, text }) => `    ${quote(at)}) printf %s ${quote(text)} ;;`)
      .join("\n");
  return `# Completion of ${name} for bash. Load it with: source <(${name} completion bash)

${fn}_subcommands() {
  case "$1" in
${table((place) => place.subcommands.map((child) => child.name).join(" "))}
  esac
}

${fn}_flags() {
  case "$1" in
${table((place) => place.flags.map((flag) => flag.option).join(" "))}
  esac
}

${fn}_arguments() {
  case "$1" in
${table((place) => (place.words === "none" ? "" : place.words))}
  esac
}

# What a flag takes: its values, "@contexts", or "@" for anything; nothing for a switch.
${fn}_values() {
  case "$1 $2" in
${flagTable((flag) => (isContextFlag(flag) ? "@contexts" : flag.values.join(" ") || "@"))}
  esac
}

# Offers the lines of stdin that start with $1, each behind $2. readline replaces only what stands after
# $3; after an opening quote, $4, it replaces what stands inside, and nothing needs an escape.
${fn}_offer() {
  local candidate shown
  while IFS= read -r candidate; do
    [[ -n $candidate && $candidate == "$1"* ]] || continue
    if [[ -n $4 ]]; then
      COMPREPLY+=("$candidate")
    else
      printf -v shown '%q' "$candidate"
      shown=$2$shown
      COMPREPLY+=("\${shown#"$3"}")
    fi
    [[ $candidate == */ ]] && type compopt >/dev/null 2>&1 && compopt -o nospace 2>/dev/null
  done
}

# Words of the command line up to the cursor, put together again where readline breaks them at : = or @.
${fn}_split() {
  local line=\${COMP_LINE:0:COMP_POINT} trimmed word i
  split=()
  for ((i = 0; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    trimmed=\${line#"\${line%%[![:space:]]*}"}
    [[ $trimmed == "$word"* ]] || word=$trimmed
    if ((i > 0)) && [[ $trimmed == "$line" ]]; then
      split[\${#split[@]} - 1]+=$word
    else
      split+=("$word")
    fi
    line=\${trimmed#"$word"}
  done
}

${fn}() {
  local split path="" word current plain head="" kept="" mark="" breaks="" flag="" only_arguments="" takes i
  local IFS=$' \\t\\n'
  COMPREPLY=()
  ${fn}_split
  current=\${split[\${#split[@]} - 1]}
  for ((i = 1; i < \${#split[@]} - 1; i++)); do
    word=\${split[i]}
    flag=""
    if [[ -z $only_arguments && $word == -- ]]; then
      only_arguments=1
    elif [[ -z $only_arguments && $word == -* ]]; then
      if [[ $word != *=* && -n $(${fn}_values "$path" "$word") ]]; then
        flag=$word
        ((i++))
      fi
    elif [[ " $(${fn}_subcommands "$path") " == *" $word "* ]]; then
      path="\${path:+$path }$word"
    fi
  done
  # Only a flag that stands right before the cursor takes what is typed there.
  ((i == \${#split[@]})) || flag=""

  plain=\${current//\\\\/}
  if [[ -z $flag && -z $only_arguments && $current == --*=* ]]; then
    flag=\${current%%=*}
    head=$flag=
    plain=\${plain#*=}
  fi
  case $plain in
    \\"* | \\'*) mark=\${plain:0:1} plain=\${plain:1} ;;
  esac
  for word in : = @; do
    [[ $COMP_WORDBREAKS == *"$word"* ]] && breaks+=$word
  done
  [[ -n $breaks ]] && kept=\${current%"\${current##*[$breaks]}"}

  if [[ -n $flag ]]; then
    takes=$(${fn}_values "$path" "$flag")
    case $takes in
      "" | @) ;;
      @contexts) ${fn}_offer "$plain" "$head" "$kept" "$mark" < <(${name} config get-contexts --quiet 2>/dev/null) ;;
      *) ${fn}_offer "$plain" "$head" "$kept" "$mark" < <(printf '%s\\n' $takes) ;;
    esac
    return 0
  fi
  if [[ -z $only_arguments && $current == -* ]]; then
    ${fn}_offer "$plain" "" "$kept" "$mark" < <(printf '%s\\n' $(${fn}_flags "$path"))
    return 0
  fi
  ${fn}_offer "$plain" "" "$kept" "$mark" < <(printf '%s\\n' $(${fn}_subcommands "$path"))
  case $(${fn}_arguments "$path") in
    contexts) ${fn}_offer "$plain" "" "$kept" "$mark" < <(${name} config get-contexts --quiet 2>/dev/null) ;;
    paths)
      if [[ $plain == "" || $plain == /* ]]; then
        ${fn}_offer "$plain" "" "$kept" "$mark" < <(${name} ls --completion "$plain" 2>/dev/null)
      fi
      ;;
  esac
  return 0
}

complete -o default -F ${fn} ${name}
`;
}
