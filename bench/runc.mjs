// The program of bench/processes.mjs in a container of runc, with the criu that thaw uses.
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

import { now } from './measure.mjs'
import { criuCommand, QUESTION } from './processes.mjs'

const programs = join(dirname(fileURLToPath(import.meta.url)), 'programs')

export class Runc {
  #directory
  #runc
  #criu
  #count = 0

  /** @param bench with `criu`: see prepare() of processes.mjs */
  constructor(bench, megabytes) {
    this.#directory = join(bench.temp, 'runc')
    const root = join(this.#directory, 'rootfs')
    // The libraries of the machine, and the interpreter, wherever it lies.
    const seen = ['/usr', dirname(dirname(bench.python)), programs]
    for (const path of seen) mkdirSync(join(root, path), { recursive: true })
    for (const name of ['lib', 'lib64', 'bin']) symlinkSync(`usr/${name}`, join(root, name))
    this.#runc = [installed('runc') ?? fetched(this.#directory), '--root', join(this.#directory, 'state')]
    this.#criu = join(this.#directory, 'criu')
    writeFileSync(this.#criu, `#!/bin/sh\nexec ${criuCommand(bench).join(' ')} "$@"\n`)
    chmodSync(this.#criu, 0o755)
    this.#do('spec', '--bundle', this.#directory)
    const file = join(this.#directory, 'config.json')
    const config = JSON.parse(readFileSync(file, 'utf8'))
    const command = [bench.python, join(programs, 'answers.py'), String(megabytes)]
    Object.assign(config.process, { terminal: false, args: command, rlimits: undefined })
    config.mounts.push(
      ...seen.map((path) => ({ destination: path, type: 'bind', source: path, options: ['rbind', 'ro'] })),
    )
    // criu makes a directory in it at a restore.
    config.root.readonly = false
    // The machine's network, as with thaw: without it criu wants iptables.
    const kinds = ['pid', 'ipc', 'uts', 'mount']
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => kinds.includes(type))
    writeFileSync(file, JSON.stringify(config))
  }

  /** Makes the image that is restored from. Returns the seconds that `runc checkpoint --leave-running` took. */
  async checkpoint() {
    const one = this.#start('run', '-d', '--bundle', this.#directory)
    await one.said
    rmSync(this.#image, { recursive: true, force: true })
    const started = now()
    this.#do(...this.#with, 'checkpoint', '--leave-running', '--image-path', this.#image, one.id)
    const seconds = now() - started
    await one.end()
    return seconds
  }

  /** Seconds from starting runc to the first answer. */
  async restore() {
    const started = now()
    const how = ['--image-path', this.#image, '--work-path', join(this.#directory, 'work')]
    const one = this.#start(...this.#with, 'restore', '-d', ...how, '--bundle', this.#directory)
    one.type(QUESTION)
    await one.said
    const seconds = now() - started
    await one.end()
    return seconds
  }

  get #image() {
    return join(this.#directory, 'image')
  }

  get #with() {
    return ['--criu', this.#criu]
  }

  #do(...words) {
    const [program, ...options] = [...this.#runc, ...words]
    const done = spawnSync(program, options, { encoding: 'utf8' })
    if (done.status !== 0) throw new Error(`runc ${words.join(' ')} failed: ${done.stderr}`)
  }

  /** Between two cats: criu cannot make the sockets again that Node gives for pipes. */
  #start(...words) {
    const id = `thaw-bench-${process.pid}-${++this.#count}`
    const child = spawn('sh', ['-c', 'cat | "$@" 2>&1 | cat', 'sh', ...this.#runc, ...words, id], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    child.stdin.on('error', () => {})
    const closed = new Promise((resolve) => child.once('close', resolve))
    const said = new Promise((resolve, reject) => {
      child.stdout.once('data', (chunk) => {
        if (/^(ready|1 x)/.test(chunk.toString())) resolve()
        else reject(new Error(`runc said: ${chunk}`))
      })
      void closed.then(() => reject(new Error('runc said nothing')))
    })
    const end = async () => {
      child.stdin.end()
      spawnSync(this.#runc[0], [...this.#runc.slice(1), 'kill', id, 'KILL'])
      await closed
      spawnSync(this.#runc[0], [...this.#runc.slice(1), 'delete', '--force', id])
    }
    return { id, said, end, type: (text) => child.stdin.write(text) }
  }
}

function installed(name) {
  return ['/usr/bin', '/usr/sbin']
    .map((one) => join(one, name))
    .find((one) => spawnSync(one).error === undefined)
}

/** Debian's, unpacked into a directory of ours: nothing of the system changes. */
function fetched(directory) {
  const got = spawnSync('apt-get', ['download', 'runc'], { cwd: directory, encoding: 'utf8' })
  const file = readdirSync(directory).find((name) => name.endsWith('.deb'))
  if (got.status !== 0 || file === undefined) throw new Error(`there is no runc here: ${got.stderr}`)
  spawnSync('dpkg-deb', ['-x', file, 'unpacked'], { cwd: directory })
  return join(directory, 'unpacked/usr/sbin/runc')
}
