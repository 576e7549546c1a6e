// Shows the main job of thaw on a program of some substance: a first run, an
// edit near its end, the run after it, and the proof that the result is what
// plain Python gives. Works in a temporary copy, and leaves nothing behind.
// An argument names another thaw than that of this clone.
import { spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const thaw = process.argv[2] ?? join(here, '../../packages/thaw/bin/thaw.js')
const program = ['python3', 'main.py']
const edit = {
  file: 'rain/scores.py',
  before: 'return probability >= 0.5',
  after: 'return probability >= 0.35',
}

const colour = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (code, text) => (colour ? `\u001B[${code}m${text}\u001B[0m` : text)
const bold = (text) => paint('1', text)
const dim = (text) => paint('2', text)
const say = (...lines) => console.log(lines.join('\n'))
const title = (text) => say('', bold(text))
const seconds = (value) => `${value.toFixed(2)} s`

const temp = mkdtempSync(join(tmpdir(), 'thaw-demo-'))
const work = join(temp, 'rain-forecast')
const plain = join(temp, 'plain')
// The caller's own settings and records take no part.
const env = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('THAW_'))),
  THAW_HOME: join(temp, 'home'),
  XDG_CACHE_HOME: join(temp, 'cache'),
  XDG_CONFIG_HOME: join(temp, 'config'),
}
let child = null
let daemonMayRun = false

function leave() {
  if (child !== null && child.exitCode === null) child.kill('SIGKILL')
  if (daemonMayRun)
    spawnSync(process.execPath, [thaw, 'daemon', 'stop', '--force'], {
      env,
      stdio: 'ignore',
      timeout: 20_000,
    })
  rmSync(temp, { recursive: true, force: true, maxRetries: 5 })
}

function run(command, args, cwd) {
  return new Promise((resolve, reject) => {
    const started = process.hrtime.bigint()
    child = spawn(command, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    const out = []
    const err = []
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.on('error', reject)
    child.on('close', (code, signal) => {
      resolve({
        code,
        signal,
        stdout: Buffer.concat(out),
        stderr: Buffer.concat(err).toString(),
        seconds: Number(process.hrtime.bigint() - started) / 1e9,
      })
    })
  })
}

/** One run under thaw; thaw's own last line is taken off stderr and returned as `summary`. */
async function thawRun() {
  const file = join(temp, 'report.json')
  rmSync(file, { force: true })
  daemonMayRun = true
  const result = await run(process.execPath, [thaw, 'run', '--report', file, '--', ...program], work)
  const report = readReport(file)
  if (report === null) {
    throw new Error(`thaw run wrote no report (exit code ${result.code}):\n${result.stderr}`)
  }
  const lines = result.stderr.trimEnd().split('\n')
  const summary = lines.at(-1)?.startsWith('thaw:') ? lines.pop() : ''
  return { ...result, report, summary, stderr: lines.length > 0 ? `${lines.join('\n')}\n` : '' }
}

function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}

function copyProgram(to) {
  mkdirSync(to)
  for (const part of ['main.py', 'rain', 'data']) {
    cpSync(join(here, part), join(to, part), {
      recursive: true,
      filter: (path) => !path.endsWith('__pycache__'),
    })
  }
}

/** Path and content of every file below a directory, but for Python's own caches. */
function contents(directory) {
  const files = new Map()
  for (const name of readdirSync(directory, { recursive: true }).toSorted()) {
    const path = join(directory, name)
    if (!name.includes('__pycache__') && statSync(path).isFile())
      files.set(relative(directory, path), readFileSync(path))
  }
  return files
}

function differences(ours, theirs) {
  const found = []
  if (!ours.stdout.equals(theirs.stdout)) found.push('stdout')
  if (ours.stderr !== theirs.stderr) found.push('stderr')
  if (ours.code !== theirs.code || ours.signal !== theirs.signal) found.push('exit code')
  const [a, b] = [contents(work), contents(plain)]
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    if (!a.has(name) || !b.has(name) || !a.get(name).equals(b.get(name))) found.push(name)
  }
  return found
}

function makeEdit() {
  const path = join(work, edit.file)
  const source = readFileSync(path, 'utf8')
  if (source.split(edit.before).length !== 2)
    throw new Error(`${edit.file} does not hold the edited line once`)
  writeFileSync(path, source.replace(edit.before, edit.after))
  const line = source.slice(0, source.indexOf(edit.before)).split('\n').length
  say(`  ${edit.file}:${line}`, paint('31', `  -    ${edit.before}`), paint('32', `  +    ${edit.after}`))
}

function showOutput(result) {
  say(
    ...result.stdout
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => `  ${line}`),
  )
  if (result.stderr !== '')
    say(
      ...result.stderr
        .trimEnd()
        .split('\n')
        .map((line) => `  ${line}`),
    )
  if (result.summary !== '') say(dim(`  ${result.summary}`))
}

function explain(result, reference) {
  const { report } = result
  if (report.outcome === 'resumed') {
    const { before, file, line, at_seconds: skipped } = report.checkpoint
    const name = before === null || before.startsWith('<') ? 'that line' : `${before.replace(/#\d+$/, '')}()`
    say(`  skipped: the ${seconds(skipped)} of work before the first use of ${name} (${file}:${line})`)
  } else if (report.outcome === 'replayed') {
    say('  skipped: everything; nothing that the program used has changed')
  } else {
    say(`  skipped: nothing; this was a cold run${report.reason ? `: ${report.reason}` : ''}`)
  }
  if (reference !== null) say(`  time: ${bold(seconds(result.seconds))} instead of ${seconds(reference)}`)
}

function check(result) {
  if (result.code !== 0)
    throw new Error(`the program ended with ${result.code ?? result.signal}:\n${result.stderr}`)
}

async function demo() {
  const python = spawnSync('python3', ['--version'], { encoding: 'utf8', env })
  if (python.error || python.status !== 0) {
    throw new Error(
      'python3 does not start here. The demo is a Python program: install python3, then run npm start again.',
    )
  }
  copyProgram(work)

  title(`1. thaw run ${program.join(' ')}`)
  say(
    `  the first time it runs as always (${python.stdout.trim()}; trains a rain forecast on four years of weather)`,
  )
  const first = await thawRun()
  check(first)
  showOutput(first)
  say(`  time: ${seconds(first.seconds)}`)

  title('2. an edit, in a function that is used late')
  makeEdit()

  title(`3. thaw run ${program.join(' ')}`)
  const second = await thawRun()
  check(second)
  showOutput(second)

  // The plain run comes after thaw's, so that it cannot have warmed anything for it.
  copyProgram(plain)
  cpSync(join(work, edit.file), join(plain, edit.file))
  const cold = await run(program[0], program.slice(1), plain)
  explain(second, cold.seconds)

  title('4. the same result as plain Python?')
  const different = differences(second, cold)
  say(`  ${program.join(' ')} on the edited program, without thaw: ${seconds(cold.seconds)}`)
  if (different.length > 0)
    throw new Error(`the results differ in: ${different.join(', ')}. This is a defect of thaw.`)
  say(`  stdout, stderr, exit code and ${contents(work).size} files: ${bold('equal')}`)

  title(`5. thaw run ${program.join(' ')}, with nothing changed`)
  const third = await thawRun()
  check(third)
  explain(third, cold.seconds)
  const changed = differences(third, cold)
  if (changed.length > 0)
    throw new Error(`the results differ in: ${changed.join(', ')}. This is a defect of thaw.`)
  say('  the same output and files again')

  title('With a program of your own')
  say(
    `  export PATH="${join(here, '../../node_modules/.bin')}:$PATH"`,
    '  cd your/project',
    '  thaw run python3 your_program.py',
    '  edit it, and say the same again. thaw tree shows the checkpoints, thaw --help the rest.',
    '',
  )
}

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(name, () => {
    leave()
    process.exit(128 + constants.signals[name])
  })
}

let failed = false
try {
  await demo()
} catch (error) {
  failed = true
  console.error(`\ndemo: ${error.message}`)
} finally {
  leave()
}
process.exitCode = failed ? 1 : 0
