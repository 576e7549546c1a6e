import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Bench, remains, whyNot } from '../support/process.js'

const why = await whyNot()
if (why !== null) console.error(`skipped: ${why}`)
const isRoot = process.geteuid?.() === 0
if (!isRoot)
  console.warn('tests/process/views.test.ts is skipped: only root can mount the file systems that it needs')

/** Has a database open, in each of SQLite's ways to keep a journal, and a log. */
const PROGRAM = `
import sqlite3, sys
log = open("log", "a"); log.write("start\\n"); log.flush()
plain = sqlite3.connect("plain.db"); plain.execute("create table t (x)"); plain.commit()
plain.execute("insert into t values ('open')")
wal = sqlite3.connect("wal.db"); wal.execute("pragma journal_mode=wal"); wal.execute("create table t (x)"); wal.commit()
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    log.write(word + "\\n"); log.flush()
    for db in (plain, wal):
        db.execute("insert into t values (?)", (word,)); db.commit()
    rows = [[x for (x,) in db.execute("select x from t")] for db in (plain, wal)]
    print(open("log").read().split(), rows, flush=True)
`
const TEXT = `
import sys
log = open("log", "a"); log.write("start\\n"); log.flush()
print("ready", flush=True)
for line in sys.stdin:
    log.write(line); log.flush()
    print(open("log").read().split(), open("other").read(), flush=True)
`

describe.skipIf(why !== null || !isRoot)('private views', () => {
  let bench: Bench
  let mounted: string[]
  beforeEach(() => {
    bench = new Bench()
    mounted = []
  })
  afterEach(async () => {
    for (const point of mounted.reverse()) execFileSync('umount', [point])
    await bench[Symbol.asyncDispose]()
  })

  const mount = (...args: string[]) => {
    execFileSync('mount', args)
    mounted.push(args.at(-1) as string)
  }
  const make = (name: string) => {
    const path = join(bench.directory, name)
    mkdirSync(path)
    return path
  }
  const overlay = (lower: string, name: string) => {
    const [upper, work, merged] = [make(`${name}-upper`), make(`${name}-work`), make(name)]
    mount('-t', 'overlay', '-o', `lowerdir=${lower},upperdir=${upper},workdir=${work}`, 'overlay', merged)
    return merged
  }

  it('keep open databases valid', async () => {
    const one = await bench.launch(['python3', '-c', PROGRAM])
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    await one.ask('main\n', `['start', 'main'] [['open', 'main'], ['main']]`)
    const clones = await Promise.all([bench.restore(image), bench.restore(image)])
    for (const [i, two] of clones.entries()) {
      await two.ask(`c${i}\n`, `['start', 'c${i}'] [['open', 'c${i}'], ['c${i}']]`)
      await two.ask('more\n', `['start', 'c${i}', 'more'] [['open', 'c${i}', 'more'], ['c${i}', 'more']]`)
      expect(two.branch.parts.notes).toEqual([])
    }
    expect(readFileSync(join(bench.project, 'log'), 'utf8')).toBe('start\nmain\n')
  })

  it.each(['another file system', 'an overlay'])('on %s say that inode numbers change', async (where) => {
    let cwd = bench.project
    if (where === 'another file system') mount('-t', 'tmpfs', 'tmpfs', cwd)
    else cwd = overlay(cwd, 'merged')
    writeFileSync(join(cwd, 'other'), 'as it was')
    const one = await bench.launch(['python3', '-c', TEXT], { cwd })
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    const two = await bench.restore(image)
    await two.ask('c\n', `['start', 'c'] as it was`)
    expect(two.branch.parts.notes).toEqual([expect.stringContaining('is on another file system')])
    expect(readFileSync(join(cwd, 'log'), 'utf8')).toBe('start\n')
    await bench.group[Symbol.asyncDispose]()
  })

  it('are copies where no overlay is possible, which is said; or refused where that is too much', async () => {
    // Two overlays are the most that the kernel puts upon each other.
    const cwd = overlay(overlay(bench.project, 'first'), 'second')
    writeFileSync(join(cwd, 'other'), 'as it was')
    const one = await bench.launch(['python3', '-c', TEXT], { cwd })
    await one.prints('ready')
    const image = await bench.checkpoint(one)
    const clones = await Promise.all([bench.restore(image), bench.restore(image)])
    for (const [i, two] of clones.entries()) {
      await two.ask(`c${i}\n`, `['start', 'c${i}'] as it was`)
      expect(two.branch.parts.notes).toEqual([
        expect.stringContaining(
          'its directory is a copy, since the kernel refuses an overlay there (EINVAL)',
        ),
      ])
    }
    expect(readFileSync(join(cwd, 'log'), 'utf8')).toBe('start\n')
    writeFileSync(join(cwd, 'large'), '')
    truncateSync(join(cwd, 'large'), 2 ** 31)
    await expect(bench.restore(image)).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('too large for a copy') as string,
    })
    const shared = await bench.restore(image, { view: 'shared' })
    await shared.ask('s\n', `['start', 's'] as it was`)
    await bench.group[Symbol.asyncDispose]()
    expect(remains('/').sandboxes).toEqual([])
    expect(existsSync(bench.group.work)).toBe(false)
  })
})
