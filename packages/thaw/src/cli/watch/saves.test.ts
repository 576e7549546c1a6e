import { expect, it } from 'vitest'
import { Saves } from './saves.js'

const changed = (path: string) => ({ path, kind: 'changed' as const })
const created = (path: string) => ({ path, kind: 'created' as const })

it('goes by what the program used and wrote, where that is known', () => {
  const saves = new Saves()
  saves.learn({
    project: '/p',
    used: ['/p/data.csv', '/etc/x'],
    listed: ['/d'],
    written: ['/p/out.txt'],
    complete: true,
  })
  const among = (one: ReturnType<typeof changed> | ReturnType<typeof created>, running = false) =>
    saves.among([one], running).length === 1
  expect(among(changed('/p/data.csv'))).toBe(true)
  expect(among(changed('/etc/x'))).toBe(true)
  expect(among(changed('/etc/y'))).toBe(false)
  expect(among(changed('/p/not_yet_imported.py'))).toBe(true)
  expect(among(changed('/p/README.md'))).toBe(false)
  expect(among(created('/p/new.txt'))).toBe(true)
  expect(among(created('/d/new.csv'))).toBe(true)
  expect(among(created('/e/new.csv'))).toBe(false)
  expect(among(created('/p/.app.py.swp'))).toBe(false)
  expect(among(created('/p/app.py~'))).toBe(false)
  expect(among(created('/p/out.txt'), true)).toBe(false)
  expect(among(changed('/p/out.txt'))).toBe(false)
  expect(among(changed('/p/data.csv'), true)).toBe(true)
})

it('finds out what else a command writes itself', () => {
  const saves = new Saves()
  saves.learn({ project: '/p', used: [], listed: [], written: [], complete: false })
  expect(saves.among([changed('/p/a.c'), created('/p/b.c')], false)).toHaveLength(2)
  saves.begin()
  expect(saves.among([created('/p/a.o')], true)).toEqual([])
  expect(saves.among([changed('/p/a.o')], true)).toEqual([])
  // It was there before the first run: once it is taken for a save.
  expect(saves.among([changed('/p/log')], true)).toHaveLength(1)
  saves.begin()
  expect(saves.among([changed('/p/log')], true)).toEqual([])
  expect(saves.among([changed('/p/a.c')], true)).toHaveLength(1)
  saves.begin()
  expect(saves.among([changed('/p/log')], true)).toEqual([])
  expect(saves.among([changed('/p/log')], false)).toHaveLength(1)
})
