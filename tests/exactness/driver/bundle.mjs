// Everything about one difference in one directory, and the way back from there to the difference.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'

import { applyEdit, changesBetween, copyTree } from './programs.mjs'

/** Writes the bundle of a difference and returns its directory. */
export function keepBundle(sequence, { step, edit, thawed, cold }) {
  const parent = join(sequence.out, 'differences')
  mkdirSync(parent, { recursive: true })
  const name = `${sequence.program.name}-${sequence.number}-${sequence.history.length - 1}-${edit.kind}`
  const directory = join(parent, name)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  const write = (file, content) => writeFileSync(join(directory, file), content)
  copyTree(sequence.source, join(directory, 'after'))
  mkdirSync(join(directory, 'before'))
  applyEdit(join(directory, 'before'), sequence.states.at(-1), [], null)
  for (const [side, one] of [
    ['thaw', thawed],
    ['cold', cold],
  ]) {
    write(`${side}.stdout`, one.result.stdout)
    write(`${side}.stderr`, one.result.stderr)
    write(`${side}.exit`, `${one.result.signal ?? one.result.code}\n`)
  }
  copyTree(sequence.warm, join(directory, 'thaw.tree'))
  const files = mkdirAnd(join(directory, 'cold.files'))
  for (const [path, content] of cold.files) {
    if (thawed.files.get(path) === content) continue
    writeFileSync(join(files, path.replaceAll('/', '%')), Buffer.from(content, 'latin1'))
  }
  write('report.json', JSON.stringify(thawed.report, null, 1) + '\n')
  const { program, seed, number } = sequence
  write(
    'history.json',
    JSON.stringify({ program: program.name, seed, number, edits: sequence.history }, null, 1),
  )
  write('differences.txt', describe(sequence, step, directory))
  return directory
}

function mkdirAnd(directory) {
  mkdirSync(directory, { recursive: true })
  return directory
}

function describe(sequence, step, directory) {
  return [
    `${step.verdict}: ${sequence.program.name}, ${step.kind}: ${step.what}`,
    '',
    ...step.differences,
    '',
    `command: python ${sequence.program.arguments.join(' ')}`,
    'before/ and after/: the sources; thaw.tree/: the directory after thaw; cold.files/: files that a cold run',
    'leaves otherwise (first the mode, then the content; % stands for /); history.json: every edit up to here.',
    `Once more: npm run exactness -- --replay ${directory}`,
    '',
  ].join('\n')
}

/** What --replay needs of a bundle: the last edit alone, and all of them. */
export function readBundle(directory) {
  const { program, seed, number, edits } = JSON.parse(readFileSync(join(directory, 'history.json'), 'utf8'))
  const states = [{}]
  for (const edit of edits) {
    const state = { ...states.at(-1), ...(edit.ofOutputs ? {} : edit.changes) }
    for (const path of Object.keys(state)) if (state[path] === null) delete state[path]
    states.push(state)
  }
  const last = edits.at(-1)
  const before = states.at(-2)
  const shortest = [
    { kind: 'first', what: 'first run', changes: before, touched: [] },
    { ...last, changes: last.ofOutputs ? last.changes : changesBetween(before, states.at(-1)) },
  ]
  return { name: basename(directory), program, seed, number, shortest, whole: edits }
}
