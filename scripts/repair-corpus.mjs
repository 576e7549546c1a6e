// `npm run repair-corpus`: every faulty program is repaired after a wrong edit, compared with a cold run of the repaired
// program, and the table in docs/repair-corpus.md is written.
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { build, install, root } from './workspace.mjs'

install()
build()
const { faults, repair } = await import('../tests/repair/corpus.mjs')
const directory = realpathSync(mkdtempSync(join(tmpdir(), 'thaw-corpus-')))
const thaw = join(root, 'packages', 'thaw', 'bin', 'thaw.js')
const env = { ...process.env, THAW_HOME: join(directory, 'home') }
const rows = []
let failed = 0
try {
  for (const name of faults()) {
    const { fault, plain, shown, report, same } = repair({ directory, env, thaw }, name, true)
    const [bad] = report?.tried ?? []
    const last = report?.attempts.at(-1)
    const right =
      report?.outcome === 'repaired' &&
      shown.status === 0 &&
      shown.stdout === plain.stdout &&
      same &&
      last?.report.outcome === 'resumed'
    if (!right) {
      failed++
      console.error(`${name}: not repaired as expected\n${shown.stderr}`)
    }
    const seconds = (value) => (value === undefined ? '' : `${value.toFixed(2)} s`)
    const from = last?.report.checkpoint
    rows.push([
      name,
      fault.kind,
      `${bad?.outcome ?? ''}: ${bad?.detail ?? ''}`.replaceAll('|', '\\|'),
      right ? 'yes' : 'no',
      from ? `\`${from.before}\` (${from.file}:${from.line})` : 'the start',
      seconds(last?.seconds),
      seconds(plain.seconds),
    ])
    console.error(`${name}: ${right ? 'repaired' : 'failed'}`)
  }
} finally {
  spawnSync(process.execPath, [thaw, 'daemon', 'stop', '--force'], { env })
  rmSync(directory, { recursive: true, force: true })
}
const head = [
  'program',
  'failure',
  'the wrong edit',
  'repaired, as a cold run',
  'went on before',
  'time',
  'cold',
]
const lines = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`)
writeFileSync(
  join(root, 'docs', 'repair-corpus.md'),
  `# Repairs of twelve faulty programs

Written by \`npm run repair-corpus\`. Each program of \`tests/repair/corpus\` is run with \`thaw repair\`; its repairer answers with
a wrong edit first, then with the right one. A program counts as repaired when it ends with 0, what was shown equals what a cold
run of the repaired program prints, and it went on from a checkpoint. \`time\` is the last attempt, from the edit to the exit;
\`cold\` the plain interpreter on the repaired program. Machines differ, and this one was busy: look at the ratios.

${lines.join('\n')}
`,
)
spawnSync(join(root, 'node_modules', '.bin', 'prettier'), ['--write', join(root, 'docs', 'repair-corpus.md')])
process.exit(failed === 0 ? 0 : 1)
