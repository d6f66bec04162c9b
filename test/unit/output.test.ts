import { describe, expect, test } from "bun:test";
import { formatPercent, renderBar, renderCapacityBar } from "../../src/cli/output/bar.ts";
import { createColours, noColours, wantsColour } from "../../src/cli/output/colour.ts";
import { formatJson, printJson } from "../../src/cli/output/json.ts";
import { createProgress, renderProgress } from "../../src/cli/output/progress.ts";
import { type Column, renderFields, renderTable } from "../../src/cli/output/table.ts";
import { describeTerminal, showsUnicode } from "../../src/cli/output/terminal.ts";
import { padText, printable, textWidth, truncateText } from "../../src/cli/output/text.ts";
import type { Clock } from "../../src/core/clock.ts";
import { parseSize } from "../../src/core/units.ts";

describe("colour", () => {
  test("only on a terminal that nobody objects to", () => {
    const environment = { TERM: "xterm" };
    expect(wantsColour({ isTerminal: true, environment })).toBe(true);
    expect(wantsColour({ isTerminal: true, environment: { ...environment, NO_COLOR: "" } })).toBe(true);
    expect(wantsColour({ isTerminal: false, environment })).toBe(false);
    expect(wantsColour({ isTerminal: true, environment, noColour: true })).toBe(false);
    expect(wantsColour({ isTerminal: true, environment: { ...environment, NO_COLOR: "1" } })).toBe(false);
    expect(wantsColour({ isTerminal: true, environment: { TERM: "dumb" } })).toBe(false);
  });

  test("off leaves text alone, on ends what it began", () => {
    expect([noColours.bad("x"), noColours.bold("x")]).toEqual(["x", "x"]);
    const on = createColours(true);
    expect([on.bad("x"), on.dim("x"), on.good("")]).toEqual(["\x1b[31mx\x1b[39m", "\x1b[2mx\x1b[22m", ""]);
  });
});

describe("terminal", () => {
  test("what is no terminal has no width and no colour", () => {
    const pipe = describeTerminal({ stream: { write: () => true, columns: 50 }, environment: { TERM: "xterm" } });
    expect([pipe.isTerminal, pipe.columns, pipe.colours.enabled]).toEqual([false, undefined, false]);
    const terminal = describeTerminal({ stream: { isTTY: true, columns: 50, write: () => true }, environment: { TERM: "xterm" } });
    expect([terminal.isTerminal, terminal.columns, terminal.colours.enabled, terminal.redraws]).toEqual([true, 50, true, true]);
    const dumb = describeTerminal({ stream: { isTTY: true, write: () => true }, environment: { TERM: "dumb" } });
    expect([dumb.redraws, pipe.redraws, dumb.unicode, dumb.colours.enabled]).toEqual([false, false, false, false]);
    expect(describeTerminal({ stream: { isTTY: true, columns: 0, write: () => true }, environment: {} }).columns).toBe(80);
  });

  test("ASCII where the locale or the terminal says so", () => {
    expect([showsUnicode({}), showsUnicode({ LANG: "de_DE.UTF-8" }), showsUnicode({ LC_ALL: "C.utf8", LANG: "C" })]).toEqual([
      true,
      true,
      true,
    ]);
    expect([showsUnicode({ LANG: "C" }), showsUnicode({ LC_ALL: "POSIX", LANG: "de_DE.UTF-8" }), showsUnicode({ TERM: "dumb" })]).toEqual([
      false,
      false,
      false,
    ]);
  });
});

describe("text", () => {
  test("is cut by what is seen, never inside a character", () => {
    expect(truncateText("abcdef", 6)).toBe("abcdef");
    expect(truncateText("abcdef", 5)).toBe("abcd…");
    expect(truncateText("日本語の名前", 7)).toBe("日本語…");
    expect(truncateText("日本語の名前", 6)).toBe("日本…");
    expect(truncateText("e\u0301e\u0301e\u0301", 2)).toBe("e\u0301…");
    expect(truncateText("👩‍👩‍👧👩‍👩‍👧", 3)).toBe("👩‍👩‍👧…");
    expect([truncateText("abc", 1), truncateText("abc", 0), truncateText("abc", 2, "~")]).toEqual(["…", "", "a~"]);
  });

  test("is padded by what is seen", () => {
    expect(padText("日本", 6, "left")).toBe("日本  ");
    expect(padText("e\u0301", 3, "right")).toBe("  e\u0301");
  });

  test("of others cannot steer the terminal", () => {
    expect(printable("a\x1b[2Jb\r\n\tc\x9b1m\u202etxt.exe\ud800")).toBe("a?[2Jb???c?1m?txt.exe\ufffd");
  });
});

const columns: Column[] = [{ header: "NAME", flexible: true }, { header: "SIZE", align: "right" }, { header: "STATE" }];

describe("tables", () => {
  test("are aligned, numbers to the right, without blanks at line ends", () => {
    const rows = [
      ["films", "1.5 GiB", "alive"],
      ["日本語", "12 B", ""],
      ["e\u0301", 7, "dead"],
    ];
    expect(renderTable({ columns, rows })).toBe(
      ["NAME       SIZE  STATE", "films   1.5 GiB  alive", "日本語     12 B", "e\u0301             7  dead"].join("\n"),
    );
    expect(renderTable({ columns, rows: [] })).toBe("NAME  SIZE  STATE");
    expect(renderTable({ columns, rows: [["a"]], indent: 2 })).toBe("  NAME  SIZE  STATE\n  a");
  });

  test("cut flexible columns only, the widest first, and stop at their least width", () => {
    const wide: Column[] = [
      { header: "PATH", flexible: true },
      { header: "OWNER", flexible: true, widthMin: 5 },
      { header: "SIZE", align: "right" },
    ];
    const rows = [["/media/films/a-very-long-name.mkv", "alice@home.collective.local", "100 GiB"]];
    const table = renderTable({ columns: wide, rows, width: 50 });
    expect(table.split("\n")).toEqual([
      "PATH                 OWNER                    SIZE",
      "/media/films/a-ver…  alice@home.collecti…  100 GiB",
    ]);
    for (const line of table.split("\n")) expect(textWidth(line)).toBeLessThanOrEqual(50);
    expect(renderTable({ columns: wide, rows, width: 10 }).split("\n")[1]).toBe("/media/…  alic…  100 GiB");
    expect(renderTable({ columns: wide, rows, width: 10, unicode: false }).split("\n")[1]).toBe("/media/~  alic~  100 GiB");
    expect(renderTable({ columns: wide, rows })).toContain("a-very-long-name.mkv");
  });

  test("colours change nothing about the alignment", () => {
    const colours = createColours(true);
    const painted = renderTable({
      columns: [{ header: "NAME", paint: colours.bold }, ...columns.slice(1)],
      rows: [
        ["a", "1 B", { text: "dead", paint: colours.bad }],
        ["bb", "10 B", "alive"],
      ],
      colours,
    });
    expect(painted).toContain("\x1b[2mNAME\x1b[22m");
    expect(painted).toContain("\x1b[31mdead\x1b[39m");
    expect(Bun.stripANSI(painted)).toBe("NAME  SIZE  STATE\na      1 B  dead\nbb    10 B  alive");
  });

  test("a name with a line break stays in its line", () => {
    expect(renderTable({ columns: [{ header: "NAME" }], rows: [["a\nb\x1b[31m"]] })).toBe("NAME\na?b?[31m");
  });

  test("fields of one thing", () => {
    const fields = [
      ["Name", "attic"],
      ["Last seen", "2s ago"],
      ["Chunks", 12],
      ["Note", ""],
    ] as const;
    expect(renderFields({ fields })).toBe("Name       attic\nLast seen  2s ago\nChunks     12\nNote");
  });
});

describe("bars", () => {
  test("golden", () => {
    expect(renderCapacityBar({ usedBytes: 62, totalBytes: 100, width: 12 })).toBe("███████░░░░░  62 %");
    expect(renderCapacityBar({ usedBytes: 62, totalBytes: 100, width: 12, unicode: false })).toBe("#######.....  62 %");
    expect(renderCapacityBar({ usedBytes: 0, totalBytes: 0, width: 4 })).toBe("░░░░   0 %");
    expect(renderCapacityBar({ usedBytes: 200, totalBytes: 100, width: 4 })).toBe("████ 100 %");
  });

  test("something is never drawn as nothing, nor a rest as none", () => {
    expect([renderBar({ fraction: 0.001, width: 4 }), renderBar({ fraction: 0.999, width: 4 })]).toEqual(["█░░░", "███░"]);
    expect([formatPercent(0.999), formatPercent(1), formatPercent(0)]).toEqual([" 99 %", "100 %", "  0 %"]);
  });

  test("the colour tells the danger", () => {
    const colours = createColours(true);
    const at = (usedBytes: number) => renderCapacityBar({ usedBytes, totalBytes: 100, width: 4, colours });
    expect([at(10).includes("\x1b[32m"), at(85).includes("\x1b[33m"), at(96).includes("\x1b[31m")]).toEqual([true, true, true]);
  });
});

describe("json", () => {
  test("big integers stay exact", () => {
    expect(JSON.parse(formatJson({ size: 12n, time: 1_700_000_000_000_000_000n, list: [2n ** 53n - 1n] }))).toEqual({
      size: 12,
      time: "1700000000000000000",
      list: [2 ** 53 - 1],
    });
  });

  test("always one value with one line break at its end", () => {
    const written: string[] = [];
    const stream = { write: (text: string) => written.push(text) };
    for (const value of [undefined, null, "a", [], { at: new Date(0), gone: undefined }]) printJson(value, stream);
    expect(written).toEqual(["null\n", "null\n", '"a"\n', "[]\n", '{\n  "at": "1970-01-01T00:00:00.000Z"\n}\n']);
  });
});

function createFakeClock(): Clock & { advance(ms: number): void; timers: number } {
  let nowMs = 0;
  const timers = new Set<{ everyMs: number; nextMs: number; fn: () => void }>();
  return {
    get timers() {
      return timers.size;
    },
    monotonicMs: () => nowMs,
    wallMs: () => nowMs,
    sleep: async () => {},
    every: (everyMs, fn) => {
      const timer = { everyMs, nextMs: nowMs + everyMs, fn };
      timers.add(timer);
      return { [Symbol.dispose]: () => void timers.delete(timer) };
    },
    advance: (ms) => {
      for (const endMs = nowMs + ms; nowMs < endMs; ) {
        nowMs += 1;
        for (const timer of timers) {
          if (nowMs < timer.nextMs) continue;
          timer.nextMs += timer.everyMs;
          timer.fn();
        }
      }
    },
  };
}

function createFakeTerminal(columns = 100) {
  const written: string[] = [];
  return {
    isTTY: true,
    columns,
    written,
    write: (text: string) => written.push(text),
    last: () => (written.at(-1) ?? "").replace("\r\x1b[2K", ""),
  };
}

describe("progress", () => {
  test("one line with bar, percent, amount, rate and time left, wiped at the end", () => {
    const clock = createFakeClock();
    const stream = createFakeTerminal();
    const progress = createProgress({ stream, clock, label: "film.mkv", total: { bytes: parseSize("100MiB") } });
    for (let i = 0; i < 50; i++) {
      progress.add({ bytes: parseSize("1MiB") });
      clock.advance(100);
    }
    expect(stream.last()).toBe("film.mkv  ███████████████░░░░░░░░░░░░░░░   50 %  50.0 MiB of 100 MiB  10.0 MiB/s  5s left");
    progress.finish();
    progress.finish();
    expect(stream.written.at(-1)).toBe("\r\x1b[2K");
    expect(clock.timers).toBe(0);
    const count = stream.written.length;
    progress.add({ bytes: 1 });
    clock.advance(1000);
    expect(stream.written).toHaveLength(count);
  });

  test("at most ten times a second, also when it is told of much more, and also when it is told of nothing", () => {
    const clock = createFakeClock();
    const stream = createFakeTerminal();
    using progress = createProgress({ stream, clock, label: "x", total: { bytes: 1e9 } });
    for (let i = 0; i < 2000; i++) {
      clock.advance(1);
      progress.add({ bytes: 1000 });
    }
    expect(stream.written.length).toBeGreaterThan(15);
    expect(stream.written.length).toBeLessThanOrEqual(20);
    clock.advance(60_000);
    expect(stream.written.length).toBeLessThanOrEqual(620);
    expect(stream.last()).toMatch(/0 B\/s {2}.* left|stalled/);
  });

  test("nothing at all without a terminal, when it is not wanted, or when the work is short", () => {
    const clock = createFakeClock();
    const pipe = { written: [] as string[], write: (text: string) => pipe.written.push(text) };
    const quiet = createFakeTerminal();
    const short = createFakeTerminal();
    const all = [createProgress({ stream: pipe, clock, label: "x" }), createProgress({ stream: quiet, clock, label: "x", enabled: false })];
    const quick = createProgress({ stream: short, clock, label: "x" });
    clock.advance(150);
    quick.finish();
    clock.advance(5000);
    for (const progress of all) {
      progress.add({ bytes: 5, files: 1 });
      progress.finish();
    }
    expect([pipe.written, quiet.written, short.written]).toEqual([[], [], []]);
  });

  test("the rate follows the last seconds, not the whole", () => {
    const clock = createFakeClock();
    const stream = createFakeTerminal();
    using progress = createProgress({ stream, clock, label: "x", total: { bytes: 1e9 } });
    const run = (seconds: number, bytesPerTick: number) => {
      for (let i = 0; i < seconds * 10; i++) {
        clock.advance(100);
        progress.add({ bytes: bytesPerTick });
      }
    };
    run(10, parseSize("1MiB"));
    run(15, parseSize("4MiB"));
    const rate = Number(/([\d.]+) MiB\/s/.exec(stream.last())?.[1]);
    expect(rate).toBeGreaterThan(38);
    expect(rate).toBeLessThanOrEqual(40);
  });

  test("a note stands above the line", () => {
    const clock = createFakeClock();
    const stream = createFakeTerminal();
    using progress = createProgress({ stream, clock, label: "x", total: { files: 3 } });
    clock.advance(500);
    stream.written.length = 0;
    progress.note("skipped a");
    progress.setLabel("evil\x1b[2J");
    progress.setTotal({ files: 2 });
    clock.advance(100);
    progress.add({ files: 1 });
    clock.advance(100);
    expect(stream.written.slice(0, 2)).toEqual(["\r\x1b[2K", "skipped a\n"]);
    expect(stream.last()).toStartWith("evil?[2J  ███");
    expect(stream.last()).toContain("1/2 files");
  });

  test("files alone, unknown totals, and the end", () => {
    const base = { label: "put", done: { bytes: 2048, files: 5 }, perSecond: 2, elapsedMs: 12_400, width: 100 };
    expect(renderProgress({ ...base, total: { files: 10 } })).toBe(
      "put  ███████████████░░░░░░░░░░░░░░░   50 %  5/10 files  2 files/s  3s left",
    );
    expect(renderProgress({ ...base, total: {} })).toBe("put   2.0 KiB       2 B/s  12s");
    expect(renderProgress({ ...base, total: { bytes: 2048, files: 5 }, unicode: false })).toBe(
      "put  ##############################  100 %   2.0 KiB of 2.0 KiB  5/5 files       2 B/s",
    );
    expect(renderProgress({ ...base, total: { bytes: 0 }, done: { bytes: 0, files: 0 } })).toContain("100 %");
  });

  test("fits every width, losing the least important first", () => {
    for (let width = 1; width <= 140; width++) {
      for (const label of ["a", "日本語のとても長い名前のファイル.mkv"]) {
        const line = renderProgress({
          label,
          done: { bytes: 123_456_789, files: 1234 },
          total: { bytes: 987_654_321, files: 5678 },
          perSecond: 12_345_678,
          elapsedMs: 10_000,
          width,
        });
        expect(textWidth(line)).toBeLessThanOrEqual(width);
        expect(line).not.toMatch(/\s$/);
        if (width >= 20) expect(line).toContain("12 %");
        if (width >= 60) expect(line).toContain("left");
      }
    }
  });
});
