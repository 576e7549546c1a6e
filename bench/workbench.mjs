import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { now } from './measure.mjs'

const here = dirname(fileURLToPath(import.meta.url))

/** A temporary place with a THAW_HOME and a daemon of its own; `close` ends and removes everything. */
export class Workbench {
  temp = mkdtempSync(join(tmpdir(), 'thaw-bench-'))
  home = join(this.temp, 'home')
  env = {
    ...neutral(process.env),
    THAW_HOME: this.home,
    XDG_CACHE_HOME: join(this.temp, 'cache'),
    XDG_CONFIG_HOME: join(this.temp, 'config'),
  }
  python
  bin
  #child = null
  #projects = 0

  /** `bin` is the file of the thaw to measure, `python` the command whose interpreter runs the programs. */
  constructor(bin, python) {
    this.bin = bin
    this.python = realPython(python)
  }

  /** A new directory with copies of these programs of bench/programs. */
  project(...programs) {
    const directory = join(this.temp, `project-${++this.#projects}`)
    mkdirSync(directory)
    for (const program of programs) cpSync(join(here, 'programs', program), join(directory, program))
    return directory
  }

  /** Plain Python, from start to exit. */
  plain(cwd, args, options) {
    return this.#run(this.python, args, cwd, options)
  }

  /** Node with nothing of thaw, for what its start alone takes. */
  node(args) {
    return this.#run(process.execPath, args, this.temp)
  }

  /**
   * The same under thaw; `report` is what --report wrote. Throws unless `outcome` is the expected one.
   *
   * `standby`: as from a shell, with a process that stands by for the command; else Node is started for it.
   */
  async thaw(cwd, args, { flags = [], outcome, standby = false, ...options } = {}) {
    const file = join(this.temp, 'report.json')
    rmSync(file, { force: true })
    const command = ['run', '-q', '--report', file, ...flags, '--', this.python, ...args]
    if (standby) await this.#standby(cwd)
    const result = standby
      ? await this.#run(this.bin, command, cwd, options)
      : await this.#run(process.execPath, [this.bin, ...command], cwd, options)
    const report = JSON.parse(readFileSync(file, 'utf8'))
    if (outcome !== undefined && report.outcome !== outcome) {
      throw new Error(
        `expected ${outcome}, but the run was ${report.outcome}: ${report.reason ?? 'no reason given'}`,
      )
    }
    return { ...result, report }
  }

  /** Waits until a process stands by, as one does a moment after each command. */
  async #standby(cwd) {
    const directory = join(this.home, 'state', 'standby')
    const isThere = () =>
      existsSync(directory) && readdirSync(directory).some((name) => /^[0-9.]+$/.test(name))
    if (!isThere()) await this.#run(this.bin, ['run', '-q', 'true'], cwd)
    for (let tries = 0; !isThere(); tries++) {
      if (tries === 1000) throw new Error('no process stands by')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    // It is still loading what other verbs need.
    await new Promise((resolve) => setTimeout(resolve, 300))
  }

  /** What a listing verb of the command line answers with --json. */
  query(...args) {
    const result = spawnSync(process.execPath, [this.bin, ...args, '--json'], {
      env: this.env,
      encoding: 'utf8',
    })
    if (result.status !== 0) throw new Error(`thaw ${args.join(' ')} failed: ${result.stderr}`)
    return JSON.parse(result.stdout)
  }

  /** `watch`, if given, is called with each chunk of stdout and the seconds since the start. */
  #run(command, args, cwd, { watch } = {}) {
    return new Promise((resolve, reject) => {
      const started = now()
      const child = spawn(command, args, { cwd, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] })
      this.#child = child
      const out = []
      const err = []
      child.stdout.on('data', (chunk) => {
        out.push(chunk)
        watch?.(chunk, now() - started)
      })
      child.stderr.on('data', (chunk) => err.push(chunk))
      child.on('error', reject)
      child.on('close', (code) => {
        const seconds = now() - started
        if (code === 0) resolve({ seconds, stdout: Buffer.concat(out).toString() })
        else reject(new Error(`${args.join(' ')} ended with ${code}:\n${Buffer.concat(err)}`))
      })
    })
  }

  close() {
    if (this.#child !== null && this.#child.exitCode === null) this.#child.kill('SIGKILL')
    if (statSync(this.home, { throwIfNoEntry: false })) {
      spawnSync(process.execPath, [this.bin, 'daemon', 'stop', '--force'], {
        env: this.env,
        stdio: 'ignore',
        timeout: 20_000,
      })
    }
    rmSync(this.temp, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** Settings of the caller's shell, such as PYTHONDONTWRITEBYTECODE or THAW_FACTOR, would change what is compared. */
function neutral(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(PYTHON|THAW_)/.test(name)))
}

/** The interpreter itself, past any version manager's shim, which would be counted on one side only. */
function realPython(command) {
  const result = spawnSync(command, ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' })
  if (result.status !== 0) throw new Error(`${command} does not start here`)
  return result.stdout.trim()
}

/** Replaces the one occurrence of `before` in a file. */
export function edit(file, before, after) {
  const source = readFileSync(file, 'utf8')
  if (source.split(before).length !== 2)
    throw new Error(`${file} does not hold ${JSON.stringify(before)} once`)
  writeFileSync(
    file,
    source.replace(before, () => after),
  )
}
