/** What a repairer sees: everything about a failure that helps, bounded, and without secrets. */
import { lstatSync, readFileSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import type { Failure, RepairBundle, TriedEdit } from '@thaw/protocol'
import { chainOf, segmentsOf, type BranchRecord, type Checkpoint } from '../runs/lineage.js'
import { placeOf } from '../runs/plan.js'
import { startProcess, withTimeout, type Scope } from '../system/index.js'
import { shortPath, type Place } from './failure.js'
import type { Mask } from './mask.js'

const FILES = 8
const FILE_LIMIT = 64 * 1024
const READS = 20
const DIFF_LIMIT = 64 * 1024
const GIT_TIME = 10_000

const HOW =
  'Edit the files below the current directory, or print a unified diff with paths relative to the project. ' +
  'What is outside of the project, removals and renames are refused.'

export interface Subject extends Place {
  repair: string
  command: readonly string[]
  failure: Failure
  output: { stdout: string; stderr: string }
  stdin: string | null
  /** Null for a program that ran plainly. */
  record: BranchRecord | null
  tried: readonly TriedEdit[]
}

export async function bundleOf(
  subject: Subject,
  round: number,
  mask: Mask,
  scope: Scope,
): Promise<RepairBundle> {
  const { repair, command, cwd, project, failure, record, tried } = subject
  const diff = await uncommitted(project, scope)
  return {
    version: 1,
    repair,
    round,
    candidate: 1,
    command: command.map((word) => mask.text(word)),
    cwd,
    project,
    failure,
    output: { stdout: mask.text(subject.output.stdout), stderr: mask.text(subject.output.stderr) },
    input: {
      stdin: subject.stdin === null ? null : mask.text(subject.stdin),
      files: record === null ? [] : lastRead(record, subject),
    },
    files: concerned(subject).map(({ path, text }) => ({ path, text: mask.text(text) })),
    diff: diff === null ? null : mask.text(diff),
    checkpoints: record === null ? [] : resumable(record).map((one) => described(one, record)),
    frozen: record?.checkpoints.find(isFrozen)?.id ?? null,
    tried: [...tried],
    how_to_answer: HOW,
  }
}

/** Of a branch's lineage, the latest first: where it could go on from. */
export function resumable(record: BranchRecord): Checkpoint[] {
  return chainOf(record)
    .flatMap((branch, i, chain) => {
      const limit = chain[i + 1]?.parent?.seq ?? Infinity
      return branch.checkpoints.filter(({ seq }) => seq <= limit)
    })
    .filter(({ state, image, hooked }) => state === 'parked' && image.alive && !hooked)
    .toSorted((a, b) => b.work - a.work)
}

/** Made at a failure (agents/python/thaw_agent/diagnosis.py). */
function isFrozen({ hooked, name, state, image }: Checkpoint): boolean {
  return hooked && name === 'failure' && state === 'parked' && image.alive
}

function described(checkpoint: Checkpoint, record: BranchRecord): RepairBundle['checkpoints'][number] {
  return {
    id: checkpoint.id,
    before: checkpoint.before.file === '' ? 'unknown' : placeOf(checkpoint).replace(/^before /, ''),
    at_seconds: checkpoint.work,
    cost_seconds: Math.max(0, (record.end?.work ?? checkpoint.work) - checkpoint.work),
  }
}

/** The files that the program read last, sources left out. */
function lastRead(record: BranchRecord, place: Place): RepairBundle['input']['files'] {
  const paths = new Set<string>()
  for (const { branch, limit } of segmentsOf(record)) {
    for (const event of branch.events) {
      if (event[0] > limit) break
      if (event[1] !== 'read' || event[2].endsWith('.py')) continue
      paths.delete(event[2])
      paths.add(event[2])
    }
  }
  return [...paths].slice(-READS).flatMap((path) => {
    const found = lstatSync(path, { throwIfNoEntry: false })
    return found?.isFile() === true ? [{ path: shortPath(path, place), bytes: found.size }] : []
  })
}

/** Project files on the traceback, the innermost first, then those that the output and the command name, and its modules. */
function concerned({
  failure,
  output,
  project,
  cwd,
  command,
  record,
}: Subject): { path: string; text: string }[] {
  const all = [...failure.exceptions, ...failure.tests.flatMap(({ exceptions }) => exceptions)]
  const traced = all.flatMap(({ frames }) => frames.filter((frame) => frame.project).map(({ file }) => file))
  const printed = [
    ...`${output.stdout}\n${output.stderr}`.matchAll(/([\w./-]+\.\w{1,4})(?:::|:\d+|", line \d+)/g),
  ]
  const named = printed.map((match) => shortPath(match[1] ?? '', { project, cwd }))
  const given = command.map((word) => shortPath(word, { project, cwd }))
  const loaded = [...(record?.versions.keys() ?? [])].map((path) => shortPath(path, { project, cwd }))
  const found: { path: string; text: string }[] = []
  for (const path of new Set([...traced.reverse(), ...named.reverse(), ...given, ...loaded])) {
    if (found.length === FILES) break
    if (isAbsolute(path) || path === '') continue
    const text = textOf(join(project, path))
    if (text !== null) found.push({ path, text })
  }
  return found
}

function textOf(file: string): string | null {
  try {
    const found = statSync(file)
    if (!found.isFile() || found.size > FILE_LIMIT) return null
    const content = readFileSync(file)
    return content.includes(0) ? null : content.toString('utf8')
  } catch {
    return null
  }
}

async function uncommitted(project: string, scope: Scope): Promise<string | null> {
  const argv = ['git', '-C', project, 'diff', '--no-ext-diff', '--no-color', 'HEAD', '--', '.']
  try {
    await using child = await startProcess(
      argv,
      { cwd: '/', env: { ...process.env, GIT_OPTIONAL_LOCKS: '0' }, stdio: ['ignore', 'pipe', 'ignore'] },
      withTimeout(scope, GIT_TIME),
    )
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      if (text.length < DIFF_LIMIT) text += chunk
    })
    const closed = new Promise((resolve) => child.stdout?.once('close', resolve))
    const { code } = await child.exited
    await closed
    return code === 0 && text !== '' ? text.slice(0, DIFF_LIMIT) : null
  } catch {
    // No git here, or no repository.
    return null
  }
}
