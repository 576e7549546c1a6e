/** Whether edited files are ones that their language can read. */
import { extname, join } from 'node:path'
import { startProcess, withTimeout, type Scope } from '../system/index.js'
import { Refused, type FileEdit } from './edit.js'

/** Milliseconds for one file. */
const PATIENCE = 20_000

/** Prints what is wrong and ends with 1; compiles only, runs nothing. */
const PYTHON = `
import sys
try:
    compile(sys.stdin.buffer.read(), sys.argv[1], "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    print("%s: line %s: %s" % (type(error).__name__, getattr(error, "lineno", "?"), getattr(error, "msg", error)))
    sys.exit(1)
`

const node = (type: 'module' | 'commonjs') => [process.execPath, `--input-type=${type}`, '--check', '-']

/** @throws Refused naming file, line and what is wrong */
export async function checkCompiles(
  edits: readonly FileEdit[],
  { project, python }: { project: string; python: string | null },
  scope: Scope,
): Promise<void> {
  for (const { path, after } of edits) {
    const wrong = await whatIsWrong(path, after, { project, python }, scope)
    if (wrong !== null) throw new Refused(`${path} does not compile: ${wrong}`)
  }
}

async function whatIsWrong(
  path: string,
  source: Buffer,
  { project, python }: { project: string; python: string | null },
  scope: Scope,
): Promise<string | null> {
  switch (extname(path)) {
    case '.py':
      // Another Python may know another language: what does not compile then fails, and is taken back.
      return python === null
        ? null
        : ask([python, '-I', '-S', '-c', PYTHON, join(project, path)], source, scope)
    case '.mjs':
      return ask(node('module'), source, scope)
    case '.cjs':
      return ask(node('commonjs'), source, scope)
    case '.js': {
      // Which of the two it is, a package.json somewhere above says.
      const wrong = await ask(node('module'), source, scope)
      return wrong === null ? null : ask(node('commonjs'), source, scope)
    }
    case '.json':
      try {
        JSON.parse(source.toString('utf8'))
        return null
      } catch (error) {
        return (error as Error).message
      }
    default:
      return null
  }
}

async function ask(argv: string[], source: Buffer, scope: Scope): Promise<string | null> {
  await using child = await startProcess(argv, { cwd: '/' }, withTimeout(scope, PATIENCE))
  const said: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => said.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => said.push(chunk))
  const closed = new Promise((resolve) => child.stderr?.once('close', resolve))
  child.stdin?.on('error', () => {})
  child.stdin?.end(source)
  const { code } = await child.exited
  await closed
  if (code === 0) return null
  const text = Buffer.concat(said).toString('utf8').trim()
  return text.split('\n').find((one) => /Error/.test(one)) ?? text.slice(0, 200)
}
