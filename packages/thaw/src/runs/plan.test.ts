import type { AgentEvent, Binding, Frame } from '@thaw/protocol/agent'
import type { UnitDifference } from '@thaw/protocol/host'
import { describe, expect, it } from 'vitest'
import type { Image } from '../engines/engine.js'
import type { BranchRecord, Checkpoint } from './lineage.js'
import { makePlan, type PlanInput } from './plan.js'
import type { Present } from './present.js'

const OLD = 'a'.repeat(40)
const NEW = 'b'.repeat(40)
const APP = '/p/app.py'
const image: Image = { engine: 'fork', pid: 1, alive: true, inPlace: true, start: null }

function branchWith(events: AgentEvent[], parent: Checkpoint | null = null, version = OLD): BranchRecord {
  return {
    id: 'b_1',
    startedAt: 0,
    root: {
      env: {},
      terminal: null,
      joined: false,
      umask: 0o022,
      allowance: { limits: [], nice: 0, cpus: '0' },
      network: 'host',
      files: null,
      start: null,
    },
    env: {},
    parent,
    kind: 'run',
    engine: 'fork',
    sandbox: null,
    watched: true,
    modules: new Map(),
    events,
    answers: new Map(),
    writes: [],
    checkpoints: [],
    versions: new Map([[APP, { hash: version, seq: 0 }]]),
    streams: { stdin: 'null', joined: false, terminal: null },
    rebased: new Set(),
    broken: null,
    refusals: [],
    failure: null,
    failedTests: [],
    fault: [],
    left: new Map(),
    end: {
      complete: true,
      code: 0,
      signal: null,
      work: 9,
      stdin: 0,
      stdinEnded: false,
      offsets: { stdout: 0, stderr: 0, order: 0 },
      seconds: 9,
    },
  }
}

function addCheckpoint(branch: BranchRecord, seq: number, stack: Frame[] = []): Checkpoint {
  const checkpoint: Checkpoint = {
    id: `c_${seq}`,
    branch,
    seq,
    before: { file: APP, unit: 'f', line: 1 },
    stack,
    work: seq,
    stdin: 0,
    offsets: { stdout: 0, stderr: 0, order: 0 },
    image,
    state: 'parked',
    memory: null,
    createdAt: 0,
    kind: 'moment',
    name: null,
    hooked: false,
  }
  branch.checkpoints.push(checkpoint)
  return checkpoint
}

const nothing: UnitDifference = { changed: [], added: [], removed: [], shifted: [], moved: [] }

function input(
  branches: BranchRecord[],
  edits: Partial<UnitDifference> | null,
  more: Partial<Present> = {},
): PlanInput {
  return {
    branches,
    present: {
      source: () => (edits === null ? OLD : NEW),
      sameRead: () => true,
      sameStat: () => true,
      sameLink: () => true,
      list: () => 'digest',
      names: () => new Set(['installed']),
      disk: () => 'there',
      env: () => null,
      query: () => Promise.resolve('answer'),
      own: () => false,
      modules: new Map(),
      ...more,
    },
    oracle: () => ({
      diff: () => Promise.resolve({ ...nothing, ...edits }),
      remap: () => Promise.resolve({ can: true, at: 7 }),
      mentioned: () => Promise.resolve({ units: [], ordered: false }),
    }),
    stdin: { samePrefix: () => Promise.resolve(true), sameWhole: () => Promise.resolve(true) },
    disk: new Map(),
    effects: 'redo',
    filesProblem: () => null,
    last: null,
    refused: new Map(),
    stops: [],
    replayable: () => true,
  }
}

const program: AgentEvent[] = [
  [1, 'load', APP, OLD, '__main__'],
  [2, 'exec', APP, '<module>'],
  [3, 'exec', APP, 'main#0'],
  [4, 'exec', APP, 'load#0'],
  [6, 'exec', APP, 'train#0'],
]

describe('makePlan', () => {
  it('replays when nothing changed', async () => {
    const branch = branchWith(program)
    expect(await makePlan(input([branch], null))).toMatchObject({ kind: 'replay', reason: null })
  })

  it('resumes before the first use of an edited unit', async () => {
    const branch = branchWith(program)
    addCheckpoint(branch, 3)
    const before = addCheckpoint(branch, 5)
    addCheckpoint(branch, 7)
    const plan = await makePlan(input([branch], { changed: ['train#0'] }))
    expect(plan).toMatchObject({
      kind: 'resume',
      checkpoint: before,
      reason: 'app.py: train() was edited, and had run',
      files: [{ file: APP, old: OLD, new: NEW, changed: ['train#0'], frames: [] }],
    })
  })

  it('resumes inside an edited unit that runs once', async () => {
    const branch = branchWith(program)
    const frame = { file: APP, unit: 'main#0', lasti: 4, single: true, inline: true }
    const inside = addCheckpoint(branch, 5, [frame])
    const plan = await makePlan(input([branch], { changed: ['main#0'] }))
    expect(plan).toMatchObject({
      kind: 'resume',
      checkpoint: inside,
      files: [{ frames: [{ unit: 'main#0', at: 7 }] }],
    })
  })

  it.each([
    ['active more than once', [] as AgentEvent[], false],
    ['looked at', [[4, 'code', APP, 'main#0']] as AgentEvent[], true],
  ])('does not resume inside a unit that is %s', async (_, events, single) => {
    const branch = branchWith([...program, ...events].sort((a, b) => a[0] - b[0]))
    addCheckpoint(branch, 5, [{ file: APP, unit: 'main#0', lasti: 4, single, inline: true }])
    expect((await makePlan(input([branch], { changed: ['main#0'] }))).kind).toBe('cold')
  })

  it('takes moved lines for a change only where their numbers were seen', async () => {
    const unseen = branchWith(program)
    expect((await makePlan(input([unseen], { moved: ['load#0'] }))).kind).toBe('replay')
    const seen = branchWith([...program, [7, 'line', APP, '*']])
    const before = addCheckpoint(seen, 6)
    addCheckpoint(seen, 8)
    expect(await makePlan(input([seen], { moved: ['load#0'] }))).toMatchObject({
      kind: 'resume',
      checkpoint: before,
    })
  })

  it.each([
    ['a file that was read', [5, 'read', '/p/d', [1, 1, 1]], { sameRead: () => false }],
    ['a file that was looked at', [5, 'stat', '/p/d', null], { sameStat: () => false }],
    ['a listed directory', [5, 'list', '/p', 'other'], {}],
    ['a variable', [5, 'env', 'FOO', 'x'], {}],
    ['a module that came', [5, 'find', 'extra'], { modules: new Map([['/p/extra.py', 'extra']]) }],
    ['an effect', [5, 'effect', 'child', 'subprocess ls'], {}],
    ['the end of what can be known', [5, 'opaque', 'settrace'], {}],
  ] as [string, AgentEvent, Partial<Present>][])('goes back before %s', async (_, event, present) => {
    const branch = branchWith([...program.slice(0, 4), event, ...program.slice(4)])
    const before = addCheckpoint(branch, 4)
    addCheckpoint(branch, 6)
    expect(await makePlan(input([branch], null, present))).toMatchObject({
      kind: 'resume',
      checkpoint: before,
    })
  })

  it('goes back before a module was looked for that was installed or removed since', async () => {
    const branch = branchWith([
      [1, 'names', '/lib', ['old']],
      ...program.slice(1, 4),
      [5, 'find', 'extra'],
      ...program.slice(4),
    ])
    const before = addCheckpoint(branch, 4)
    addCheckpoint(branch, 6)
    const names = (...found: string[]) => ({ names: () => new Set(found) })
    expect((await makePlan(input([branch], null, names('old')))).kind).toBe('replay')
    expect((await makePlan(input([branch], null, names('old', 'other')))).kind).toBe('replay')
    expect(await makePlan(input([branch], null, names('old', 'extra')))).toMatchObject({
      kind: 'resume',
      checkpoint: before,
    })
  })

  it('lets effects stand when told to, and names them', async () => {
    const branch = branchWith([...program, [7, 'effect', 'network', 'connect to example.org:80']])
    const plan = await makePlan({ ...input([branch], null), effects: 'keep' })
    expect(plan).toMatchObject({ kind: 'replay', effects: ['connect to example.org:80'] })
  })

  it('does not count what the program wrote itself as a changed input', async () => {
    const branch = branchWith([...program, [8, 'read', '/p/out', [1, 1, 1]]])
    branch.writes.push({ seq: 7, path: '/p/out', pre: null, mode: null })
    expect((await makePlan(input([branch], null, { sameRead: () => false }))).kind).toBe('replay')
  })

  it('goes back before the first write of a file that the user changed', async () => {
    const branch = branchWith(program)
    branch.writes.push({ seq: 5, path: '/p/out', pre: null, mode: null })
    const before = addCheckpoint(branch, 4)
    addCheckpoint(branch, 6)
    const plan = await makePlan({ ...input([branch], null), disk: new Map([['/p/out', 'as it was left']]) })
    expect(plan).toMatchObject({ kind: 'resume', checkpoint: before })
  })

  it('never replays a program that could not report its end', async () => {
    const branch = branchWith(program)
    if (branch.end !== null) branch.end.complete = false
    const last = addCheckpoint(branch, 5)
    expect(await makePlan(input([branch], null))).toMatchObject({ kind: 'resume', checkpoint: last })
  })

  it('judges a resumed branch by its whole lineage, and by the code that was exchanged under it', async () => {
    const first = branchWith(program)
    const from = addCheckpoint(first, 5, [
      { file: APP, unit: 'main#0', lasti: 4, single: true, inline: true },
    ])
    const second = branchWith([[6, 'exec', APP, 'train#0']], from, NEW)
    second.rebased.add(`${APP}\0main#0`)
    // The code is now what the second branch has in memory: nothing changed for it.
    const plan = await makePlan(input([first, second], { changed: ['main#0'] }))
    expect(plan).toMatchObject({ kind: 'replay', branch: second })
  })

  it('goes on from an earlier place when stdin differs', async () => {
    const branch = branchWith(program)
    const before = addCheckpoint(branch, 4)
    addCheckpoint(branch, 6).stdin = 10
    const base = input([branch], null)
    const plan = await makePlan({
      ...base,
      stdin: {
        samePrefix: (_, bytes) => Promise.resolve(bytes === 0),
        sameWhole: () => Promise.resolve(false),
      },
    })
    expect(plan).toMatchObject({
      kind: 'resume',
      checkpoint: before,
      reason: 'its input on stdin is not the same',
    })
  })

  it('says why nothing was replayed although nothing changed, also from the latest checkpoint', async () => {
    const branch = branchWith(program)
    const latest = addCheckpoint(branch, 7)
    const plan = await makePlan({ ...input([branch], null), replayable: () => false })
    expect(plan).toMatchObject({
      kind: 'resume',
      checkpoint: latest,
      reason: 'its output was not recorded to the end',
    })
    // After an edit it goes without saying.
    const edited = await makePlan({ ...input([branch], { added: ['new#0'] }), replayable: () => false })
    expect(edited).toMatchObject({ kind: 'resume', checkpoint: latest, reason: null })
  })

  it('names what a process refused to take, with the edit', async () => {
    const branch = branchWith(program)
    const frame = { file: APP, unit: 'main#0', lasti: 4, single: true, inline: true }
    const inside = addCheckpoint(branch, 5, [frame])
    const plan = await makePlan({
      ...input([branch], { changed: ['main#0'] }),
      refused: new Map([[inside, 'Index is not a plain class']]),
    })
    expect(plan).toMatchObject({
      kind: 'cold',
      reason: 'app.py: main() was edited, and had run (Index is not a plain class)',
    })
  })

  it.each([
    [{ name: '__doc__', kind: 'constant' as const, values: '' }, "the module's docstring"],
    [{ name: '__doc__', owner: 'Index', kind: 'constant' as const, values: '' }, 'the docstring of Index'],
    [{ name: 'size', owner: 'Index', kind: 'constant' as const, values: '' }, 'the definition of Index.size'],
    [{ name: 'sep', kind: 'import' as const, values: ['os', 'sep'] as const }, 'the import of sep'],
  ])('names the definition that somebody may have noticed: %j', async (entry, title) => {
    const branch = branchWith(program)
    addCheckpoint(branch, 5)
    const plan = await makePlan({
      ...input([branch], { changed: ['<module>'] }),
      oracle: () => ({
        diff: () => Promise.resolve({ ...nothing, changed: ['<module>'] }),
        remap: () => Promise.resolve({ can: true, bind: [entry as Binding] }),
        mentioned: () => Promise.resolve({ units: [[APP, 'main#0']], ordered: false }),
      }),
    })
    expect(plan.reason).toBe(`${title} changed, and main() in app.py may have noticed`)
  })
})
