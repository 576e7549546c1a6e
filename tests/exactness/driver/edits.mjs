// The generator of edits: a Python process that is asked line by line.
import { spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const GENERATOR = join(dirname(fileURLToPath(import.meta.url)), '..', 'edits', 'generate.py')

/**
 * @typedef {object} Edit
 * @property {string} kind
 * @property {string} what
 * @property {Record<string, string|null>} changes path to base64 text; null removes
 * @property {string[]} touched files that get a new time only
 * @property {Record<string, string>=} environment variables set from here on
 * @property {boolean=} ofOutputs the files are not sources but what the program wrote
 */

export class EditGenerator {
  #child
  #waiting = []
  #failure = null

  constructor(python) {
    this.#child = spawn(python, ['-B', GENERATOR], { stdio: ['pipe', 'pipe', 'inherit'] })
    createInterface({ input: this.#child.stdout }).on('line', (line) =>
      this.#waiting.shift().resolve(JSON.parse(line)),
    )
    this.#child.on('close', (code) => {
      this.#failure = new Error(`the edit generator ended with code ${code}`)
      for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure)
    })
  }

  /** @returns {Promise<Edit>} an edit of the sources in `root`, the same for the same sources and seed */
  generate(root, seed, program, kinds) {
    if (this.#failure) return Promise.reject(this.#failure)
    const { data, stack, dormant } = program
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#child.stdin.write(JSON.stringify({ root, seed, kinds, data, stack, dormant }) + '\n')
    })
  }

  close() {
    this.#child.stdin.end()
  }
}

/** Repeatable numbers in [0, 1) from a text (mulberry32 over a 32-bit FNV hash). */
export function seeded(text) {
  let state = 2166136261
  for (const character of text) state = Math.imul(state ^ character.charCodeAt(0), 16777619)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
