// The descriptions in projects/, and their edits.
import { readFileSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROJECTS = join(dirname(fileURLToPath(import.meta.url)), 'projects')

/**
 * @typedef {object} TextEdit
 * @property {string} what in words, for the table
 * @property {string} file
 * @property {string=} before text that occurs once; without it `after` is the whole file
 * @property {string} after
 * @property {TextEdit[]=} also further places that change with it
 *
 * @typedef {object} Project
 * @property {string} name
 * @property {string} about
 * @property {Record<string, Record<string, string>>} files package=version to path in it (`@`: where modules lie) to path
 * @property {Record<string, string>} additions files of our own
 * @property {string[]} libraries packages that it imports
 * @property {string[]} arguments what follows the interpreter
 * @property {string[]} normalise names of rules in tests/exactness/driver/compare.mjs
 * @property {number} deadline seconds that a cold run may take
 * @property {TextEdit[]} edits each made on top of those before
 */

/** @returns {Project[]} */
export function loadProjects() {
  return readdirSync(PROJECTS)
    .sort()
    .map((file) => ({
      name: file.replace(/\.json$/, ''),
      additions: {},
      libraries: [],
      normalise: [],
      deadline: 300,
      ...JSON.parse(readFileSync(join(PROJECTS, file), 'utf8')),
    }))
}

/** The contents, in base64, that an edit leads to in a tree. @param {TextEdit} edit */
export function changesOf(edit, tree) {
  const texts = new Map()
  for (const one of [edit, ...(edit.also ?? [])]) {
    if (one.before === undefined) {
      texts.set(one.file, one.after)
      continue
    }
    const text = texts.get(one.file) ?? readFileSync(join(tree, one.file), 'utf8')
    if (text.split(one.before).length !== 2) {
      throw new Error(`${one.file} does not hold ${JSON.stringify(one.before)} once`)
    }
    texts.set(
      one.file,
      text.replace(one.before, () => one.after),
    )
  }
  const entries = [...texts].map(([file, text]) => [file, Buffer.from(text).toString('base64')])
  return Object.fromEntries(entries)
}
