import { describe, expect, it } from 'vitest'
import { isPythonName, parsePythonArguments, parseShebang } from './command-line.js'

describe('parsePythonArguments', () => {
  it.each([
    ['x.py a -b', [], 'script', 'x.py', ['a', '-b']],
    ['-uB -W error -Xdev x.py', ['-uB', '-W', 'error', '-X', 'dev'], 'script', 'x.py', []],
    ['-Oc code 1', ['-O'], 'command', 'code', ['1']],
    ['-mpkg.mod -x', [], 'module', 'pkg.mod', ['-x']],
    ['-I -m pytest -x', ['-I'], 'module', 'pytest', ['-x']],
  ] as const)('reads %s', (line, flags, kind, name, args) => {
    expect(parsePythonArguments(line.split(' '))).toEqual({ flags, main: { kind, name }, args })
  })

  it.each([[''], ['-'], ['-i x.py'], ['-V'], ['--help'], ['-X importtime x.py'], ['-m']])(
    'refuses %j',
    (line) => {
      expect(typeof parsePythonArguments(line === '' ? [] : line.split(' '))).toBe('string')
    },
  )
})

describe('parseShebang', () => {
  it.each([
    ['#!/usr/bin/python3\n', { interpreter: '/usr/bin/python3', lookup: false, flags: [] }],
    ['#! /v/bin/python -I\n', { interpreter: '/v/bin/python', lookup: false, flags: ['-I'] }],
    ['#!/usr/bin/env python3\n', { interpreter: 'python3', lookup: true, flags: [] }],
    ['#!/usr/bin/env -S python3 -u\n', { interpreter: 'python3', lookup: true, flags: ['-u'] }],
    [
      `#!/bin/sh\n'''exec' "/a b/python" "$0" "$@"\n' '''\n`,
      { interpreter: '/a b/python', lookup: false, flags: [] },
    ],
    ['#!/bin/sh\necho\n', null],
    ['#!/usr/bin/perl\n', null],
    ['\x7fELF', null],
  ])('reads %j', (head, expected) => {
    expect(parseShebang(head)).toEqual(expected)
  })

  it('knows interpreters by name', () => {
    expect(
      ['python', '/usr/bin/python3.11', 'python3', 'python3-config', 'ipython'].map(isPythonName),
    ).toEqual([true, true, true, false, false])
  })
})
