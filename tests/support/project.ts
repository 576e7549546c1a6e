import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { TestRunner } from 'vitest'
import type { RunReport, RunTree } from '@thaw/protocol'
import type { Ended, Home, Options } from './home.js'

export interface Told extends Ended {
  report: RunReport
}

/** A directory of programs within a home: runs in it have histories of their own. */
export class Project {
  readonly home: Home
  readonly directory: string

  constructor(home: Home, name: string) {
    this.home = home
    // A second try of a test begins with nothing of the first.
    const tries = TestRunner.getCurrentTest()?.result?.retryCount ?? 0
    this.directory = join(home.project, tries === 0 ? name : `${name}-again`)
    mkdirSync(this.directory, { recursive: true })
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  write(name: string, content: string | Uint8Array, mode?: number): string {
    const path = this.path(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content, { mode })
    return path
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8')
  }

  /** Replaces the one place where `before` stands. */
  edit(name: string, before: string, after: string): void {
    const text = this.read(name)
    if (text.split(before).length !== 2) throw new Error(`${name} does not hold ${before} once`)
    this.write(
      name,
      text.replace(before, () => after),
    )
  }

  /** Every file with its content, by relative path. */
  files(): Record<string, string> {
    const names = readdirSync(this.directory, { recursive: true, withFileTypes: true })
    const files = names.filter((entry) => entry.isFile() && !entry.parentPath.includes('__pycache__'))
    return Object.fromEntries(
      files.map((entry) => {
        const path = join(entry.parentPath, entry.name)
        return [path.slice(this.directory.length + 1), readFileSync(path, 'latin1')]
      }),
    )
  }

  #reports = 0

  /** Starts `thaw run -q --report … COMMAND`. */
  start(command: readonly string[], options: Options & { flags?: string[] } = {}) {
    const file = join(this.home.directory, `report-${basename(this.directory)}-${++this.#reports}.json`)
    const one = this.home.start(['run', '-q', '--report', file, ...(options.flags ?? []), '--', ...command], {
      cwd: this.directory,
      ...options,
    })
    const told = one.ended.then((ended): Told => {
      let report
      try {
        report = JSON.parse(readFileSync(file, 'utf8')) as RunReport
      } catch {
        throw new Error(`there is no report: ${ended.stderr}`)
      }
      rmSync(file)
      return { ...ended, report }
    })
    told.catch(() => {})
    return { ...one, told }
  }

  /** `thaw resume --report … ARGUMENTS`. */
  async resume(args: readonly string[], options: Options = {}): Promise<Told> {
    const file = join(this.home.directory, `report-${basename(this.directory)}-${++this.#reports}.json`)
    const ended = await this.home.run(['resume', '--report', file, ...args], options)
    const text = readFileSync(file, 'utf8')
    rmSync(file)
    // There is no report of what was refused: its code is asked for instead.
    return { ...ended, report: (text === '' ? null : JSON.parse(text)) as RunReport }
  }

  run(command: readonly string[], options: Options & { flags?: string[] } = {}): Promise<Told> {
    return this.start(command, options).told
  }

  /** The same without thaw. */
  plain(command: readonly string[], options: Options = {}): Ended {
    const [file = '', ...args] = command
    const done = spawnSync(file, args, {
      cwd: this.directory,
      env: { ...this.home.env, ...options.env },
      input: options.input ?? '',
      maxBuffer: 1 << 26,
    })
    return {
      code: done.status,
      signal: done.signal,
      stdout: done.stdout.toString('utf8'),
      stderr: done.stderr.toString('utf8'),
    }
  }

  tree(run: string): Promise<RunTree> {
    return this.home.json<RunTree>(['tree', run])
  }
}

/** How long `work()` takes, in seconds: what comes after it is at least as far into its program. */
export const WORK_SECONDS = 0.08

/** A Python program: `work()` takes long enough to be worth a checkpoint before whatever is first called next. */
export const WORK = `import time
def work(seconds=${WORK_SECONDS}):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
`

/** Ends with functions a, b and c, which are called by main() one after the other. */
export const STEPS = `${WORK}
def a():
    print("a")
    work()

def b():
    print("b")
    work()

def c():
    print("c")

def main():
    a()
    b()
    c()

main()
`
