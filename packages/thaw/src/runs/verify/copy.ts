/** A private copy of a project, with the files a run wrote as they were before it. */
import { mkdirSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { diskState, isUnlisted } from '../../files/signature.js'
import { contentBefore, putBack, type Content } from '../../files/undo.js'
import { agentsDirectory, startProcess, ThawError, type Scope } from '../../system/index.js'
import { segmentsOf, type BranchRecord } from '../lineage.js'

/** Of what is copied; what is shared (node_modules, version control, virtual environments) does not count. */
const MOST = { bytes: 2 ** 30, entries: 100_000 }

const answer = z.union([
  z.object({ why: z.null(), shared: z.array(z.string()), private: z.boolean() }),
  z.object({ why: z.string() }),
])

export interface ProjectCopy {
  project: string
  directory: string
  /** Directories that were not copied, relative. */
  shared: string[]
  /** Whether programs can see the copy in the project's place. */
  private: boolean
}

export const privateProgram = () => join(agentsDirectory(), 'python', 'thaw_agent', 'private.py')

export function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`)
}

/**
 * What each path held before the lineage of `leaf` wrote it first. Of what is copied from outside only what it made is
 * known so: the rest is met as it is now.
 */
export function contentsMet(leaf: BranchRecord): Map<string, Exclude<Content, 'unknown'>> {
  const met = new Map<string, Exclude<Content, 'unknown'>>()
  for (const { branch, limit } of segmentsOf(leaf)) {
    for (const write of branch.writes) {
      const { seq, path } = write
      if (seq > limit || met.has(path)) continue
      const content = contentBefore(write)
      if (content === 'unknown' && leaf.engine === 'process') continue
      if (content === 'unknown') {
        throw new ThawError('NOT_VERIFIABLE', `What ${path} was before the program changed it was not kept.`)
      }
      met.set(path, content)
    }
  }
  return met
}

/**
 * Copies a project.
 *
 * @param directory where the copy is to be; it is made
 * @param written paths that are copied although they lie where things are shared
 * @param skip paths that are no part of the project, whatever lies where
 * @returns the copy, or why there is none
 */
export async function copyTree(
  python: string,
  project: string,
  directory: string,
  written: readonly string[],
  skip: readonly string[],
  scope: Scope,
): Promise<ProjectCopy | { why: string }> {
  mkdirSync(directory, { recursive: true, mode: 0o700 })
  const argv = [python, '-I', '-S', privateProgram(), 'copy']
  await using child = await startProcess(argv, { cwd: '/' }, scope)
  const parts: Buffer[] = []
  const said: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => parts.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => said.push(chunk))
  const closed = new Promise((resolve) => child.stdout?.once('close', resolve))
  const request = { project, copy: directory, skip, written, ...MOST }
  // A process that could not read it says so by its end.
  child.stdin?.on('error', () => {})
  child.stdin?.end(JSON.stringify(request))
  const { code } = await child.exited
  await closed
  if (scope.signal.aborted) throw new ThawError('CANCELLED', 'Cancelled while copying the project.')
  if (code !== 0) throw new ThawError('INTERNAL', `The project was not copied: ${Buffer.concat(said)}`)
  const copied = answer.parse(JSON.parse(Buffer.concat(parts).toString()))
  if (copied.why !== null) return { why: `The project ${project} cannot be copied: it holds ${copied.why}.` }
  return { project, directory, shared: copied.shared, private: copied.private }
}

/**
 * A copy with the files that a run wrote as they were before it.
 *
 * @throws ThawError NOT_VERIFIABLE where the project is too large or cannot be read
 */
export async function copyProject(
  python: string,
  project: string,
  directory: string,
  leaf: BranchRecord,
  skip: readonly string[],
  scope: Scope,
): Promise<ProjectCopy> {
  const met = contentsMet(leaf)
  const copy = await copyTree(python, project, directory, [...met.keys()], skip, scope)
  if ('why' in copy) {
    throw new ThawError('NOT_VERIFIABLE', copy.why, {
      hint: 'Keep large data outside of the project, or mark a smaller directory as one (an empty thaw.toml in it).',
    })
  }
  const inside = [...met].filter(([path]) => isBelow(path, project))
  try {
    putBack(new Map(inside.map(([path, content]) => [directory + path.slice(project.length), content])))
  } catch (error) {
    throw new ThawError('NOT_VERIFIABLE', `What the run met was not kept (${(error as Error).message}).`, {
      cause: error,
    })
  }
  return copy
}

/** How everything in the copy looks, by relative path. */
export async function lookAt({ directory, shared }: ProjectCopy): Promise<Map<string, string | null>> {
  const looks = new Map<string, string | null>()
  const leave = new Set(shared)
  const queue = ['']
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    for (const entry of await readdir(join(directory, at), { withFileTypes: true })) {
      const path = at === '' ? entry.name : `${at}/${entry.name}`
      if (leave.has(path) || isUnlisted(entry.name)) continue
      looks.set(path, diskState(join(directory, path)))
      if (entry.isDirectory()) queue.push(path)
    }
  }
  return looks
}
