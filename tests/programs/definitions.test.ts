import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home } from '../support/home.js'
import { Project, WORK, WORK_SECONDS } from '../support/project.js'

let home: Home
beforeAll(() => {
  home = new Home({ THAW_FACTOR: '0.5' })
})
afterAll(() => home[Symbol.asyncDispose]())

const APP = `${WORK}
import sys
from dataclasses import dataclass

import lib
from settings import LIMIT, NAMES

RATE = 0.5
WIDTH = 4


@dataclass
class Row:
    name: str
    value: int


class Table:
    def __init__(self, rows):
        self.rows = rows

    def total(self):
        return sum(r.value for r in self.rows)


def load(count):
    work()
    return [Row(NAMES[n % len(NAMES)], n) for n in range(count)]


def train(rows):
    work()
    return Table(rows)


def report(table, digits=2):
    print("-" * WIDTH, lib.clean("a1b2"))
    work()
    print(round(table.total() * RATE, digits))


def main():
    table = train(load(LIMIT))
    report(table)
    print("total", table.total())
    return 0


if __name__ == "__main__":
    sys.exit(main())
`
const LIB = 'def clean(text):\n    return "".join(c for c in text if c.isalpha())\n'
const SETTINGS = 'LIMIT = 10\nNAMES = ["a", "b"]\nSUFFIX = "!"\n'

const late = (expression: string): [string, string, string] => [
  'app.py',
  'print("total", table.total())',
  `print("total", table.total(), ${expression})`,
]
/** Definitions that come with a use late in the program: file, text, replacement, several times. */
const EDITS: Record<string, [string, string, string][]> = {
  'an import': [['app.py', 'import sys\n', 'import json\nimport sys\n'], late('json.dumps([1])')],
  'a list': [['app.py', 'WIDTH = 4\n', 'WIDTH = 4\nCOLUMNS = ["x", "y"]\n'], late('COLUMNS')],
  'another constant': [['app.py', 'WIDTH = 4\n', 'WIDTH = 8 * 2\n']],
  'a compiled pattern': [
    ['app.py', 'import sys\n', 'import re\nimport sys\n'],
    ['app.py', 'WIDTH = 4\n', 'WIDTH = 4\nWORDS = re.compile("[a-z]+")\n'],
    late('WORDS.findall("ab cd")'),
  ],
  'a logger': [
    ['app.py', 'import sys\n', 'import logging\nimport sys\n'],
    ['app.py', 'WIDTH = 4\n', 'WIDTH = 4\nlog = logging.getLogger(__name__)\n'],
    ['app.py', '    work()\n    print(round', '    log.warning("late")\n    print(round'],
  ],
  'a default': [['app.py', 'digits=2', 'digits=3']],
  annotations: [
    ['app.py', 'def report(table, digits=2):', 'def report(table: "Table", digits: int = 2) -> None:'],
  ],
  'a parameter': [
    ['app.py', 'def report(table, digits=2):', 'def report(table, digits=2, sep="="):'],
    ['app.py', '"-" * WIDTH', 'sep * WIDTH'],
  ],
  'another name for a function': [
    ['app.py', 'def report(', 'def tell('],
    ['app.py', '    report(table)', '    tell(table)'],
  ],
  'a data class': [
    ['app.py', 'class Table:', '@dataclass\nclass Bar:\n    n: int = 3\n\n\nclass Table:'],
    late('Bar()'),
  ],
  'an enumeration': [
    ['app.py', 'import sys\n', 'import enum\nimport sys\n'],
    ['app.py', 'class Table:', 'class Kind(enum.Enum):\n    A = 1\n    B = enum.auto()\n\n\nclass Table:'],
    late('list(Kind)'),
  ],
  'a class with a base': [
    ['app.py', 'def load', 'class Wide(Table):\n    def total(self):\n        return 1\n\n\ndef load'],
    late('Wide([]).total()'),
  ],
  'a setting of another module': [
    ['settings.py', 'SUFFIX', 'EXTRA = [5]\nSUFFIX'],
    ['app.py', 'import LIMIT, NAMES', 'import EXTRA, LIMIT, NAMES, SUFFIX as suffix'],
    late('EXTRA, suffix'),
  ],
  'a function of another module': [
    ['lib.py', 'def clean', 'import string\n\n\ndef clean'],
    ['lib.py', 'c.isalpha()', 'c in string.ascii_letters'],
  ],
}

describe('definitions that the program has not come to yet', () => {
  it.each(Object.entries(EDITS))('%s', async (name, edits) => {
    const project = new Project(home, name.replaceAll(' ', '-'))
    project.write('app.py', APP)
    project.write('lib.py', LIB)
    project.write('settings.py', SETTINGS)
    const command = ['python3', 'app.py']
    expect((await project.run(command)).report).toMatchObject({ outcome: 'cold' })
    for (const [file, before, after] of edits) project.edit(file, before, after)
    const resumed = await project.run(command)
    expect(resumed.report).toMatchObject({ outcome: 'resumed' })
    const { checkpoint, reason } = resumed.report
    // On a busy machine there may be no checkpoint that late: nothing held it back then.
    if (reason !== null) expect(checkpoint?.at_seconds, reason).toBeGreaterThan(2 * WORK_SECONDS)
    const { code, signal, stdout, stderr } = project.plain(command)
    expect({ ...resumed, report: null }).toEqual({ code, signal, stdout, stderr, report: null })
  })

  it.each<[string, [string, string, string][]]>([
    [
      'a name that the other module lacks',
      [['app.py', 'import LIMIT, NAMES', 'import LIMIT, NAMES, NOTHING']],
    ],
    [
      'another meaning of a name in use',
      [['app.py', 'import LIMIT, NAMES', 'import LIMIT, SUFFIX as NAMES']],
    ],
    ['a pattern that is none', [['app.py', 'RATE = 0.5\n', 'import re\nRATE = 0.5\nP = re.compile("(")\n']]],
    [
      'a class whose making prints',
      [['app.py', 'RATE = 0.5\n', 'RATE = 0.5\nclass K:\n    print("made")\n']],
    ],
    ['a class in use', [['app.py', 'class Table:', 'class Table(dict):']]],
    [
      'a value from a file',
      [['app.py', 'RATE = 0.5\n', 'RATE = 0.5\nTEXT = open("lib.py").readline()\nprint(TEXT)\n']],
    ],
  ])('%s is as in a cold run', async (name, edits) => {
    const project = new Project(home, name.replaceAll(' ', '-'))
    project.write('app.py', APP)
    project.write('lib.py', LIB)
    project.write('settings.py', SETTINGS)
    const command = ['python3', 'app.py']
    await project.run(command)
    for (const [file, before, after] of edits) project.edit(file, before, after)
    const again = await project.run(command)
    const { code, signal, stdout, stderr } = project.plain(command)
    expect({ ...again, report: null }).toEqual({ code, signal, stdout, stderr, report: null })
  })
})
