/** Tries every case, and writes docs/process-objects.md. `npm run process-objects [-- NAME…]`; names only print. */
import { existsSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { release } from 'node:os'
import { join } from 'node:path'
import { openScope, ThawError } from '../../../packages/thaw/src/system/index.js'
import { Bench, PIPES, provider, TERMINAL, whyNot, type Watched } from '../../support/process.js'
import type { Case } from './case.js'
import { KERNEL } from './kernel.js'
import { PROGRAMS } from './programs.js'

interface Result {
  outcome: 'pass' | 'refused' | 'limit' | 'not tried'
  about: string
  image: number
}

const CLONES = 2

const why = await whyNot()
if (why !== null) {
  console.error(why)
  process.exit(1)
}
const outside = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
await new Promise((resolve) => outside.once('listening', resolve))
const { port } = outside.address() as AddressInfo
const wanted = process.argv.slice(2)
const sections: string[] = []
const counts: Record<string, number> = {}
const unexpected: string[] = []
for (const [title, cases] of [
  ['Kernel objects', KERNEL],
  ['Programs', PROGRAMS],
] as const) {
  const rows: string[] = []
  for (const one of cases) {
    if (wanted.length > 0 && !wanted.some((name) => one.name.includes(name))) continue
    const { outcome, about, image } = await attempt(one)
    const claimed = one.refused === true ? 'refused' : 'pass'
    if (one.refused !== 'perhaps' && outcome !== 'not tried' && outcome !== claimed) unexpected.push(one.name)
    counts[outcome] = (counts[outcome] ?? 0) + 1
    console.log(`${outcome.padEnd(9)} ${one.name}${about === '' ? '' : `: ${about}`}`)
    const notes = [about, one.remark ?? ''].filter((text) => text !== '').join(' ')
    const size = image === 0 ? '' : `${(image / 1e6).toFixed(1)} MB`
    rows.push(`| ${one.name} | ${outcome} | ${size} | ${notes.replaceAll('|', '\\|')} |`)
  }
  sections.push(`## ${title}\n\n| what | result | image | |\n|---|---|---|---|\n${rows.join('\n')}\n`)
}
const criu = await provider.get(() => {}, openScope())
const summary = Object.entries(counts)
  .map(([outcome, n]) => `${n} ${outcome}`)
  .join(', ')
if (wanted.length === 0) {
  writeFileSync(
    process.env['THAW_OBJECTS_FILE'] ?? 'process-objects.md',
    `# What the process engine copies

Made by \`npm run process-objects\` with criu ${criu.version} on Linux ${release()}: ${summary}. Each program was started in a sandbox and copied while it ran; then the original and ${CLONES} clones of it had to go on right. **pass**: they did. **refused**: the checkpoint was refused before any harm, with the message; the program went on. **limit**: what does not work, and is not noticed beforehand. **not tried**: the program was not installed.

${sections.join('\n')}
What is found beforehand besides: other GPU and device descriptors, performance counters, fanotify, BPF and KVM objects, seccomp listeners (packages/thaw/src/engines/process/inspect.ts).
`,
  )
}
for (const name of unexpected) console.error(`not as it should be: ${name}`)
process.exit(unexpected.length === 0 ? 0 : 1)

async function attempt(one: Case): Promise<Result> {
  const missing = (one.needs ?? []).find((name) => !isInstalled(name))
  if (missing !== undefined) return { outcome: 'not tried', about: `${missing} is not installed.`, image: 0 }
  await using bench = new Bench()
  const streams = one.terminal === true ? TERMINAL : PIPES
  let original: Watched | undefined
  try {
    original = await bench.launch(one.argv, { streams, network: one.network ?? 'host', env: environmentOf() })
    await original.prints(one.ready ?? 'ready', 15)
    await new Promise((resolve) => setTimeout(resolve, 100))
  } catch (error) {
    return {
      outcome: 'not tried',
      about: `${said(error)} ${(original?.stderr ?? '').trim().slice(-300)}`,
      image: 0,
    }
  }
  let image
  try {
    image = await bench.checkpoint(original)
  } catch (error) {
    const known = ThawError.from(error)
    const lives = await goesOn(one, original)
    const message = known.message
      .replace(/Process \d+ \(/g, 'Process N (')
      .replace(/process \d+ \(/g, 'process N (')
    const outcome = lives === null ? 'refused' : 'limit'
    return {
      outcome,
      about: `${known.code}: ${message}${lives === null ? '' : ` The original: ${lives}`}`,
      image: 0,
    }
  }
  const clones: Watched[] = []
  try {
    // One after the other: a restore must not depend on the original's end.
    for (let i = 0; i < CLONES; i++) clones.push(await bench.restore(image, { streams }))
  } catch (error) {
    return { outcome: 'limit', about: said(error), image: image.size }
  }
  for (const [which, watched] of [
    ['the original', original],
    ...clones.map((clone) => ['a clone', clone] as const),
  ] as const) {
    const wrong = await goesOn(one, watched)
    if (wrong !== null) return { outcome: 'limit', about: `${which}: ${wrong}`, image: image.size }
  }
  return { outcome: 'pass', about: '', image: image.size }
}

/** What is wrong; null: nothing. */
async function goesOn(one: Case, watched: Watched): Promise<string | null> {
  const before = watched.stdout.length
  await watched.type(one.send ?? 'go\n')
  const end = Date.now() + 15_000
  while (Date.now() < end) {
    const text = watched.stdout.slice(before)
    if (text.includes(one.expect ?? 'ok')) return null
    if (text.includes('bad')) return text.trim()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const text = `${watched.stdout.slice(before)}${watched.stderr}`.trim().slice(-200)
  return `it does not answer${text === '' ? '' : ` (${text})`}`
}

function environmentOf(): Record<string, string> {
  const { NODE_EXTRA_CA_CERTS: _slow, ...own } = process.env as Record<string, string>
  return { ...own, TERM: 'xterm', PYTHONUNBUFFERED: '1', UV_USE_IO_URING: '0', OUTSIDE_PORT: String(port) }
}

function isInstalled(name: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => existsSync(join(directory, name)))
}

function said(error: unknown): string {
  return ThawError.from(error).message.replace(/\s+/g, ' ')
}
