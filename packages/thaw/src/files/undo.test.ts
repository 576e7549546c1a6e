import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { contentAt, keepContent, putBack } from './undo.js'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'thaw-undo-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

describe('undo', () => {
  it('finds what a path held at a position', () => {
    const writes = [
      { seq: 2, path: '/f', pre: null, mode: null },
      { seq: 6, path: '/f', pre: '/kept', mode: 0o644 },
    ]
    const left = { pre: '/left', mode: 0o644 }
    expect(contentAt('/f', 1, writes, left)).toEqual({ pre: null, mode: null })
    expect(contentAt('/f', 4, writes, left)).toEqual({ pre: '/kept', mode: 0o644 })
    expect(contentAt('/f', 9, writes, left)).toBe(left)
  })

  it('puts contents back in place, and touches nothing that is right already', () => {
    const file = join(directory, 'a')
    const kept = join(directory, 'kept')
    writeFileSync(file, 'one')
    const before = keepContent(file, kept)
    if (before === 'unknown') throw new Error('not kept')
    expect(putBack(new Map([[file, before]]))).toEqual([])
    const { ino } = statSync(file)
    writeFileSync(file, 'two and more')
    expect(putBack(new Map([[file, before]]))).toEqual([file])
    expect(readFileSync(file, 'utf8')).toBe('one')
    expect(statSync(file).ino).toBe(ino)
  })

  it('removes what was made and makes what was removed, directories too', () => {
    const made = join(directory, 'made')
    const inside = join(made, 'x')
    const gone = join(directory, 'gone')
    const kept = join(directory, 'kept')
    writeFileSync(kept, 'content')
    mkdirSync(made)
    writeFileSync(inside, '')
    putBack(
      new Map<string, { pre: string | null; mode: number | null }>([
        [made, { pre: null, mode: null }],
        [inside, { pre: null, mode: null }],
        [gone, { pre: 'dir', mode: 0o755 }],
        [join(gone, 'y'), { pre: kept, mode: 0o644 }],
      ]),
    )
    expect(existsSync(made)).toBe(false)
    expect(readFileSync(join(gone, 'y'), 'utf8')).toBe('content')
  })

  it('leaves a directory in which somebody else has files', () => {
    const made = join(directory, 'made')
    mkdirSync(made)
    writeFileSync(join(made, 'theirs'), '')
    putBack(new Map([[made, { pre: null, mode: null }]]))
    expect(existsSync(join(made, 'theirs'))).toBe(true)
  })
})
