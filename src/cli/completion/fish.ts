/** fish: one line for each thing that may be completed, on the condition that the words before it name a command. */
import { isContextFlag, type Place } from "./places.ts";

export function fishScript(name: string, places: readonly Place[]): string {
  const fn = `__${name.replace(/\W/g, "_")}`;
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, (character) => `\\${character}`)}'`;
  const contexts = quoted(`(${name} config get-contexts --quiet 2>/dev/null)`);
  const lines = places.flatMap((place) => {
    const at = `complete -c ${name} -n ${quoted(place.path === "" ? `${fn}_at ""` : `${fn}_at ${place.path}`)}`;
    const flags = place.flags.map((flag) => {
      const option = flag.option.startsWith("--") ? `-l ${flag.option.slice(2)}` : `-s ${flag.option.slice(1)}`;
      const values = isContextFlag(flag) ? contexts : flag.values.length > 0 ? quoted(flag.values.join(" ")) : undefined;
      const value = flag.takesValue ? (values === undefined ? " -r" : ` -x -a ${values}`) : "";
      return `${at} ${option}${value} -d ${quoted(flag.description)}`;
    });
    const words = {
      paths: [`${at} -a ${quoted(`(${name} ls --completion (commandline -ct) 2>/dev/null)`)}`],
      contexts: [`${at} -f -a ${contexts}`],
      none: place.subcommands.length > 0 ? [`${at} -f`] : [],
    };
    return [...words[place.words], ...place.subcommands.map((sub) => `${at} -a ${sub.name} -d ${quoted(sub.description)}`), ...flags];
  });
  const commands = places.map((place) => place.path).filter((path) => path !== "");
  const taking = places.flatMap((place) => place.flags.filter((flag) => flag.takesValue).map((flag) => `${place.path}|${flag.option}`));
  return `# Completion of ${name} for fish. Load it with: ${name} completion fish | source

set -g ${fn}_commands ${commands.map(quoted).join(" ")}
set -g ${fn}_takes_value ${taking.map(quoted).join(" ")}

# The command that the words before the cursor name.
function ${fn}_path
  set -l words (commandline -opc)
  set -e words[1]
  set -l path ""
  set -l skip 0
  for word in $words
    if test $skip = 1
      set skip 0
    else if string match -q -- '-*' $word
      if contains -- "$path|$word" $${fn}_takes_value
        set skip 1
      end
    else
      set -l longer (string trim -- "$path $word")
      if contains -- $longer $${fn}_commands
        set path $longer
      end
    end
  end
  echo $path
end

function ${fn}_at
  set -l path (${fn}_path)
  test "$path" = "$argv"
end

${lines.join("\n")}
`;
}
