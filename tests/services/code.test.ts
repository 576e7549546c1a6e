/** Edits of a service's files: what is put in place, what is executed, what stays. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ServiceBench } from '../support/services.js'

describe('an edit', () => {
  let bench: ServiceBench
  beforeEach(() => {
    bench = new ServiceBench()
  })
  afterEach(() => bench[Symbol.asyncDispose]())
  const show = () => bench.services.get('main').describe()

  const MAIN = `
import helpers

MESSAGE = "hello"
CACHE = {}
LOADS = []
LOADS.append(1)

def greet(name="you"):
    CACHE[name] = CACHE.get(name, 0) + 1
    return helpers.shout(f"{MESSAGE} {name} {CACHE[name]}")

def loads():
    return len(LOADS)

class Box:
    made = 0
    def __init__(self):
        Box.made += 1
        self.things = []
    def put(self, thing):
        self.things.append(thing)
        return len(self.things)

BOX = Box()
def put(thing): return BOX.put(thing)
`
  const HELPERS = 'def shout(text):\n    return text.upper()\n'

  it('of a function, of a constant, of another module: the state stays', async () => {
    bench.write('helpers.py', HELPERS)
    bench.write('main.py', MAIN)
    const { version } = await bench.deploy('main')
    expect(await bench.call('main', 'greet')).toBe('HELLO YOU 1')
    bench.write('main.py', MAIN.replace('"hello"', '"bye"'))
    expect(await bench.call('main', 'greet')).toBe('BYE YOU 2')
    expect(show().reload?.executed).toMatchObject([{ line: 4, text: 'MESSAGE = "bye"' }])
    bench.write('helpers.py', HELPERS.replace('upper', 'title'))
    expect(await bench.call('main', 'greet')).toBe('Bye You 3')
    expect(show().reload).toMatchObject({ how: 'patched', patched: ['shout'], executed: [] })
    expect(await bench.call('main', 'loads')).toBe(1)
    bench.write('main.py', MAIN)
    bench.write('helpers.py', HELPERS)
    expect((await bench.answer('main', 'greet')).version).toBe(version)
  })

  it('of defaults, of a class, of what there is to call', async () => {
    bench.write('helpers.py', HELPERS)
    bench.write('main.py', MAIN)
    await bench.deploy('main')
    expect(await bench.call('main', 'put', ['a'])).toBe(1)
    const edited = MAIN.replace('name="you"', 'name="them"')
      .replace('return len(self.things)', 'return self.count()')
      .replace(
        '    def put(self',
        '    def count(self):\n        return 10 * len(self.things)\n    def put(self',
      )
      .concat('\ndef more(): return "more"\n')
    bench.write('main.py', edited)
    expect(await bench.call('main', 'put', ['b'])).toBe(20)
    expect(await bench.call('main', 'greet')).toBe('HELLO THEM 1')
    expect(await bench.call('main', 'more')).toBe('more')
    bench.write('main.py', edited.replace(/\ndef more.*\n/, '\n'))
    await expect(bench.call('main', 'more')).rejects.toMatchObject({ code: 'FUNCTION_NOT_FOUND' })
    expect(await bench.call('main', 'put', ['c'])).toBe(30)
  })

  it('of annotations, which may name what is not there', async () => {
    const text = (annotation: string) =>
      `import sys\nX = ${annotation.length}\ndef get(x${annotation} = 1):\n    return [x, len(get.__code__.co_varnames)]\n` +
      'def named(): return list(get.__annotations__)\n'
    bench.write('main.py', text(''))
    await bench.deploy('main')
    expect(await bench.call('main', 'get')).toEqual([1, 1])
    bench.write('main.py', text(': int'))
    expect(await bench.call('main', 'named')).toEqual(['x'])
    // Evaluated where the function stands until 3.13: there the old code serves.
    bench.write('main.py', text(': Missing'))
    const { stale } = await bench.answer('main', 'get')
    if (stale !== null) expect(stale.message).toContain('NameError')
    bench.write('main.py', text(''))
    expect(await bench.call('main', 'named')).toEqual([])
  })

  it('moves lines: tracebacks tell those of now', async () => {
    const text = 'def fails():\n    raise ValueError("x")\n'
    bench.write('main.py', text)
    await bench.deploy('main')
    bench.write('main.py', `# one\n# two\n${text}`)
    await expect(bench.call('main', 'fails')).rejects.toMatchObject({
      details: { traceback: expect.stringContaining('main.py", line 4, in fails') as string },
    })
  })

  it('with a syntax error: the old code serves, and file and line are told', async () => {
    const text = 'X = 1\ndef get():\n    return X\n'
    bench.write('main.py', text)
    const { version } = await bench.deploy('main')
    const file = bench.write('main.py', 'X = 2\ndef get(:\n    return X\n')
    const { body, stale, version: answered } = await bench.answer('main', 'get')
    expect([body.toString(), answered]).toEqual(['1', version])
    expect(stale).toMatchObject({ file, line: 2 })
    await expect(bench.deploy('main')).rejects.toMatchObject({
      code: 'SYNTAX_ERROR',
      details: { file, line: 2 },
    })
    bench.write('main.py', text.replace('X = 1', 'X = 3'))
    expect(await bench.answer('main', 'get')).toMatchObject({ stale: null })
    expect(await bench.call('main', 'get')).toBe(3)
  })

  it('whose statement fails: all is as it was', async () => {
    const text = 'X = 1\nY = 2\ndef get():\n    return [X, Y]\n'
    bench.write('main.py', text)
    await bench.deploy('main')
    const file = bench.write('main.py', 'X = 10\nY = 1 / 0\ndef get():\n    return [X, Y, 0]\n')
    const { body, stale } = await bench.answer('main', 'get')
    expect(body.toString()).toBe('[1,2]')
    expect(stale).toMatchObject({
      file,
      line: 2,
      message: expect.stringContaining('ZeroDivisionError') as string,
    })
  })

  it('waits for a call that runs, and calls wait for it', async () => {
    const text =
      'import time\nV = 1\ndef slow():\n    a = V\n    time.sleep(0.4)\n    return [a, V]\ndef get(): return V\n'
    bench.write('main.py', text)
    await bench.deploy('main')
    const slow = bench.call('main', 'slow')
    await new Promise((resolve) => setTimeout(resolve, 100))
    bench.write('main.py', text.replace('V = 1', 'V = 2'))
    expect(await bench.call('main', 'get')).toBe(2)
    expect(await slow).toEqual([1, 1])
  })

  it('exactly: from the last copy before what was edited, nothing else is executed again', async () => {
    const text = `
import os, time
def note(what):
    with open(os.path.dirname(__file__) + "/notes", "a") as file: file.write(what + "\\n")
note("slow")
time.sleep(0.3)
BIG = [1, 2, 3]
time.sleep(0.05)
note("after")
SCALE = 2
STATE = []
def get():
    STATE.append(1)
    return [SCALE * len(BIG), len(STATE)]
`
    const notes = bench.write('notes', '')
    bench.write('main.py', text)
    await bench.deploy('main', { reload: 'exact' })
    expect(await bench.call('main', 'get')).toEqual([6, 1])
    expect(await bench.call('main', 'get')).toEqual([6, 2])
    bench.write('main.py', `# moved${text.replace('SCALE = 2', 'SCALE = 5')}\ndef fails(): note(1)\n`)
    expect(await bench.call('main', 'get')).toEqual([15, 1])
    expect(show().reload).toMatchObject({ how: 'restored' })
    bench.write('main.py', `# moved\n${text.replace('SCALE = 2', 'SCALE = 5')}\ndef fails(): note(1)\n`)
    await expect(bench.call('main', 'fails')).rejects.toMatchObject({
      details: { traceback: expect.stringMatching(/line 5, in note/) as string },
    })
    const { readFileSync } = await import('node:fs')
    // Where the machine is slow there is a copy behind the second statement, too.
    expect(readFileSync(notes, 'utf8')).toMatch(/^slow\n(after\n){1,3}$/)
    bench.write('main.py', text.replace('note("slow")', 'note("first")'))
    expect(await bench.call('main', 'get')).toEqual([6, 1])
    expect(readFileSync(notes, 'utf8')).toMatch(/^slow\n(after\n){1,3}first\nafter\n$/)
  })

  it('is looked for only at a deploy where that is asked', async () => {
    bench.write('main.py', 'def get(): return 1\n')
    await bench.deploy('main', { sync: 'deploy' })
    bench.write('main.py', 'def get(): return 2\n')
    expect(await bench.call('main', 'get')).toBe(1)
    await bench.deploy('main', { sync: 'deploy' })
    expect(await bench.call('main', 'get')).toBe(2)
  })
})

describe('a name', () => {
  it('is of one file, with any number of functions', async () => {
    await using bench = new ServiceBench()
    bench.write('main.py', 'def a(): return 1\ndef b(): return 2\n')
    const other = bench.write('other.py', 'def a(): return 3\n')
    await bench.deploy('main', { callables: ['a'] })
    await expect(bench.call('main', 'b')).rejects.toMatchObject({ code: 'FUNCTION_NOT_FOUND' })
    await bench.deploy('main', { callables: ['b'] })
    expect([await bench.call('main', 'a'), await bench.call('main', 'b')]).toEqual([1, 2])
    await expect(bench.deploy('main', {}, 'other.py')).rejects.toMatchObject({
      code: 'SERVICE_EXISTS',
      details: { asked: other },
    })
    await bench.deploy('main', { replace: true }, 'other.py')
    expect(await bench.call('main', 'a')).toBe(3)
    bench.write('main.rb', 'puts 1')
    await expect(bench.deploy('ruby', {}, 'main.rb')).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    await expect(bench.deploy('none', {}, 'none.py')).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(bench.deploy('gone', { callables: ['c'] })).rejects.toMatchObject({
      code: 'FUNCTION_NOT_FOUND',
    })
  })

  it('can be of a class, and of a module in a package', async () => {
    await using bench = new ServiceBench()
    bench.write('pack/__init__.py', '')
    bench.write('pack/base.py', 'START = 5\n')
    bench.write(
      'pack/main.py',
      'from .base import START\nclass Counter:\n    def __init__(self, step): self.n = START; self.step = step\n    def up(self): self.n += self.step; return self.n\n',
    )
    const made = { name: 'Counter', args: [2] }
    const { callables } = await bench.deploy('counter', { class: made }, 'pack/main.py')
    expect(callables.map(({ name }) => name)).toEqual(['up'])
    expect([await bench.call('counter', 'up'), await bench.call('counter', 'up')]).toEqual([7, 9])
  })
})
