// Takes thaw's place in the self-test: `stand-in.mjs VARIANT run -q --report FILE -- CMD…`.
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { join } from 'node:path'

const [variant, verb, ...rest] = process.argv.slice(2)

function runPlain(argv, env = process.env, input = readFileSync(0)) {
  const done = spawnSync(argv[0], argv.slice(1), { env, input, maxBuffer: 1 << 28 })
  return { stdout: done.stdout, stderr: done.stderr, code: done.signal ? 128 : done.status }
}

/** A place of this directory's own in the home. */
function stateFile(ending) {
  const id = createHash('sha1').update(process.cwd()).digest('hex').slice(0, 12)
  return join(process.env.THAW_HOME, id + ending)
}

function replayFirst(argv) {
  const path = stateFile('.json')
  if (existsSync(path)) {
    const { stdout, stderr, code } = JSON.parse(readFileSync(path, 'utf8'))
    return { stdout: Buffer.from(stdout, 'latin1'), stderr: Buffer.from(stderr, 'latin1'), code }
  }
  const result = runPlain(argv)
  const { stdout, stderr, code } = result
  writeFileSync(
    path,
    JSON.stringify({ stdout: stdout.toString('latin1'), stderr: stderr.toString('latin1'), code }),
  )
  return result
}

/** Modules are compiled once and never looked at again. */
function staleModules(argv) {
  const cache = stateFile('.cache')
  const env = { ...process.env, PYTHONPYCACHEPREFIX: cache }
  if (!existsSync(cache)) {
    spawnSync(argv[0], ['-m', 'compileall', '-q', '--invalidation-mode', 'unchecked-hash', '.'], { env })
  }
  return runPlain(argv, env)
}

/** Refuses to run anything when the script or its helper does not compile. */
function earlySyntax(argv, text) {
  for (const file of [argv[1], 'figures.py']) {
    const tried = spawnSync(argv[0], [
      '-c',
      'import sys; compile(open(sys.argv[1]).read(), sys.argv[1], "exec")',
      file,
    ])
    const place = /File "[^"]*", line (\d+)\n[^]*\n(\w+Error):/.exec(
      tried.stderr.toString().split('<module>').pop(),
    )
    if (place)
      return { stdout: Buffer.alloc(0), stderr: Buffer.from(text(file, place[1], place[2])), code: 1 }
  }
  return runPlain(argv)
}

function newestFile() {
  const files = readdirSync('.', { recursive: true }).filter(
    (path) => !path.includes('__pycache__') && statSync(path).isFile(),
  )
  return files.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0]
}

const VARIANTS = {
  plain: (argv) => runPlain(argv),
  'replay-first': replayFirst,
  'stale-modules': staleModules,
  'early-syntax': (argv) => earlySyntax(argv, (file, line, kind) => `${kind} in ${file}:${line}\n`),
  'hushed-syntax': (argv) => earlySyntax(argv, (file) => `something is wrong in ${file}\n`),
  'lost-stderr': (argv) => ({ ...runPlain(argv), stderr: Buffer.alloc(0) }),
  'shifted-lines': (argv) => {
    const result = runPlain(argv)
    const shifted = result.stderr
      .toString('latin1')
      .replace(/line (\d+)/g, (_, line) => `line ${Number(line) + 1}`)
    return { ...result, stderr: Buffer.from(shifted, 'latin1') }
  },
  'wrong-exit': (argv) => ({ ...runPlain(argv), code: 0 }),
  'run-twice': (argv) => {
    const input = readFileSync(0)
    runPlain(argv, process.env, input)
    return runPlain(argv, process.env, input)
  },
  'missing-file': (argv) => {
    const result = runPlain(argv)
    rmSync(newestFile())
    return result
  },
  'extra-file': (argv) => {
    writeFileSync('left-behind', '')
    return runPlain(argv)
  },
  'no-report': (argv) => runPlain(argv),
  'leaves-process': (argv) => {
    spawn('/bin/sleep', ['60'], { detached: true, stdio: 'ignore' }).unref()
    return runPlain(argv)
  },
}

if (verb === 'run') {
  const report = rest[rest.indexOf('--report') + 1]
  const { stdout, stderr, code } = VARIANTS[variant](rest.slice(rest.indexOf('--') + 1))
  if (variant !== 'no-report') {
    const told = { outcome: 'cold', reason: `the ${variant} stand-in`, exit: { code, signal: null } }
    writeFileSync(report, JSON.stringify(told))
  }
  process.stdout.write(stdout)
  process.stderr.write(stderr)
  process.exitCode = code
}
