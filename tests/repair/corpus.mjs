/** Faulty programs (tests/repair/corpus), repaired by scripted edits: first a bad one, then the good one. */
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const corpus = join(here, 'corpus')
const repairer = join(here, 'scripted.py')

export const faults = () => readdirSync(corpus).toSorted()

/** Writes the programs as one edit leaves them. */
function edit(directory, edits) {
  for (const [file, from, to] of edits) {
    const path = join(directory, file)
    const text = readFileSync(path, 'utf8')
    if (!text.includes(from)) throw new Error(`${file} does not hold ${from}`)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
}

/**
 * Repairs one program, and runs the repaired one cold beside it.
 *
 * @param {{directory: string, env: Record<string, string>, thaw: string}} where an empty directory of its own
 * @param {string} name
 * @param {boolean} bad whether a bad edit comes first
 */
export function repair({ directory, env, thaw }, name, bad) {
  const fault = JSON.parse(readFileSync(join(corpus, name, 'fault.json'), 'utf8'))
  const [project, cold] = ['project', 'cold'].map((part) => join(directory, name, part))
  for (const copy of [project, cold]) {
    rmSync(copy, { recursive: true, force: true })
    mkdirSync(copy, { recursive: true })
    cpSync(join(corpus, name), copy, { recursive: true })
    rmSync(join(copy, 'fault.json'))
    writeFileSync(join(copy, 'thaw.toml'), '')
  }
  edit(cold, fault.good)
  const [command, ...args] = fault.command
  const began = performance.now()
  const plain = spawnSync(command, args, { cwd: cold, env, encoding: 'utf8' })
  const seconds = (performance.now() - began) / 1000
  const file = join(directory, name, 'report.json')
  const shown = spawnSync(
    process.execPath,
    [
      thaw,
      'repair',
      '--report',
      file,
      ...(fault.time_limit === undefined ? [] : ['--time-limit', fault.time_limit]),
      '--with',
      `python3 ${repairer} ${join(corpus, name)} ${bad ? 'bad' : 'good'}`,
      '--',
      ...fault.command,
    ],
    { cwd: project, env, encoding: 'utf8', timeout: 120_000 },
  )
  let report = null
  try {
    report = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // What was printed tells more.
  }
  const files = fault.good.map(([path]) => path)
  const same = files.every((path) => readFileSync(join(project, path)).equals(readFileSync(join(cold, path))))
  return { fault, plain: { ...plain, seconds }, shown, report, same }
}
