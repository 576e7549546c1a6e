#!/usr/bin/env node
// Random edits of real programs: what thaw prints and leaves must equal a cold run. See README.md.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

import { readBundle } from './driver/bundle.mjs'
import { resolvePython, runCampaign } from './driver/campaign.mjs'
import { loadPrograms } from './driver/programs.mjs'
import { replayBundle } from './driver/replay.mjs'
import { selfTest } from './driver/self-test.mjs'

const HERE = dirname(fileURLToPath(import.meta.url))
const USAGE = `usage: exactness.mjs [--edits N] [--seed S] [--program P]... [--kind K]... [--jobs N]
                     [--at-least SHARE] [--out DIR] [--python PATH] [--thaw PATH] [--fetch]
       exactness.mjs --replay BUNDLE
       exactness.mjs --self-test
`
const { values } = parseArgs({
  options: {
    edits: { type: 'string', default: '110' },
    seed: { type: 'string', default: '1' },
    program: { type: 'string', multiple: true },
    kind: { type: 'string', multiple: true },
    jobs: { type: 'string', default: '2' },
    'at-least': { type: 'string', default: '0' },
    out: { type: 'string', default: join(HERE, 'out') },
    python: { type: 'string', default: 'python3' },
    thaw: { type: 'string', default: join(HERE, '..', '..', 'packages', 'thaw', 'bin', 'thaw.js') },
    fetch: { type: 'boolean', default: false },
    replay: { type: 'string' },
    'self-test': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const say = (line) => process.stderr.write(line + '\n')

function number(name, lowest) {
  const value = Number(values[name])
  if (!(value >= lowest))
    throw new Error(`--${name} takes a number of at least ${lowest}, not ${values[name]}`)
  return value
}

function chosenPrograms() {
  const programs = loadPrograms()
  for (const name of values.program ?? []) {
    if (!programs.some((program) => program.name === name)) throw new Error(`there is no program ${name}`)
  }
  return values.program ? programs.filter((program) => values.program.includes(program.name)) : programs
}

async function main() {
  if (values.help) {
    process.stdout.write(USAGE)
    return 0
  }
  const python = resolvePython(values.python)
  if (values['self-test']) {
    const out = mkdtempSync(join(tmpdir(), 'thaw-exactness-self-'))
    try {
      return (await selfTest({ python, out, say })) ? 0 : 1
    } finally {
      rmSync(out, { recursive: true, force: true })
    }
  }
  const path = resolve(values.thaw)
  if (!existsSync(path)) throw new Error(`there is no thaw at ${path}: build first, or say --thaw PATH`)
  const thaw = /\.[cm]?js$/.test(path) ? [process.execPath, path] : [path]
  const out = resolve(values.out)
  if (values.replay)
    return (await replayBundle(readBundle(values.replay), { thaw, python, fetch: values.fetch, out, say }))
      ? 0
      : 1
  const tally = await runCampaign({
    programs: chosenPrograms(),
    edits: number('edits', 1),
    seed: values.seed,
    jobs: number('jobs', 1),
    kinds: values.kind ?? null,
    thaw,
    python,
    fetch: values.fetch,
    out,
    say,
  })
  mkdirSync(out, { recursive: true })
  const told = { seed: values.seed, python, thaw: path, ...tally.toJSON() }
  writeFileSync(join(out, 'exactness.json'), JSON.stringify(told, null, 1) + '\n')
  writeFileSync(join(out, 'exactness.txt'), tally.toString())
  process.stdout.write(tally.toString())
  if (tally.differences.length > 0) return 1
  if (tally.spared() < number('at-least', 0)) {
    say(`fewer than ${values['at-least']} of the edits were replayed or resumed`)
    return 1
  }
  return 0
}

try {
  process.exitCode = await main()
} catch (error) {
  say(`exactness: ${error.message}`)
  process.exitCode = 2
}
