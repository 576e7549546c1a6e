// The programs under programs/, and the trees that a sequence of edits works on.
import {
  cpSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const HERE = dirname(fileURLToPath(import.meta.url))
const PROGRAMS = join(HERE, '..', 'programs')

/**
 * @typedef {object} Program
 * @property {string} name
 * @property {string} root where its pristine sources lie
 * @property {string} about
 * @property {string[]} arguments what follows the interpreter
 * @property {string=} stdin file fed to it, relative to the root
 * @property {string[]} data files that data edits may change
 * @property {string[]} stack functions that call the stages
 * @property {string[]} dormant functions that never run
 * @property {string[]} needs modules the interpreter must have
 * @property {string[]} packages what to install where it has not
 * @property {string[]} normalise names of rules in compare.mjs
 * @property {string[]} flags of `thaw run`
 * @property {number} share how often it is chosen, 1 being usual
 */

/** @returns {Program[]} */
export function loadPrograms() {
  return readdirSync(PROGRAMS)
    .sort()
    .map((name) => {
      const root = join(PROGRAMS, name)
      const told = JSON.parse(readFileSync(join(root, 'program.json'), 'utf8'))
      return { needs: [], packages: [], normalise: [], share: 1, data: [], flags: [], ...told, name, root }
    })
}

export function copyTree(from, to) {
  const pipes = []
  rmSync(to, { recursive: true, force: true })
  cpSync(from, to, {
    recursive: true,
    verbatimSymlinks: true,
    preserveTimestamps: true,
    filter: (path) => {
      const status = lstatSync(path)
      if (status.isFIFO()) pipes.push({ path: join(to, relative(from, path)), mode: status.mode & 0o777 })
      return !status.isFIFO() && !path.endsWith('__pycache__')
    },
  })
  for (const { path, mode } of pipes) spawnSync('mkfifo', ['-m', mode.toString(8), path], { stdio: 'ignore' })
}

/** A tree for the first time: the program without its description. */
export function plant(program, to, seconds) {
  cpSync(program.root, to, { recursive: true, filter: (path) => !/__pycache__|program\.json$/.test(path) })
  if (seconds !== null) {
    for (const path of readdirSync(to, { recursive: true }))
      utimesSync(join(to, String(path)), seconds, seconds)
  }
}

/**
 * Makes the changes of an edit in a tree.
 * @param {Record<string, string|null>} changes path to base64 text; null removes
 * @param {string[]} touched
 * @param {number|null} seconds modification time for what is written; null leaves it to the clock
 */
export function applyEdit(tree, changes, touched, seconds) {
  const written = []
  for (const [path, content] of Object.entries(changes)) {
    const full = join(tree, path)
    if (content === null) {
      rmSync(full, { force: true })
      continue
    }
    mkdirSync(dirname(full), { recursive: true })
    writeFileSync(full, Buffer.from(content, 'base64'))
    written.push(full)
  }
  for (const path of touched) {
    const full = join(tree, path)
    try {
      writeFileSync(full, readFileSync(full))
      written.push(full)
    } catch (error) {
      if (error.code !== 'ENOENT') throw error
    }
  }
  if (seconds !== null) for (const full of written) utimesSync(full, seconds, seconds)
}

/** The sources of a tree: path to base64 text. */
export function readSources(tree) {
  const found = {}
  for (const entry of readdirSync(tree, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const full = join(entry.parentPath ?? entry.path, entry.name)
    found[full.slice(tree.length + 1)] = readFileSync(full).toString('base64')
  }
  return found
}

/** The changes that lead from one state of the sources to another. */
export function changesBetween(from, to) {
  const changes = {}
  for (const path of Object.keys(from)) if (!(path in to)) changes[path] = null
  for (const [path, content] of Object.entries(to)) if (from[path] !== content) changes[path] = content
  return changes
}
