// Runs one command to its end with a deadline and a limit on its output.
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'

const OUTPUT_LIMIT = 20_000_000

/**
 * @typedef {object} Result
 * @property {Buffer} stdout
 * @property {Buffer} stderr
 * @property {number|null} code
 * @property {string|null} signal
 * @property {number} seconds
 * @property {string|null} ended why the driver ended it: "deadline", "output", or null
 */

/**
 * The command runs in a process group of its own, which is killed when the deadline (seconds) passes.
 * @returns {Promise<Result>}
 */
export function execute(argv, { cwd, env, stdin, deadline }) {
  return new Promise((resolve, reject) => {
    const input = openSync(stdin ?? '/dev/null', 'r')
    const started = process.hrtime.bigint()
    const child = spawn(argv[0], argv.slice(1), { cwd, env, stdio: [input, 'pipe', 'pipe'], detached: true })
    closeSync(input)
    const chunks = { stdout: [], stderr: [] }
    let size = 0
    let ended = null
    const end = (why) => {
      ended ??= why
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch (error) {
        if (error.code !== 'ESRCH') throw error
      }
    }
    const timer = setTimeout(() => end('deadline'), deadline * 1000)
    for (const name of ['stdout', 'stderr']) {
      child[name].on('data', (chunk) => {
        size += chunk.length
        if (size > OUTPUT_LIMIT) end('output')
        else chunks[name].push(chunk)
      })
    }
    child.on('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      const seconds = Number(process.hrtime.bigint() - started) / 1e9
      const stdout = Buffer.concat(chunks.stdout)
      const stderr = Buffer.concat(chunks.stderr)
      resolve({ stdout, stderr, code, signal, seconds, ended })
    })
  })
}

/** The command with a limit on its memory, so that an edit cannot take the machine down. */
export function limited(argv) {
  return ['/bin/sh', '-c', 'ulimit -v 3000000; exec "$@"', 'sh', ...argv]
}
