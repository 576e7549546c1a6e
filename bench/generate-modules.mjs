import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const MODULES = 50
export const LINES_EACH = 220

/**
 * Writes the package `bulk` into a directory: MODULES modules of LINES_EACH
 * lines each, in the mix of a usual project (constants, functions, a class
 * with methods, imports of each other), and an `__init__` that imports all.
 * Returns the number of lines written.
 */
export function generateModules(directory) {
  const home = join(directory, 'bulk')
  mkdirSync(home)
  const names = Array.from({ length: MODULES }, (_, index) => `part_${String(index).padStart(2, '0')}`)
  const init = [...names.map((name) => `from bulk import ${name}`), '', `MODULES = ${MODULES}`]
  writeFileSync(join(home, '__init__.py'), init.join('\n') + '\n')
  let lines = init.length
  for (const [index, name] of names.entries()) {
    const source = moduleLines(index, index > 0 ? names[index - 1] : null)
    writeFileSync(join(home, `${name}.py`), source.join('\n') + '\n')
    lines += source.length
  }
  return lines
}

function moduleLines(index, neighbour) {
  const lines = [
    `"""Part ${index}."""`,
    '',
    'import json',
    'import math',
    'from collections import defaultdict',
    '',
  ]
  if (neighbour !== null) lines.push(`from bulk import ${neighbour}`, '')
  lines.push(
    `LIMIT = ${index * 10}`,
    `NAMES = ["a${index}", "b${index}", "c${index}"]`,
    'TABLE = {name: len(name) for name in NAMES}',
    '',
    '',
  )
  lines.push(`class Store${index}:`, `    """Keeps values by name."""`, '', '    kind = "store"', '')
  for (let n = 0; n < 6; n++) lines.push(...methodLines(n), '')
  lines.push('')
  for (let n = 0; lines.length + functionLines(n).length + 2 <= LINES_EACH; n++)
    lines.push(...functionLines(n), '', '')
  while (lines.length < LINES_EACH) lines.push(`CONSTANT_${lines.length} = ${lines.length}`)
  return lines
}

function methodLines(n) {
  return [
    `    def put_${n}(self, name, value, *, weight=${n}):`,
    `        if name not in self.__dict__:`,
    '            self.__dict__[name] = []',
    `        self.__dict__[name].append((value, weight * ${n + 1}))`,
    '        return self',
  ]
}

function functionLines(n) {
  return [
    `def summarise_${n}(values, scale=${n + 1}.0):`,
    `    """Totals by rounded value."""`,
    '    totals = defaultdict(float)',
    '    for position, value in enumerate(values):',
    `        if value > LIMIT + ${n}:`,
    '            totals[round(value)] += math.sqrt(value) * scale',
    '        else:',
    '            totals[position] -= value',
    '    try:',
    '        return json.dumps(totals, sort_keys=True)',
    '    except TypeError as error:',
    '        return str(error)',
  ]
}
