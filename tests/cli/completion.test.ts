import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Home, root } from '../support/home.js'

let home: Home
beforeAll(() => {
  home = new Home()
})
afterAll(() => home[Symbol.asyncDispose]())

const has = (shell: string) => spawnSync('sh', ['-c', `command -v ${shell}`]).status === 0

/** A shell in which `thaw` is a program on PATH, as completion needs it. */
function shell(name: string, args: string[]) {
  const PATH = `${join(root, 'node_modules', '.bin')}:${home.env['PATH']}`
  const done = spawnSync(name, args, {
    cwd: home.project,
    env: { ...home.env, PATH, TERM: 'dumb' },
    encoding: 'utf8',
  })
  expect(done.stderr).toBe('')
  return done.stdout.split('\n').filter((line) => line !== '')
}

/** What bash would offer for these words, the last of which is being typed. */
function bash(...words: string[]): string[] {
  const list = ['thaw', ...words].map((word) => `'${word}'`).join(' ')
  return shell('bash', [
    '--norc',
    '-c',
    `source <(thaw completion bash); COMP_WORDS=(${list}); COMP_CWORD=${words.length}; _thaw; printf '%s\\n' "\${COMPREPLY[@]}"`,
  ])
}

describe('thaw completion bash', () => {
  it('completes verbs, options and their values', () => {
    expect(bash('tr')).toEqual(['tree'])
    expect(bash('wa')).toEqual(['watch'])
    expect(bash('daemon', 'st')).toEqual(['start', 'stop', 'status'])
    expect(bash('daemon', 'token', 'c')).toEqual(['create'])
    expect(bash('daemon', 'token', 'create', '--sc')).toEqual(['--scope'])
    expect(bash('completion', 'z')).toEqual(['zsh'])
    expect(bash('checkpoint', 'ex')).toEqual(['export'])
    expect(bash('checkpoint', 'import', '--')).toEqual(['--json'])
    expect(bash('logs', '--f')).toEqual(['--follow'])
    expect(bash('run', '--f')).toEqual(['--fresh'])
    expect(bash('run', '--effects', '')).toEqual(['redo', 'keep'])
    expect(bash('run', '--effects', '=', 'k')).toEqual(['keep'])
    expect(bash('watch', '-q', '--eng')).toEqual(['--engine'])
    expect(bash('help', 'dae')).toEqual(['daemon'])
    expect(bash('nonsense', '')).toEqual([])
  })

  it('leaves the command to the shell', () => {
    expect(bash('run', 'bas')).toContain('bash')
    expect(bash('run', '-q', '--effects', 'keep', '--', 'bas')).toContain('bash')
    expect(bash('run', 'sh', '-')).toEqual([])
  })

  it('starts no daemon, and completes ids when one runs', async () => {
    await home.run(['daemon', 'stop'])
    expect(bash('tree', '')).toEqual(['last'])
    expect(existsSync(join(home.env['THAW_HOME'] ?? '', 'run', 'daemon.sock'))).toBe(false)
    home.write('app.py', 'print(1)\n')
    await home.run(['run', '-q', 'python3', 'app.py'])
    const [run] = await home.json<{ id: string }[]>(['ls'])
    const { branches } = await home.json<{ branches: { id: string }[] }>(['tree', 'last'])
    expect(bash('tree', '')).toEqual(['last', run?.id])
    expect(bash('tree', 'r')).toEqual([run?.id])
    expect(bash('show', 'b_')).toEqual([branches[0]?.id])
    expect(bash('tree', 'b_')).toEqual([])
    expect(bash('rm', run?.id.slice(0, 5) ?? '')).toEqual([run?.id])
  })
})

it('names images, instances, snapshots and pools where verbs take them', async () => {
  home.write(
    'server.json',
    JSON.stringify({ kind: 'directory', name: 'web:1', path: '.', command: ['true'] }),
  )
  home.write('other.json', JSON.stringify({ kind: 'directory', name: 'db', path: '.', command: ['true'] }))
  for (const file of ['server.json', 'other.json']) await home.run(['image', 'create', file])
  const [db] = await home.json<{ id: string }[]>(['image', 'ls'])
  expect(bash('image', 'show', '')).toEqual(['db', 'web:1'])
  expect(bash('image', 'rm', 'db', 'we')).toEqual(['web:1'])
  expect(bash('image', 'show', db?.id.slice(0, 9) ?? '')).toEqual([db?.id])
  expect(bash('instance', 'create', '--name', 'x', '-e', 'A=b', 'd')).toEqual(['db'])
  expect(bash('instance', 'create', '--net', 'pr')).toEqual(['private', 'private+out'])
  expect(bash('instance', 'create', '--name', 'd')).toEqual([])
  expect(bash('snapshot', 'create', 'w')).toEqual(['web:1'])
  // Without an engine there are none of these; their kinds are asked for all the same.
  for (const words of [
    ['instance', 'exec', ''],
    ['pool', 'take', ''],
    ['snapshot', 'show', ''],
  ]) {
    expect(bash(...words)).toEqual([])
  }
})

it.skipIf(!has('zsh'))('thaw completion zsh (skipped where there is no zsh)', () => {
  // The widgets of completion need a terminal: these stand in for them and print what they are given.
  const script = `
    compdef() { :; }
    _describe() { print -l -- "\${(@P)2}" }
    _files() { print files }
    _normal() { print -- "normal $CURRENT $words" }
    source <(thaw completion zsh)
    words=(thaw tre) CURRENT=2; _thaw
    words=(thaw run -q python3 a.py) CURRENT=5; _thaw
    words=(thaw run --report '') CURRENT=4; _thaw`
  expect(shell('zsh', ['-f', '-c', script])).toEqual([
    expect.stringMatching(/^tree:draw/),
    'normal 2 python3 a.py',
    'files',
  ])
})

it.skipIf(!has('fish'))('thaw completion fish (skipped where there is no fish)', () => {
  const offered = (line: string) =>
    shell('fish', ['--no-config', '-c', `thaw completion fish | source; complete -C '${line}'`])
  expect(offered('thaw tre')).toEqual([expect.stringMatching(/^tree\tdraw/)])
  expect(offered('thaw run --effects ').sort()).toEqual(['keep', 'redo'])
  expect(offered('thaw run -q fis').some((line) => line.startsWith('fish'))).toBe(true)
})
