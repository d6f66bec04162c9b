import { describe, expect, test } from "bun:test";
import { CollectiveError } from "../../protocol/errors.ts";
import { type CommandTree, type CompletionFlag, completionScript, completionShells, parseShell } from "../../src/cli/completion.ts";

function command(name: string, options: Partial<CommandTree> = {}): CommandTree {
  return { name, description: `What ${name} does: it's [all] "here" $HOME \`id\``, flags: [], subcommands: [], ...options };
}

function flag(name: string, values?: string[] | "any"): CompletionFlag {
  return {
    name,
    description: `the ${name}: it's [optional]`,
    takesValue: values !== undefined,
    ...(Array.isArray(values) ? { values } : {}),
  };
}

const tree = command("collective", {
  flags: [flag("context", "any"), flag("json"), flag("help"), flag("version")],
  subcommands: [
    command("ls", { flags: [flag("-l"), flag("--recursive")], completesPaths: true }),
    command("put", { flags: [flag("r")], completesPaths: true }),
    command("store", {
      subcommands: [
        command("create", { flags: [flag("strategy", ["media", "backup", "hybrid"]), flag("quota", "any")] }),
        command("list"),
        command("remove"),
      ],
    }),
    command("config", { subcommands: [command("get-contexts"), command("use-context"), command("current-context")] }),
    command("completion", { subcommands: [command("bash"), command("zsh"), command("fish")] }),
  ],
});

const stub = `collective() {
  case "$1 $2" in
    "config get-contexts") printf '%s\\n' home attic alice@home 'odd $(touch /) name' ;;
    "ls --completion") printf '%s\\n' /media/ "/media/My Films/" /media/a:b.txt '/media/$(echo x)' /@bob@garage.collective.local/backup/ ;;
  esac
}`;

/** Words as readline breaks them: at blanks, and around : = and @, but not inside quotes or behind a backslash. */
function readlineWords(line: string): string[] {
  const words = line.match(/(?:\\.|"[^"]*"?|'[^']*'?|[^\s:=@"'\\])+|[:=@]+/g) ?? [];
  return /\s$/.test(line) && !/\\\s$/.test(line) && !/"[^"]*$/.test(line) ? [...words, ""] : [...words];
}

/** What bash would offer, in place of the last of the words that readline sees. */
async function bashOffers(lines: readonly string[]): Promise<string[][]> {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const asks = lines.map((line) => {
    const words = readlineWords(line);
    return `COMP_WORDS=(${words.map(quoted).join(" ")}); COMP_CWORD=${words.length - 1}; COMP_LINE=${quoted(line)}; COMP_POINT=\${#COMP_LINE}
_collective; for reply in "\${COMPREPLY[@]}"; do printf '%s\\n' "$reply"; done; printf -- '--end--\\n'`;
  });
  const script = [completionScript("bash", tree), stub, "COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'", ...asks].join("\n");
  const child = Bun.spawn(["bash", "--norc", "--noprofile", "-s"], {
    stdin: new Blob([script]),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "", LC_ALL: "C.UTF-8" },
  });
  const [out, errors] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  expect(errors).toBe("");
  return out
    .split("--end--\n")
    .slice(0, -1)
    .map((block) => block.split("\n").filter((line) => line !== ""));
}

const bash = Bun.which("bash");

describe.skipIf(bash === null)("bash", () => {
  const cases: readonly (readonly [line: string, offers: readonly string[]])[] = [
    ["collective ", ["ls", "put", "store", "config", "completion"]],
    ["collective co", ["config", "completion"]],
    ["collective store ", ["create", "list", "remove"]],
    ["collective store list ", []],
    ["collective store create --", ["--strategy", "--quota", "--context", "--json", "--help"]],
    ["collective --v", ["--version"]],
    ["collective store --v", []],
    ["collective ls -", ["-l", "--recursive", "--context", "--json", "--help"]],
    // Values, behind a blank and behind =.
    ["collective store create --strategy ", ["media", "backup", "hybrid"]],
    ["collective store create --strategy b", ["backup"]],
    ["collective store create --strategy=b", ["backup"]],
    ["collective store create --strategy=", ["media", "backup", "hybrid"]],
    ["collective store create --quota ", []],
    ["collective store create --quota 1GB --st", ["--strategy"]],
    ["collective store create --quota=1GB --st", ["--strategy"]],
    // A flag's value is no command, and a command behind it is found.
    ["collective --context store st", ["store"]],
    ["collective --context=home store cr", ["create"]],
    ["collective --json store cr", ["create"]],
    // Contexts.
    ["collective --context h", ["home"]],
    ["collective --context alice@", ["home"]],
    ["collective config use-context a", ["attic", "alice@home"]],
    ["collective config current-context ", []],
    // Paths: readline replaces what stands behind the last character it breaks at.
    ["collective ls /media/M", ["/media/My\\ Films/"]],
    ["collective ls /media/My\\ F", ["/media/My\\ Films/"]],
    ['collective ls "/media/My F', ["/media/My Films/"]],
    ["collective ls /media/a:", ["b.txt"]],
    ["collective ls /@b", ["bob@garage.collective.local/backup/"]],
    ["collective ls /@bob@g", ["garage.collective.local/backup/"]],
    ["collective ls -l /media/a", ["/media/a:b.txt"]],
    ["collective put ./local /media/M", ["/media/My\\ Films/"]],
    ["collective put ./lo", []],
    ["collective ls /nowhere", []],
    ["collective ls -- /media/M", ["/media/My\\ Films/"]],
    ["collective ls -- -", []],
    // Nothing of what the executable prints is run.
    ["collective ls /media/$", ["/media/\\$\\(echo\\ x\\)"]],
    ["collective config use-context o", ["odd\\ \\$\\(touch\\ /\\)\\ name"]],
  ];

  test("offers what fits, and only what readline replaces", async () => {
    const offers = await bashOffers(cases.map(([line]) => line));
    expect(cases.map(([line], index) => [line, offers[index] ?? ["no answer"]])).toEqual(
      cases.map(([line, expected]) => [line, [...expected]]),
    );
  });
});

describe("scripts", () => {
  const checks = { bash: ["bash", "-n"], zsh: ["zsh", "-n"], fish: ["fish", "--no-execute"] };
  for (const shell of completionShells) {
    test.skipIf(Bun.which(shell) === null)(`${shell} accepts its script`, async () => {
      const child = Bun.spawn(checks[shell], { stdin: new Blob([completionScript(shell, tree)]), stdout: "pipe", stderr: "pipe" });
      const errors = await new Response(child.stderr).text();
      expect([await child.exited, errors]).toEqual([0, ""]);
    });

    test(`${shell} knows every command, every flag and both questions`, () => {
      const script = completionScript(shell, tree);
      for (const word of ["ls", "create", "use-context", "strategy", "quota", "media backup hybrid", "recursive"])
        expect(script).toContain(word);
      expect(script).toContain("collective config get-contexts --quiet");
      expect(script).toContain("collective ls --completion");
      expect(script).not.toMatch(/\beval\b|undefined|\[object/);
      expect(script).toEndWith("\n");
    });
  }

  test("descriptions stay inside their quotes", () => {
    expect(completionScript("zsh", tree)).toContain(`'--recursive[the --recursive\\: it'\\''s \\[optional\\]]'`);
    expect(completionScript("zsh", tree)).toContain(`'create:What create does: it'\\''s [all] "here" $HOME \`id\`'`);
    expect(completionScript("fish", tree)).toContain(`-n '__collective_at ls' -l recursive -d 'the --recursive: it\\'s [optional]'`);
  });

  test("another shell is refused", () => {
    expect(parseShell("fish")).toBe("fish");
    expect(() => parseShell("tcsh")).toThrow(CollectiveError);
  });
});
