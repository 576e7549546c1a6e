import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
const bin = join(root, 'packages', 'thaw', 'bin', 'thaw.js')

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface Options {
  cwd?: string
  env?: Record<string, string>
  /** Sent on stdin, which is then closed; null leaves it open and unused. */
  input?: string | Uint8Array | null
}

/** A THAW_HOME of its own, with a project directory; gone without a trace at the end. */
export class Home {
  readonly directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-test-')))
  readonly project = mkdtempSync(join(this.directory, 'project-'))
  readonly env: Record<string, string>
  thaw = bin

  constructor(env: Record<string, string> = {}) {
    const { NODE_EXTRA_CA_CERTS: _slow, ...own } = process.env as Record<string, string>
    for (const name of Object.keys(own)) if (/^(THAW_|PYTHON)/.test(name)) delete own[name]
    this.env = {
      ...own,
      HOME: this.directory,
      THAW_HOME: join(this.directory, 'home'),
      XDG_CACHE_HOME: join(this.directory, 'cache'),
      XDG_CONFIG_HOME: join(this.directory, 'config'),
      ...env,
    }
    // Version managers' shims look below HOME for what they start.
    if (process.env['HOME'] !== undefined && this.env['PYENV_ROOT'] === undefined) {
      this.env['PYENV_ROOT'] = join(process.env['HOME'], '.pyenv')
    }
  }

  write(name: string, text: string): string {
    const file = join(this.project, name)
    writeFileSync(file, text)
    return file
  }

  /** Starts the command line. Its output is collected; its stdin is closed unless `input` is given. */
  start(args: readonly string[], options: Options = {}) {
    const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(
      process.execPath,
      [this.thaw, ...args],
      {
        cwd: options.cwd ?? this.project,
        env: { ...this.env, ...options.env },
        stdio: ['pipe', 'pipe', 'pipe'],
      },
    )
    const parts: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
    child.stdout.on('data', (chunk: Buffer) => parts.stdout.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => parts.stderr.push(chunk))
    child.stdin.on('error', () => {})
    if (options.input !== null) child.stdin.end(options.input ?? '')
    const text = (name: 'stdout' | 'stderr') => Buffer.concat(parts[name]).toString('utf8')
    const ended = new Promise<Ended>((resolve) => {
      child.on('close', (code, signal) =>
        resolve({ code, signal, stdout: text('stdout'), stderr: text('stderr') }),
      )
    })
    return { child, ended, text }
  }

  run(args: readonly string[], options: Options = {}): Promise<Ended> {
    return this.start(args, options).ended
  }

  async json<T = Record<string, unknown>>(args: readonly string[]): Promise<T> {
    const done = await this.run([...args, '--json'])
    if (done.code !== 0) throw new Error(done.stderr)
    return JSON.parse(done.stdout) as T
  }

  /** Through a shell, in which `thaw` is the command under test, and $THAW its path as others start it. */
  shell(
    script: string,
    env: Record<string, string> = {},
  ): { code: number | null; stdout: string; stderr: string } {
    const done = spawnSync('bash', ['-c', this.#withThaw(script)], {
      cwd: this.project,
      env: { ...this.env, ...env },
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    })
    return { code: done.status, stdout: done.stdout, stderr: done.stderr }
  }

  #withThaw(script: string): string {
    return `THAW="${this.thaw}"\nthaw() { "${process.execPath}" "${this.thaw}" "$@"; }\n${script}`
  }

  /** As `shell`, for what takes long: nothing else waits meanwhile. */
  async typed(script: string, cwd = this.project): Promise<{ code: number | null; stdout: string }> {
    const child = spawn('bash', ['-c', this.#withThaw(script)], {
      cwd,
      env: this.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const parts: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => parts.push(chunk))
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
    return { code, stdout: Buffer.concat(parts).toString('utf8') }
  }

  /**
   * Types what a page of docs says, in a clone of thaw: each block, what it is said to print, and what it printed
   * (null: it was not come to).
   */
  async play(page: string): Promise<{ typed: string; said: string; printed: string | null }[]> {
    const text = readFileSync(join(root, 'docs', page), 'utf8')
    const blocks = [...text.matchAll(/```sh\n(.*?)```\n(?:\n```text\n(.*?)```)?/gs)]
    const script = blocks.map(([, typed]) => typed).join('printf "\\0"\n')
    const printed = (await this.typed(script, root)).stdout.split('\0')
    return blocks.map(([, typed = '', said], at) => ({
      typed,
      said: said?.trimEnd() ?? '',
      printed: printed[at]?.trimEnd() ?? null,
    }))
  }

  /** Pids of all processes that carry this THAW_HOME in their environment. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(
            `THAW_HOME=${this.env['THAW_HOME']}\0`,
          )
        } catch {
          return false
        }
      })
      .map(Number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run(['daemon', 'stop', '--force'])
    rmSync(this.directory, { recursive: true, force: true })
  }
}

export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  seconds = 10,
): Promise<void> {
  const end = Date.now() + seconds * 1000
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
