import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'

/** A daemon of its own, and what can be seen of it from outside. */
export class Daemon {
  #root
  #home
  #env
  #pid = 0

  constructor(root, home) {
    this.#root = root
    this.#home = join(home, 'home')
    this.#env = { ...process.env, THAW_HOME: this.#home }
  }

  get socket() {
    return join(this.#home, 'run', 'daemon.sock')
  }

  async start() {
    await this.#thaw('daemon', 'start')
    this.#pid = JSON.parse(await this.#thaw('daemon', 'status', '--json')).pid
  }

  async stop() {
    await this.#thaw('daemon', 'stop', '--force').catch(() => {})
  }

  deploy(name, file, engine) {
    const env = { PYTHONDONTWRITEBYTECODE: '1' }
    return this.#ask('POST', '/v1/services', {
      name,
      source: { file },
      compute: { engine, env, queue: 1000 },
    })
  }

  verb(name, verb) {
    return this.#ask('POST', `/v1/services/${name}/${verb}`, {})
  }

  show(name) {
    return this.#ask('GET', `/v1/services/${name}`)
  }

  remove(name) {
    return this.#ask('DELETE', `/v1/services/${name}`)
  }

  async measure(name) {
    const { memory_bytes: bytes } = await this.show(name)
    const pids = below(this.#pid)
    return {
      descriptors: readdirSync(`/proc/${this.#pid}/fd`).length,
      processes: pids.length,
      daemon_mb: Math.round(
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${this.#pid}/status`, 'latin1'))[1]) / 1000,
      ),
      service_mb: Math.round(bytes / 1e6),
      sockets: readdirSync(join(this.#home, 'run', 'services')).length,
      pids,
    }
  }

  /** What is there of a service that has been removed. */
  async left(pids) {
    await new Promise((resolve) => setTimeout(resolve, 500))
    const found = pids.filter((pid) => below(this.#pid).includes(pid)).map((pid) => `process ${pid}`)
    for (const directory of [
      'run/services',
      'state/services/images',
      'state/services/logs',
      'state/services/work',
      'state/services/repairs',
    ]) {
      try {
        found.push(...readdirSync(join(this.#home, directory)).map((one) => `${directory}/${one}`))
      } catch {
        // It was never made.
      }
    }
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
    return [...found, ...mounts.filter((one) => one.includes(this.#home))]
  }

  #ask(method, path, body) {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? '' : JSON.stringify(body)
      const headers =
        body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const asked = request({ socketPath: this.socket, method, path, headers, agent: false }, (answer) => {
        let all = ''
        answer.setEncoding('utf8').on('data', (chunk) => (all += chunk))
        answer.on('end', () =>
          answer.statusCode < 300 ? resolve(all === '' ? null : JSON.parse(all)) : reject(new Error(all)),
        )
      })
      asked.on('error', reject)
      asked.end(text)
    })
  }

  #thaw(...args) {
    return new Promise((resolve, reject) => {
      const program = join(this.#root, 'packages', 'thaw', 'bin', 'thaw.js')
      const child = spawn(process.execPath, [program, ...args], { env: this.#env })
      let text = ''
      child.stdout.on('data', (chunk) => (text += chunk))
      child.stderr.on('data', (chunk) => (text += chunk))
      child.on('close', (status) => (status === 0 ? resolve(text) : reject(new Error(text))))
    })
  }
}

/** Processes below one, those that have ended and are not collected left out. */
function below(pid) {
  const parents = new Map()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    try {
      const [, state, parent] = /\) (\S) (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'latin1'))
      if (state !== 'Z') parents.set(Number(name), Number(parent))
    } catch {
      // It has ended.
    }
  }
  const isBelow = (one) => one !== undefined && (one === pid || isBelow(parents.get(one)))
  return [...parents.keys()].filter((one) => one !== pid && isBelow(one))
}
