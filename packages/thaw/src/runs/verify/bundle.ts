/** What reproduces a difference, in a directory of its own. */
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { release } from 'node:os'
import { dirname, join } from 'node:path'
import type { RunReport, VerifyReport } from '@thaw/protocol'
import type { Journal } from '../../store/index.js'
import { BUILD, VERSION } from '../../version.js'
import { chainOf, segmentsOf, type BranchRecord } from '../lineage.js'
import type { Run } from '../run.js'
import type { Result, Thing } from './compare.js'
import { contentsMet, isBelow } from './copy.js'
import { thingAt, thingOf } from './compare.js'

/** Bundles kept; the oldest go. */
const KEPT = 20
/** Bytes of the project's files in one. */
const LIMIT = 64 * 1024 * 1024

export interface Evidence {
  run: Run
  leaf: BranchRecord
  recorded: Result
  cold: Result
  again: Result
  report: VerifyReport
  outcome: RunReport
}

/**
 * @param work where the outputs of the runs lie already, each in a directory of its own; it becomes the bundle
 * @param to the bundle's path
 */
export function keepBundle(work: string, to: string, evidence: Evidence, journal: Journal): void {
  const { run, leaf, report, outcome } = evidence
  const { command, cwd, project, interpreter } = run.identity
  for (const name of ['recorded', 'cold', 'again'] as const) {
    for (const { path } of report.differences) {
      if (path !== null) put(join(work, name, 'files', path), evidence[name].files.get(path))
    }
  }
  const stdin = join(run.branchDirectory(leaf.id), 'stdin')
  if (existsSync(stdin)) cpSync(stdin, join(work, 'stdin'))
  const left = keepSources(work, run, leaf)
  const { read, others } = variables(leaf)
  const facts = {
    thaw: { version: VERSION, build: BUILD },
    system: { kernel: release(), node: process.version, arch: process.arch },
    command,
    cwd,
    project,
    interpreter,
    umask: leaf.root.umask,
    allowance: leaf.root.allowance,
    streams: leaf.streams,
    env: read,
    other_env_names: others,
    sources_left_out: left,
    outcome,
    lineage: chainOf(leaf).map((branch) => ({
      branch: branch.id,
      from: branch.parent?.id ?? null,
      sources: Object.fromEntries([...branch.versions].map(([file, { hash }]) => [file, hash])),
      report: journal.getOutcome(branch.id) ?? null,
    })),
    verify: { ...report, bundle: to },
  }
  write(join(work, 'facts.json'), `${JSON.stringify(facts, null, 2)}\n`)
  write(join(work, 'difference.txt'), report.differences.map(({ diff }) => diff).join('\n'))
  write(join(work, 'README.md'), readme(evidence))
  mkdirSync(dirname(to), { recursive: true, mode: 0o700 })
  renameSync(work, to)
  const age = (name: string) => statSync(join(dirname(to), name)).mtimeMs
  const all = readdirSync(dirname(to)).sort((a, b) => age(b) - age(a))
  for (const name of all.slice(KEPT)) rmSync(join(dirname(to), name), { recursive: true, force: true })
}

function write(path: string, text: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  writeFileSync(path, text, { mode: 0o600 })
}

function put(path: string, thing: Thing | undefined): void {
  if (thing?.head.startsWith('file ') === true) write(path, thing.bytes)
}

/** The project's files that the run had used, as it met them. Returns those that were too large. */
function keepSources(work: string, run: Run, leaf: BranchRecord): string[] {
  const { project } = run.identity
  const met = contentsMet(leaf)
  const used = new Set<string>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events) {
      if (event[0] <= limit && (event[1] === 'load' || event[1] === 'read')) used.add(event[2])
    }
  }
  let room = LIMIT
  const left: string[] = []
  for (const path of [...used].sort()) {
    if (!isBelow(path, project)) continue
    const content = met.get(path)
    const thing = content === undefined ? thingAt(path) : thingOf(content)
    room -= thing.bytes.length
    if (room < 0) left.push(path)
    else put(join(work, 'project', path.slice(project.length + 1)), thing)
  }
  return left
}

/** Variables the program read, with their values; of all others the names only. */
function variables(leaf: BranchRecord): { read: Record<string, string>; others: string[] } {
  const read: Record<string, string> = {}
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const event of branch.events) {
      if (event[0] > limit || event[1] !== 'env') continue
      const value = leaf.env[event[2]]
      if (value !== undefined) read[event[2]] = value
    }
  }
  return {
    read,
    others: Object.keys(leaf.env)
      .filter((name) => !(name in read))
      .sort(),
  }
}

const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 12)

function readme({ run, recorded, cold, again }: Evidence): string {
  const { command, cwd } = run.identity
  const quoted = command.map((word) => `'${word.replace(/'/g, `'\\''`)}'`).join(' ')
  const line = (name: string, { stdout, stderr, exit }: Result) =>
    `| ${name} | ${exit.signal ?? exit.code} | ${digest(stdout)} | ${digest(stderr)} |`
  return `# A run whose recorded result differs from a cold run

| | exit | stdout (sha256) | stderr |
|---|---|---|---|
${line('recorded', recorded)}
${line('cold', cold)}
${line('again', again)}

- \`difference.txt\`: what differs
- \`facts.json\`: command, variables that the program read (of others the names only), reports, thaw's version
- \`project/\`: the project's files that the program used, as the run met them
- \`stdin\`: what it was sent; \`recorded/\`, \`cold/\`, \`again/\`: what each run printed, and files that differ

To reproduce it: bring the versions in \`facts.json\` under \`lineage\` in place one after the other, each followed by
\`thaw run\`, in ${cwd}:

    thaw run -q ${quoted} < stdin
    thaw verify last

It is private to this user. Look through it before you pass it on.
`
}
