import type { BranchNode, CheckpointNode, RunTree } from '@thaw/protocol'
import { expect, it } from 'vitest'
import { renderTree } from './tree.js'

const at = '2026-01-02T03:04:05.000Z'
const checkpoint = (
  id: string,
  parent: string | null,
  unit: string,
  line: number,
  seconds: number,
): CheckpointNode => ({
  id,
  run: 'r_1',
  branch: 'b_1',
  parent,
  kind: 'moment',
  name: null,
  before: { unit, file: 'app.py', line },
  at_seconds: seconds,
  memory_bytes: 1_500_000,
  state: 'parked',
  created_at: at,
  not_covered: [],
})
const live: BranchNode = {
  id: 'b_2',
  run: 'r_1',
  kind: 'run',
  from: 'c_2',
  state: 'live',
  pid: 77,
  started_at: at,
  ended_at: null,
  outcome: null,
  exit: null,
}
const tree: RunTree = {
  run: {
    id: 'r_1',
    command: ['python3', 'my app.py'],
    cwd: '/p',
    interpreter: '/usr/bin/python3',
    state: 'ended',
    created_at: at,
    last_at: at,
    times_run: 2,
    outcome: 'resumed',
    exit: { code: 0, signal: null },
    checkpoints: 3,
    memory_bytes: 0,
  },
  branches: [],
  checkpoints: [
    checkpoint('c_1', null, 'load#0', 3, 0.25),
    checkpoint('c_2', 'c_1', 'train', 40, 4.125),
    checkpoint('c_3', 'c_2', '<module>', 51, 12),
  ],
  refusals: [{ branch: 'b_1', at_seconds: 12.5, why: '2 threads' }],
}

it('draws a chain without indenting it', () => {
  expect(renderTree(tree)).toBe(`r_1  python3 'my app.py'
/p
ended, exit 0, resumed
├─ c_1  before load() (app.py:3)    0.25 s  1.5 MB  parked
├─ c_2  before train() (app.py:40)  4.13 s  1.5 MB  parked
└─ c_3  before app.py:51            12.0 s  1.5 MB  parked
no checkpoint from 12.5 s: 2 threads
`)
})

it('indents where several go out from one, and shows what is live', () => {
  const lines = renderTree({ ...tree, branches: [live] }).split('\n')
  expect(lines[2]).toBe('running now')
  expect(lines.slice(5, 7)).toEqual([
    '   ├─ c_3  before app.py:51         12.0 s  1.5 MB  parked',
    '   └─ b_2  running, pid 77                          live',
  ])
})

it('counts what is gone, and shows what is parked, stopped, named or branched from', () => {
  const past = (id: string, parent: string | null): CheckpointNode => ({
    ...checkpoint(id, parent, 'f', 1, 1),
    state: 'dropped',
  })
  const many = {
    ...tree,
    checkpoints: [
      past('c_a', null),
      past('c_b', 'c_a'),
      past('c_c', null),
      past('c_1', null),
      past('c_2', 'c_1'),
      past('c_3', 'c_2'),
      { ...past('c_4', 'c_3'), name: 'here' },
      past('c_5', 'c_4'),
      { ...past('c_6', 'c_5'), kind: 'stop' as const },
      past('c_7', 'c_6'),
      past('c_8', 'c_7'),
    ],
  }
  expect(renderTree(many).split('\n').slice(3, -2)).toEqual([
    '├─ … 3 more                                               dropped',
    '└─ … 3 more                                               dropped',
    '   ├─ c_4  before f() (app.py:1) "here"   1.00 s  1.5 MB  dropped',
    '   ├─ c_5  before f() (app.py:1)          1.00 s  1.5 MB  dropped',
    '   ├─ c_6  stopped before f() (app.py:1)  1.00 s  1.5 MB  dropped',
    '   └─ … 2 more                                            dropped',
  ])
  expect(renderTree(many, true).match(/c_/g)).toHaveLength(11)
})
