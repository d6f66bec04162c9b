/**
 * Certificates are issued in a child process that lives for one batch of jobs. So the process that
 * listens on the network never holds the authority's key, and the certificate library, some 10 MB
 * that are needed for milliseconds a day, leaves no trace in its memory.
 *
 * Jobs that arrive while a child runs wait for the next one and share it. Nothing secret passes
 * between the processes: both find keys on disk.
 */
import { z } from "zod";
import { checkShape } from "../../protocol/codec.ts";
import { errorBodySchema } from "../../protocol/error-body.ts";
import { CollectiveError, toCollectiveError } from "../../protocol/errors.ts";
import { type GlobalName, type Identity, identityKinds } from "../../protocol/ids.ts";
import { globalNameSchema } from "../../protocol/schema.ts";
import { type Clock, systemClock } from "../core/clock.ts";
import { loadAuthorityDir } from "../pki/authority-folder.ts";
import { enrolFromAuthorityDir } from "../pki/credentials.ts";
import { authorityDirOf, ownAuthority } from "./authority.ts";

const identitySchema = z.object({ kind: z.enum(identityKinds), name: globalNameSchema });
const jobSchema = z.discriminatedUnion("job", [
  /** Makes the member's authority if there is none. */
  z.object({ job: z.literal("authority"), dataDir: z.string(), member: globalNameSchema }),
  /** Makes a key where there is none, and certifies it. */
  z.object({
    job: z.literal("enrol"),
    dataDir: z.string(),
    credentialsDir: z.string(),
    identity: identitySchema,
    validityMs: z.number(),
    newKey: z.boolean(),
  }),
  /** Certifies the key of a request; the answer is the certificate. */
  z.object({ job: z.literal("issue"), dataDir: z.string(), csrPem: z.string(), identity: identitySchema, validityMs: z.number() }),
]);
export type CertificateJob = z.output<typeof jobSchema>;

const answerSchema = z.union([z.object({ answer: z.string() }), z.object({ error: errorBodySchema })]);
type Answer = z.output<typeof answerSchema>;

/** Name of the hidden command that is the child. */
export const certificateCommand = "issue-certificates";
const jobsPerChildMax = 64;
const jobsWaitingMax = 4_096;
const childTimeoutMs = 30_000;

export interface CertificateProcess {
  /** Jobs will be there soon: the child that does them starts meanwhile. */
  prepare(): void;
  /** Throws what the job threw. Durable on return where it writes. */
  run(job: CertificateJob): Promise<string>;
}

/** `program` runs this same program; the command is added to it. */
export function createCertificateProcess(program: readonly string[]): CertificateProcess {
  const waiting: { readonly job: CertificateJob; readonly outcome: PromiseWithResolvers<string> }[] = [];
  let isRunning = false;
  let prepared: Child | undefined;
  const nextChild = (): Child => {
    const child = prepared ?? startChild(program);
    prepared = undefined;
    return child;
  };
  const runAll = async (): Promise<void> => {
    // Everything that is asked for in this turn shares one child.
    await Promise.resolve();
    for (let batch = waiting.splice(0, jobsPerChildMax); batch.length > 0; batch = waiting.splice(0, jobsPerChildMax)) {
      try {
        const answers = await answersOf(
          nextChild(),
          batch.map(({ job }) => job),
        );
        for (const [index, { outcome }] of batch.entries()) settle(outcome, answers[index]);
      } catch (error) {
        for (const { outcome } of batch) outcome.reject(error);
      }
    }
    isRunning = false;
  };
  return {
    prepare: () => {
      prepared ??= startChild(program);
    },
    run: (job) => {
      if (waiting.length >= jobsWaitingMax)
        return Promise.reject(new CollectiveError("rate_limited", "too many certificates are being asked for"));
      const outcome = Promise.withResolvers<string>();
      waiting.push({ job, outcome });
      if (!isRunning) void runAll();
      isRunning = true;
      return outcome.promise;
    },
  };
}

function settle(outcome: PromiseWithResolvers<string>, answer: Answer | undefined): void {
  if (answer === undefined) outcome.reject(new CollectiveError("internal", "the certificate process left out an answer"));
  else if ("answer" in answer) outcome.resolve(answer.answer);
  else outcome.reject(new CollectiveError(answer.error.code, answer.error.message, { hint: answer.error.hint }));
}

type Child = ReturnType<typeof startChild>;

/** It waits for its jobs, and ends without a word when this process ends before there are any. */
function startChild(program: readonly string[]) {
  return Bun.spawn([...program, certificateCommand], { stdin: "pipe", stdout: "pipe", stderr: "inherit", timeout: childTimeoutMs });
}

async function answersOf(child: Child, jobs: readonly CertificateJob[]): Promise<Answer[]> {
  child.stdin.write(JSON.stringify(jobs));
  await child.stdin.end();
  const text = await new Response(child.stdout).text();
  const exitCode = await child.exited;
  if (exitCode !== 0) throw new CollectiveError("internal", `the certificate process ended with ${exitCode}`);
  return checkShape(z.array(answerSchema), JSON.parse(text), "the answer of the certificate process", "internal");
}

/** The child's side: jobs as JSON in, answers as JSON out, in the same order. */
export async function runCertificateJobs(input: string, clock: Clock = systemClock): Promise<string> {
  if (input === "") return "";
  const jobs = checkShape(z.array(jobSchema).max(jobsPerChildMax), JSON.parse(input), "the list of jobs");
  const answers: Answer[] = [];
  for (const job of jobs) {
    try {
      answers.push({ answer: await runJob(job, clock) });
    } catch (thrown) {
      const { code, message, hint } = toCollectiveError(thrown);
      answers.push({ error: { code, message, ...(hint === undefined ? {} : { hint }) } });
    }
  }
  return JSON.stringify(answers);
}

async function runJob(job: CertificateJob, clock: Clock): Promise<string> {
  const authorityDir = authorityDirOf(job.dataDir);
  switch (job.job) {
    case "authority":
      return (await ownAuthority(job.dataDir, job.member, clock)).authority.certificatePem;
    case "enrol": {
      const { credentialsDir, identity, validityMs, newKey } = job;
      return (await enrolFromAuthorityDir({ authorityDir, credentialsDir, identity, validityMs, clock, newKey })).certificatePem;
    }
    case "issue": {
      const authority = await loadAuthorityDir(authorityDir);
      return await authority.issue({ csrPem: job.csrPem, identity: job.identity, validityMs: job.validityMs, nowMs: clock.wallMs() });
    }
  }
}

export interface EnrolJob {
  readonly dataDir: string;
  readonly credentialsDir: string;
  readonly identity: Identity;
  readonly validityMs: number;
  readonly newKey?: boolean;
}

export function enrolJob({ newKey = false, ...rest }: EnrolJob): CertificateJob {
  return { job: "enrol", newKey, ...rest };
}

export function authorityJob(dataDir: string, member: GlobalName): CertificateJob {
  return { job: "authority", dataDir, member };
}
