/** zsh: one function a command, on top of _arguments. */
import { type Flag, isContextFlag, type Place, quote } from "./places.ts";

export function zshScript(name: string, places: readonly Place[]): string {
  const fn = `_${name.replace(/\W/g, "_")}`;
  const functionOf = (path: string): string => (path === "" ? fn : `${fn}__${path.replaceAll(" ", "__").replace(/\W/g, "_")}`);
  const explained = (text: string): string => text.replace(/[\\[\]:]/g, (character) => `\\${character}`);
  const actionOf = (flag: Flag): string => {
    if (isContextFlag(flag)) return `:context:${fn}_contexts`;
    return flag.values.length > 0 ? `:value:(${flag.values.join(" ")})` : ":value:_files";
  };
  const flagSpec = (flag: Flag): string => {
    if (!flag.takesValue) return quote(`${flag.option}[${explained(flag.description)}]`);
    return quote(`*${flag.option}${flag.option.startsWith("--") ? "=" : "+"}[${explained(flag.description)}]${actionOf(flag)}`);
  };
  const argumentSpec = {
    paths: [quote(`*:path:${fn}_paths`)],
    contexts: [quote(`1:context:${fn}_contexts`)],
    none: [quote("*:file:_files")],
  };
  const functions = places.map((place) => {
    const child = (sub: string): string => functionOf(place.path === "" ? sub : `${place.path} ${sub}`);
    const isGroup = place.subcommands.length > 0;
    const specs = [
      ...place.flags.map(flagSpec),
      ...(isGroup ? ["'1:command:->command'", "'*::argument:->argument'"] : argumentSpec[place.words]),
    ];
    const call = ["  _arguments -C -S :", ...specs].join(" \\\n    ");
    if (!isGroup) return `${functionOf(place.path)}() {\n${call}\n}\n`;
    return `${functionOf(place.path)}() {
  local curcontext=$curcontext state state_descr line
  local -a commands
  typeset -A opt_args
${call}
  case $state in
    command)
      commands=(
${place.subcommands.map((sub) => `        ${quote(`${sub.name}:${sub.description}`)}`).join("\n")}
      )
      _describe -t commands command commands
      ;;
    argument)
      case $line[1] in
${place.subcommands.map((sub) => `        ${sub.name}) ${child(sub.name)} ;;`).join("\n")}
      esac
      ;;
  esac
}
`;
  });
  return `#compdef ${name}
# Completion of ${name} for zsh. Load it with: source <(${name} completion zsh)

${fn}_contexts() {
  local -a found
  found=("\${(@f)$(${name} config get-contexts --quiet 2>/dev/null)}")
  compadd -- \${found:#}
}

${fn}_paths() {
  local -a found
  found=("\${(@f)$(${name} ls --completion "\${(Q)PREFIX}" 2>/dev/null)}")
  found=(\${found:#})
  if (( $#found == 0 )); then
    _files
    return
  fi
  compadd -S '' -- \${(M)found:#*/}
  compadd -- \${found:#*/}
}

${functions.join("\n")}
if [[ $funcstack[1] == ${fn} ]]; then
  ${fn} "$@"
else
  compdef ${fn} ${name}
fi
`;
}
