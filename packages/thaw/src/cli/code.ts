/** The files of a project that are sent to a daemon on another machine. */
import type { CodeToSend } from '@thaw/sdk'
import { LARGEST_FILE, MOST_FILES } from '@thaw/protocol'
import { ThawError } from '@thaw/protocol/errors'
import ignore, { type Ignore } from 'ignore'
import { createHash } from 'node:crypto'
import { existsSync, openAsBlob, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { join, relative, sep } from 'node:path'

/** Left out whatever the ignore files say; agents/python/thaw/code.py has the same. */
const NEVER = ['.git', '.hg', '.svn', '__pycache__', '*.pyc', '.venv', 'venv', 'node_modules', '.thaw']
const NAMES = ['.gitignore', '.thawignore']

interface Rules {
  /** Directory that they hold below, relative to the root; with a slash, or empty. */
  below: string
  rules: Ignore
}

/**
 * All files below a directory that .gitignore and .thawignore let be. Links to files and directories within it are sent as what they
 * lead to; those that lead out are left out.
 *
 * @throws ThawError PAYLOAD_TOO_LARGE
 */
export function codeIn(root: string): CodeToSend[] {
  const real = realpathSync(root)
  const found: CodeToSend[] = []
  const walk = (
    directory: string,
    prefix: string,
    above: readonly Rules[],
    seen: readonly string[],
  ): void => {
    const rules = [...above, ...rulesOf(directory, prefix)]
    for (const name of readdirSync(directory).sort()) {
      const target = targetOf(join(directory, name))
      if (target === null || !(target === real || target.startsWith(real + sep))) continue
      const stat = statSync(target)
      const path = prefix + name
      if (isIgnored(stat.isDirectory() ? `${path}/` : path, rules)) continue
      if (stat.isDirectory()) {
        // A link to a directory above would never end.
        if (!seen.includes(target)) walk(target, `${path}/`, rules, [...seen, target])
      } else if (stat.isFile()) found.push(fileOf(target, path, stat.size))
      if (found.length > MOST_FILES) throw tooMuch(`${root} holds more than ${MOST_FILES} files.`)
    }
  }
  walk(real, '', [{ below: '', rules: ignore().add(NEVER) }], [real])
  return found
}

function fileOf(file: string, path: string, bytes: number): CodeToSend {
  if (bytes > LARGEST_FILE) throw tooMuch(`${path} has ${bytes} bytes; a file has ${LARGEST_FILE} at most.`)
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex')
  return { path, sha256, bytes, read: () => openAsBlob(file) }
}

function rulesOf(directory: string, below: string): Rules[] {
  const files = NAMES.map((name) => join(directory, name)).filter((file) => existsSync(file))
  if (files.length === 0) return []
  const rules = ignore()
  for (const file of files) rules.add(readFileSync(file, 'utf8'))
  return [{ below, rules }]
}

/** The nearest rules decide, as git has it. */
function isIgnored(path: string, all: readonly Rules[]): boolean {
  for (const { below, rules } of [...all].reverse()) {
    const { ignored, unignored } = rules.test(relative(below, path) + (path.endsWith('/') ? '/' : ''))
    if (ignored || unignored) return ignored
  }
  return false
}

function targetOf(path: string): string | null {
  try {
    return realpathSync(path)
  } catch {
    return null // a link to nowhere
  }
}

function tooMuch(what: string): ThawError {
  return new ThawError('PAYLOAD_TOO_LARGE', what, { hint: 'Leave out what is no code by a .thawignore.' })
}
