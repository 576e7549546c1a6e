// What counts as equal: streams, exit code, and every file of the tree.
import { lstatSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

const IGNORED = new Set(['__pycache__', '.pytest_cache'])

// Both trees have paths of the same length, so nothing that pads or wraps can differ because of them.
const RULES = {
  'pytest-elapsed': (text) =>
    text.replace(/=+ (.*) in \d+\.\d+s(?: \(\d+:\d\d:\d\d\))? =+/g, '= $1 in TIME ='),
  'unittest-elapsed': (text) => text.replace(/^(Ran \d+ tests?) in \d+\.\d+s$/gm, '$1 in TIME'),
}

/** Edits put results of str() into capitals, and a path may be one. */
const placeless = (text, tree) => text.replaceAll(tree, '<tree>').replaceAll(tree.toUpperCase(), '<TREE>')

/** @param {Buffer} bytes @param {string} tree @param {string[]} rules */
export function normalise(bytes, tree, rules) {
  // latin1 keeps every byte, so output that is not UTF-8 is compared as it is.
  let text = placeless(bytes.toString('latin1'), tree)
  for (const rule of rules) text = RULES[rule](text)
  return text
}

/** Every file of a tree: path to what can be compared of it. */
export function snapshot(tree) {
  const found = new Map()
  const visit = (directory, prefix) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (IGNORED.has(entry.name)) continue
      const full = join(directory, entry.name)
      const path = prefix + entry.name
      if (entry.isDirectory()) {
        found.set(path, 'directory')
        visit(full, path + '/')
      } else if (entry.isSymbolicLink()) found.set(path, 'link to ' + placeless(readlinkSync(full), tree))
      else if (entry.isFile()) {
        const mode = (lstatSync(full).mode & 0o777).toString(8)
        found.set(path, mode + ' ' + placeless(readFileSync(full).toString('latin1'), tree))
      } else found.set(path, 'special')
    }
  }
  visit(tree, '')
  return found
}

function contrast(ours, theirs) {
  const kind = (content) =>
    /^[0-7]{1,3} /.test(content) ? `mode ${content.split(' ', 1)[0]}` : content.slice(0, 60)
  return kind(ours) === kind(theirs) ? 'other content' : `${kind(ours)} under thaw, ${kind(theirs)} cold`
}

/** Paths that differ between two snapshots, with what is the matter. */
export function compareFiles(thawed, cold) {
  const differences = []
  for (const [path, content] of cold) {
    if (!thawed.has(path)) differences.push(`${path}: missing after thaw`)
    else if (thawed.get(path) !== content) differences.push(`${path}: ${contrast(thawed.get(path), content)}`)
  }
  for (const path of thawed.keys()) if (!cold.has(path)) differences.push(`${path}: only there after thaw`)
  return differences.sort()
}

export function exitOf(result) {
  return result.signal ? `signal ${result.signal}` : `code ${result.code}`
}

/** A shell's number for how a program ended, as thaw reports it. */
function shellCode(result, signals) {
  return result.signal ? 128 + signals[result.signal] : result.code
}

/**
 * Compares the result under thaw with the cold one; the answer lists what differs.
 * @param {{result: import('./execute.mjs').Result, tree: string}} thawed
 * @param {{result: import('./execute.mjs').Result, tree: string}} cold
 */
export function compareResults(thawed, cold, rules, signals) {
  const differences = []
  if (thawed.result.ended) differences.push(`thaw was ended by the driver: ${thawed.result.ended}`)
  const expected = shellCode(cold.result, signals)
  if (shellCode(thawed.result, signals) !== expected) {
    differences.push(`exit: ${exitOf(thawed.result)} under thaw, ${exitOf(cold.result)} cold`)
  }
  for (const stream of ['stdout', 'stderr']) {
    const ours = normalise(thawed.result[stream], thawed.tree, rules)
    const theirs = normalise(cold.result[stream], cold.tree, rules)
    if (ours !== theirs) differences.push(`${stream}: ${firstDifference(ours, theirs)}`)
  }
  return differences
}

function firstDifference(ours, theirs) {
  const a = ours.split('\n')
  const b = theirs.split('\n')
  let line = 0
  while (line < a.length && line < b.length && a[line] === b[line]) line++
  const show = (lines) => (line < lines.length ? JSON.stringify(lines[line].slice(0, 100)) : 'nothing')
  return `line ${line + 1} is ${show(a)} under thaw, ${show(b)} cold`
}

/** The syntax error a cold run reported: file name and line, or null. */
export function syntaxError(result) {
  const text = result.stderr.toString('latin1').trimEnd()
  const last = text.slice(text.lastIndexOf('\n') + 1)
  const kind = /^(SyntaxError|IndentationError|TabError):/.exec(last)
  if (result.code !== 1 || !kind) return null
  const places = [...text.matchAll(/File "([^"]+)", line (\d+)/g)]
  const place = places[places.length - 1]
  return place ? { kind: kind[1], file: place[1].split('/').pop(), line: Number(place[2]) } : null
}

/**
 * thaw may report a syntax error before it runs anything: then exit code, file and line have to agree,
 * and the files have to be as they were.
 */
export function sameSyntaxError(expected, thawed) {
  const text = thawed.stderr.toString('utf8')
  return (
    thawed.code === 1 &&
    text.includes(expected.kind) &&
    text.includes(expected.file) &&
    new RegExp(`(line |:)${expected.line}\\b`).test(text)
  )
}

export function maskAddresses(result) {
  const mask = (bytes) =>
    Buffer.from(bytes.toString('latin1').replace(/\bat 0x[0-9a-f]+/g, 'at 0x?'), 'latin1')
  return { ...result, stdout: mask(result.stdout), stderr: mask(result.stderr) }
}
